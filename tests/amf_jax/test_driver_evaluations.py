"""What the driver makes of evaluations: metrics in records, success for selectors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors, selectors
from tests.runs import assert_same_run, without_seconds
from tests.tuners import ROUNDS, Expert, crash_after, make


class Watched(NamedTuple):
    """Rounds selected so far, and the evaluations shown in each of them."""

    round: jax.Array
    evaluations: jax.Array


def watching():
    """A selector that asks for task 0 and keeps the evaluations that it is shown."""

    def init(context, history=None):
        shape = (ROUNDS, *context.evaluations.shape)
        return Watched(jnp.int32(0), jnp.full(shape, -1.0))

    def select(key, state, context):
        seen = state.evaluations.at[state.round].set(context.evaluations)
        choice = selectors.Choice(jnp.int32(0), context.tasks[0])
        return choice, Watched(state.round + 1, seen), None

    return selectors.Selector(init, select)


def success_of(round_index):
    """Round 2 is not evaluated."""
    rates = [0.25 * round_index, 0.5, 1.0 / (round_index + 1)]
    return {"success": None if round_index == 2 else rates}


def test_selectors_see_the_success_of_every_earlier_round():
    tuner = make(
        selector=watching(), evaluate=lambda act, state, index: success_of(index)
    )
    tuner.run()
    expected = np.full((ROUNDS, ROUNDS + 1, 3), np.nan)
    for index in range(ROUNDS):
        for earlier in {0, 1, 3, 4} & set(range(index + 1)):
            expected[index, earlier] = success_of(earlier)["success"]
    np.testing.assert_allclose(tuner.selector_state.evaluations, expected, 1e-6)


def test_a_resumed_run_shows_selectors_the_same_success(tmp_path):
    options = dict(
        selector=watching(), evaluate=lambda act, state, index: success_of(index)
    )
    straight = make(**options)
    straight.run()
    first = make(checkpoint_dir=tmp_path / "run", **options)
    with pytest.raises(ZeroDivisionError):
        first.run(crash_after(3))
    first.close()
    second = make(checkpoint_dir=tmp_path / "run", **options)
    second.run()
    second.close()
    assert_same_run(second, straight)


def test_learning_progress_needs_an_evaluation_by_the_end_of_the_warm_start():
    def evaluate(act, state, round_index):
        return {} if round_index == 0 else success_of(round_index)

    tuner = make("learning_progress", evaluate=evaluate, rounds=3)
    tuner.run()
    assert len(tuner.records) == 4

    expert = Expert()
    blind = make("learning_progress", evaluate=lambda *_: {}, demonstrate=expert)
    with pytest.raises(errors.SelectionError, match="'success'"):
        blind.run()
    assert expert.asked == [(1, 0), (2, 1)]


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_metrics_may_be_arrays_with_checkpoints_and_without(tmp_path, kind):
    def evaluate(act, state, index):
        return {
            "success": kind([0.5, 1.0, 0.25]),
            "return": kind(1.5),
            "nested": {"hits": (kind([1, 2]), "far"), "ok": np.bool_(True)},
        }

    kept = []
    for folder in (None, tmp_path / "run"):
        tuner = make("uniform", evaluate=evaluate, rounds=1, checkpoint_dir=folder)
        kept.append(without_seconds(tuner.run()))
        tuner.close()
    assert kept[0] == kept[1]
    for record in kept[0]:
        assert (record["success"], record["return"]) == ([0.5, 1.0, 0.25], 1.5)
        assert record["nested"] == {"hits": [[1, 2], "far"], "ok": True}
        assert [type(value) for value in record["success"]] == [float] * 3
