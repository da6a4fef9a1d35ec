"""Checkpoints: what is saved comes back, and damage, other runs and full disks show."""

import contextlib
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import errors
from amf_jax.learners import LearnerState
from amf_jax.records import round_record
from amf_jax.rounds import RunState
from amf_jax.session import fingerprint, quiet
from amf_jax.session.checkpoint import Checkpointer
from amf_jax.session.specification import specify
from amf_jax.windows import Window
from tests import problems, tuners

IDENTITY = {"suite": "reach", "tasks": ("left", "right")}
GIVEN = tuners.ARGUMENTS | dict(seed=3, rounds=4, demos_per_round=2)
ROUNDS = range(3)
SESSIONS = [{"first_round": 0, "versions": {"python": "3.11"}}]


def state_of(given, offset=0.0):
    """Named tuples, None, dicts, keys, empty and scalar leaves, as a run has them."""
    params = {"kernel": jnp.arange(6.0).reshape(2, 3) + offset, "bias": jnp.ones(3)}
    wide = jnp.arange(2000) * 0.37 + offset  # so much has no checksum from orbax
    rows = given.blank.step_mask.size
    known = (jnp.arange(rows) < 2 * offset).astype(jnp.float32)
    learner = LearnerState(params, params, params, None, optax.adam(0.1).init(params))
    return RunState(
        given.blank, learner, (jax.random.key(5), known, (), jnp.int32(7), wide)
    )


@contextlib.contextmanager
def opened(folder, identity=IDENTITY, **changes):
    given = specify(**(GIVEN | changes))
    checkpointer = Checkpointer(folder, given, identity)
    try:
        yield checkpointer, given
    finally:
        checkpointer.close()


def records_of(rounds):
    return [{"round": i, "task": None, "return": 0.1 * i} for i in range(rounds)]


def write(folder, rounds=ROUNDS):
    with opened(folder) as (checkpointer, given):
        for index in rounds:
            state = state_of(given, index)
            checkpointer.save(state, records_of(index + 1), SESSIONS)
    return folder


def restore(folder, **changes):
    with opened(folder, **changes) as (checkpointer, given):
        return checkpointer.restore(initial(given), kept)


def initial(given):
    """The state before the first round as a function of the empty buffer."""
    return lambda blank, rounds: state_of(given._replace(blank=blank))


def kept(learner_state, demos):
    """The learner's state after a round, of the same sizes whatever the buffer."""
    return learner_state


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("written") / "run")


@pytest.fixture
def saved(written, tmp_path):
    """A folder with the checkpoints of rounds 1 and 2, to spoil."""
    return shutil.copytree(written, tmp_path / "run")


def assert_same(state, expected):
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for one, other in zip(*map(jax.tree.leaves, (state, expected)), strict=True):
        assert one.dtype == other.dtype
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = map(jax.random.key_data, (one, other))
        np.testing.assert_array_equal(one, other)


def rewrite(folder, change, step=2):
    """Changes the JSON of a checkpoint."""
    file = folder / str(step) / "run" / "metadata"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(change(stored) or stored))


def test_the_latest_round_comes_back_bit_for_bit(saved):
    state, records, sessions, _ = restore(saved)
    assert_same(state, state_of(specify(**GIVEN), 2))
    assert records == records_of(3)
    assert sessions == SESSIONS


def test_two_rounds_are_kept(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["1", "2"]


def test_an_empty_folder_has_no_round(tmp_path):
    with opened(tmp_path) as (checkpointer, given):
        assert checkpointer.latest_round() is None
        assert checkpointer.restore(initial(given), kept) is None


OTHERS = {
    "seed: 3, 4": dict(seed=4),
    r"tasks: 'float32\[3, 2\] sha256:\w+', 'float32\[3, 2\] sha256": dict(
        tasks=problems.tiny_tasks(1, 3),
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=problems.tiny_tasks(1, 3)),
    ),
    "task_weights": dict(task_weights=[0.5, 0.25, 0.25]),
    "pretraining: '3 demonstrations": dict(
        pretraining=problems.tiny_demos(8, (0, 1, 0), tasks=tuners.TASKS)
    ),
    "history: None, '4 demonstrations": dict(
        history=problems.tiny_demos(7, tasks=tuners.TASKS)
    ),
    r"demos_per_round: 2, 1\. Go": dict(demos_per_round=1, rounds=8),
    r"batch: 1, 2; demos_per_round: 2, 1\. Go": dict(batch=2, demos_per_round=1),
    r"demos.actions: \['float32', \[3, 2\]\], \['float32', \[4, 2\]\]": dict(
        pretraining=problems.tiny_demos(7, (0, 1, 0), horizon=4, tasks=tuners.TASKS)
    ),
    r"identity\.suite: 'reach', 'push'\. Go": dict(
        identity=IDENTITY | {"suite": "push"}
    ),
    "identity: absent, None": dict(identity=None),
    r"here\): window.action_chunk: absent, 4; [^\[]*\. Go": dict(window=Window(2, 4)),
}


@pytest.mark.parametrize(("message", "changes"), OTHERS.items(), ids=range(len(OTHERS)))
def test_another_run_is_refused_by_the_name_of_what_differs(saved, message, changes):
    with pytest.raises(errors.CheckpointError, match=f"another config.*{message}"):
        restore(saved, **changes)


def test_padding_is_no_part_of_a_run(saved):
    demos = GIVEN["pretraining"]
    kept = jnp.asarray(demos.step_mask)[..., None]
    filled = demos._replace(actions=jnp.where(kept, demos.actions, jnp.nan))
    assert not np.array_equal(filled.actions, demos.actions)
    restore(saved, pretraining=filled)


def test_another_number_format_is_refused(saved):
    refused = functools.partial(pytest.raises, errors.CheckpointError)
    with jax.enable_x64(True), refused(match="x64: False, True"):
        restore(saved)
    with jax.threefry_partitionable(False), refused(match="prng: 'threefry2x32', 'thr"):
        restore(saved)


def test_a_state_of_another_structure_is_refused(saved):
    def wider(blank, rounds):
        state = state_of(given)
        return state._replace(
            learner=state.learner._replace(params={"kernel": jnp.ones((2, 4))})
        )

    with opened(saved) as (checkpointer, given):
        message = (
            r"learner\.\.params\['bias'\]: \['float32', \[3\]\], absent;"
            r" learner\.\.params\['kernel'\]: \['float32', \[2, 3\]\], \['float32'"
        )
        with pytest.raises(errors.CheckpointError, match=message):
            checkpointer.restore(wider, kept)


def test_a_larger_budget_is_the_same_run(saved):
    state, records, *_ = restore(saved, rounds=6)
    before, after = (specify(**GIVEN | {"rounds": rounds}) for rounds in (4, 6))
    known = state_of(before, 2).selector[1]  # 8 rows of 3 steps, of which 4 are known
    assert known.tolist() == [1.0] * 4 + [0.0] * 20
    assert state.selector[1].tolist() == [1.0] * 4 + [0.0] * 32
    assert state.demos.actions.shape == (12, 3, 2)
    assert_same(state.learner, state_of(after, 2).learner)
    assert len(records) == 3


@pytest.mark.parametrize("more", [1, 2, 4, 12])  # 2 rounds, 4 rows, 12 steps
def test_a_larger_budget_makes_no_network_wider(saved, more):
    def wider(blank, rounds):
        state = state_of(given._replace(blank=blank))
        kernel = jnp.ones((2, 3 + more))
        params = state.learner.params | {"kernel": kernel}
        return state._replace(learner=state.learner._replace(params=params))

    refused = pytest.raises(errors.CheckpointError, match="kernel")
    with opened(saved, rounds=6) as (checkpointer, given), refused:
        checkpointer.restore(wider, kept)


def test_sizes_that_an_update_takes_from_the_buffer_may_grow(saved):
    def sized(given):
        def initial(blank, rounds):
            state = state_of(given._replace(blank=blank))
            # As for a process that conditions: `init` knows its own buffer alone.
            params = jnp.zeros((2, given.blank.demo_mask.size))
            learner = state.learner._replace(params=params, embedding_params=params)
            return state._replace(learner=learner)

        return initial

    def updated(state, demos):
        return state._replace(params=jnp.zeros((2, demos.demo_mask.size)))

    folder = saved.parent / "conditioning"
    with opened(folder) as (checkpointer, given):
        state = sized(given)(given.blank, given.rounds)
        checkpointer.save(state, records_of(1), SESSIONS)
    with opened(folder, rounds=6) as (checkpointer, given):
        state, *_ = checkpointer.restore(sized(given), updated)
        assert state.learner.embedding_params.shape == (2, 12)
    refused = pytest.raises(errors.CheckpointError, match="embedding_params")
    with opened(folder, rounds=6) as (checkpointer, given), refused:
        checkpointer.restore(sized(given), kept)


DISTINCT = [
    ({"a.b": 1}, {"a": {"b": 1}}),
    ({}, {"x": {}}),
    ({"a": 1}, {"a": True}),
    ({"a": [0, {"b": 1}]}, {"a": [False, {"b": 1}]}),
    ({"a": float("nan")}, {"a": float("inf")}),
    ({"a": float("inf")}, {"a": None}),
]


@pytest.mark.parametrize(("one", "two"), DISTINCT, ids=range(len(DISTINCT)))
def test_identities_that_look_alike_are_told_apart(one, two):
    given = specify(**GIVEN)
    there, here = (
        json.loads(json.dumps(fingerprint.of_arguments(given, identity)))
        for identity in (one, two)
    )
    grows = {"learner": set(), "selector": set()}
    fingerprint.check_same(there, there, grows, "here")
    for before, now in ((there, here), (here, there)):
        with pytest.raises(errors.CheckpointError, match="identity"):
            fingerprint.check_same(before, now, grows, "here")


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({1: 2, "1": 3}, "identity has two fields of the name '1'"),
        ({"a": [10**5000]}, r"identity\.a\[0\] is a number of 16610 bits"),
        ({1, "a"}, "identity is a set of what has no order"),
        ({"a": jax.random.key(0)}, r"identity\.a is a \w+, which a record cannot"),
        ({"a": pathlib.Path}, r"identity\.a is a type"),
    ],
)
def test_an_identity_that_json_cannot_hold_is_refused(identity, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        fingerprint.of_arguments(specify(**GIVEN), identity)


def test_what_holds_itself_is_refused():
    identity = []
    identity.append(identity)
    with pytest.raises(errors.InvalidArgumentError, match="holds itself"):
        fingerprint.of_arguments(specify(**GIVEN), identity)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_masks_of_whole_numbers_are_masks(dtype):
    demos = problems.tiny_demos(7, (0, 1, 0, 2), tasks=tuners.TASKS)
    demos = demos._replace(demo_mask=demos.demo_mask.at[3].set(False))
    counted = demos._replace(
        demo_mask=demos.demo_mask.astype(dtype), step_mask=demos.step_mask.astype(dtype)
    )
    one, other = map(fingerprint._demonstrations, (demos, counted))
    assert one == other
    assert one.startswith("3 demonstrations")
    record = round_record(0, [], counted, 3, None, None, {}, {})
    assert record["demos_per_task"] == [2, 1, 0]


def test_a_smaller_budget_is_refused(saved):
    with pytest.raises(errors.CheckpointError, match="rounds=4, or more"):
        restore(saved, rounds=3)
    large = demonstrations_lib.empty(9, 3, 3, 2, 2)
    with opened(saved.parent / "large", demos=large) as (checkpointer, given):
        checkpointer.save(state_of(given), records_of(1), SESSIONS)
    with pytest.raises(errors.CheckpointError, match="room for 9 .* here for 8"):
        restore(saved.parent / "large")


def truncate(folder, item):
    files = [path for path in (folder / item).rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])


def flip(folder):
    """One bit of the largest array, which is in a file of its own."""
    files = [path for path in (folder / "state").rglob("d/*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))


def with_records(change):
    def apply(stored):
        stored["run"]["records"] = change(stored["run"]["records"])

    return lambda folder: rewrite(folder.parent, apply, int(folder.name))


def without_state(folder):
    shutil.rmtree(folder / "state")


def with_state_of_another_seed(folder):
    other = folder.parent.parent / "other"
    with opened(other, seed=4) as (checkpointer, given):
        state = state_of(given, 9.0)
        checkpointer.save(state, records_of(3), SESSIONS)
    without_state(folder)
    shutil.copytree(other / "2" / "state", folder / "state")


DAMAGES = {
    "truncated state": (lambda folder: truncate(folder, "state"), "state cannot be"),
    "truncated run": (lambda folder: truncate(folder, "run"), "run cannot be read"),
    "flipped bit": (flip, "state is not the one that was written"),
    "no state": (without_state, "state cannot be read"),
    "no records": (with_records(lambda records: []), r"records are of rounds \[\]"),
    "doubled": (with_records(lambda records: records * 2), r"\[0, 1, 2, 0, 1, 2\]"),
    "wrong rounds": (
        with_records(lambda records: [record | {"round": 1} for record in records]),
        r"of rounds \[1, 1, 1\]",
    ),
    "other values": (
        with_records(lambda records: [record | {"return": 2.0} for record in records]),
        "not those that were written",
    ),
    "no list": (with_records(lambda records: 3), "no records"),
    "state of another seed": (with_state_of_another_seed, "not the one that was"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_and_the_round_before_is_taken(saved, damage, message):
    damage(saved / "2")
    with pytest.warns(errors.ResumeWarning, match=f"round 2: its .*{message}.*round 1"):
        state, records, *_ = restore(saved)
    assert_same(state, state_of(specify(**GIVEN), 1))
    assert records == records_of(2)
    # What is damaged is kept, and the round can be written again.
    assert sorted(path.name for path in saved.iterdir()) == ["1", "damaged-2-1"]
    write(saved, [2])
    assert restore(saved).records == records_of(3)


def test_reads_that_outlive_an_error_end_in_silence(saved, monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    once = quiet._ignore_closed_loops
    monkeypatch.setattr(quiet, once.__name__, once.__wrapped__)
    truncate(saved / "2", "state")
    with pytest.warns(errors.ResumeWarning):
        restore(saved)
    before = len(shown)
    for message in ("Event loop is closed", "another"):
        sys.unraisablehook(types.SimpleNamespace(exc_value=RuntimeError(message)))
    assert [str(one.exc_value) for one in shown[before:]] == ["another"]


def test_a_folder_of_a_huge_number_is_no_round(saved):
    for number in ("4503599627370496", "9" * 18):
        shutil.copytree(saved / "2", saved / number)
    with pytest.warns(errors.ResumeWarning, match=r"round 4503599627370496: its reco"):
        assert len(restore(saved).records) == 3


def test_damage_of_all_rounds_is_an_error_that_deletes_nothing(saved):
    for step in ("1", "2"):
        truncate(saved / step, "state")
    before = sorted(saved.rglob("*"))
    with pytest.raises(errors.CheckpointError, match="round 2: .*round 1: ") as caught:
        restore(saved)
    assert sorted(saved.rglob("*")) == before
    assert "delete" not in str(caught.value)


def test_what_an_older_version_wrote_is_refused(saved):
    for step in (1, 2):
        rewrite(saved, lambda stored: {"identity": 1, "records": []}, step)
    with pytest.raises(errors.CheckpointError, match="an older version"):
        restore(saved)


def test_a_round_that_was_cut_off_while_writing_does_not_count(saved):
    # orbax writes to a temporary folder and renames it: this is what a crash leaves.
    unfinished = saved / "3.orbax-checkpoint-tmp"
    (unfinished / "state").mkdir(parents=True)
    assert len(restore(saved).records) == 3
    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, name):
    pathlib.Path(tmp_path / "file").write_text("in the way")
    refused = pytest.raises(errors.CheckpointError, match="writable")
    with refused, opened(tmp_path / name):
        pass


def test_a_folder_of_links_in_a_circle_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    refused = pytest.raises(errors.CheckpointError, match="writable")
    with refused, opened(tmp_path / "loop" / "run"):
        pass


def test_a_lock_that_is_a_link_spares_its_target(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").symlink_to(tmp_path / "precious")
    refused = pytest.raises(errors.CheckpointError, match="run.lock is a symbolic link")
    with refused, opened(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_paths_are_those_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with opened("~/run") as (checkpointer, _):
        assert checkpointer.directory == (tmp_path / "run").resolve()
    for path in ("gs://bucket/run", ""):
        refused = pytest.raises(errors.InvalidArgumentError, match="checkpoint_dir")
        with refused, opened(path):
            pass


def test_what_cannot_be_written_is_one_error_and_the_last_round_whole(
    saved, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with opened(saved) as (checkpointer, given):
        with monkeypatch.context() as patch:
            patch.setattr(checkpointer._manager, "save", full)
            with pytest.raises(errors.CheckpointError, match="No space left") as caught:
                checkpointer.save(state_of(given, 3), records_of(4), SESSIONS)
        assert caught.value.__suppress_context__
        assert len(checkpointer.restore(initial(given), kept).records) == 3
        checkpointer.save(state_of(given, 3), records_of(4), SESSIONS)
    assert len(restore(saved).records) == 4


def test_a_full_disk_is_one_error_and_the_last_round_whole(tmp_path, capfd):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk: {error}")
    try:
        write(disk / "run", range(2))
        with opened(disk / "run") as (checkpointer, given):
            (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
            with pytest.raises(errors.CheckpointError, match="make room"):
                checkpointer.save(state_of(given, 2), records_of(3), SESSIONS)
            (disk / "filler").unlink()
            assert len(checkpointer.restore(initial(given), kept).records) == 2
            checkpointer.save(state_of(given, 2), records_of(3), SESSIONS)
        assert_same(restore(disk / "run").state, state_of(given, 2))
        assert "Traceback" not in capfd.readouterr().err
    finally:
        subprocess.run(["umount", disk], check=True)
