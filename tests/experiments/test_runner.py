"""One run from its config to its results file, stopped in every possible way."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from amf_jax import errors
from experiments import build, methods, reading, results
from experiments.configs import loading
from experiments.execution import runner

ROUNDS = 4


class Stop(Exception):
    """Stands for a crash."""


def config(folder, method="uniform", **overrides):
    fields = dict(
        results_dir=str(folder), method=method, rounds=ROUNDS, checkpoint_every=1
    )
    return loading.load("integrator:6", fields | overrides)


def without_seconds(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for session in lines[0]["sessions"][1:]:  # of a run that went on
        assert session | {"first_round": 0} == lines[0]["sessions"][0]
    del lines[0]["sessions"][1:]
    for line in lines[1:]:
        assert line.pop("seconds").keys() == {"select", "finetune", "evaluate"}
    del lines[0]["config"]["results_dir"]
    return lines


def stop_after(round_index):
    def on_round(record):
        if record["round"] == round_index:
            raise Stop

    return on_round


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The results file of a whole run with uniform choice."""
    return runner.execute(config(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="module")
def half_done(tmp_path_factory):
    """The folder of the same run, stopped after round 2."""
    folder = tmp_path_factory.mktemp("half_done")
    with pytest.raises(Stop):
        runner.execute(config(folder), stop_after(2))
    return folder


@pytest.fixture
def stopped(half_done, tmp_path):
    """A copy of that folder to spoil."""
    return shutil.copytree(half_done, tmp_path / "results")


def results_file(folder):
    return results.path(folder, "integrator", "6", "uniform", 0)


@pytest.fixture(scope="module")
def active(tmp_path_factory):
    """A whole run with active choice, and compilations up to each round's end."""
    jax.clear_caches()  # what other tests compiled is counted as well
    compiled, counts = [], []

    def listen(name, seconds, **kwargs):
        if name == "/jax/core/compile/backend_compile_duration":
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        path = runner.execute(
            config(tmp_path_factory.mktemp("active"), "amf"),
            lambda record: counts.append(len(compiled)),
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return path, counts


def test_the_file_holds_a_header_and_a_record_per_round(active):
    path, _ = active
    assert path.parts[-4:] == ("integrator", "6", "amf", "seed0.jsonl")
    header, *records = without_seconds(path)
    assert header.keys() == {"config", "versions", "seed", "method", "sessions"}
    (session,) = header["sessions"]
    assert (session["first_round"], session["versions"]) == (0, header["versions"])
    assert header["seed"] == 0
    assert header["config"]["selection"]["criterion"] == "entropy"
    assert [record["round"] for record in records] == list(range(ROUNDS + 1))
    for record in records:
        assert record["success"] is record["mean_success"] is record["mixing"] is None
        assert -20.0 < record["return"] < 0.0
        assert -5.0 < record["entropy"] < 1.0
        assert len(record["demos_per_task"]) == 12
    assert records[0]["task"] is records[1]["scores"] is None
    for record in records[1:]:
        x, y = record["task"]  # somewhere on the circle, hence none of the 12 tasks
        assert x**2 + y**2 == pytest.approx(1.0, 1e-4)
        assert sum(record["demos_per_task"]) == 0
    for record in records[2:]:
        assert len(record["scores"]) == 100
        assert len(record["ess"]) == 12
    entropies = [record["entropy"] for record in records]
    assert entropies == sorted(entropies, reverse=True)


def test_nothing_is_compiled_after_the_first_round(active):
    _, counts = active
    assert len(counts) == ROUNDS + 1
    assert counts[1] > counts[0] > 0
    assert counts[1:] == [counts[1]] * ROUNDS


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(active, tmp_path):
    script = f"""
        import os, signal
        from experiments.execution import runner
        from experiments.configs import loading
        from experiments.suites import integrator

        config = loading.load("integrator:6", {{
            "results_dir": {str(tmp_path)!r}, "method": "amf", "rounds": {ROUNDS},
            "checkpoint_every": 1,
        }})
        evaluate, calls = integrator.evaluate, []

        def killed_in_round_3(*args):
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return evaluate(*args)

        integrator.evaluate = killed_in_round_3
        runner.execute(config)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert process.returncode == -signal.SIGKILL
    path = tmp_path / "integrator" / "6" / "amf" / "seed0.jsonl"
    whole, _ = active
    assert without_seconds(path) == without_seconds(whole)[:4]  # rounds 0 to 2

    seen = []
    assert runner.execute(config(tmp_path, "amf"), seen.append) == path
    assert [record["round"] for record in seen] == [3, 4]
    assert without_seconds(path) == without_seconds(whole)


def test_a_stopped_run_resumes_also_in_another_place(stopped, finished):
    seen = []
    path = runner.execute(config(stopped), lambda record: seen.append(record["round"]))
    assert seen == [3, 4]
    assert without_seconds(path) == without_seconds(finished)
    sessions = reading.read(path).header["sessions"]
    assert [session["first_round"] for session in sessions] == [0, 3]


def test_a_finished_run_goes_on_with_more_rounds(finished, tmp_path):
    shorter = shutil.copytree(finished.parents[3], tmp_path / "results")
    seen = []
    longer = config(shorter, rounds=ROUNDS + 2)
    path = runner.execute(longer, lambda record: seen.append(record["round"]))
    assert seen == [5, 6]
    straight = runner.execute(config(tmp_path / "straight", rounds=ROUNDS + 2))
    header, *records = without_seconds(path)
    expected_header, *expected = without_seconds(straight)
    assert header == expected_header
    assert header["config"]["rounds"] == ROUNDS + 2
    for record, other in zip(records, expected, strict=True):
        for name in ("return", "entropy", "task"):
            if other[name] is not None:
                np.testing.assert_allclose(record[name], other[name], 1e-4)

    before = path.read_bytes()
    with pytest.raises(errors.ResultsError, match="a run of 6 rounds.*more, not 4"):
        runner.execute(config(shorter))
    with pytest.raises(errors.CheckpointError, match="rounds=6, or more"):
        kept = path.rename(path.with_suffix(".kept"))
        runner.execute(config(shorter))
    assert kept.read_bytes() == before


def test_a_finished_run_without_its_checkpoint_is_not_begun_anew(finished, tmp_path):
    folder = shutil.copytree(finished.parents[3], tmp_path / "results")
    path = results_file(folder)
    shutil.rmtree(path.with_suffix(".checkpoint"))
    with pytest.raises(errors.ResultsError, match=r"seed0\.checkpoint, from which"):
        runner.execute(config(folder, rounds=ROUNDS + 2))
    assert path.read_bytes() == finished.read_bytes()


def test_a_run_that_another_process_is_at_is_left_alone(stopped):
    path = results_file(stopped)
    script = """
        import sys, time
        from experiments.execution import runner
        from experiments.configs import loading

        config = loading.load("integrator:6", {
            "results_dir": sys.argv[1], "method": "uniform", "rounds": 4,
            "checkpoint_every": 1,
        })
        with runner.claimed(config):
            print("claimed", flush=True)
            time.sleep(600)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), stopped], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"claimed\n"
        before = path.read_bytes()
        with pytest.raises(errors.RunInUseError, match=f"process {process.pid} on"):
            runner.execute(config(stopped))
        assert path.read_bytes() == before
        process.kill()
        process.wait()
        runner.execute(config(stopped))  # its lock is free
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["seed0.checkpoint", "seed0.jsonl"]


def test_a_crash_between_checkpoint_and_record_loses_neither(
    stopped, finished, monkeypatch
):
    def crash(*args):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(results, "write", crash)
        with pytest.raises(Stop):
            runner.execute(config(stopped))
    assert len(without_seconds(results_file(stopped))) == 4
    seen = []
    path = runner.execute(config(stopped), lambda record: seen.append(record["round"]))
    assert seen == [4]  # round 3 is in the checkpoint
    assert without_seconds(path) == without_seconds(finished)


def test_a_torn_last_line_is_repaired(finished, tmp_path):
    folder = shutil.copytree(finished.parents[3], tmp_path / "results")
    path = results_file(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert reading.read(path).torn
    runner.execute(config(folder))
    assert without_seconds(path) == without_seconds(finished)


def test_a_finished_run_is_left_as_it_is(finished, monkeypatch):
    monkeypatch.setattr(build, "build", None)  # nothing is even built
    before = finished.read_bytes(), finished.stat().st_mtime_ns
    assert runner.execute(config(finished.parents[3])) == finished
    assert (finished.read_bytes(), finished.stat().st_mtime_ns) == before


def test_the_header_says_what_the_method_stood_for(finished):
    assert reading.read(finished).header["method"] == {
        "selector": "uniform",
        "forgetting": "none",
        "strength": None,
        "criterion": None,
        "weights": "self_normalised",
        "embedding": "last_layer_gradient",
        "condition_on_history": True,
        "embedding_policy": "pretrained",
    }


def test_results_of_a_method_that_meant_something_else_are_kept(stopped, monkeypatch):
    before = results_file(stopped).read_bytes()
    monkeypatch.setitem(methods.METHODS, "uniform", methods.Method("uniform"))
    with pytest.raises(
        errors.ResultsError, match="method.forgetting: 'none', 'adaptive_prior'"
    ):
        runner.execute(config(stopped))
    assert results_file(stopped).read_bytes() == before


def test_results_of_another_config_are_kept(stopped):
    before = results_file(stopped).read_bytes()
    with pytest.raises(errors.ResultsError, match="policy.noise: 0.05, 0.1"):
        runner.execute(config(stopped, **{"policy.noise": 0.1}))
    assert results_file(stopped).read_bytes() == before


def test_a_checkpoint_of_another_config_is_refused(stopped):
    results_file(stopped).unlink()
    with pytest.raises(errors.CheckpointError, match="another config"):
        runner.execute(config(stopped, **{"policy.noise": 0.1}))


def test_a_corrupt_checkpoint_is_refused_and_the_records_kept(stopped):
    before = results_file(stopped).read_bytes()
    checkpoint = results_file(stopped).with_suffix(".checkpoint")
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.CheckpointError, match=r"seed0\.checkpoint is damaged"):
        runner.execute(config(stopped))
    assert results_file(stopped).read_bytes() == before


def test_a_damaged_checkpoint_goes_on_from_the_round_before(stopped, finished):
    latest = results_file(stopped).with_suffix(".checkpoint") / "2"
    for path in latest.glob("state/**/d/*"):
        path.write_bytes(path.read_bytes()[:-9])
    seen = []
    with pytest.warns(errors.ResumeWarning, match="round 2: its state .*from round 1"):
        path = runner.execute(config(stopped), lambda one: seen.append(one["round"]))
    assert seen == [2, 3, 4]
    assert without_seconds(path) == without_seconds(finished)


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build", None)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.ResultsError, match="results_dir: cannot write"):
        runner.execute(config(tmp_path / "file" / "results"))
