"""The `amf` command: what it prints, and how it ends where something is wrong."""

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import amf_jax
from amf_jax import cli, ranking
from amf_jax.cli import text
from amf_jax.data import arrays

IDS = np.repeat(np.arange(4), 3)
RNG = np.random.default_rng(0)
HELD = {
    "features": RNG.normal(size=(12, 3)).astype(np.float32),
    "errors": RNG.normal(size=(12, 2)).astype(np.float32),
    "episode_ids": IDS,
    "task_ids": IDS % 2,
}


@pytest.fixture
def steps_file(tmp_path):
    """Writes a file of these arrays, with others or without some."""

    def write(without=(), **others):
        path = tmp_path / "steps.npz"
        held = {name: HELD[name] for name in HELD if name not in without}
        np.savez(path, **(held | others))
        return str(path)

    return write


@pytest.fixture
def ranked(monkeypatch):
    """Two tasks whose values are given, in place of a selection."""
    asked = []

    def found(values, tied):
        def rank(*args, **options):
            asked.append((args, options))
            counts, shares = np.array([2, 2]), np.array([0.5, 0.5])
            names = ["a", "b\x1b[31m"]
            return ranking.Ranking(
                names, np.array(values), names[:tied], counts, counts, shares, 512, 0.0
            )

        monkeypatch.setattr(ranking, "rank_tasks", rank)
        return asked

    return found


def test_a_table_and_a_recommendation(steps_file, ranked, capsys):
    asked = ranked([0.5, 0.25], 1)
    assert cli.run(["rank", steps_file(), "--noise-variance=2", "--seed=3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "task       episodes  steps  weight  value  of best",
        "a                 2      2     0.5    0.5     100%",
        "b\\x1b[31m         2      2     0.5   0.25      50%",
        "",
        "Record next: a",
        "",
        "Gradients were projected to 512 numbers; another --seed shows how much that"
        " matters.",
    ]
    ((args, options),) = asked
    assert options == {"noise_variance": 2.0, "projection_rank": None, "seed": 3}
    np.testing.assert_array_equal(args[0], HELD["features"])


def test_no_task_is_recommended_where_there_is_no_difference(
    steps_file, ranked, capsys
):
    ranked([0.5, 0.5], 2)
    assert cli.run(["rank", steps_file()]) == 0
    last = capsys.readouterr().out.splitlines()[4]
    assert last == "No difference beyond rounding: record a, or b\\x1b[31m."
    assert cli.run(["rank", steps_file(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recommended"] is None and found["tied"] == ["a", "b\x1b[31m"]


def test_errors_of_zero_recommend_nothing(steps_file, ranked, capsys):
    ranked([0.0, 0.0], 2)
    cli.run(["rank", steps_file()])
    assert "expected to tell anything: every value is 0" in capsys.readouterr().out


def test_json_holds_what_python_finds(steps_file, capsys):
    path = steps_file(task_names=["open", "close"], task_weights=[0.25, 0.75])
    assert cli.run(["rank", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = np.array(["open", "close"])[HELD["task_ids"]]
    expected = ranking.rank_tasks(
        *(HELD[name] for name in ("features", "errors", "episode_ids")),
        names,
        {"open": 0.25, "close": 0.75},
    )
    assert found["recommended"] == expected.tasks[0]
    assert [row["task"] for row in found["tasks"]] == expected.tasks
    assert [row["value"] for row in found["tasks"]] == expected.values.tolist()
    assert {row["task"]: row["weight"] for row in found["tasks"]} == {
        "open": 0.25,
        "close": 0.75,
    }


GRADIENTS = {"gradients": np.ones((12, 2))}
FACTORS = ("features", "errors")


@pytest.mark.parametrize(
    ("without", "others", "message"),
    [
        (("features",), {"feature": np.ones(3)}, "'feature'. Did you mean 'features'?"),
        ((), {"extra": np.ones(3)}, "unknown array 'extra'"),
        (("errors",), {}, "it has no array 'errors'; it holds features, episode_ids"),
        (FACTORS, {}, "either features and errors, or gradients"),
        ((), GRADIENTS, "either features and errors, or gradients"),
        (("task_ids",), {}, "it has no array 'task_ids'"),
        ((), {"task_names": np.arange(2)}, "task_names must be different texts"),
        ((), {"task_names": ["a", "a"]}, "task_names must be different texts"),
        ((), {"task_names": ["a"]}, "task_ids must be from 0 to 0, since task_names"),
        ((), {"task_names": ["a", "b", "c"]}, "task 'c' has a weight but no episode"),
        ((), {"task_names": ["a", "b"], "task_weights": [1.0]}, "must be 2 numbers"),
        ((), {"task_names": ["a", "b"], "task_weights": ["1", "2"]}, "holds <U1 of"),
        ((), {"task_weights": 1.0}, "task_weights must be numbers for tasks 0, 1"),
        ((), {"task_weights": [0.5, 0.6]}, "task_weights must sum to 1, got 1.1"),
        (
            (),
            {"noise_variance": -1.0},
            "noise_variance must be positive and finite, got -1.0",
        ),
        (
            (),
            {"features": np.full((12, 3), np.nan)},
            "features holds nan at step 0, of ep",
        ),
        ((), {"errors": np.array([None] * 12)}, "errors.npy holds object"),
        ((), {"errors": np.ones(12, complex)}, "errors.npy holds complex128"),
    ],
)
def test_a_file_that_cannot_be_ranked_is_one_line(
    steps_file, without, others, message, capsys
):
    path = steps_file(without, **others)
    assert cli.run(["rank", path]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert path in err and message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be used: File is not a zip file"),
        (b"not a zip", "as numpy.savez writes it"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, content, message, capsys):
    path = tmp_path / "steps.npz"
    path.write_bytes(content)
    assert cli.run(["rank", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_what_is_no_file_is_refused_at_once(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path / "pipe": "is a named pipe, not a regular file",
        tmp_path: "is a folder, not a regular file",
        tmp_path / "none.npz": "No such file",
    }.items():
        assert cli.run(["rank", str(path)]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2**50,), "features.npy holds float64 of shape (1125899906842624,);"),
        ((-1, -3), "features.npy holds float64 of shape (-1, -3);"),
        ((1,) * 9000, "the header of features.npy is not that of an array;"),
    ],
)
def test_an_array_is_not_allocated_on_the_word_of_its_header(
    shape, message, tmp_path, capsys
):
    """Three numbers behind a header of others."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    path = tmp_path / "steps.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", array.getvalue() + bytes(24))
    assert cli.run(["rank", str(path)]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnak"], "unknown verb 'rnak'. Did you mean 'rank'?"),
        (["--verson"], "unknown option '--verson'. Did you mean '--version'?"),
        (["rank", "x", "--jsn"], "unknown option '--jsn'. Did you mean '--json'?"),
        (["rank", "x", "y"], "one argument too many: 'y'"),
        (["rank"], "the following arguments are required: FILE"),
        (["rank", "x", "--seed=-1"], "must be from 0 to 4294967295, got '-1'"),
        (["rank", "x", "--seed=1.5"], "must be from 0 to 4294967295, got '1.5'"),
        (["rank", "x", "--noise-variance=nan"], "must be from 1e-12 to 1e12, got 'nan"),
        (["rank", "x", "--projection-rank=0"], "must be from 1 to 8192, got '0'"),
        (["rank", "x", "--projection-rank=8193"], "from 1 to 8192, got '8193'"),
    ],
)
def test_a_command_line_that_is_wrong_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.run(arguments)
    assert ending.value.code == 2
    assert message in capsys.readouterr().err


def test_no_verb_shows_the_help(capsys):
    assert cli.run([]) == 2
    assert "verbs:\n  rank" in capsys.readouterr().err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_explains_itself_within_a_terminal(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ending:
        cli.run([verb, "--help"])
    assert ending.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.isascii() for line in lines)


def test_help_and_version_answer_without_jax_or_numpy():
    code = (
        "import sys; from amf_jax import cli; sys.argv[0] = 'amf'\n"
        "for words in (['--version'], ['--help'], ['rank', '--help']):\n"
        "    try: cli.run(words)\n"
        "    except SystemExit as ending: assert ending.code == 0\n"
        "print({'jax', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.startswith(f"amf {amf_jax.__version__}\n")
    assert ran.stdout.endswith("set()\n")


def test_the_package_is_the_command():
    ran = subprocess.run(
        [sys.executable, "-m", "amf_jax", "rank", "no such file"],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: cannot read no such file: No such file or directory\n"


def test_a_narrow_terminal_cuts_names(monkeypatch):
    rows = [["a task with a long name", "12"], ["b", "3"]]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "24")
    assert text.table(["task", "value"], rows).splitlines() == [
        "task             value",
        "a task with ...     12",
        "b                    3",
    ]


def test_a_narrower_terminal_leaves_numbers_out(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    header = ["task", "episodes", "value", "of best"]
    assert text.table(
        header, [["wipe the table", "12", "0.5", "100%"]]
    ).splitlines() == [
        "task       of best",
        "wipe t...     100%",
    ]


def test_wide_letters_and_accents_are_aligned(monkeypatch):
    rows = [["テーブルを拭く", "1"], ["e\u0301tage\u0300re", "2"], ["ab", "3"]]
    lines = text.table(["task", "n"], rows).splitlines()
    assert lines[1:] == [
        "テーブルを拭く  1",
        "e\u0301tage\u0300re         2",
        "ab              3",
    ]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "15")
    assert text.table(["task", "n"], rows).splitlines()[1] == "テーブ...   1"


def test_compressed_arrays_are_read(tmp_path):
    np.savez_compressed(tmp_path / "steps.npz", **HELD)
    found = arrays.read(tmp_path / "steps.npz", HELD)
    for name, values in HELD.items():
        np.testing.assert_array_equal(found[name], values)
