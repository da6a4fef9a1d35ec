"""Collecting demonstrations, and the files they are kept in."""

import io
import json
import resource
import sys

import h5py
import numpy as np
import pytest
from rich.console import Console

from amf_jax import errors
from experiments import demos
from experiments.builders import base
from experiments.demos import collect, robomimic
from experiments.demos.__main__ import main
from experiments.suites.base import Suite
from experiments.suites.registry import SUITES
from tests.experiments.cart_world import WORLD
from tests.experiments.demonstration_files import hand_made

# To the left: from 0 the cart is at -1 after 4 actions; from 1 six end at -0.5.
LEFT = 1
ATTEMPTS = 12
STARTS = [
    int(np.random.default_rng([0, base.RECORDING, LEFT, number]).integers(2))
    for number in range(ATTEMPTS)
]
SOLVED = [number for number, start in enumerate(STARTS) if start == 0]
FAILED = [number for number, start in enumerate(STARTS) if start == 1]


@pytest.fixture
def tried():
    return list(collect.attempts(WORLD, LEFT, ATTEMPTS, seed=0))


@pytest.fixture
def cart(monkeypatch):
    names = WORLD.task_names
    suite = Suite("cart", "Cart", names, (), None, None, world=lambda: WORLD)
    monkeypatch.setitem(SUITES, "cart", suite)


def run(*arguments):
    console = Console(file=io.StringIO(), width=100)
    status = main(["--suite=cart", *map(str, arguments)], console)
    return status, console.file.getvalue()


# Collecting.


def test_an_attempt_depends_on_seed_task_and_number_alone(tried):
    assert len(SOLVED) > 1 and FAILED  # the tests below need both
    starts = [attempt.recording.observations[0, 0] for attempt in tried]
    np.testing.assert_array_equal(starts, STARTS)
    assert tried[3].stream == (0, base.RECORDING, LEFT, 3)


def test_the_summary_counts_failures_and_says_when_the_task_was_solved(tried):
    solved, failed = tried[SOLVED[0]], tried[FAILED[0]]
    assert (solved.solved_after, failed.solved_after) == (4, None)
    table = collect.summary("", {"one": [solved, failed], "none": [failed]})
    # Wilson with z = 1.645: 1/2 ± z / (2 sqrt(2 + z²)), and from 0 to z² / (1 + z²).
    assert table.rows == (
        ("one", "1 of 2", "0.500 [0.12, 0.88]", "4"),
        ("none", "0 of 1", "0.000 [0.00, 0.73]", "–"),
    )


@pytest.mark.parametrize("name", ["knob off", "knob_off", "Knob-Off", " knob  off "])
def test_a_task_is_named_with_spaces_hyphens_or_underscores(name):
    assert demos.task_ids("kitchen", name) == (1,)


def test_unknown_suites_and_tasks_are_named_with_the_nearest():
    with pytest.raises(errors.UnknownNameError, match="'kitchen'"):
        demos.task_ids("kichen", None)
    with pytest.raises(errors.UnknownNameError, match="'mug left'"):
        demos.task_ids("metaworld", "mug_lift")


# Files.


def test_a_file_has_what_robomimic_looks_for(tmp_path, tried):
    path = tmp_path / "cart.hdf5"
    solved, failed = tried[SOLVED[0]], tried[FAILED[0]]
    robomimic.write(path, WORLD, [solved, failed])
    with h5py.File(path) as file:
        assert file["data"].attrs["total"] == 12
        assert json.loads(file["data"].attrs["env_args"]) == {
            "env_name": "cart",
            "type": -1,
            "env_kwargs": {"task": "to the left"},
        }
        assert list(file["mask/successful"]) == [b"demo_0"]
        assert list(file["mask/failed"]) == [b"demo_1"]
        demo = file["data/demo_0"]
        assert demo.attrs["num_samples"] == 6
        assert demo.attrs["success"] and not file["data/demo_1"].attrs["success"]
        assert demo.attrs["seed"].tolist() == [0, base.RECORDING, LEFT, SOLVED[0]]
        assert demo.attrs["task"] == "to the left"
        assert demo.attrs["prompt"] == "push the cart left"
        np.testing.assert_array_equal(demo["actions"], -np.ones((6, 1)))
        position = -0.25 * np.arange(7)[:, None]
        np.testing.assert_array_equal(demo["obs/position"], position[:-1])
        np.testing.assert_array_equal(demo["next_obs/position"], position[1:])
        np.testing.assert_array_equal(demo["next_obs/aside"], position[1:] ** 2)
        np.testing.assert_array_equal(demo["states"][:, 1:2], position[:-1])
        # at -1 after the fourth action, and beyond after the fifth
        assert demo["rewards"][()].tolist() == [0, 0, 0, 1, 0, 0]
        assert demo["dones"][()].tolist() == [0, 0, 0, 1, 0, 1]
        assert file["data/demo_1/dones"][()].tolist() == [0, 0, 0, 0, 0, 1]


def test_the_same_seed_gives_the_same_file_to_the_bit(tmp_path, tried):
    again = list(collect.attempts(WORLD, LEFT, ATTEMPTS, seed=0))
    for name, attempts in (("a", tried), ("b", again)):
        robomimic.write(tmp_path / name, WORLD, attempts)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("room", [0, 100, 4096, 20_000])
def test_a_full_disk_leaves_the_old_file(tmp_path, tried, room):
    path = tmp_path / "cart.hdf5"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(errors.ResultsError, match=f"cannot write {path}: File too"):
            robomimic.write(path, WORLD, tried)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_serves_as_demonstrations(tmp_path, tried):
    path = tmp_path / "cart.hdf5"
    robomimic.write(path, WORLD, tried)
    vector = [0.5, -0.5, 2.0]
    read = robomimic.read(path, WORLD.observation_parts, vector, LEFT)
    kept = [tried[number].recording for number in SOLVED]
    np.testing.assert_array_equal(
        read.observations, [r.observations[:-1] for r in kept]
    )
    np.testing.assert_array_equal(read.actions, [r.actions for r in kept])
    assert read.step_mask.all() and read.demo_mask.all()
    np.testing.assert_array_equal(read.tasks, [vector] * len(SOLVED))
    assert read.task_ids.tolist() == [LEFT] * len(SOLVED)
    everything = robomimic.read(
        path, WORLD.observation_parts, vector, LEFT, filter_key=None
    )
    np.testing.assert_array_equal(everything.observations[:, 0, 0], STARTS)


def test_demonstrations_of_unequal_length_are_padded_and_masked(tmp_path):
    path = hand_made(tmp_path / "file", [2, 3, 1], ["demo_2", "demo_0"])
    read = robomimic.read(path, ["aside", "position"], [1.0], -1)
    assert read.observations.tolist() == [
        [[0, 0, 0], [-1, 1, 1]],
        [[-200, 200, 200], [0, 0, 0]],
    ]
    assert read.actions.tolist() == [[[0], [10]], [[2000], [0]]]
    assert read.step_mask.tolist() == [[True, True], [True, False]]
    assert read.task_ids.tolist() == [-1, -1]


def test_demonstrations_are_in_the_order_of_their_numbers(tmp_path):
    path = hand_made(tmp_path / "file", [1] * 11)
    read = robomimic.read(path, ["position"], [1.0], 0, filter_key=None)
    assert read.observations[:, 0, 0].tolist() == [100 * number for number in range(11)]


def test_what_a_file_lacks_is_named(tmp_path):
    def read(path, parts=("position",), filter_key=None):
        return robomimic.read(path, parts, [1.0], 0, filter_key)

    with pytest.raises(errors.DemonstrationError, match="cannot read .*missing"):
        read(tmp_path / "missing")
    (tmp_path / "text").write_text("no HDF5")
    with pytest.raises(errors.DemonstrationError, match="should be an HDF5 file"):
        read(tmp_path / "text")
    path = hand_made(tmp_path / "file", [2], success=[])
    with pytest.raises(errors.DemonstrationError, match="obs/speed.*aside, position"):
        read(path, ["speed"])
    with pytest.raises(errors.UnknownNameError, match="'successful'"):
        read(path, filter_key="succesful")
    with pytest.raises(errors.DemonstrationError, match="no demonstration under mask/"):
        read(path, filter_key="successful")

    def broken(change):
        path = hand_made(tmp_path / "broken", [2, 2])
        with h5py.File(path, "a") as file:
            change(file)
        return path

    def replace(name, array):
        def change(file):
            del file[name]
            file[name] = array

        return change

    short = replace("data/demo_1/obs/position", np.zeros((1, 1)))
    with pytest.raises(errors.DemonstrationError, match="has 1 steps and actions 2"):
        read(broken(short))
    with pytest.raises(errors.DemonstrationError, match=r"actions has shape \(2,\)"):
        read(broken(replace("data/demo_0/actions", np.zeros(2))))
    with pytest.raises(errors.DemonstrationError, match="1 and 3 wide"):
        read(broken(replace("data/demo_0/actions", np.zeros((2, 3)))))
    with pytest.raises(errors.DemonstrationError, match="actions is NaN"):
        read(broken(replace("data/demo_0/actions", [[0.0], [np.nan]])))
    with pytest.raises(errors.DemonstrationError, match="'episode'"):
        read(broken(lambda file: file.move("data/demo_1", "data/episode")))
    with pytest.raises(errors.DemonstrationError, match="has no /data"):
        read(broken(lambda file: file.move("data", "other")))


# The command.


def test_the_command_writes_a_file_per_task_without_failures(cart, tmp_path):
    status, text = run(f"--episodes={ATTEMPTS}", f"--output={tmp_path}")
    assert status == 0
    path = tmp_path / "cart" / "to_the_left.hdf5"
    assert f"{path}: {len(SOLVED)} demonstrations of {ATTEMPTS} attempts" in text
    assert f"{len(SOLVED)} of {ATTEMPTS}" in text
    with h5py.File(path) as file:
        seeds = [file[f"data/demo_{n}"].attrs["seed"][-1] for n in range(len(SOLVED))]
        assert list(file["mask"]) == ["successful"]
        assert len(file["data"]) == len(SOLVED)
    assert seeds == SOLVED
    assert len(list(path.parent.iterdir())) == 2


def test_the_command_keeps_failures_on_request(cart, tmp_path):
    run(
        "--task=to-the-left",
        f"--episodes={ATTEMPTS}",
        "--keep_failed",
        f"--output={tmp_path}",
    )
    (path,) = (tmp_path / "cart").iterdir()
    with h5py.File(path) as file:
        assert len(file["data"]) == ATTEMPTS
        assert [name.decode() for name in file["mask/failed"]] == [
            f"demo_{number}" for number in FAILED
        ]


def test_a_task_that_is_never_solved_gets_no_file(cart, tmp_path, capsys):
    seed = next(
        s
        for s in range(99)
        if np.random.default_rng([s, base.RECORDING, LEFT, 0]).integers(2)
    )
    status, text = run(
        "--task=to_the_left", "--episodes=1", f"--seed={seed}", f"--output={tmp_path}"
    )
    assert status == 1
    assert "0 of 1" in text
    assert "no episode solved to the left" in capsys.readouterr().err
    assert list((tmp_path / "cart").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes=0"], "episodes must be a whole number, at least 1, got 0"),
        (["--seed=-1"], "seed must be a whole number from 0 to 4294967295, got -1"),
        (["--seed=4294967296"], "4294967295, got 4294967296"),
        (["--output="], "output is empty"),
        (["--output=gs://bucket/demos"], "output must be a path on this machine"),
        (["--render="], "render is empty"),
        (["--render=s3://bucket/a.png"], "render must be a path on this machine"),
        (["--task=to the lft"], "Did you mean 'to the left'"),
        (["--render=sheet.gif"], r"ends in .png or .mp4, got sheet.gif"),
    ],
)
def test_mistakes_are_found_before_any_episode(
    cart, monkeypatch, capsys, arguments, message
):
    monkeypatch.setattr(collect, "attempts", None)
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    assert message in capsys.readouterr().err


def test_an_unwritable_folder_is_found_before_any_episode(
    cart, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(collect, "attempts", None)
    (tmp_path / "file").write_text("")
    assert run(f"--output={tmp_path / 'file'}")[0] == 1
    assert "cannot write to the folder" in capsys.readouterr().err


def test_a_tilde_is_the_home_folder(cart, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        run("--task=to_the_left", f"--episodes={ATTEMPTS}", "--output=~/demos")[0] == 0
    )
    assert (tmp_path / "demos" / "cart" / "to_the_left.hdf5").exists()


@pytest.mark.parametrize(
    ("package", "extra"), [("h5py", "demos"), ("av", "demos"), ("PIL", "experiments")]
)
def test_a_missing_package_is_named_with_its_extra(
    cart, tmp_path, monkeypatch, capsys, package, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "experiments.demos.pictures", raising=False)
    status, _ = run(f"--output={tmp_path}", f"--render={tmp_path / 'film.mp4'}")
    assert status == 1
    error = capsys.readouterr().err
    assert f"package {package} is" in error and f"'amf_jax[{extra}]'" in error


def test_ctrl_c_ends_the_command_quietly(cart, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(collect, "attempts", interrupted)
    assert run(f"--output={tmp_path}")[0] == 130
    assert "stopped" in capsys.readouterr().err
    assert list((tmp_path / "cart").iterdir()) == []
