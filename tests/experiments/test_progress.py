"""What the displays show of known records, and the arithmetic of their ETAs."""

import io

import pytest
from ml_collections import ConfigDict
from rich.console import Console

from experiments.execution import progress, sweep_progress
from experiments.execution.worker import Job
from tests.experiments import fake_runs


@pytest.fixture
def config(tmp_path):
    return ConfigDict(
        {
            "suite": "metaworld",
            "setting": "8-8-0-0",
            "method": "amf",
            "seed": 3,
            "rounds": 16,
            "task_names": ("mug left", "mug right", "faucet open", "faucet close"),
            "results_dir": str(tmp_path),
        }
    )


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_remaining_time_is_the_pace_without_the_first_round(config):
    run = progress.RunProgress(config)
    assert run.remaining(0.0) is None
    run.observe(fake_runs.record(3), 0.0)  # resumed after round 3
    run.observe(fake_runs.record(4), 90.0)  # compiled
    assert run.remaining(92.0) is None
    run.observe(fake_runs.record(5), 94.0)
    run.observe(fake_runs.record(6), 100.0)
    # Two rounds took 10 s, so the ten that are left take 50 s; 3 s have gone by.
    assert run.remaining(103.0) == pytest.approx(47.0)
    assert run.remaining(500.0) == 0.0


def test_a_run_that_starts_anew_is_timed_anew(config):
    run = progress.RunProgress(config)
    run.observe(fake_runs.record(5), 0.0)
    run.observe(fake_runs.record(0), 30.0)
    run.observe(fake_runs.record(1), 32.0)
    run.observe(fake_runs.record(2), 34.0)
    assert run.remaining(34.0) == pytest.approx(2.0 * 14)


def test_line_names_round_task_success_mixing_and_eta(config):
    run = progress.RunProgress(config)
    assert progress.line(run, 0.0) == "preparing"
    for round_ in range(3):
        run.observe(fake_runs.record(round_), 4.0 * round_)
    assert progress.line(run, 8.0) == (
        "round 2/16, asked for faucet open, success 0.40, α 0.90 0.80 1.00 1.00,"
        " ETA 0:56"
    )


def test_line_of_a_continuous_task_without_success(config):
    run = progress.RunProgress(config)
    record = {"round": 1, "task": [0.6, -0.8], "mean_success": None, "return": -2.5}
    run.observe({**record, "mixing": None}, 0.0)
    assert progress.line(run, 0.0) == (
        "round 1/16, asked for (0.60, -0.80), return -2.50, ETA –"
    )


def test_line_of_a_batch_names_all_of_it(config):
    with config.unlocked():
        config.batch = 2
    run = progress.RunProgress(config)
    run.observe(fake_runs.record(0), 0.0)
    assert "asked for –," in progress.line(run, 0.0)
    run.observe({**fake_runs.record(1), "task": [3, 0]}, 0.0)
    assert "asked for faucet close, mug left, success" in progress.line(run, 0.0)


def test_plain_display_writes_a_line_per_round(config):
    console, clock = Console(file=io.StringIO(), width=60), Clock()
    with progress.RunDisplay(config, console, clock) as display:
        for round_ in range(3):
            clock.now += 5.0
            display.on_round(fake_runs.record(round_))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 4  # none is wrapped
    assert lines[0] == "metaworld 8-8-0-0 amf seed 3"
    assert lines[1].startswith("round 0/16, asked for –, success 0.40")
    assert lines[3].endswith("ETA 1:10")  # 14 rounds of 5 s


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("file", "environment", "animated"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
        (io.StringIO(), {"TERM": "xterm", "TTY_COMPATIBLE": "1"}, False),
    ],
    ids=["terminal", "dumb terminal", "forced colours", "forced terminal"],
)
def test_lines_come_round_by_round_where_nothing_can_be_drawn_over(
    config, file, environment, animated
):
    console = Console(file=file, width=100, _environ=environment)
    assert progress.can_animate(console) == animated
    if not animated:
        with progress.RunDisplay(config, console) as display:
            display.on_round(fake_runs.record(0))
            assert "round 0/16" in file.getvalue()
        assert "\x1b[" not in file.getvalue().replace("\x1b[0m", "")


def test_live_display_shows_each_task(config):
    console, clock = Console(width=120, record=True, file=io.StringIO()), Clock()
    run = progress.RunProgress(config)
    run.observe(fake_runs.record(2), clock())
    console.print(progress.run_table(run, clock()))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["mug", "left", "0.50", "0", "0.90"] in lines
    assert ["faucet", "open", "0.10", "2", "1.00"] in lines


def _display(config, terminal=False, **options):
    jobs = []
    for seed in range(3):
        other = config.copy_and_resolve_references()
        other.update(seed=seed, rounds=2)
        folder = fake_runs.folder(other)
        jobs.append(Job(other, folder / f"seed{seed}.jsonl", folder / f"{seed}.log"))
    records = {}
    console = Console(
        file=io.StringIO(), width=120, force_terminal=terminal, record=terminal
    )
    display = sweep_progress.SweepDisplay(
        jobs, 2, lambda job: records.get(job.config.seed), console, **options
    )
    return display, jobs, records, console


def test_sweep_shows_running_runs_in_a_table(config):
    clock = Clock()
    display, jobs, records, console = _display(config, terminal=True, clock=clock)
    display.started(jobs[0])
    display.started(jobs[1])
    records[0] = fake_runs.record(0)
    display.tick()
    clock.now += 6.0
    records[0] = fake_runs.record(1)
    display.tick()
    console.print(display.render())
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert (
        "metaworld 8-8-0-0 amf 0 1/2 mug right success 0.40 0.90 0.80 1.00 1.00 –"
        in lines
    )
    assert "metaworld 8-8-0-0 amf 1 preparing – – – –" in lines
    # 2 of 9 records took 6 s.
    assert lines[-1].endswith("2/5 runs, ETA 0:21")


def test_sweep_eta_leaves_out_runs_that_have_failed(config):
    clock = Clock()
    display, jobs, records, _ = _display(config, clock=clock)
    for job in jobs[:2]:
        display.started(job)
    display.failed(jobs[0], "ValueError: no", final=True)
    clock.now += 9.0
    records[1] = fake_runs.record(2)
    display.finished(jobs[1])
    # Three records took 9 s, and only the three of the last run are left.
    assert display.summary() == "3/5 runs, 1 failed, ETA 0:09"


def test_plain_sweep_writes_events_at_once_and_the_rest_now_and_then(config):
    clock = Clock()
    display, jobs, records, console = _display(config, clock=clock)
    with display:
        display.started(jobs[0])
        display.tick()
        assert console.file.getvalue() == ""
        clock.now += sweep_progress.LINE_INTERVAL
        display.tick()
        display.tick()
        assert console.file.getvalue().splitlines() == [
            "2/5 runs, ETA –",
            "  metaworld 8-8-0-0 amf seed 0: preparing",
        ]
        display.failed(jobs[0], "ValueError: no", final=False)
        assert console.file.getvalue().splitlines()[2] == (
            "FAILED metaworld 8-8-0-0 amf seed 0: ValueError: no (will be tried once"
            " more)"
        )
