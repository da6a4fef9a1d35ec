"""The launcher `ray`, on a Ray cluster of two workers on this machine."""

import io
import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import pytest
from ml_collections import ConfigDict
from rich.console import Console

from amf_jax import errors
from experiments import sweep
from experiments.configs import loading
from experiments.execution import launchers, worker
from tests.experiments import fake_runs

PLUGIN = """
import os
from pathlib import Path

Path(__file__).with_suffix(f".{os.getpid()}").touch()
"""
CELL = worker.Job(ConfigDict({"threads": 1}), Path("results"), Path("log"))


@pytest.fixture
def ray_cluster(monkeypatch):
    """The launcher's module; skips where Ray is not installed."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install 'amf_jax[ray]'"
    )
    monkeypatch.setenv("RAY_ADDRESS", "local")  # whatever cluster runs here
    from experiments.execution import ray_cluster

    return ray_cluster


def test_a_killed_worker_is_replaced_and_its_run_run_again(
    ray_cluster, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "fake.py").write_text(fake_runs.CONFIG_FILE)
    (tmp_path / "a_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    console = Console(file=io.StringIO(), width=160)
    argv = [
        "sweep",
        "--config=experiments/configs/sweeps.py:main",
        f"--config.settings={tmp_path}/fake.py:8-8-0-0",
        "--config.methods=amf",
        "--config.seeds=3",
        "--config.workers=2",
        f"--config.results_dir={tmp_path}",
        "--config.figures=()",
        "--launcher=ray",
        "--plugin=a_plugin",
    ]
    assert sweep.main(argv, fake_runs.killed_once, console) == 0
    output = console.file.getvalue()
    assert "FAILED metaworld 8-8-0-0 amf seed 1: WorkerCrashedError:" in output
    assert "(will be tried once more)" in output
    lines = (tmp_path / "diary").read_text().splitlines()
    diary = [json.loads(line) for line in lines]
    assert sorted(entry["seed"] for entry in diary) == [0, 1, 2]
    assert {entry["threads"] for entry in diary} == {"1"}
    imported = {int(path.suffix[1:]) for path in tmp_path.glob("a_plugin.[0-9]*")}
    assert imported > {entry["process"] for entry in diary}
    assert output.count("finished metaworld") == 3
    assert "0.400 [0.40, 0.40]" in output  # a row of the table
    assert not list(tmp_path.rglob("*.log"))


def test_ctrl_c_lets_the_round_finish_and_starts_nothing_new(ray_cluster, tmp_path):
    (tmp_path / "fake.py").write_text(fake_runs.CONFIG_FILE)
    spec = f"{tmp_path}/fake.py:8-8-0-0"
    jobs = []
    for seed in range(2):
        config = loading.load(spec, {"results_dir": str(tmp_path), "seed": seed})
        path = fake_runs.folder(config) / f"seed{seed}.jsonl"
        jobs.append(worker.Job(config, path, path.with_suffix(".log")))
    pressed = []
    addresses = set()

    def press_once():
        addresses.add(ray_cluster.ray.util.get_node_ip_address())
        running = observer.started.called and jobs[0].results.exists()
        if running and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    observer = mock.Mock()
    observer.tick.side_effect = press_once
    outcome = ray_cluster.run(fake_runs.finish_round, jobs, 1, observer, tmp_path)
    assert outcome == launchers.Outcome(interrupted=True)
    assert addresses == {"127.0.0.1"}  # out of reach for other machines
    observer.started.assert_called_once_with(jobs[0])
    observer.stopping.assert_called_once_with()
    observer.failed.assert_not_called()
    assert len(jobs[0].results.read_text().splitlines()) == 1 + 2
    assert not jobs[0].log.exists()
    assert not jobs[1].results.exists()


def test_a_process_that_ignores_ctrl_c_hears_the_stop_file(tmp_path, monkeypatch):
    """As processes do that a script has started in its background."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.py").write_text(fake_runs.CONFIG_FILE)
    spec = f"{tmp_path}/fake.py:8-8-0-0"
    config = loading.load(spec, {"results_dir": str(tmp_path), "seed": 0})
    path = fake_runs.folder(config) / "seed0.jsonl"
    job = worker.Job(config, path, path.with_suffix(".log"))
    stop = tmp_path / "stop"
    stop.touch()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = worker.work_on(fake_runs.finish_round, job, str(tmp_path), stop)
        assert list(work) == [("started", ""), ("interrupted", "")]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_before_there_is_a_cluster_ends_the_sweep(
    ray_cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        ray_cluster.ray, "init", mock.Mock(side_effect=KeyboardInterrupt)
    )
    outcome = ray_cluster.run(fake_runs.run, [CELL], 1, mock.Mock(), tmp_path)
    assert outcome == launchers.Outcome(interrupted=True)


def test_a_cluster_out_of_reach_is_an_error(ray_cluster, tmp_path, monkeypatch):
    init = mock.Mock(side_effect=ConnectionError("Failed to connect to 10.0.0.1:6379"))
    monkeypatch.setattr(ray_cluster.ray, "init", init)
    with pytest.raises(launchers.LauncherError, match="Ray cluster: Failed to connect"):
        ray_cluster.run(fake_runs.run, [CELL], 1, mock.Mock(), tmp_path)


def test_an_address_for_clients_is_an_error(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://somewhere:10001")
    with pytest.raises(launchers.LauncherError, match="on a node of the cluster"):
        ray_cluster.run(fake_runs.run, [CELL], 1, mock.Mock(), tmp_path)


def test_missing_ray_is_an_error_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "experiments.execution.ray_cluster", raising=False)
    with pytest.raises(errors.MissingDependencyError, match=r"amf_jax\[ray\]"):
        launchers.get("ray")
