from pathlib import Path

import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import comparisons, reading
from experiments.figures import main_job, style, weights
from experiments.figures.data import NoResultsError
from experiments.figures.estimates import IQM
from experiments.leads import leads
from experiments.report.rule import MARGIN
from experiments.runs import ResultsWarning, collect
from tests.experiments import figure_results
from tests.experiments.figure_results import (
    IQM_OFFSET,
    ROUNDS,
    TASK_OFFSETS,
    TASKS,
    band_of,
    check_curves,
    gp_records,
    legend_texts,
    line,
    method_offset,
    panel,
    save,
)

BASELINES = ("amf", "amf_paper", "uniform_adaptive_prior", "uniform")

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "evidence"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    figure_results.save_all(folder)
    return folder


@pytest.fixture
def make(monkeypatch):
    def make(name, folder, **options):
        return figure_results.make(monkeypatch, name, folder, **options)

    return make


def test_main_shows_success_demos_and_mixing(make, folder):
    figure = make("main", folder)
    success = panel(figure, "Multi-task success")
    methods = comparisons.MAIN_JOB.methods
    check_curves(success, methods)
    # seeds 0 and 1 of AMF lie at .03 and .05 in round 0
    np.testing.assert_allclose(band_of(success, 0), [0.03, 0.05])
    assert legend_texts(figure) == [style.method_name(m) for m in methods]
    assert "over 2 seeds" in figure.get_supxlabel()
    # from .165, the mean of .04 and .29, to AMF's .44 at 0.02 a round
    arrow, words = success.texts
    np.testing.assert_allclose(arrow.xy, (19, 0.4125))
    np.testing.assert_allclose(arrow.get_position(), (7, 0.4125))
    assert words.get_text() == "-12 demonstrations saved"
    assert (
        "AMF takes 19 demonstrations, Uniform + adaptive prior 7: -12 [-12, -12] saved."
        " Area -0.250 [-0.250, -0.250], larger in 0 of 2 seeds."
    ) in figure.get_supxlabel()
    assert figure.get_supxlabel().endswith(main_job.LIMITS)
    assert not panel(make("main", folder, estimate=IQM), "Multi-task success").texts

    demos = panel(figure, "Demonstrations per task")
    for container in demos.containers:
        if container.get_label() == "Pre-training":
            assert [bar.get_height() for bar in container] == [0, 0, 8, 8]
        else:  # rounds 1 to 20 ask for each task five times
            assert [bar.get_height() for bar in container] == [5, 5, 5, 5]
            assert [bar.get_y() for bar in container] == [0, 0, 8, 8]
    assert len(demos.containers) == 2 * len(methods)

    mixing = panel(figure, "Adaptive prior: weight of the fine-tuned policy")
    drawn = line(mixing, "AMF: mug left").get_ydata()
    np.testing.assert_allclose(drawn, 0.04 * np.arange(ROUNDS + 1))
    assert len(mixing.get_lines()) == 2 * len(TASKS)  # AMF and uniform + prior


def test_what_is_said_of_main_is_what_the_evidence_says():
    def lead(setting):
        place = ("metaworld", setting)
        found = {m: collect(EVIDENCE, *place, m) for m in comparisons.MAIN_JOB.methods}
        (lead,) = leads(found, "mean_success")
        return lead

    shown = lead(main_job.SETTING)
    assert shown.area.interval[0] > MARGIN
    (low, high), saved = shown.demos.saved.interval, shown.demos.saved.mean
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"active choice takes {shown.demos.first:g} demonstrations for what takes"
        f" uniform choice {shown.demos.second:g}: {saved:g} are saved, with a 90 %"
        f" interval from {low:g} to {high:g}."
    ) in readme
    little = lead("8-8-0-0").area
    assert 0 < little.mean < little.interval[1] < MARGIN
    low, high = lead("4-4-4-4").area.interval
    assert -MARGIN < low < 0 < high < MARGIN


def test_main_without_adaptive_prior_says_so(make, tmp_path):
    for seed in range(2):
        records = figure_results.metaworld_records("uniform", seed)
        place = ("metaworld", main_job.SETTING, "uniform_adaptive_prior", seed)
        figure_results.save(tmp_path, *place, records)
    figure = make("main", tmp_path)
    mixing = panel(figure, "Adaptive prior: weight of the fine-tuned policy")
    assert not mixing.get_lines()
    assert mixing.texts[0].get_text() == "no method with adaptive prior"


def test_figure4_compares_mismatch_with_the_even_setting_there_is(make, folder):
    figure = make("figure4_metaworld", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Mismatch [8, 8, 0, 0]", "No mismatch [4, 4, 4, 4]"]
    for axes in figure.axes:
        check_curves(axes, BASELINES)
        assert axes.get_ylabel() == "Multi-task success rate"
        assert axes.get_xlabel() == "Round"


@pytest.mark.parametrize(
    ("name", "before"), [("figure17", [8, 8, 0, 0]), ("figure18", [4, 4, 4, 4])]
)
def test_task_figures_show_success_above_demos(name, before, make, folder):
    figure = make(name, folder)
    rounds = np.arange(ROUNDS + 1)
    for task, title in enumerate(TASKS):
        success, demos = figure.axes[task], figure.axes[len(TASKS) + task]
        assert success.get_title() == title
        for method in BASELINES:
            rates = line(success, style.method_name(method)).get_ydata()
            expected = 0.02 * rounds + method_offset(method) + 0.01 + TASK_OFFSETS[task]
            np.testing.assert_allclose(rates, expected)
            counted = line(demos, style.method_name(method))
            np.testing.assert_array_equal(counted.get_ydata(), (rounds + 3 - task) // 4)
            assert counted.get_linestyle() == "--"
        assert set(demos.get_lines()[-1].get_ydata()) == {before[task]}


def test_figure2_shows_both_settings_and_the_gain_by_k(make, folder):
    figure = make("figure2", folder)
    for k, title in ((12, "No mismatch"), (6, "Mismatch")):
        axes = panel(figure, f"{title} ({k}/12 tasks demonstrated)")
        rounds = np.arange(6)
        amf = line(axes, "AMF").get_ydata()
        np.testing.assert_allclose(amf, -3.0 + 0.1 * rounds + 0.1 * k + 0.5)
        uniform = line(axes, "Uniform").get_ydata()
        np.testing.assert_allclose(uniform, -3.0 + 0.1 * rounds + 0.5)
    entropies = [a for a in figure.axes if a.get_ylabel().endswith("entropy (nats)")]
    assert len(entropies) == 2
    for axes in entropies:
        drawn = line(axes, "AMF").get_ydata()
        np.testing.assert_allclose(drawn, 0.5 - 0.1 * np.arange(6))
    for label in ("Last round", "Rounds 1–10, mean"):
        gain = line(panel(figure, "Improvement over uniform"), label)
        np.testing.assert_array_equal(gain.get_xdata(), np.arange(1, 13))
        np.testing.assert_allclose(gain.get_ydata(), 0.1 * np.arange(1, 13))
    assert legend_texts(figure) == ["AMF", "Uniform"]


def test_gain_is_paired_by_seed(make, tmp_path):
    for seed in (0, 1):
        save(tmp_path, "integrator", "6", "amf", seed, gp_records(6, "amf", seed))
    for seed in (1, 2):
        records = gp_records(6, "uniform", seed)
        save(tmp_path, "integrator", "6", "uniform", seed, records)
    with pytest.warns(ResultsWarning) as caught:
        figure = make("figure2", tmp_path)
    assert any("seeds 0, 2 are not in both" in str(one.message) for one in caught)
    gain = line(panel(figure, "Improvement over uniform"), "Last round")
    np.testing.assert_allclose(gain.get_xydata(), [[6, 0.6]])


def test_figure7_has_return_and_entropy_of_every_k(make, folder):
    figure = make("figure7", folder)
    assert len(figure.axes) == 24
    for k in range(1, 13):
        axes = panel(figure, f"{k}/12 tasks demonstrated")
        last = line(axes, "AMF").get_ydata()[-1]
        np.testing.assert_allclose(last, -3.0 + 0.5 + 0.1 * k + 0.5)


def test_figure3_shows_expert_then_policy_by_round(make, folder):
    figure = make("figure3", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Expert", "Policy, round 0", "Policy, round 10"]
    for axes in figure.axes:
        paths = [one for one in axes.get_lines() if len(one.get_xdata()) == 6]
        assert len(paths) == 3
        np.testing.assert_allclose(paths[1].get_ydata(), np.arange(6) / 5)
        assert axes.get_aspect() == 1.0


def test_figure19_sweeps_the_tasks_for_every_round(make, folder):
    figure = make("figure19", folder)
    angles = np.linspace(-np.pi, np.pi, 9)
    for r in (1, 5, 9):
        axes = panel(figure, f"Round {r}")
        for demo in range(4):
            drawn = line(axes, f"Demonstration {demo + 1}").get_ydata()
            np.testing.assert_allclose(drawn, r * (demo + 1) + np.cos(angles))
        verticals = [
            x.get_xdata()[0] for x in axes.get_lines() if len(x.get_xdata()) == 2
        ]
        assert verticals == [-2.0, -1.0, 1.0, 2.0]


def test_figure21_stacks_density_criterion_and_return(make, folder):
    figure = make("figure21", folder)
    density, criterion, returns = figure.axes
    angles = np.linspace(-np.pi, np.pi, 9)
    curve = density.get_lines()[0]
    assert curve.get_xdata()[np.argmax(curve.get_ydata())] == angles[5]  # nearest 1.0
    np.testing.assert_allclose(
        criterion.get_lines()[0].get_ydata(), np.sin(angles) + 0.5
    )
    np.testing.assert_allclose(returns.get_lines()[0].get_ydata(), np.cos(angles) + 0.5)


def test_figure20_groups_weights_by_task(make, folder):
    figure = make("figure20", folder)
    # a mean weight of .7 against three of .1, in rows that sum to 1
    expected = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    (image,) = panel(figure, "Rounds 5, 10, 20").get_images()
    np.testing.assert_allclose(image.get_array(), expected)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(TASKS)


def test_figure20_has_a_panel_for_every_change(make, tmp_path):
    records = figure_results.metaworld_records("amf", 0)
    records[10]["importance_weights"] = records[10]["importance_weights"][::-1].copy()
    figure_results.save(tmp_path, "metaworld", "8-8-0-0", "amf", 0, records)
    figure = make("figure20", tmp_path)
    titles = [axes.get_title() for axes in figure.axes if axes.get_images()]
    assert titles == ["Round 5", "Round 10", "Round 20"]


def weight_run(matrix, tasks):
    records = [{"round": r, "task": task} for r, task in enumerate([None, *tasks])]
    records.append({"round": len(records), "task": 0, "importance_weights": matrix})
    header = {"config": {}, "versions": {}, "seed": 0}
    return reading.Run(header, records)


def test_weight_matrix_by_hand():
    # three demonstrations, of tasks 1, 0 and 1, and a column of padding
    run = weight_run(
        [[0.2, 0.5, 0.3, 9.0], [0.6, 0.0, 0.4, 9.0], [0.5, 0.2, 0.1, 9]], [1, 0, 1]
    )
    nan = np.nan
    np.testing.assert_allclose(
        weights.task_matrix(run, 4, 3),
        [[0.5, 0.25, nan], [0.0, 0.5, nan], [0.2, 0.3, nan]],
    )
    np.testing.assert_allclose(
        weights.mean_matrix([run], 4, 3),
        [[2 / 3, 1 / 3, nan], [0.0, 1.0, nan], [0.4, 0.6, nan]],
    )


def test_weight_matrix_of_batches():
    # two rounds of two choices, each demonstrated once
    matrix = [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]
    run = weight_run(matrix, [[1, 0], [1, 1]])
    run.config["batch"] = 2
    np.testing.assert_allclose(
        weights.task_matrix(run, 3, 2), [[0.2, 0.8 / 3], [0.3, 0.7 / 3]]
    )


def test_too_few_weights_are_an_error():
    run = weight_run([[0.2], [0.8]], [1, 0])
    with pytest.raises(ResultsError, match="1 columns for 2 demonstrations"):
        weights.task_matrix(run, 3, 2)


def test_interquartile_mean_pools_seeds_and_tasks(make, folder):
    figure = make("figure4_metaworld", folder, estimate=IQM)
    for axes in figure.axes:
        check_curves(axes, BASELINES, IQM_OFFSET)
    assert "Interquartile mean" in figure.get_supxlabel()
    returns = panel(
        make("figure2", folder, estimate=IQM), "Mismatch (6/12 tasks demonstrated)"
    )
    np.testing.assert_allclose(line(returns, "Uniform").get_ydata()[0], -2.5)


@pytest.mark.parametrize("name", ["figure12", "figure17", "figure13_metaworld", "main"])
def test_runs_without_evaluations_are_no_traceback(name, make, tmp_path):
    for method in ("amf", "uniform_adaptive_prior"):
        records = figure_results.metaworld_records(method, 0)
        for record in records:
            record |= {"success": None, "mean_success": None}
        for setting in ("8-8-0-0", main_job.SETTING):
            figure_results.save(tmp_path, "metaworld", setting, method, 0, records)
    with pytest.warns(ResultsWarning, match="only one seed"):
        make(name, tmp_path)


def test_runs_that_have_not_begun_are_no_results(make, tmp_path):
    figure_results.save(tmp_path, "metaworld", "0-0-8-8", "amf", 0, [], rounds=20)
    figure_results.save(tmp_path, "integrator", "6", "study_figure21", 0, [], rounds=1)
    with (
        pytest.warns(ResultsWarning),
        pytest.raises(NoResultsError, match="no results"),
    ):
        make("main", tmp_path)
    with pytest.raises(NoResultsError, match="study_figure21"):
        make("figure21", tmp_path)


def test_runs_of_other_tasks_than_the_setting_says_are_refused(make, tmp_path):
    records = [{"round": 0, "success": [0.5, 0.5], "demos_per_task": [0, 0]}]
    other = {"task_names": ["a", "b"]}
    figure_results.save(tmp_path, "metaworld", "8-8-0-0", "amf", 0, records, **other)
    with pytest.raises(ResultsError, match=r"8-8-0-0: its runs have 2 tasks \(a, b\)"):
        make("figure17", tmp_path)


@pytest.mark.parametrize("missing", [0, 3])
def test_a_study_of_searches_needs_every_budget_in_every_round(make, tmp_path, missing):
    for seed in range(2):
        records = figure_results.search_records(seed)
        if seed:
            del records[missing]
        place = ("integrator", "6", "study_search", seed)
        figure_results.save(tmp_path, *place, records, rounds=11)
    with pytest.raises(ResultsError, match="study_search, seed 1: not every round"):
        make("search", tmp_path)
