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
        "evidence",
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
        "Runs one experiment: one suite, setting, method and seed.\n"
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


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")
@pytest.mark.parametrize(
    "main",
    [
        lambda: print("much", flush=True),
        lambda: print("little"),
        lambda: print("x" * 100_000),
        lambda: command.console().print("much"),
        _argparse_help,
    ],
    ids=["print", "buffered", "long", "rich", "argparse"],
)
def test_a_full_disk_below_the_output_is_one_line(main, monkeypatch, tmp_path):
    with FULL.open("w") as full, (tmp_path / "err").open("w+") as errors:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(sys, "stderr", errors)
        with pytest.raises(SystemExit) as ending:
            command.start(main)
        errors.seek(0)
        text = (tmp_path / "err").read_text()
    assert ending.value.code == 1
    assert text == "error: cannot write the output: No space left on device\n"


def test_another_error_of_the_system_is_not_taken_for_one_of_the_output():
    def main():
        Path("/no/such/file").read_text()

    with pytest.raises(FileNotFoundError):
        command.start(main)


def test_closed_output_is_written_to_without_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    def main():
        print("lost")
        command.console().print("lost")
        sys.stderr.write("lost")
        return 3

    with pytest.raises(SystemExit) as ending:
        command.start(main)
    assert ending.value.code == 3
    sys.stdout.close()
    sys.stderr.close()


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
