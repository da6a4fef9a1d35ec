"""Memory: what a compiled selection plans for, and what would not fit is refused."""

import functools

import jax
import jax.numpy as jnp
import pytest

from amf_jax import demonstrations, embeddings, errors, fitting, memory, selectors
from amf_jax.policies import mlp
from amf_jax.selectors import Context, Execution

# XLA plans the same buffers for a program that it compiles unoptimised.

TASKS, OBSERVATION, ACTION, TASK, ROWS, HORIZON = 4, 10, 4, 16, 32, 25


@functools.cache
def network(hidden):
    return mlp.policy(
        jnp.zeros(OBSERVATION), jnp.ones(OBSERVATION), TASK, ACTION, features=(hidden,)
    )


def shapes(policy):
    """A context of shapes alone: what is compiled for it is never allocated."""

    def context():
        params = policy.init(jax.random.key(0))
        demos = demonstrations.empty(ROWS, HORIZON, OBSERVATION, ACTION, TASK)
        tasks = jnp.zeros((TASKS, TASK))
        return Context(demos, tasks, jnp.zeros(TASKS), params, params)

    return jax.eval_shape(context)


def active(**options):
    policy = network(64)
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    return selectors.amf(embedding, policy.log_likelihood, **options)


def test_the_points_of_function_space_are_counted():
    selector = active(execution=Execution("function"), weights="off")
    planned = fitting.selection_bytes(selector, shapes(network(64)))
    # points of the occupancy with their solved rows: C N H times 64 + 4 + N H numbers
    points = TASKS * ROWS * HORIZON
    assert 1 < planned / (4 * points * (64 + 4 + ROWS * HORIZON)) < 3


def test_the_squares_of_a_streamed_selection_are_counted():
    policy = network(8)
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    wide = (8 + 1) * ACTION
    planned = fitting.streamed_bytes(embedding, shapes(policy))
    assert planned > 8 * 5 * wide**2  # in double precision


def test_what_fits_is_named_with_its_bytes(monkeypatch):
    def bytes_of(options, context):
        count = options.get("trajectory_samples", ROWS)
        by_weights = options.get("execution", Execution()).space == "weight"
        return 100 * count // (4 if by_weights else 1)

    monkeypatch.setattr(selectors, "amf", lambda *model, **options: options)
    monkeypatch.setattr(fitting, "selection_bytes", bytes_of)
    monkeypatch.setattr(fitting, "streamed_bytes", lambda *given: 10)
    policy = network(64)
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    found = fitting.report(embedding, None, shapes(policy), limit=1000)
    assert found.fitting == {
        "space='weight'": 800,
        "trajectory_samples=8": 800,
        "streaming.select": 10,
    }
    assert str(found) == (
        "a selection takes 3.12 KiB, more than 0.977 KiB; what fits: space='weight'"
        " (800 bytes); trajectory_samples=8 (800 bytes); streaming.select (10 bytes)"
    )
    enough = fitting.report(embedding, None, shapes(policy), limit=4000)
    assert enough.fitting == {} and str(enough) == "a selection takes 3.12 KiB"


def test_more_than_is_left_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 3 * 2**30)
    with pytest.raises(errors.MemoryBudgetError, match="x would take 4 GiB, .* 3 GiB"):
        memory.check("x", 4 * 2**30, lambda left: f"ask for {left}")
    memory.check("x", 2 * 2**30, lambda left: "")


def test_init_looks_at_no_machine(monkeypatch):
    def looked():
        raise AssertionError

    context = shapes(network(64))  # building a buffer does look
    monkeypatch.setattr(memory, "available", looked)
    state = jax.eval_shape(active().init, context)
    assert state.posterior.second_moment.shape == (65 * ACTION, 65 * ACTION)
