"""How commands start and end: quietly, whoever interrupts them or stops to read."""

import argparse
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from experiments import command

FOLDER = Path(experiments.__file__).parent
COMMANDS = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): path
    for path in sorted(FOLDER.rglob("*.py"))
    if "\nif __name__ ==" in path.read_text("utf-8")
}
#: Starts a command that heeds Ctrl-C also where these tests were started in the
#: background of a script, whose processes ignore it from birth.
HEEDING_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


def test_the_commands_are_known():
    assert list(COMMANDS) == [
        "demos.__main__",
        "encoders.minilm",
        "figures.__main__",
        "report.__main__",
        "run",
        "studies.__main__",
        "sweep",
        "tables.__main__",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_word(name, tmp_path):
    (tmp_path / "numpy.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    module = f"experiments.{name}".removesuffix(".__main__")
    done = subprocess.run(
        [sys.executable, "-c", HEEDING_CTRL_C, sys.executable, "-m", module],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{FOLDER.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("path", COMMANDS.values(), ids=COMMANDS)
def test_every_command_starts_in_one_place(path):
    assert "command.start(" in path.read_text("utf-8").rpartition("\nif __name__")[2]


def test_a_reader_that_leaves_and_a_narrow_encoding_end_nothing_with_a_traceback():
    done = subprocess.run(
        f"'{sys.executable}' -m experiments.run --help | head -n 1",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "Runs one cell of an experiment: one suite, setting, method and seed.\n"
    )
    assert done.stderr == ""


def _argparse_help():
    argparse.ArgumentParser(description="x").parse_args(["--help"])


@pytest.mark.parametrize(
    "main",
    [
        lambda: print("much", flush=True),
        lambda: print("little"),
        lambda: command.console().print("much"),
        _argparse_help,
    ],
    ids=["print", "buffered", "rich", "argparse"],
)
def test_a_closed_pipe_ends_a_command_quietly(main, monkeypatch, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, (tmp_path / "err").open("w+") as errors:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as ending:
            command.start(main)
    assert ending.value.code == 141
    assert (tmp_path / "err").read_text() == ""


def test_ctrl_c_that_nobody_answers_is_status_130(monkeypatch):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ending:
        command.start(main)
    assert ending.value.code == 130


def test_what_the_output_cannot_encode_is_replaced(monkeypatch):
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))

    def main():
        print("“α” ✓")
        command.console().print("β – …")
        return 3

    with pytest.raises(SystemExit) as ending:
        command.start(main)
    assert ending.value.code == 3
    assert output.getvalue().split() == [b"???", b"?", b"?", b"?", b"?"]
