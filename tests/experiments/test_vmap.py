"""All seeds of a run as one program, and the launcher `vmap` that runs them so."""

import io

import numpy as np
import pytest
from rich.console import Console

from amf_jax import errors
from experiments import reading, results, sweep
from experiments.configs import loading
from experiments.execution import launchers, runner, vmap, worker

SEEDS = (0, 3)


def config(folder, seed, spec="integrator:6", **overrides):
    fields = {
        "results_dir": str(folder),
        "seed": seed,
        "rounds": 3,
        "selection.shooting_budget": 10,
    }
    return loading.load(spec, fields | overrides)


def jointly(folder, **overrides):
    joint = config(folder, SEEDS[0], **overrides)
    with joint.unlocked():
        joint.seeds = SEEDS
    return vmap.run_seeds(joint)


def assert_alike(ours, theirs):
    """The same run, up to the rounding of the floats and where the time went."""
    ours, theirs = reading.read(ours), reading.read(theirs)
    assert not reading.header_differences(
        ours.header, theirs.header, results.LOCATION_FIELDS
    )
    assert ours.seed == theirs.seed
    assert len(ours.records) == len(theirs.records)
    for one, other in zip(ours.records, theirs.records, strict=True):
        assert one.keys() == other.keys()
        assert one["training"] == other["training"] == {}
        for name in one.keys() - {"seconds", "training"}:
            expected = np.array(other[name], float)  # None is NaN
            np.testing.assert_allclose(
                np.array(one[name], float), expected, 2e-3, 2e-3, err_msg=name
            )


@pytest.mark.parametrize(
    ("method", "overrides"),
    [("amf", {}), ("uniform", {"batch": 2, "demos_per_round": 2})],
    ids=["amf", "uniform in batches"],
)
def test_seeds_in_one_program_are_those_of_the_driver(tmp_path, method, overrides):
    overrides = {"method": method, **overrides}
    together = jointly(tmp_path / "together", **overrides)
    assert len(together) == len(SEEDS)
    for seed, path in zip(SEEDS, together, strict=True):
        alone = runner.execute(config(tmp_path / "alone", seed, **overrides))
        assert_alike(path, alone)


def test_settings_share_a_program(tmp_path):
    vmap._mapped.cache_clear()
    for setting in ("2", "9"):
        jointly(tmp_path, spec=f"integrator:{setting}", method="uniform")
    assert vmap._mapped.cache_info().misses == 1


def test_a_folder_of_another_config_is_refused_before_anything_runs(tmp_path):
    _, path = jointly(tmp_path, method="uniform")
    written = path.read_bytes()
    with pytest.raises(errors.ResultsError, match="demos_per_round: 1, 2"):
        jointly(tmp_path, method="uniform", demos_per_round=2)
    assert path.read_bytes() == written


@pytest.fixture
def run_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments):
        console = Console(file=io.StringIO(), width=160)
        argv = [
            "sweep",
            "--config=experiments/configs/sweeps.py:figure7",
            "--config.methods=uniform",
            "--config.seeds=2",
            "--config.rounds=2",
            "--config.workers=1",
            "--config.figures=()",
            f"--config.results_dir={tmp_path}",
            "--launcher=vmap",
            *arguments,
        ]
        return sweep.main(argv, console=console), console.file.getvalue()

    return run


def test_a_sweep_runs_all_seeds_at_once_and_no_run_twice(run_sweep, tmp_path):
    code, output = run_sweep("--config.settings=('integrator:2','integrator:6')")
    assert code == 0
    assert output.count("finished integrator") == 4
    for setting, seed in (("2", 0), ("2", 1), ("6", 0), ("6", 1)):
        run = reading.read(
            results.path(tmp_path, "integrator", setting, "uniform", seed)
        )
        assert run.seed == run.config["seed"] == seed
        assert reading.is_complete(run, 2)
        assert run.records[1]["seconds"]["share"] > 0.0
    assert not list(tmp_path.rglob("*.log"))
    code, output = run_sweep("--config.settings=('integrator:2','integrator:6')")
    assert code == 0
    assert output.startswith("sweep figure7: 4 runs, 4 finished\n")


def test_a_sweep_of_a_simulator_is_refused_before_it_starts(
    run_sweep, tmp_path, capsys
):
    code, _ = run_sweep("--config.settings=('metaworld:8-8-0-0','integrator:6')")
    assert code == 2
    message = capsys.readouterr().err
    assert "launcher 'vmap'" in message
    assert "metaworld 8-8-0-0 uniform" in message
    assert "--launcher=local" in message
    assert not list(tmp_path.rglob("*.jsonl"))


class Diary:
    """An observer that writes down what it is told."""

    def __init__(self):
        self.entries = []

    def started(self, job):
        self.entries.append(("started", job.config.seed))

    def finished(self, job):
        self.entries.append(("finished", job.config.seed))

    def failed(self, job, message, final):
        self.entries.append(("failed", job.config.seed, final))

    def stopping(self):
        raise AssertionError

    def tick(self):
        pass


def test_what_fails_fails_for_all_its_seeds(tmp_path):
    jobs = []
    for seed in SEEDS:
        one = config(tmp_path, seed, method="uniform")
        path = results.path(tmp_path, "integrator", "6", "uniform", seed)
        jobs.append(worker.Job(one, path, path.with_suffix(".log")))
    jobs[1].results.parent.mkdir(parents=True)
    jobs[1].results.write_text("no header\n")
    diary = Diary()
    outcome = vmap.run(runner.execute, jobs, 1, diary, tmp_path / "cache")
    assert isinstance(outcome, launchers.Outcome)
    assert not outcome.finished
    assert [one.config.seed for one, _ in outcome.failed] == list(SEEDS)
    assert "line 1 is not JSON" in outcome.failed[0][1]
    assert diary.entries == [
        ("started", 0),
        ("started", 3),
        ("failed", 0, False),
        ("failed", 3, False),
        ("started", 0),
        ("started", 3),
        ("failed", 0, True),
        ("failed", 3, True),
    ]
    assert jobs[0].log.exists()  # of both, beside the first
