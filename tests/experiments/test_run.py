"""The command that runs one run: its help, its mistakes, its exit codes."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from amf_jax import errors
from experiments import methods, run, threads
from tests.experiments import fake_runs

METAWORLD = "--config=experiments/configs/metaworld.py:8-8-0-0"


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """The numbers of threads that were asked for; this process keeps its own."""
    counts = []
    monkeypatch.setattr(threads, "limit", counts.append)
    return counts


def _run(*arguments, execute=None):
    console = Console(file=io.StringIO(), width=160)
    return run.main(["run", *arguments], execute, console), console.file.getvalue()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config=experiments/configs/metawrld.py:8-8-0-0"], "'metaworld'?"),
        (["--config=metaworl:8-8-0-0"], "Did you mean 'metaworld'?"),
        (["--config=experiments/configs/metaworld.py:8-8-0-O"], "mean '8-8-0-0'?"),
        (["--config=experiments/configs/integrator.py:13"], "Did you mean '3'?"),
        (["--config=experiments/configs/integrator.py"], "names no setting"),
        (["--config=experiments/configs/integrator.py:6,papr"], "mean 'paper'?"),
        ([METAWORLD, "--config.sede=1"], "Did you mean 'seed'?"),
        ([METAWORLD, "--config.sede", "1"], "Did you mean 'seed'?"),
        ([METAWORLD, "--config.selection.wieghts=off"], "'selection.weights'?"),
        ([METAWORLD, "--config.method=unifrom"], "Did you mean 'uniform'?"),
        ([METAWORLD, "--config.seed=one"], "--config.seed=one: invalid literal"),
        ([METAWORLD, "--config.preset=paper"], "preset cannot be overridden"),
        (
            [METAWORLD, "--config.method=uniform", "--config.selection.weights=off"],
            "does not go with method='uniform'",
        ),
        ([METAWORLD, "--config.attempts=-1"], "attempts must be a whole number from"),
        ([METAWORLD, "--config.threads=1000"], "threads must be at most"),
        (["--config=metawrld:8-8-0-0", "--help"], "Did you mean 'metaworld'?"),
        ([METAWORLD, "--sed=1"], "Unknown command line flag 'sed'"),
        ([METAWORLD, "8"], "unexpected argument '8'"),
        (["--config=experiments/configs/sweeps.py:main"], "-m experiments.sweep"),
        ([], "--config=<name>:<setting> is missing"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, arguments, message):
    code, _ = _run(*arguments)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_overrides_reach_the_run_with_their_types(limits):
    seen = []

    def execute(config, on_round):
        seen.append(config)
        return "results/here.jsonl"

    code, output = _run(
        METAWORLD,
        "--config.seed=3",
        "--config.selection.weights=plain",
        "--config.forgetting.conservatism=1",
        "--config.method",
        "amf_no_prior",
        execute=execute,
    )
    assert code == 0
    (config,) = seen
    assert limits == [config.threads] == [1]
    assert config.is_locked
    assert (config.seed, config.method) == (3, "amf_no_prior")
    assert config.selection.weights == "plain"
    assert config.forgetting.conservatism == 1.0
    assert output.endswith("finished; records are in results/here.jsonl\n")


def test_rounds_are_shown_as_they_finish():
    def execute(config, on_round):
        on_round(fake_runs.record(0))
        on_round(fake_runs.record(1))

    _, output = _run(METAWORLD, execute=execute)
    lines = output.splitlines()
    assert lines[0] == "metaworld 8-8-0-0 amf seed 0"
    assert lines[2].startswith("round 1/20, asked for mug right, success 0.40, α 0.90")


def test_errors_of_the_library_are_one_line_and_exit_code_1(capsys):
    def execute(config, on_round):
        raise errors.CheckpointError("checkpoint: it is torn")

    code, _ = _run(METAWORLD, execute=execute)
    assert code == 1
    assert capsys.readouterr().err == "error: checkpoint: it is torn\n"


def test_other_errors_keep_their_traceback():
    def execute(config, on_round):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _run(METAWORLD, execute=execute)


@pytest.mark.parametrize(
    "interrupt, message",
    [
        (errors.Interrupted("stopped after round 3 of 20"), "after round 3 of 20"),
        (KeyboardInterrupt(), "run the same command again"),
    ],
)
def test_ctrl_c_says_how_to_resume(capsys, interrupt, message):
    def execute(config, on_round):
        raise interrupt

    code, _ = _run(METAWORLD, execute=execute)
    assert code == 130
    assert message in capsys.readouterr().err


def test_help_names_suites_and_methods(capsys):
    assert _run("--help")[0] == 0
    text = capsys.readouterr().out
    assert all(f"--config={name}:" in text for name in ("integrator", "metaworld"))
    assert all(name in text for name in methods.METHODS)


def test_help_tells_value_meaning_and_range_of_each_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert _run(METAWORLD, "--help")[0] == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    place = lines.index("rounds 20 rounds, round 0 aside")
    assert lines[place + 1] == "a whole number from 1 to 100000"


def test_command_line_as_a_user_types_it():
    command = [sys.executable, "-m", "experiments.run", METAWORLD, "--config.sede=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'seed'?" in done.stderr
    assert "Traceback" not in done.stderr
