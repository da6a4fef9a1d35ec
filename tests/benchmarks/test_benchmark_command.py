"""`python -m benchmarks`: one job's failure or Ctrl-C costs no other job's rows."""

import io
import os

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import limits, rows
from benchmarks.jobs import JOBS, Job
from benchmarks.limits import Limits, Measured
from benchmarks.rows import Row


@pytest.fixture(autouse=True)
def known_limits(monkeypatch):
    measured = Measured(1.0, (1.0, 1.0), 1.0)
    monkeypatch.setattr(
        limits, "measure", lambda seconds, quick: Limits(measured, measured)
    )


def good(bench):
    yield Row("good", "first", seconds=1.0, spread=(0.5, 2.0))
    yield Row("good", "second", seconds=2.0, spread=(1.0, 4.0))


def breaking(bench):
    yield Row("breaking", "first", seconds=1.0)
    raise ValueError("broken")


def interrupted(bench):
    yield Row("interrupted", "first", seconds=1.0)
    raise KeyboardInterrupt


FAKES = {
    "breaking": Job("breaks", breaking),
    "good": Job("works", good, "fast"),
    "interrupted": Job("is stopped", interrupted),
}


def run(*arguments, jobs=FAKES):
    screen = io.StringIO()
    code = command.main(
        [str(argument) for argument in arguments], jobs, Console(file=screen, width=120)
    )
    return code, screen.getvalue()


def test_all_rows_are_printed_and_saved(tmp_path):
    path = tmp_path / "bench.json"
    code, text = run("--quick", "--only", "good", "--output", path)
    assert code == 0
    machine, found = rows.read(path)
    assert [row.case for row in found] == ["first", "second"]
    assert machine["quick"] and machine["cores"] >= 1 and "load" in machine
    assert "good, first" in text and "good, second" in text and str(path) in text


def test_a_job_that_fails_leaves_its_rows_and_the_others(tmp_path):
    path = tmp_path / "bench.json"
    code, text = run("--only", "breaking", "good", "--output", path)
    assert code == 1
    found = rows.read(path)[1]
    assert [(row.job, row.error) for row in found] == [
        ("breaking", None),
        ("breaking", "ValueError: broken"),
        ("good", None),
        ("good", None),
    ]
    assert "What went wrong" in text


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    path = tmp_path / "bench.json"
    code, text = run("--only", "good", "interrupted", "--output", path)
    assert code == 130
    assert len(rows.read(path)[1]) == 3
    assert "interrupted, first" in text


def test_a_whole_run_is_saved_as_the_latest_and_a_part_nowhere(tmp_path, monkeypatch):
    latest = tmp_path / "latest.json"
    monkeypatch.setattr(command, "LATEST", latest)
    jobs = {"good": FAKES["good"]}
    assert run("--only", "good", jobs=jobs)[0] == 0 and not latest.exists()
    assert run(jobs=jobs)[0] == 0 and latest.exists()


def test_quick_runs_alone_are_unoptimised(monkeypatch):
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    found = []

    def job(bench):
        found.append(os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS"))
        yield Row("job", seconds=1.0)

    for options in ((), ("--quick",), ()):
        run(*options, "--only", "job", jobs={"job": Job("looks", job)})
    assert found == [None, "1", None]


def test_help_lists_all_jobs(capsys):
    with pytest.raises(SystemExit) as exit_info:
        command.main(["--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    for name, job in JOBS.items():
        assert name in text and job.title in text
    assert "--quick" in text and "× limit" in text


def test_an_unknown_job_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_info:
        command.main(["--only", "nothing"])
    assert exit_info.value.code == 2
    assert "selection_dense" in capsys.readouterr().err
