"""The driver: rounds, records, keys, interruption and bad input."""

import functools
import signal
import threading
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors, finetune, learners, problem, selectors
from amf_jax.session.driver import ActiveFineTuner
from amf_jax.session.specification import specify
from tests import problems
from tests.runs import assert_same_run, without_seconds

POLICY = problems.tiny_policy()
TASKS = problems.tiny_tasks()
ROUNDS = 5
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


class Expert:
    """Demonstrates whatever is asked for, and remembers what that was."""

    def __init__(self, during=lambda round_index: None):
        self.asked = []
        self.during = during

    def __call__(self, task, round_index, count):
        self.asked.append((round_index, task))
        self.during(round_index)
        seed = 100 * round_index + task
        return problems.tiny_demos(seed, (task,) * count, tasks=TASKS)


def evaluate(act, state, round_index):
    observations = np.linspace(-1.0, 1.0, 9, dtype=np.float32).reshape(3, 3)
    return {"return": float(act(observations, np.arange(3)).sum())}


def make(name="amf", **options):
    learner, selector = problems.tiny_parts(name)
    arguments = dict(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=TASKS),
        demonstrate=Expert(),
        evaluate=evaluate,
        rounds=ROUNDS,
        seed=0,
    )
    return ActiveFineTuner(**(arguments | options))


@functools.cache
def uninterrupted():
    tuner = make()
    tuner.run()
    return tuner


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
    def crash(record):
        if record["round"] == 2:
            raise ZeroDivisionError

    first = batches(checkpoint_dir=tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        first.run(crash)
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


def test_a_second_run_goes_on_from_memory(straight):
    expert = Expert()

    def crash(record):
        if record["round"] == 3:
            raise ZeroDivisionError

    tuner = make(demonstrate=expert)
    with pytest.raises(ZeroDivisionError):
        tuner.run(crash)
    tuner.run()
    tuner.run()  # it is finished
    assert [index for index, _ in expert.asked] == [1, 2, 3, 4, 5]
    assert_same_run(tuner, straight)


def test_a_resumed_run_equals_a_straight_one(straight, tmp_path):
    def crash(record):
        if record["round"] == 3:
            raise ZeroDivisionError

    first = make(checkpoint_dir=tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        first.run(crash)
    first.close()

    expert, seen = Expert(), []
    second = make(checkpoint_dir=tmp_path / "run", demonstrate=expert)
    second.run(lambda record: seen.append(record["round"]))
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]
    assert seen == [4, 5]
    assert_same_run(second, straight)

    third = make(checkpoint_dir=tmp_path / "run", demonstrate=expert)
    third.run(lambda record: seen.append(record["round"]))
    third.close()
    assert [index for index, _ in expert.asked] == seen == [4, 5]  # it was finished
    assert_same_run(third, straight)


def test_rounds_since_the_last_checkpoint_are_redone(straight, tmp_path):
    def crash(record):
        if record["round"] == 3:
            raise ZeroDivisionError

    options = dict(checkpoint_dir=tmp_path / "run", checkpoint_every=2)
    first = make(**options)
    with pytest.raises(ZeroDivisionError):
        first.run(crash)
    first.close()
    expert = Expert()
    second = make(demonstrate=expert, **options)
    second.run()
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]  # 3 is in the journal
    assert [record["round"] for record in second.records] == [0, 1, 2, 3, 4, 5]
    assert_same_run(second, straight)


def test_ctrl_c_finishes_the_round_and_keeps_it(straight, tmp_path):
    def press(round_index):
        if round_index == 3:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    options = dict(checkpoint_dir=tmp_path / "run", checkpoint_every=10)
    first, messages = make(demonstrate=Expert(press), **options), []
    with pytest.raises(
        errors.Interrupted, match=f"after round 3 of {ROUNDS}"
    ) as caught:
        first.run(on_interrupt=messages.append)
    first.close()
    assert str(tmp_path / "run") in str(caught.value)
    assert len(messages) == 1
    assert [record["round"] for record in first.records] == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is handler

    expert = Expert()
    second = make(demonstrate=expert, **options)
    second.run()
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]
    assert_same_run(second, straight)


def test_ctrl_c_without_checkpoints_keeps_the_rounds_in_memory(straight):
    def press(round_index):
        if round_index == 3:
            signal.raise_signal(signal.SIGINT)

    expert = Expert(press)
    tuner = make(demonstrate=expert)
    with pytest.raises(
        errors.Interrupted, match="in memory alone, where run"
    ) as caught:
        tuner.run(on_interrupt=lambda message: None)
    assert f"after round 3 of {ROUNDS}" in str(caught.value)
    tuner.run()
    assert [index for index, _ in expert.asked] == [1, 2, 3, 4, 5]
    assert_same_run(tuner, straight)


def test_a_second_ctrl_c_stops_at_once():
    # A process that was started in the background may be told to ignore Ctrl-C.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(round_index):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")

    tuner = make(demonstrate=Expert(press))
    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            tuner.run(on_interrupt=lambda message: None)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert raised.type is KeyboardInterrupt
    assert len(tuner.records) == 1


def test_runs_outside_the_main_thread():
    tuner = make("uniform", rounds=1, evaluate=None)
    thread = threading.Thread(target=tuner.run)
    thread.start()
    thread.join()
    assert len(tuner.records) == 2


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
    def crash(record):
        if record["round"] == 3:
            raise ZeroDivisionError

    options = dict(
        selector=watching(), evaluate=lambda act, state, index: success_of(index)
    )
    straight = make(**options)
    straight.run()
    first = make(checkpoint_dir=tmp_path / "run", **options)
    with pytest.raises(ZeroDivisionError):
        first.run(crash)
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
    given = specify(
        seed=kind(3),
        tasks=TASKS,
        task_weights=None,
        task_names=None,
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=TASKS),
        history=None,
        demos=None,
        **counts,
    )
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


def test_after_close_the_run_is_another_objects(tmp_path):
    options = dict(rounds=1, checkpoint_dir=tmp_path / "run")
    first = make("uniform", **options)
    first.close()
    second = make("uniform", **options)
    with pytest.raises(errors.CheckpointError, match="was closed; a new"):
        first.run()
    assert first.records == []
    second.close()


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


def test_demonstrations_may_be_shorter_than_the_buffer():
    def demonstrate(task, round_index, count):
        return problems.tiny_demos(round_index, (task,), tasks=TASKS, horizon=2)

    tuner = make("uniform", demonstrate=demonstrate)
    tuner.run()
    np.testing.assert_array_equal(tuner.demos.step_mask, [[True, True, False]] * ROUNDS)


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


def test_a_history_that_is_none_of_these_tasks_is_refused():
    history = problems.tiny_demos(0, (0, 1))
    history = history._replace(task_ids=history.task_ids.at[1].set(99))
    with pytest.raises(
        errors.DemonstrationError, match="demonstration 1 has task id 9"
    ):
        make("amf", history=history)
