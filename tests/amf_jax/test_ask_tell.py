"""Ask and tell: what was delivered is kept, and asked for once, whatever fails then."""

import functools
import inspect
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import errors, files, importance, rounds, selectors
from amf_jax.session import deliveries
from amf_jax.session.driver import ActiveFineTuner
from amf_jax.session.journal import Asked, Journal
from tests import problems
from tests.runs import assert_same_run

TASKS = problems.tiny_tasks()
ROUNDS = 3


def shown(task, index, count=1, **options):
    """What the expert shows of a task in a round."""
    tasks = (task,) * count
    return problems.tiny_demos(100 * index + task, tasks, tasks=TASKS, **options)


class Expert:
    """Remembers what it was asked for, and may fail."""

    def __init__(self, fails_at=None):
        self.asked, self.fails_at = [], fails_at

    def __call__(self, task, index, count):
        self.asked.append((index, task))
        if len(self.asked) == self.fails_at:
            raise RuntimeError("the robot fell over")
        return shown(task, index, count)


def evaluate(act, state, index):
    return {"return": float(act(np.ones((3, 3), np.float32), np.arange(3)).sum())}


class Failing:
    """Fails once, in one round."""

    def __init__(self, function, index):
        self.function, self.left = function, index

    def __call__(self, act, state, index):
        if index == self.left:
            self.left = None
            raise RuntimeError("the robot fell over")
        return self.function(act, state, index)


def make(folder=None, selector=None, **options):
    learner, default = problems.tiny_parts("uniform")
    arguments = dict(
        learner=learner,
        selector=selector or default,
        tasks=TASKS,
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=TASKS),
        evaluate=evaluate,
        rounds=ROUNDS,
        seed=0,
        checkpoint_dir=folder,
    )
    return ActiveFineTuner(**(arguments | options))


def fewest():
    """Asks for the first task of those with the fewest demonstrations."""

    def select(key, state, context):
        demos, pending = context.demos, context.pending
        counts = importance.task_counts(demos.task_ids, demos.demo_mask, 3)
        if pending is not None:
            counts += importance.task_counts(pending.task_ids, pending.mask, 3)
        task = jnp.argmin(counts).astype(jnp.int32)
        return (
            selectors.Choice(task, context.tasks[task]),
            state + 1,
            None,
        )

    return selectors.Selector(lambda context, history=None: jnp.int32(0), select)


@functools.cache
def uninterrupted(batch):
    tuner = make(demonstrate=Expert(), batch=batch)
    tuner.run()
    return tuner


@pytest.fixture
def straight():
    return uninterrupted


def test_asking_and_telling_is_what_a_run_does(straight):
    tuner, index = make(), 0
    while tasks := tuner.ask():
        assert tuner.ask() == tasks
        index += 1
        record = tuner.tell(shown(*tasks, index))
        assert (record["round"], record["task"]) == (index, *tasks)
    assert_same_run(tuner, straight(1))
    assert "delivered" not in tuner.records[-1]


def test_every_step_may_be_another_process(straight, tmp_path):
    """As by a command that asks or tells, and ends."""

    def step(what):
        tuner = make(tmp_path / "run")
        try:
            return what(tuner), tuner
        finally:
            tuner.close()

    for index in range(1, ROUNDS + 1):
        asked, _ = step(lambda tuner: tuner.ask())
        again, _ = step(lambda tuner: tuner.ask())
        assert again == asked
        episode = shown(*asked, index)
        step(lambda tuner, episode=episode: tuner.tell(episode))
    end, tuner = step(lambda tuner: tuner.ask())
    assert end == []
    assert_same_run(tuner, straight(1))


def test_several_demonstrators_stay_at_their_tasks(tmp_path):
    options = dict(selector=fewest(), rounds=4, evaluate=None)
    tuner = make(tmp_path / "run", **options)
    assert tuner.ask(2) == [0, 1]
    assert tuner.ask(3) == [0, 1, 2]
    assert tuner.ask(1) == tuner.ask() == [0, 1, 2]
    record = tuner.tell(shown(1, 1), answers=[1])
    assert record["task"] == [0, 1, 2]
    assert record["delivered"] == [{"task": 1, "steps": 3}]
    # One is demonstrated, two are pending: the first of equals comes next.
    assert tuner.ask() == [0, None, 2]
    assert tuner.ask(3) == [0, 0, 2]
    tuner.close()

    tuner = make(tmp_path / "run", **options)
    assert tuner.ask() == [0, 0, 2]
    assert tuner.tell(shown(2, 2), answers=[2])["task"] == 0
    tuner.close()
    tuner = make(tmp_path / "run", **options)  # now from the checkpoint
    assert tuner.ask(3) == [0, 0]  # for two rounds there is enough to do
    assert tuner.tell(shown(0, 3), answers=[0])["task"] is None
    assert tuner.ask(3) == [None, 0]
    tuner.tell(shown(0, 4))
    assert tuner.ask(3) == []
    assert tuner.demos.task_ids.tolist() == [1, 2, 0, 0]
    tuner.close()


DELIVERIES = {
    "shorter": (lambda: shown(0, 1, horizon=2), {}, [{"task": 0, "steps": 2}], [0]),
    "another task": (lambda: shown(2, 1), {}, [{"task": 2, "steps": 3}], [2]),
    "padded": (lambda: shown(0, 1, capacity=3), {}, None, [0]),
    "more": (
        lambda: problems.tiny_demos(1, (0, 1), tasks=TASKS),
        {},
        [{"task": 0, "steps": 3}, {"task": 1, "steps": 2}],
        [0, 1],
    ),
    "one failed": (
        lambda: problems.tiny_demos(1, (0, 1), tasks=TASKS),
        {"failed": [True, False]},
        [{"task": 0, "steps": 3, "failed": True}, {"task": 1, "steps": 2}],
        [1],
    ),
    "all failed": (
        lambda: shown(0, 1),
        {"failed": True},
        [{"task": 0, "steps": 3, "failed": True}],
        [],
    ),
    "none of the tasks": (
        lambda: shown(0, 1)._replace(
            tasks=jnp.array([[0.5, 0.25]]), task_ids=jnp.array([-1])
        ),
        {},
        [{"task": [0.5, 0.25], "steps": 3}],
        [-1],
    ),
    "episodes": (
        lambda: [
            dict(
                observations=np.ones((steps, 3), np.float32),
                actions=np.ones((steps, 2), np.float32),
                task=TASKS[task],
                task_id=task,
            )
            for task, steps in ((0, 3), (1, 1))
        ],
        {},
        [{"task": 0, "steps": 3}, {"task": 1, "steps": 1}],
        [0, 1],
    ),
    "no task id": (
        lambda: shown(2, 1)._replace(task_ids=jnp.array([-1])),
        {},
        [{"task": 2, "steps": 3}],
        [2],
    ),
    "no episode": (lambda: [], {}, [], []),
    "nothing": (lambda: None, {}, [], []),
}


@pytest.mark.parametrize("kind", DELIVERIES)
def test_deliveries_are_recorded_as_what_they_are(kind):
    demos, options, attempts, held = DELIVERIES[kind]
    tuner = make(evaluate=None)
    assert tuner.ask() == [0]
    before = tuner.learner_state
    record = tuner.tell(demos(), **options)
    assert record["task"] == 0
    assert record.get("delivered") == attempts
    count = len(held)
    assert tuner.demos.task_ids[:count].tolist() == held
    assert tuner.demos.demo_mask.tolist() == [True] * count + [False] * (3 - count)
    assert tuner.ask() == [1]  # the warm start goes on
    # Nothing is trained on where there is nothing new.
    assert (tuner.learner_state is before) == (not held)


def test_a_shorter_round_of_a_batch_is_over():
    tuner = make(batch=2, rounds=2, evaluate=None)
    assert tuner.ask() == [0, 1]
    record = tuner.tell(shown(1, 1))
    assert (record["task"], record["delivered"]) == ([0, 1], [{"task": 1, "steps": 3}])
    assert len(tuner.ask()) == 2


@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_after_a_failed_evaluation_nobody_is_asked_again(straight, tmp_path, kept):
    folder = tmp_path / "run" if kept == "folder" else None
    expert = Expert()
    tuner = make(folder, demonstrate=expert, evaluate=Failing(evaluate, 2))
    with pytest.raises(RuntimeError, match="fell over"):
        tuner.run()
    assert len(tuner.records) == 2  # the last round is whole
    assert tuner.demos.demo_mask.sum() == 1
    if folder:
        tuner.close()
        tuner = make(folder, demonstrate=expert)
    with pytest.raises(errors.InvalidArgumentError, match="call ask"):
        tuner.tell(shown(0, 1))  # it has been told
    tuner.run()
    tuner.close()
    assert [index for index, _ in expert.asked] == [1, 2, 3]
    assert_same_run(tuner, straight(1))


def test_after_a_failed_fine_tuning_nobody_is_asked_again(
    straight, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise RuntimeError("out of memory")

    tuner, expert = make(tmp_path / "run"), Expert()
    (task,) = tuner.ask()
    with monkeypatch.context() as patch:
        patch.setattr(tuner._run._programs, "finetune", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            tuner.tell(shown(task, 1))
    tuner._demonstrate = expert
    tuner.run()
    tuner.close()
    assert [index for index, _ in expert.asked] == [2, 3]
    assert_same_run(tuner, straight(1))


@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_what_an_expert_showed_before_it_failed_is_kept(straight, tmp_path, kept):
    folder = tmp_path / "run" if kept == "folder" else None
    tuner = make(folder, demonstrate=Expert(fails_at=4), batch=2)
    with pytest.raises(RuntimeError, match="fell over"):
        tuner.run()
    assert tuner.collected.demo_mask.sum() == 3
    missing = tuner.ask()
    if folder:
        tuner.close()
        tuner = make(folder, batch=2)
    assert tuner.ask() == missing
    assert missing[0] is None
    tuner.tell(shown(missing[1], 2))
    tuner._demonstrate = Expert()
    tuner.run()
    tuner.close()
    assert_same_run(tuner, straight(2))


def test_what_was_told_survives_a_kill(straight, tmp_path):
    """Another process tells, and is killed in the evaluation of what it told."""
    script = f"""
import tests.conftest
import os, signal, jax
from tests.amf_jax import test_ask_tell as this

def kill(act, state, index):
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return this.evaluate(act, state, index)

jax.config.update("jax_disable_most_optimizations", True)
tuner = this.make({os.fspath(tmp_path / "run")!r}, evaluate=kill)
(task,) = tuner.ask()
print(task, flush=True)
tuner.tell(this.shown(task, 1))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert ended.stdout == b"0\n"
    expert = Expert()
    tuner = make(tmp_path / "run", demonstrate=expert)
    tuner.run()
    tuner.close()
    assert [index for index, _ in expert.asked] == [2, 3]
    assert_same_run(tuner, straight(1))


def told(folder, rounds=1):
    """A run that was closed with a round told whose evaluation failed."""
    tuner = make(folder, demonstrate=Expert(), evaluate=Failing(evaluate, rounds))
    with pytest.raises(RuntimeError, match="fell over"):
        tuner.run()
    tuner.close()
    return sorted(path.name for path in (folder / "journal").iterdir())


def test_what_checkpoints_hold_is_forgotten(tmp_path):
    assert told(tmp_path / "run") == ["000001-0000.event", "000001-0001.event"]
    tuner = make(tmp_path / "run", demonstrate=Expert())
    tuner.run()
    tuner.close()
    left = sorted(path.name for path in (tmp_path / "run" / "journal").iterdir())
    assert left == ["000003-0000.event", "000003-0001.event"]  # 2 and 3 are kept


def test_where_the_last_checkpoint_is_damaged_nobody_is_asked_again(straight, tmp_path):
    tuner = make(tmp_path / "run", demonstrate=Expert())
    tuner.run()
    tuner.close()
    (tmp_path / "run" / str(ROUNDS) / "run" / "metadata").write_text("{")
    expert = Expert()
    tuner = make(tmp_path / "run", demonstrate=expert)
    with pytest.warns(errors.ResumeWarning, match=f"round {ROUNDS}: its run cannot"):
        tuner.run()
    tuner.close()
    assert expert.asked == []
    assert_same_run(tuner, straight(1))


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("number", "damage", "message"),
    [
        (1, flip, "not what was written"),
        (1, lambda path: path.write_bytes(b""), "damaged"),
        (0, lambda path: path.unlink(), "before it is missing"),
    ],
)
def test_a_damaged_journal_is_set_aside_and_asked_for_again(
    straight, tmp_path, number, damage, message
):
    told(tmp_path / "run")
    journal = tmp_path / "run" / "journal"
    damage(journal / f"000001-{number:04d}.event")
    expert = Expert()
    tuner = make(tmp_path / "run", demonstrate=expert)
    with pytest.warns(errors.ResumeWarning, match=message):
        tuner.run()
    tuner.close()
    assert [index for index, _ in expert.asked] == [1, 2, 3]
    assert (journal / "000001-0001.damaged").exists()
    assert_same_run(tuner, straight(1))


def test_what_is_set_aside_again_is_kept_beside_the_first(tmp_path):
    journal = Journal(tmp_path / "journal", {}, shown(0, 0))
    kept = []
    for number in range(3):
        journal.write(1, 0, Asked((number,)))
        flip(tmp_path / "journal" / "000001-0000.event")
        kept.append((tmp_path / "journal" / "000001-0000.event").read_bytes())
        with pytest.warns(errors.ResumeWarning, match="damaged"):
            assert journal.read(0) == {1: []}
    names = (f"000001-0000.damaged{end}" for end in ("", "-2", "-3"))
    assert [(tmp_path / "journal" / name).read_bytes() for name in names] == kept


def test_the_journal_of_another_run_is_refused(tmp_path):
    told(tmp_path / "run")
    told(tmp_path / "other")
    for step in ("0",):
        (tmp_path / "other" / step).rename(tmp_path / "other" / f"unused-{step}")
    tuner = make(tmp_path / "other", seed=1)
    with pytest.raises(errors.CheckpointError, match="journal of another run"):
        tuner.ask()
    tuner.close()


def test_a_full_disk_loses_nothing_that_was_told(straight, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    tuner, expert = make(tmp_path / "run"), Expert()
    (task,) = tuner.ask()
    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", full)
        with pytest.raises(errors.CheckpointError, match="No space left.*ask()"):
            tuner.tell(shown(task, 1))
        assert len(tuner.records) == 1  # nothing is made of what is not on disk
    tuner._demonstrate = expert
    tuner.run()
    tuner.close()
    assert [index for index, _ in expert.asked] == [2, 3]
    assert_same_run(tuner, straight(1))


def test_tasks_that_are_none_of_these_are_kept_as_vectors(tmp_path):
    """Those that are asked for, and those that are shown."""
    vector = np.array([0.1, 0.7], np.float32)

    def select(key, state, context):
        return (
            selectors.Choice(jnp.int32(-1), jnp.asarray(vector)),
            state,
            None,
        )

    options = dict(
        selector=selectors.Selector(lambda context, history=None: (), select),
        evaluate=None,
    )
    rows = shown(0, 1)._replace(
        tasks=jnp.asarray(vector)[None], task_ids=-jnp.ones(1, int)
    )
    tuner = make(tmp_path / "run", **options)
    (asked,) = tuner.ask()
    tuner.close()
    tuner = make(tmp_path / "run", **options)
    (again,) = tuner.ask()
    for task in (asked, again):
        np.testing.assert_array_equal(task, vector)
    record = tuner.tell(rows)
    tuner.close()
    assert record["task"] == vector.tolist()
    assert "delivered" not in record


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (dict(failed=[True, False]), errors.InvalidArgumentError, "each of the 1 dem"),
        (dict(failed=1), errors.InvalidArgumentError, "failed must be a boolean"),
        (dict(answers=[]), errors.InvalidArgumentError, r"out of \[0\]; got \[\]"),
        (dict(answers=[0, 0]), errors.InvalidArgumentError, "answers must be places"),
        (dict(answers=[1]), errors.InvalidArgumentError, "answers must be places"),
        (
            dict(episodes=shown(0, 1, horizon=4)),
            errors.DemonstrationError,
            "longer hori",
        ),
        (
            dict(episodes=shown(0, 1)._replace(task_ids=jnp.array([9]))),
            errors.DemonstrationError,
            "task id 9",
        ),
        (
            dict(episodes=shown(0, 1, count=4)),
            errors.CapacityError,
            "no room for 4 .* with rounds=4 or more",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_and_nothing_taken(options, kind, message):
    tuner = make(evaluate=None)
    tuner.ask()
    with pytest.raises(kind, match=message):
        tuner.tell(**(dict(episodes=shown(0, 1)) | options))
    assert len(tuner.records) == 1
    assert tuner.ask() == [0]


@pytest.mark.parametrize("answers", [["a"], [0.0], "0", 0, [True], {0: 0}])
def test_answers_are_whole_numbers(answers):
    with pytest.raises(errors.InvalidArgumentError, match="a list of whole numbers"):
        inspect.unwrap(deliveries.check_answers)(answers, [0, 1])


def test_demonstrations_that_a_selector_cannot_weigh_are_refused_when_told():
    _, weighing = problems.tiny_parts("amf")
    tuner = make(selector=weighing, evaluate=None)
    assert tuner.ask() == [0]
    unlisted = shown(0, 1)._replace(
        tasks=jnp.array([[0.5, 0.25]]), task_ids=jnp.array([-1])
    )
    with pytest.raises(errors.DemonstrationError, match="none of the evaluation tasks"):
        tuner.tell(unlisted)
    record = tuner.tell(unlisted, failed=True)
    assert record["delivered"] == [{"task": [0.5, 0.25], "steps": 3, "failed": True}]


def test_more_than_there_is_room_for_fits_into_the_run_opened_with_more_rounds(
    tmp_path,
):
    tuner = make(tmp_path / "run", evaluate=None)
    tuner.ask()
    many = shown(0, 1, count=4)
    with pytest.raises(errors.CapacityError, match="rounds=4"):
        tuner.tell(many)
    tuner.close()
    tuner = make(tmp_path / "run", evaluate=None, rounds=4)
    assert tuner.ask() == [0]
    tuner.tell(many)
    assert tuner.demos.demo_mask.sum() == 4
    tuner.close()


def test_telling_needs_a_question_and_running_an_expert():
    tuner = make(evaluate=None)
    with pytest.raises(errors.InvalidArgumentError, match="call ask"):
        tuner.tell(shown(0, 1))
    with pytest.raises(errors.InvalidArgumentError, match="count must be"):
        tuner.ask(0)
    with pytest.raises(errors.InvalidArgumentError, match="demonstrate is None"):
        tuner.run()


def test_keys_of_a_round_are_used_once():
    root = jax.random.key(0)
    keys = [*rounds.keys(root, 1), *(rounds.later_key(root, 1, n) for n in (1, 2, 3))]
    keys += [*rounds.keys(root, 0)[1:], *rounds.keys(root, 2)]
    data = np.stack([jax.random.key_data(key) for key in keys])
    assert len(np.unique(data, axis=0)) == len(keys) == 11
