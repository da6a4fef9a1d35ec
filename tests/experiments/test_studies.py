"""Studies of the integrator: what the small versions must show, files and command."""

import numpy as np
import pytest

from amf_jax.errors import InvalidArgumentError, ResultsError, UnknownNameError
from experiments import figures, reading, results, studies
from experiments.studies import __main__ as command
from experiments.studies import finetuning, landscape
from experiments.suites import integrator
from tests.experiments import figure_results


@pytest.fixture(scope="module")
def trajectories():
    config = studies.STUDIES["figure19"].config()
    return next(finetuning.trajectories(config, [0], rounds=(0, 4)))


@pytest.fixture(scope="module")
def weights():
    config = studies.STUDIES["figure19"].config()
    return next(finetuning.weight_sweep(config, [0], rounds=(1, 9), num_angles=60))


@pytest.fixture(scope="module")
def landscapes():
    config = studies.STUDIES["figure21"].config()
    sizes = dict(num_pretraining=20, num_candidates=24)
    return list(landscape.criterion_and_return(config, [0, 1], **sizes))


@pytest.fixture
def small(monkeypatch, trajectories, weights, landscapes):
    """The studies with records that are computed already."""
    known = {
        "bound": [figure_results.bound_records(0)],
        "search": [figure_results.search_records(0)],
        "figure3": [trajectories],
        "figure19": [weights],
        "figure21": landscapes,
    }
    for name, runs in known.items():
        study = studies.STUDIES[name]._replace(
            compute=lambda config, seeds, runs=runs: iter(runs[: len(seeds)]),
            seeds=len(runs),
        )
        monkeypatch.setitem(studies.STUDIES, name, study)


def miss(records, kind, number):
    """Distance of each task's last state from its goal."""
    chosen = [r for r in records if (r["kind"], r["round"]) == (kind, number)]
    assert len(chosen) == integrator.NUM_TASKS
    for record in chosen:
        assert np.shape(record["states"]) == (6, 2)
        np.testing.assert_array_equal(record["states"][0], 0.0)
    return np.array([np.linalg.norm(r["states"][-1] - r["task"]) for r in chosen])


def test_expert_reaches_its_goals_and_the_policy_learns_to(trajectories):
    # The noise of five steps of 0.05 has a standard deviation of 0.11 per coordinate.
    assert miss(trajectories, "expert", 0).max() < 0.4
    before, after = (miss(trajectories, "policy", r) for r in (0, 4))
    assert before[:6].max() < 0.3  # demonstrated in pre-training
    assert before[8:11].min() > 0.7  # far from everything demonstrated
    assert after[6:].mean() < 0.5 * before[6:].mean()


def test_weights_single_out_a_demonstrations_own_task_by_round_9(weights):
    early, late = (np.asarray(record["weights"]) for record in weights)
    assert [record["round"] for record in weights] == [1, 9]
    degrees = np.rad2deg(weights[0]["angles"])
    np.testing.assert_allclose(
        np.rad2deg(weights[0]["demo_angles"]), [30, 120, 210, 300]
    )
    own = [int(np.argmin(np.abs(degrees - angle))) for angle in (30, 120, 210, 300)]
    for swept in (early, late):
        # eq. 3: the denominator is the mean over these tasks
        np.testing.assert_allclose(swept[:, own].mean(axis=1), 1.0, rtol=1e-4)
    np.testing.assert_allclose(np.diag(late[:, own]), late.max(axis=1), rtol=0.02)
    # 1 where a weight does not tell the four apart, 4 where it does
    assert np.diag(early[:, own]).mean() < 3.0
    assert np.diag(late[:, own]).mean() > 3.5


def test_criterion_is_low_and_return_high_where_nothing_was_demonstrated(landscapes):
    for (record,) in landscapes:
        angles = np.asarray(record["angles"])
        assert len(record["pretraining_angles"]) == 20
        assert min(record["pretraining_angles"]) >= 0
        assert max(record["pretraining_angles"]) <= np.pi
        # away from the seams, where neighbours were demonstrated
        top = np.sin(angles) > 0.5
        bottom = np.sin(angles) < -0.5
        criterion, returns = np.asarray(record["criterion"]), np.array(record["return"])
        assert criterion[bottom].max() < criterion[top].min()
        assert returns[bottom].min() > returns[top].max()
    assert landscape.rank_correlation(landscapes) < -0.5


def test_rank_correlation_averages_seeds_first():
    one, two = (
        [{"criterion": np.array(criterion), "return": [3.0, 2.0, 1.0]}]
        for criterion in ([1.0, 2.0, 3.0], [5.0, 0.0, 0.0])
    )
    # means 3, 1, 1.5 have ranks 3, 1, 2 against 3, 2, 1: 1 - 6 * 2 / (3 * 8)
    assert landscape.rank_correlation([one]) == pytest.approx(-1.0)
    assert landscape.rank_correlation([one, two]) == pytest.approx(0.5)


def test_command_writes_files_that_the_figures_read(small, tmp_path, capsys):
    assert command.main(["all", f"--results_dir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    written = {
        "bound": "integrator/6/study_bound/seed0.jsonl",
        "figure3": "integrator/6/study_figure3/seed0.jsonl",
        "figure19": "integrator/6/study_figure19/seed0.jsonl",
        "figure21": "integrator/top-half/study_figure21/seed1.jsonl",
        "search": "integrator/6/study_search/seed0.jsonl",
    }
    for name, file in written.items():
        found = reading.read(tmp_path / file)
        assert found.config["seed"] == found.seed == int(file[-7])
        assert found.header["versions"]["jax"]
        assert str(tmp_path / file) in output
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "rank correlation between criterion and return, over tasks: -0." in output
    # the same again is not an error
    assert command.main(["figure3", f"--results_dir={tmp_path}"]) == 0


def test_records_of_another_config_are_kept(tmp_path, capsys):
    path = tmp_path / "integrator/6/study_figure3/seed0.jsonl"
    config = results.plain_config(studies.STUDIES["figure3"].config()) | {"rounds": 7}
    results.write(path, {"config": config, "versions": {}, "seed": 0}, [])
    with pytest.raises(ResultsError, match="another config.*rounds: 7, 20"):
        studies.run("figure3", tmp_path)
    assert command.main(["figure3", f"--results_dir={tmp_path}"]) == 1
    assert "rounds: 7, 20" in capsys.readouterr().err
    assert reading.read(path).records == []


def test_bad_command_lines_are_named(tmp_path, capsys):
    with pytest.raises(UnknownNameError, match="Did you mean 'figure21'"):
        studies.run("figure_21", tmp_path)
    with pytest.raises(
        InvalidArgumentError,
        match="seeds must be a whole number from 1 to 100000, got 0",
    ):
        studies.run("figure21", tmp_path, seeds=0)
    for arguments in (["figure_21"], ["figure21", "--seeds=0"]):
        with pytest.raises(SystemExit) as caught:
            command.main([*arguments, f"--results_dir={tmp_path}"])
        assert caught.value.code == 2
    assert "Did you mean 'figure21'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_help_says_what_each_study_looks_at(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name, study in studies.STUDIES.items():
        assert f"  {name:<10}{study.about}" in text
        assert figures.command_of(name) == f"python -m experiments.studies {name}"
