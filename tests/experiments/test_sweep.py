"""Sweeps over runs that take no time: what is run, retried, skipped and reported."""

import io
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from experiments import figures, sweep, threads
from experiments.configs import loading, sweeps
from experiments.execution import planning, worker
from tests.experiments import fake_runs


@pytest.fixture
def run_sweep(tmp_path, monkeypatch):
    """Runs a sweep of the fake suite; returns the exit code and the output."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "fake.py").write_text(fake_runs.CONFIG_FILE)

    def run(execute, *arguments, workers=1, figures="()"):
        console = Console(file=io.StringIO(), width=160)
        flags = {
            "--config": "experiments/configs/sweeps.py:main",
            "--config.settings": f"{tmp_path}/fake.py:8-8-0-0",
            "--config.methods": "amf",
            "--config.seeds": "2",
            "--config.results_dir": str(tmp_path),
            "--config.workers": str(workers),
            "--config.figures": figures,
            **dict(argument.split("=", 1) for argument in arguments),
        }
        argv = [f"{name}={value}" for name, value in flags.items()]
        code = sweep.main(["sweep", *argv], execute, console)
        return code, console.file.getvalue()

    return run


@pytest.fixture
def diary(tmp_path):
    """What the fake runs wrote down, in order."""

    def read():
        path = tmp_path / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    return read


def _config(tmp_path, **overrides):
    spec = f"{tmp_path}/fake.py:8-8-0-0"
    return loading.load(spec, {"results_dir": str(tmp_path), **overrides})


def test_runs_every_run_once_and_reports_table_and_figure(run_sweep, tmp_path, diary):
    code, output = run_sweep(
        fake_runs.run, "--config.methods=amf,uniform", figures="figure17"
    )
    assert code == 0
    assert len(diary()) == 4
    assert len({entry["process"] for entry in diary()}) == 1  # JAX is loaded once
    assert "finished metaworld 8-8-0-0 uniform seed 1: success 0.40" in output
    assert "0.400 [0.40, 0.40]" in output  # a row of the table
    assert f"figure: {tmp_path}/figures/figure17.png" in output
    assert (tmp_path / "figures" / "figure17.png").stat().st_size > 1000
    assert not list(tmp_path.rglob("*.log"))  # nobody needs the log of a success

    code, output = run_sweep(fake_runs.run, "--config.methods=amf,uniform")
    assert code == 0
    assert len(diary()) == 4  # a second time nothing is run, and all is shown
    assert output.startswith("sweep main: 4 runs, 4 finished\n")
    assert "0.400 [0.40, 0.40]" in output


def test_skips_finished_runs_and_reruns_half_finished_ones(run_sweep, tmp_path, diary):
    finished, half = _config(tmp_path, seed=0), _config(tmp_path, seed=1)
    fake_runs.write(finished, 2)
    fake_runs.write(half, 1)
    code, output = run_sweep(fake_runs.run)
    assert code == 0
    assert [entry["seed"] for entry in diary()] == [1]
    # One round of 2 seconds is missing.
    assert "2 runs, 1 finished, 1 to run on 1 process, about 0:02" in output


def test_dry_run_lists_runs_and_runs_none(run_sweep, tmp_path, diary):
    fake_runs.write(_config(tmp_path, seed=0), 2)
    fake_runs.write(_config(tmp_path, seed=1), 0)
    code, output = run_sweep(
        fake_runs.run, "--dry-run=true", "--config.seeds=3", workers=2
    )
    assert code == 0
    assert diary() == []
    # Two missing rounds of seed 1 and three of seed 2, 2 s each, on two processes.
    assert output.splitlines() == [
        "sweep main: 3 runs, 1 finished, 2 to run on 2 processes, about 0:05",
        "  metaworld 8-8-0-0 amf seed 0: finished",
        "  metaworld 8-8-0-0 amf seed 1: stopped after round 0 of 2",
        "  metaworld 8-8-0-0 amf seed 2: to run",
    ]


def test_time_is_not_guessed_where_nothing_was_measured(
    run_sweep, monkeypatch, tmp_path
):
    monkeypatch.setattr("experiments.execution.planning.EVIDENCE", tmp_path / "none")
    _, output = run_sweep(fake_runs.run, "--dry-run=true")
    assert "time unknown until rounds were measured" in output


def test_a_crashed_run_is_tried_once_more(run_sweep, diary):
    code, output = run_sweep(fake_runs.crash_once)
    assert code == 0
    assert [entry["seed"] for entry in diary()] == [0, 1]
    assert "seed 1: ValueError: a rare accident (will be tried once more)" in output


def test_a_run_that_fails_twice_is_reported_with_its_log(
    run_sweep, tmp_path, diary, capsys
):
    code, _ = run_sweep(fake_runs.always_crash, "--config.seeds=3")
    assert code == 1
    assert [entry["seed"] for entry in diary()] == [0, 2]
    log = tmp_path / "metaworld" / "8-8-0-0" / "amf" / "seed1.log"
    assert log.read_text().count("Traceback") == 2
    message = "failed: metaworld 8-8-0-0 amf seed 1: ValueError: a rare accident in two"
    assert capsys.readouterr().err.startswith(message)


def test_a_killed_worker_is_replaced_and_its_run_run_again(run_sweep, diary):
    code, output = run_sweep(fake_runs.killed_once)
    assert code == 0
    assert [entry["seed"] for entry in diary()] == [0, 1]
    first, second = (entry["process"] for entry in diary())
    assert first != second
    assert "seed 1: was killed by SIGKILL (will be tried once more)" in output


def test_a_process_is_replaced_before_it_has_grown_too_far(
    run_sweep, monkeypatch, diary
):
    monkeypatch.setattr("experiments.execution.local.RUNS_PER_PROCESS", 2)
    code, _ = run_sweep(fake_runs.run, "--config.seeds=3")
    assert code == 0
    first, second, third = (entry["process"] for entry in diary())
    assert first == second != third


def test_workers_share_the_cores_without_fighting(run_sweep, diary):
    run_sweep(fake_runs.run, "--config.seeds=6", workers=2)
    shares = worker.split_cores(threads.available_cores(), 2)
    for entry in diary():
        assert entry["cores"] in shares
        assert entry["threads"] == "1"


def test_one_worker_left_computes_on_as_many_threads(run_sweep, diary):
    run_sweep(fake_runs.run, workers=1)
    assert {entry["threads"] for entry in diary()} == {"1"}


def test_as_many_runs_at_a_time_as_there_are_cores_for(run_sweep, monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: [0, 1, 2, 3, 4])
    arguments = ["--config.overrides.threads=2", "--config.seeds=8", "--dry-run=true"]
    _, output = run_sweep(fake_runs.run, *arguments, workers=0)
    assert "8 to run on 2 processes" in output


def test_runs_are_listed_with_commas_as_their_options_are(run_sweep, tmp_path):
    file = tmp_path / "fake.py"
    code, output = run_sweep(
        fake_runs.run,
        f"--config.settings={file}:8-8-0-0,{file}:4-4-4-4,paper",
        "--config.seeds=1",
        "--dry-run=true",
    )
    assert code == 0
    assert output.splitlines()[1:] == [
        "  metaworld 8-8-0-0 amf seed 0: to run",
        "  metaworld 4-4-4-4 amf seed 0: to run",
    ]


def test_figures_that_cannot_be_drawn_are_found_before_anything_runs(
    run_sweep, monkeypatch, diary, capsys
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, output = run_sweep(fake_runs.run, figures="main")
    assert code == 2
    assert "pip install 'amf_jax[experiments]'" in capsys.readouterr().err
    assert output == "" and diary() == []
    assert run_sweep(fake_runs.run, "--dry-run=true", figures="()")[0] == 0


def test_results_without_times_are_no_reason_to_stop(run_sweep, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.execution.planning.EVIDENCE", tmp_path / "none")
    config = _config(tmp_path, seed=0)
    fake_runs.write(config, 2)
    path = fake_runs.folder(config) / "seed0.jsonl"
    header, *records = map(json.loads, path.read_text().splitlines())
    for record in records:
        del record["seconds"]
    lines = [json.dumps(line) for line in (header, *records)]
    path.write_text("".join(f"{line}\n" for line in lines))
    assert planning.seconds_per_round([tmp_path], "metaworld", "fast", "amf") is None


def test_a_sweep_has_one_number_of_threads(run_sweep, tmp_path, capsys):
    source = (tmp_path / "fake.py").read_text()
    other = source.replace("config.rounds = 2", "config.rounds = config.threads = 2")
    (tmp_path / "other.py").write_text(other)
    code, _ = run_sweep(
        fake_runs.run,
        f"--config.settings={tmp_path}/fake.py:8-8-0-0,{tmp_path}/other.py:4-4-4-4",
    )
    assert code == 2
    assert "threads must be the same for all runs of a sweep, got 1, 2" in (
        capsys.readouterr().err
    )


def test_ctrl_c_lets_the_round_finish_and_starts_nothing_new(run_sweep, tmp_path):
    code, output = run_sweep(fake_runs.ctrl_c)
    assert code == 130
    assert "stopping after the current rounds" in output
    assert "the same command goes on from here" in output
    results = tmp_path / "metaworld" / "8-8-0-0" / "amf"
    assert len((results / "seed0.jsonl").read_text().splitlines()) == 1 + 2
    assert not (results / "seed1.jsonl").exists()
    assert not list(results.glob("*.log"))


def test_second_ctrl_c_stops_at_once(run_sweep):
    code, _ = run_sweep(fake_runs.ctrl_c_twice)
    assert code == 130


def test_workers_do_not_outlive_a_killed_sweep(tmp_path):
    # Else a sweep that is started again would run a run that is still running.
    script = """
import sys
from pathlib import Path
from unittest import mock
from ml_collections import ConfigDict
from experiments.execution import local, worker
from tests.experiments import fake_runs
folder = Path(sys.argv[1])
config = ConfigDict({"results_dir": sys.argv[1], "threads": 1})
job = worker.Job(config, folder, folder / "log")
if __name__ == "__main__":
    local.run(fake_runs.sleep, [job], 1, mock.Mock(), folder)
"""
    (tmp_path / "script.py").write_text(script)
    sweeping = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tmp_path],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert _becomes_true(lambda: (tmp_path / "process").exists())
    process = int((tmp_path / "process").read_text())
    os.kill(process, 0)  # it is there
    sweeping.kill()
    sweeping.wait()
    assert _becomes_true(lambda: not _is_alive(process))


def _becomes_true(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def _is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie waits for somebody to collect it


def test_a_worker_that_cannot_start_is_an_error_not_a_loop(run_sweep, capsys):
    code, _ = run_sweep(fake_runs.DiesOnArrival())
    assert code == 1
    assert (
        "ended with exit code 3 before it could take a job" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--config.methods=amf,unifrom", "Did you mean 'uniform'?"),
        ("--config.seeds=0", "seeds must be a whole number from 1"),
        ("--config.seeds=1000000000", "seeds must be a whole number from 1 to 100000"),
        ("--config.workers=-1", "workers must be a whole number from 0"),
        ("--config.rounds=0", "rounds must be a whole number from 1"),
        ("--config.overrides={'attemps': 1}", "Did you mean 'attempts'?"),
        ("--config.overrides={'attempts': 'x'}", "'attempts' cannot be 'x'"),
        ("--config.overrides.attemps=1", "Did you mean 'attempts'?"),
        ("--config.overrides.attempts=x", "'attempts' cannot be 'x'"),
        ("--config.overrides.trainer.steps=1", "'trainer.steps'"),
        ("--config.overrides={'preset': 'paper'}", "preset cannot be overridden"),
        ("--config.overrides.attempts=-1", "attempts must be a whole number from 0"),
        ("--config.overrides.seed=5", "overrides.seed cannot be set"),
        ("--config.overrides={'seed': 5}", "use --config.seeds=<how many>"),
        ("--config.overrides.method=uniform", "use --config.methods=<method>,…"),
        (
            "--config.overrides.suite=kitchen",
            "use --config.settings=<suite>:<setting>,…",
        ),
        ("--config.overrides.setting=4-4-4-4", "overrides.setting cannot be set"),
        ("--config.overrides.results_dir=x", "use --config.results_dir=<folder>"),
        ("--config.overrides.threads=0", "threads must be a whole number from 1"),
        ("--config.overrides.threads=1000", "threads must be at most"),
        ("--config.overrides.training.batch_size=0", "training.batch_size must be"),
        (
            "--config.overrides.training.learning_rate=nan",
            "'training.learning_rate' can",
        ),
        ("--config.results_dir=", "results_dir is empty"),
        ("--config.results_dir=gs://bucket/run", "got the URL 'gs://bucket/run'"),
        ("--config.figures=main,figure99", "unknown figure 'figure99'"),
        ("--config.includes=figure77", "Did you mean 'figure7'?"),
        ("--config.overrides.selection.weights=plane", "Did you mean 'plain'?"),
        ("--config.overrides.training.schedule=cosin", "Did you mean 'cosine'?"),
        ("--config.overrides.forgetting.strength=0.1", "go with 'adaptive_prior'"),
        ("--config.methods=amf_no_histroy", "Did you mean 'amf_no_history'?"),
        ("--config.settings=metawrld:8-8-0-0", "Did you mean 'metaworld'?"),
        ("--config.methods=amf,amf", "a second time"),
        ("--config.seds=2", "Did you mean 'seeds'?"),
        ("--config.cells=integrator:6", "'cells' is called 'settings'"),
        ("--launcher=rai", "Did you mean 'ray'?"),
        ("--config=experiments/configs/sweeps.py:figur7", "Did you mean 'figure7'?"),
        ("--config=experiments/configs/integrator.py:6", "-m experiments.run"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(
    run_sweep, diary, capsys, argument, message
):
    code, output = run_sweep(fake_runs.run, argument)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert output == "" and diary() == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--config.settings=integrator:6", "--config.methods=amf,dropout"],
            "method='dropout' is about embeddings of a neural policy",
        ),
        (
            ["--config.settings=integrator:6", "--config.methods=learning_progress"],
            "method='learning_progress' looks at success rates",
        ),
        (
            ["--config.settings=integrator:6", "--config.methods=amf_deterministic"],
            "needs a finite task set",
        ),
        (
            ["--config.methods=learning_progress", "--config.overrides.attempts=0"],
            "attempts must be at least 1",
        ),
        (
            ["--config.methods=uniform", "--config.overrides.selection.weights=off"],
            "selection.weights='off' does not go with method='uniform'",
        ),
        (
            ["--config.methods=dropout", "--config.overrides.selection.dropout_rate=1"],
            "selection.dropout_rate must be between 0 and 1, both excluded",
        ),
    ],
)
def test_runs_that_must_fail_are_not_even_planned(
    run_sweep, diary, capsys, arguments, message
):
    code, output = run_sweep(fake_runs.run, *arguments, "--dry-run=true")
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.startswith("error: ") and error.count("\n") == 1
    assert output == "" and diary() == []


def test_a_sweep_is_checked_once_per_run_and_method(run_sweep, monkeypatch):
    checked = []
    monkeypatch.setattr(
        "experiments.build.check",
        lambda config: checked.append((config.setting, config.method)),
    )
    arguments = ["--config.methods=amf,uniform", "--config.seeds=5", "--dry-run=true"]
    assert run_sweep(fake_runs.run, *arguments)[0] == 0
    assert checked == [("8-8-0-0", "amf"), ("8-8-0-0", "uniform")]


def test_results_of_another_config_stop_the_sweep_before_it_starts(
    run_sweep, tmp_path, diary, capsys
):
    fake_runs.write(_config(tmp_path, seed=1, attempts=3), 2)
    code, _ = run_sweep(fake_runs.run)
    assert code == 1
    assert "attempts: 3, 10" in capsys.readouterr().err
    assert diary() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config.overrides={'attempts': 3, 'training': {'schedule': 'constant'}}"],
        [
            "--config.overrides.attempts=3",
            "--config.overrides.training.schedule=constant",
        ],
    ],
)
def test_overrides_reach_every_run(run_sweep, tmp_path, arguments):
    code, _ = run_sweep(fake_runs.run, *arguments)
    assert code == 0
    for seed in range(2):
        path = tmp_path / "metaworld" / "8-8-0-0" / "amf" / f"seed{seed}.jsonl"
        config = json.loads(path.read_text().splitlines()[0])["config"]
        assert config["attempts"] == 3
        assert config["training"]["schedule"] == "constant"
        assert config["training"]["batch_size"] == 256  # as before


def test_included_sweeps_add_what_is_not_there_yet(run_sweep, tmp_path, monkeypatch):
    settings = (f"{tmp_path}/fake.py:8-8-0-0", f"{tmp_path}/fake.py:4-4-4-4")
    part = sweeps.Sweep("a part", settings, ("amf", "uniform"), figures=())
    monkeypatch.setitem(sweeps.SWEEPS, "part", part)
    code, output = run_sweep(
        fake_runs.run,
        "--config.includes=('part',)",
        "--config.seeds=1",
        "--dry-run=true",
    )
    assert code == 0
    assert output.splitlines()[1:] == [
        "  metaworld 8-8-0-0 amf seed 0: to run",
        "  metaworld 8-8-0-0 uniform seed 0: to run",
        "  metaworld 4-4-4-4 amf seed 0: to run",
        "  metaworld 4-4-4-4 uniform seed 0: to run",
    ]


@pytest.mark.parametrize(
    "method, time_",
    [("amf", "0:06"), ("uniform", "1:00"), ("amf_paper", "0:33")],  # 3 rounds each
)
def test_time_is_that_of_the_method_where_it_was_measured(
    run_sweep, tmp_path, method, time_
):
    fake_runs.write(_config(tmp_path, seed=9), 2, seconds=2.0)
    fake_runs.write(_config(tmp_path, seed=9, method="uniform"), 2, seconds=20.0)
    _, output = run_sweep(
        fake_runs.run,
        f"--config.methods={method}",
        "--config.seeds=1",
        "--dry-run=true",
    )
    assert output.splitlines()[0].endswith(f"on 1 process, about {time_}")


def test_paper_preset_is_an_option_of_every_run(run_sweep, tmp_path):
    run_sweep(fake_runs.run, "--config.preset=paper")
    path = tmp_path / "metaworld" / "8-8-0-0" / "amf" / "seed0.jsonl"
    assert json.loads(path.read_text().splitlines()[0])["config"]["preset"] == "paper"


@pytest.mark.parametrize(
    ("name", "preset"),
    [(name, "fast") for name in sweeps.SWEEPS if name != "all_state"]
    + [pytest.param("all_state", "fast", marks=pytest.mark.slow)]  # all of the others
    + [(name, "paper") for name in ("main", "figure7", "figure8")],  # of each suite
)
def test_named_sweeps_can_be_planned_and_drawn(tmp_path, name, preset):
    config = sweeps.get_config(name)
    assert set(config.figures) <= set(figures.FIGURES)
    config.seeds, config.preset, config.results_dir = 1, preset, str(tmp_path)
    planned = planning.plan(config)
    kinds = [(f"{c.suite}:{c.setting}", c.method) for c in map(_planned, planned)]
    own = itertools.product(config.settings, config.methods)
    assert set(kinds) >= set(own)
    assert len(set(kinds)) == len(kinds)
    assert {c.preset for c in map(_planned, planned)} == {preset}
    assert not any(entry.records for entry in planned)


def _planned(entry):
    return entry.job.config


def test_help_names_every_sweep(capsys):
    assert sweep.main(["sweep", "--help"], fake_runs.run) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}: " in text for name in sweeps.SWEEPS)
    assert "--dry-run" in text
