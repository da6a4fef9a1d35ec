"""Memory: what XLA plans is what is predicted, and what would not fit is refused."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import (
    candidates,
    demonstrations,
    embeddings,
    errors,
    memory,
    selectors,
    streaming,
)
from amf_jax.policies import mlp
from amf_jax.selectors import Context

# XLA plans the same buffers for a program that it compiles unoptimised.
pytestmark = pytest.mark.usefixtures("quick_compile")

TASKS, OBSERVATION, ACTION, TASK = 4, 10, 4, 16
PRIOR = {"condition_on_history": False}


@functools.cache
def network(hidden):
    return mlp.policy(
        jnp.zeros(OBSERVATION), jnp.ones(OBSERVATION), TASK, ACTION, features=(hidden,)
    )


def shapes(policy, rows, horizon=25):
    """A context of shapes alone: what is traced with it is never allocated."""

    def context():
        params = policy.init(jax.random.key(0))
        demos = demonstrations.empty(rows, horizon, OBSERVATION, ACTION, TASK)
        tasks = jnp.zeros((TASKS, TASK))
        return Context(demos, tasks, jnp.zeros(TASKS), params, params)

    return jax.eval_shape(context)


def active(policy, rank=None, candidate_count=None, **options):
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    if rank is not None:
        embedding = embeddings.projected_gradient(policy.layer_gradients, rank=rank)
    if candidate_count is not None:
        options["optimiser"] = candidates.random_shooting(
            lambda key, count: jax.random.normal(key, (count, TASK)), candidate_count
        )
    return selectors.amf(embedding, policy.log_likelihood, **options)


def start(selector, context):
    """The shapes of the first state; raises as `init` does."""
    return jax.eval_shape(lambda context: selector.init(context), context)


def planned(selector, context):
    """Bytes of the program of a selection, which is compiled and never run."""
    key, state = jax.eval_shape(lambda: jax.random.key(0)), start(selector, context)
    program = jax.jit(selector.select).lower(key, state, context).compile()
    sizes = program.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


@pytest.fixture
def predictions(monkeypatch):
    """Bytes of all selections that were checked."""
    found = []

    def check(what, needed, *rest):
        if "selection" in what:
            found.append(needed)

    monkeypatch.setattr(memory, "check", check)
    return found


@pytest.mark.parametrize(
    ("hidden", "rows", "options"),
    [
        pytest.param(64, 32, {}, id="history"),
        pytest.param(128, 81, PRIOR, id="prior"),
        pytest.param(128, 80, {"criterion": "entropy", **PRIOR}, id="entropy-prior"),
        pytest.param(64, 32, {"candidate_count": 12, **PRIOR}, id="searched-prior"),
        pytest.param(200, 32, {"path": "feature"}, id="features"),
        pytest.param(64, 32, {"path": "feature", "rank": 256}, id="sketch"),
    ],
)
def test_prediction_is_within_a_quarter_of_the_plan(hidden, rows, options, predictions):
    policy = network(hidden)
    selector = active(policy, **{"path": "gram", "weights": "off", **options})
    in_plan = planned(selector, shapes(policy, rows))
    np.testing.assert_allclose(predictions, [in_plan], rtol=0.25)


def refusal(call):
    """The options that a refusal names."""
    with pytest.raises(errors.MemoryBudgetError) as caught:
        call()
    _, _, named = str(caught.value).partition("these would fit: ")
    assert named, caught.value
    return [re.sub(r" \([^()]*\)$", "", option) for option in named.split("; ")]


@pytest.mark.parametrize(
    ("mebibytes", "path", "expected"),
    [
        pytest.param(
            1,
            "gram",
            ["condition_on_history=False, trajectory_samples=2"],
            id="gram-in-1",
        ),
        pytest.param(
            16,
            "gram",
            [
                "path='feature'",
                "condition_on_history=False",
                "streaming.select",
                "projected_gradient(rank=256) by path='feature'",
            ],
            id="gram-in-16",
        ),
    ],
)
def test_every_option_that_a_refusal_names_would_fit(mebibytes, path, expected):
    policy, limit = network(64), mebibytes * 2**20
    context = shapes(policy, rows=64)
    asked = {"path": path, "memory_limit": limit}
    named = refusal(lambda: start(active(policy, **asked), context))
    assert named == expected
    for option in named:
        if option == "streaming.select":
            with pytest.raises(Reached):
                stream(policy, limit)
            continue
        sketch = re.fullmatch(r"projected_gradient\((.*)\) by (.*)", option)
        text = ", ".join(sketch.groups()) if sketch else option
        changes = eval(f"dict({text})")
        start(active(policy, **asked | changes), context)


def test_enough_refuses_nothing():
    policy = network(64)
    start(active(policy, path="gram", memory_limit=2**50), shapes(policy, rows=64))


def test_what_is_left_is_the_limit_if_there_is_none():
    policy = network(64)
    many = shapes(policy, rows=10**6)
    named = refusal(lambda: start(active(policy, path="gram"), many))
    assert "path='feature'" in named


def test_devices_of_one_host_share_what_it_has_left(monkeypatch):
    monkeypatch.setattr(memory, "_left_on_host", lambda: 1000)
    assert memory.available() == 1000
    assert memory.available(jax.make_mesh((2,), ("device",))) == 500


class Reached(Exception):
    """A pool is being read."""


def stream(policy, limit):
    def reached(*progress):
        raise Reached

    tasks = np.eye(TASKS, TASK, dtype=np.float32)
    ids = np.arange(64, dtype=np.int32) % TASKS
    demos = demonstrations.Demonstrations(
        np.ones((64, 25, OBSERVATION), np.float32),
        np.ones((64, 25, ACTION), np.float32),
        np.ones((64, 25), bool),
        tasks[ids],
        ids,
        np.ones(64, bool),
    )
    params = policy.init(jax.random.key(0))
    return streaming.select(
        lambda: iter([demos]),
        embeddings.last_layer_gradient(policy.last_layer),
        None,
        tasks,
        params=params,
        embedding_params=params,
        weights="off",
        memory_limit=limit,
        on_progress=reached,
    )


def test_a_streamed_selection_is_refused_before_anything_is_computed():
    policy = network(64)
    named = refusal(lambda: stream(policy, 4 * 2**20))
    assert named == ["projected_gradient(rank=64)"]
    with pytest.raises(Reached):
        stream(policy, 6 * 2**20)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one_byte(limit):
    policy = network(64)
    for call in (
        lambda: active(policy, memory_limit=limit),
        lambda: stream(policy, limit),
    ):
        with pytest.raises(errors.InvalidArgumentError, match="memory_limit"):
            call()
