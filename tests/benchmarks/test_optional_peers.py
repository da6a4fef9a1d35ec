"""PyTorch, activeft and bmdal_reg do the same work; skipped where not installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax.policies import mlp
from benchmarks import problems
from benchmarks.jobs import greedy
from benchmarks.peers import literal
from benchmarks.problems import Sizes

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # what they warn about is theirs
]

TINY = Sizes(tasks=2, demonstrations=3, horizon=4, task=5, action=9, hidden=6)


def test_the_network_has_the_parameters_of_ours():
    from benchmarks.peers import torch_network

    policy = mlp.policy(jnp.zeros(3), jnp.ones(3), 2, 4, features=(5, 6))
    params = policy.init(jax.random.key(0))
    inputs = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    ours = policy.act(params, None, inputs[:, :3], inputs[:, 3:])
    theirs = torch_network.port(params)(torch_network.tensor(inputs))
    np.testing.assert_allclose(theirs.detach().cpu(), ours, atol=1e-5)


@pytest.mark.parametrize("variant", ["batched", "literal"])
def test_scores_are_those_of_the_loops_in_numpy(variant):
    from benchmarks.peers import torch_selection

    problem = problems.selection(TINY)
    theirs = getattr(torch_selection, variant)(problem, 0.3)()
    expected = literal.selection(problem, 0.3, np.float64)()
    np.testing.assert_allclose(theirs, expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("package", "module", "everything"),
    [("activeft", "activeft_vtl", False), ("bmdal_reg", "bmdal_bait", True)],
)
def test_batches_are_those_of_the_greedy_rule(package, module, everything):
    pytest.importorskip(package)
    peer = pytest.importorskip(f"benchmarks.peers.{module}")
    rng = np.random.default_rng(1)
    points, targets = (rng.normal(size=(n, 4)).astype(np.float32) for n in (15, 9))
    goals = np.concatenate([points, targets]) if everything else targets
    expected = jax.jit(greedy.choose, static_argnums=2)(points, goals, 4, 0.5)
    np.testing.assert_array_equal(peer.greedy(points, targets, 4, 0.5)(), expected)
