"""What the driver refuses, and before what: bad input, and bad answers of others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, finetune, learners, problem
from amf_jax.session.specification import specify
from tests import problems
from tests.tuners import ARGUMENTS, ROUNDS, TASKS, make

POLICY = problems.tiny_policy()


def test_learning_progress_needs_a_driver_that_evaluates():
    with pytest.raises(errors.InvalidArgumentError, match="evaluations"):
        make("learning_progress", evaluate=None).run()


@pytest.mark.parametrize("success", [0.5, [0.5, 0.5], [[0.5, 0.5, 0.5]]])
def test_success_must_be_one_number_per_task(success):
    tuner = make("uniform", evaluate=lambda *_: {"success": success})
    with pytest.raises(errors.InvalidArgumentError, match="'success', 3 in all"):
        tuner.run()
    assert tuner.records == []


@pytest.mark.parametrize(
    "success",
    [
        ["a", "b", "c"],
        ["1", "0", "1"],
        [0.5, np.inf, 0.5],
        [0.5, 1e39, 0.5],
        [[0.5], [0.5, 0.5], 0.5],
        [0.5, None, 0.5],
        [0.5j, 0.5, 0.5],
        jax.random.split(jax.random.key(0), 3),
    ],
)
def test_success_that_is_no_number_is_refused(success):
    with pytest.raises(errors.InvalidArgumentError, match="'success', 3 in all"):
        problem.check_success(success, 3)


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_success_may_be_unknown_of_some_tasks(kind):
    problem.check_success(kind([0.5, np.nan, 1]), 3)
    problem.check_success(kind([True, False, True]), 3)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, jnp.int32])
def test_counts_are_whole_numbers_of_python(kind):
    counts = dict(rounds=kind(200), batch=kind(2), demos_per_round=kind(1))
    given = specify(**(ARGUMENTS | counts | dict(seed=kind(3))))
    counts = given.rounds, given.batch, given.demos_per_round, given.seed
    assert counts == (200, 2, 1, 3)
    assert {type(value) for value in counts} == {int}
    assert given.blank.demo_mask.shape == (400,)


def test_a_buffer_that_is_not_empty_or_malformed_is_refused():
    held = problems.tiny_demos(1, (0, 1, 99, 0, 1))
    narrow = demonstrations_lib.empty(ROUNDS, 3, 3, 2, 5)
    blank = demonstrations_lib.empty(ROUNDS, 3, 3, 2, 2)
    ragged = blank._replace(task_ids=blank.task_ids[1:])
    for demos, message in (
        (held, "demos must be an empty buffer, but holds 5"),
        (narrow, r"tasks has shape \(5, 5\)"),
        (ragged, "task_ids has shape"),
    ):
        with pytest.raises(errors.DemonstrationError, match=message):
            make("uniform", demos=demos)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (None, "by name, as a mapping that may be empty; got None"),
        ({"round": 3}, "'round', which is a field of the round itself"),
        ({"seconds": {}, "scores": 1.0}, "'scores', which is a field"),
        ({"return": {"of": [object()]}}, r"return\.of\[0\] is a object"),
        ({"return": 1j}, r"return is a complex, which a record cannot hold"),
    ],
)
def test_metrics_that_a_record_cannot_hold_are_refused(metrics, message):
    tuner = make("uniform", evaluate=lambda *_: metrics)
    with pytest.raises(errors.InvalidArgumentError, match=message):
        tuner.run()
    assert tuner.records == []


@pytest.mark.parametrize("demos", [None, demonstrations_lib.empty(4, 3, 3, 2, 2)])
def test_a_budget_beyond_all_memory_is_refused_before_it_is_allocated(demos):
    with pytest.raises(errors.CapacityError, match="1000000000"):
        make("uniform", rounds=10**9, demos=demos)


def test_mixing_weights_that_are_not_finite_are_an_error():
    def update(key, state, demos):
        return state._replace(mixing=state.mixing.at[1].set(jnp.nan)), {}

    learner = problems.tiny_parts()[0]._replace(update=update)
    tuner = make("uniform", learner=learner, evaluate=None)
    with pytest.raises(errors.TrainingError, match="weight of task 1 is not finite"):
        tuner.run()
    assert len(tuner.records) == 1
    assert int(demonstrations_lib.count(tuner.demos)) == 0


def replaced(**changes):
    """An expert whose demonstrations have some arrays replaced."""

    def demonstrate(task, round_index, count):
        demos = problems.tiny_demos(1, (task,) * count, tasks=TASKS)
        return demos._replace(
            **{name: change(getattr(demos, name)) for name, change in changes.items()}
        )

    return demonstrate


@pytest.mark.parametrize(
    ("expert", "message"),
    [
        (replaced(actions=lambda x: x[..., :1]), "actions has shape"),
        (replaced(observations=lambda x: x[..., :2]), "observations has shape"),
        (replaced(tasks=lambda x: x[..., :1]), "tasks has shape"),
        (
            replaced(actions=lambda x: x.at[0, 1].set(jnp.nan)),
            "actions is NaN or infinite in demonstration 0, step 1",
        ),
        (
            replaced(observations=lambda x: x.at[0, 2].set(jnp.inf)),
            "observations is NaN or infinite in demonstration 0, step 2",
        ),
        (replaced(task_ids=lambda x: x + 3), "task id 3"),
        (replaced(demo_mask=jnp.zeros_like), "every demonstration is masked"),
        (replaced(step_mask=jnp.zeros_like), "no recorded step"),
        (
            lambda task, *_: problems.tiny_demos(1, (task, task), tasks=TASKS),
            "returned 2 demonstrations in 2 rows",
        ),
        (
            lambda task, *_: problems.tiny_demos(1, (task,), tasks=TASKS, capacity=2),
            "returned 1 demonstrations in 2 rows",
        ),
        (
            lambda task, *_: problems.tiny_demos(1, (task,), tasks=TASKS, horizon=4),
            "4 steps",
        ),
    ],
)
def test_malformed_demonstrations_are_refused_before_they_are_recorded(expert, message):
    tuner = make("uniform", demonstrate=expert)
    with pytest.raises(errors.DemonstrationError, match=message):
        tuner.run()
    assert [record["round"] for record in tuner.records] == [0]
    assert int(demonstrations_lib.count(tuner.demos)) == 0


def test_demonstrations_of_another_task_are_refused():
    def demonstrate(task, round_index, count):
        return problems.tiny_demos(round_index, ((task + 1) % 3,), tasks=TASKS)

    with pytest.raises(errors.DemonstrationError, match="asked for"):
        make("uniform", demonstrate=demonstrate).run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(tasks=np.zeros((0, 2), np.float32)), "at least one task"),
        (dict(tasks=np.zeros(2, np.float32)), "at least one task"),
        (dict(tasks=np.full((3, 2), np.nan, np.float32)), "tasks must be finite"),
        (dict(task_names=("one", "two")), "task_names must name 3"),
        (dict(rounds=0), "rounds must be .*at least 1, got 0"),
        (dict(rounds=-2), "rounds must be .*at least 1, got -2"),
        (dict(demos_per_round=0), "demos_per_round"),
        (dict(batch=0), "batch must be .*at least 1, got 0"),
        (dict(checkpoint_every=0), "checkpoint_every"),
        (dict(seed=-1), "seed must be a whole number from 0"),
        (dict(seed=2**32), "seed must be .* to 4294967295, got 4294967296"),
        (dict(checkpoint_dir=""), "checkpoint_dir is empty"),
        (dict(checkpoint_dir="gs://bucket/run"), "checkpoint_dir must be a path on"),
        (dict(task_weights=[0.5, 0.5]), "task_weights must be 3 numbers"),
        (dict(task_weights=[1.5, -0.5, 0.0]), "not negative"),
        (dict(task_weights=[0.5, 0.5, 0.5]), "sum to 1, got 1.5"),
        (dict(task_weights=[np.nan, 0.5, 0.5]), "sum to 1"),
        (dict(pretraining=None), "demos must be given"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        make("uniform", **options)


@pytest.mark.parametrize(
    ("pretraining", "message"),
    [
        (problems.tiny_demos(7, (0, 3), tasks=problems.tiny_tasks(0, 4)), "task id 3"),
        (
            problems.tiny_demos(7, (0, 1))._replace(demo_mask=jnp.zeros(2, bool)),
            "masked",
        ),
        (
            problems.tiny_demos(7, (0, 1))._replace(tasks=jnp.zeros((2, 5))),
            "tasks has shape",
        ),
    ],
)
def test_pretraining_demonstrations_must_fit_the_tasks(pretraining, message):
    with pytest.raises(errors.DemonstrationError, match=message):
        make("uniform", pretraining=pretraining)


def test_a_policy_that_is_given_needs_a_buffer_with_room_but_no_pretraining():
    learner = learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(),
        learners.Training(0, finetune.constant(0.1)),
        learners.Training(2, finetune.constant(0.1), 8),
        initial_params=POLICY.init(jax.random.key(0)),
    )
    options = dict(learner=learner, pretraining=None)
    room, less = (demonstrations_lib.empty(n, 3, 3, 2, 2) for n in (ROUNDS, 2))
    tuner = make("uniform", demos=room, **options)
    tuner.run()
    assert sum(tuner.records[-1]["demos_per_task"]) == ROUNDS
    with pytest.raises(errors.CapacityError, match="no room"):
        make("uniform", demos=less, **options)


def test_a_policy_to_train_needs_pretraining():
    tuner = make(
        "uniform",
        pretraining=None,
        demos=demonstrations_lib.empty(ROUNDS, 3, 3, 2, 2),
    )
    with pytest.raises(errors.InvalidArgumentError, match="initial_params"):
        tuner.run()


def test_a_history_that_is_none_of_these_tasks_is_refused():
    history = problems.tiny_demos(0, (0, 1))
    history = history._replace(task_ids=history.task_ids.at[1].set(99))
    with pytest.raises(
        errors.DemonstrationError, match="demonstration 1 has task id 9"
    ):
        make("amf", history=history)
