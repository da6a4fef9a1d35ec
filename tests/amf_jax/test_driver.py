"""The driver: rounds, records and keys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors
from tests import problems
from tests.runs import assert_same_run
from tests.tuners import ROUNDS, TASKS, Expert, crash_after, make, uninterrupted

FIELDS = {
    "round",
    "task",
    "success",
    "mean_success",
    "return",
    "entropy",
    "demos_per_task",
    "mixing",
    "scores",
    "ess",
    "importance_weights",
    "training",
    "seconds",
}


@pytest.fixture
def straight():
    return uninterrupted()


def test_records_have_the_fields_that_other_tools_read(straight):
    assert [record["round"] for record in straight.records] == list(range(ROUNDS + 1))
    for record in straight.records:
        assert record.keys() == FIELDS
        assert record["seconds"].keys() == {"select", "finetune", "evaluate"}
        assert all(value >= 0.0 for value in record["seconds"].values())
        assert len(record["mixing"]) == 3
        assert all(0.0 <= weight <= 1.0 for weight in record["mixing"])
        assert isinstance(record["return"], float)
        for name in ("success", "mean_success", "entropy"):
            assert record[name] is None


def test_round_zero_is_the_pretrained_policy(straight):
    record = straight.records[0]
    assert record["task"] is None
    assert record["demos_per_task"] == [0, 0, 0]
    assert record["mixing"] == [0.0, 0.0, 0.0]
    for name in ("scores", "ess", "importance_weights"):
        assert record[name] is None
    assert record["seconds"]["select"] == record["seconds"]["finetune"] == 0.0


def test_the_warm_start_has_no_scores_and_active_rounds_do(straight):
    first, second, *active = straight.records[1:]
    assert (first["task"], second["task"]) == (0, 1)
    assert first["scores"] is second["scores"] is None
    for record in active:
        assert record["task"] == int(np.argmax(record["scores"]))
        assert len(record["ess"]) == 3
        weights = np.array(record["importance_weights"])
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, 1e-5)
        assert (weights[:, record["round"] - 1 :] == 0.0).all()  # not yet there
    assert any(any(record["mixing"]) for record in active)


def test_demonstrations_are_counted_by_task(straight):
    asked = [record["task"] for record in straight.records[1:]]
    for record in straight.records:
        expected = np.bincount(asked[: record["round"]], minlength=3)
        assert record["demos_per_task"] == expected.tolist()
    expert = Expert()
    several = make("uniform", demonstrate=expert, demos_per_round=2, rounds=2)
    several.run()
    assert sum(several.records[-1]["demos_per_task"]) == 4
    assert expert.asked == [(1, 0), (2, 1)]


def batches(**options):
    """Three rounds of two choices; the warm start of two is the first of them."""
    return make(batch=2, rounds=3, **options)


@functools.cache
def uninterrupted_batches():
    tuner = batches()
    tuner.run()
    return tuner


def test_a_round_may_ask_for_several_tasks():
    expert, tuner = Expert(), uninterrupted_batches()
    batches(demonstrate=expert).run()
    _, warm, *active = tuner.records
    assert (warm["task"], warm["scores"]) == ([0, 1], None)
    for record in active:
        scores = np.array(record["scores"])
        assert scores.shape == (2, 3)
        assert record["task"] == scores.argmax(axis=1).tolist()
        assert len(record["ess"]) == 3
        assert np.shape(record["importance_weights"]) == (3, 2 * record["round"])
    asked = [task for record in tuner.records[1:] for task in record["task"]]
    rounds = [index for index in (1, 2, 3) for _ in range(2)]
    assert expert.asked == list(zip(rounds, asked, strict=True))
    assert tuner.demos.task_ids.tolist() == asked
    counts = np.bincount(asked, minlength=3).tolist()
    assert tuner.records[-1]["demos_per_task"] == counts


def test_batches_are_demonstrated_as_often_as_is_asked_for():
    tuner = make("uniform", batch=2, demos_per_round=3, rounds=1, evaluate=None)
    tuner.run()
    assert tuner.demos.task_ids.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_resumed_run_of_batches_equals_a_straight_one(tmp_path):
    first = batches(checkpoint_dir=tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        first.run(crash_after(2))
    first.close()
    second = batches(checkpoint_dir=tmp_path / "run")
    second.run()
    second.close()
    assert_same_run(second, uninterrupted_batches())


def test_an_expert_that_fails_within_a_batch_leaves_the_last_round_whole():
    seen = []

    def demonstrate(task, round_index, count):
        seen.append(int(demonstrations_lib.count(tuner.collected)))
        if len(seen) == 4:
            raise RuntimeError("the robot fell over")
        return problems.tiny_demos(len(seen), (task,), tasks=TASKS)

    tuner = make("uniform", batch=2, demonstrate=demonstrate, evaluate=None)
    with pytest.raises(RuntimeError, match="fell over"):
        tuner.run()
    assert seen == [0, 1, 2, 3]
    assert len(tuner.records) == 2
    assert int(demonstrations_lib.count(tuner.demos)) == 2


def test_the_same_seed_gives_the_same_run_and_another_seed_another(straight):
    again, other = make(), make(seed=1)
    again.run()
    other.run()
    assert_same_run(again, straight)
    assert other.records[0]["return"] != straight.records[0]["return"]


def test_nothing_is_compiled_after_the_first_active_round():
    compiled, counts = [], []

    def listen(name, seconds, **kwargs):
        if name == "/jax/core/compile/backend_compile_duration":
            compiled.append(name)

    # Other shapes than elsewhere in this file: nothing is compiled in advance.
    tuner = make(rounds=7)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        tuner.run(lambda record: counts.append(len(compiled)))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert counts[0] > 0
    assert counts[1] > counts[0]
    assert counts[1:] == [counts[1]] * 7


def test_a_failed_selection_asks_for_nothing(straight):
    expert = Expert()
    tuner = make(demonstrate=expert, task_names=("reach", "push", "pull"))
    learner, _ = problems.tiny_parts()
    broken = make(
        demonstrate=expert,
        learner=learner._replace(
            update=lambda key, state, demos: (
                state._replace(
                    params=jax.tree.map(lambda x: x * jnp.nan, state.params)
                ),
                {},
            )
        ),
        evaluate=None,
    )
    with pytest.raises(errors.SelectionError, match="NaN"):
        broken.run()
    assert expert.asked == [(1, 0), (2, 1)]  # the warm start
    assert len(broken.records) == 3
    assert tuner.records == []


def test_demonstrations_may_be_shorter_than_the_buffer():
    def demonstrate(task, round_index, count):
        return problems.tiny_demos(round_index, (task,), tasks=TASKS, horizon=2)

    tuner = make("uniform", demonstrate=demonstrate)
    tuner.run()
    np.testing.assert_array_equal(tuner.demos.step_mask, [[True, True, False]] * ROUNDS)


def test_acts_with_the_fine_tuned_policy_once_there_is_one(straight):
    observations = np.ones((2, 3), np.float32)
    actions = straight.act(observations, np.array([0, 2]))
    expected = problems.tiny_parts()[0].act(
        straight.learner_state,
        jax.random.key(0),
        observations,
        TASKS[np.array([0, 2])],
        jnp.array([0, 2]),
    )
    np.testing.assert_allclose(actions, expected, 1e-5)
    for ids in ([0, 99], [0, -1]):  # JAX would take another task's
        with pytest.raises(errors.InvalidArgumentError, match="task_ids must be"):
            straight.act(observations, np.array(ids))
    with pytest.raises(errors.InvalidArgumentError, match="run"):
        make().act(observations, np.array([0, 2]))


def test_a_stochastic_policy_acts_with_a_new_key_every_time():
    def act(state, key, observations, tasks, task_ids):
        return jax.random.normal(key, (observations.shape[0], 2))

    seen = []

    def record(act, state, round_index):
        observations = np.zeros((2, 3), np.float32)
        seen.extend(act(observations, np.array([0, 1])) for _ in range(2))
        return {}

    tuner = make(
        "uniform", learner=problems.tiny_parts()[0]._replace(act=act), evaluate=record
    )
    tuner.run()
    observations = np.zeros((2, 3), np.float32)
    seen.extend(tuner.act(observations, np.array([0, 1])) for _ in range(2))
    assert len(np.unique(np.stack(seen)[:, 0, 0])) == 2 * (ROUNDS + 1) + 2


def test_a_whole_run_passes_where_nan_is_an_error():
    tuner = make("amf")
    with jax.debug_nans(True):
        tuner.run()
    assert [record["scores"] is None for record in tuner.records[1:3]] == [True, True]
    assert len(tuner.records[-1]["scores"]) == 3
