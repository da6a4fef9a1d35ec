import matplotlib.colors
import numpy as np
import pytest

from experiments import comparisons, figures, methods, runs
from experiments.figures import curves, style
from experiments.figures.data import NoResultsError
from experiments.figures.estimates import IQM, MEAN
from experiments.report import scores
from tests.experiments import figure_results
from tests.experiments.figure_results import (
    ROUNDS,
    TASK_OFFSETS,
    TASKS,
    check_curves,
    legend_texts,
    line,
    method_offset,
    save,
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("experiments.statistics.RESAMPLES", 200)


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


def leads(axes):
    """Differences in area from the top down."""
    _, *points = axes.get_lines()  # behind the line at 0
    from_top = sorted(point.get_xydata()[0][::-1].tolist() for point in points)
    return [lead for _, lead in from_top]


@pytest.mark.parametrize(
    ("name", "methods", "panels"),
    [
        ("figure5_metaworld", comparisons.ESTIMATORS.methods, 2),
        ("figure14", comparisons.REBALANCING.methods, 3),
    ],
)
def test_figures_draw_only_the_methods_they_compare(
    name, methods, panels, make, folder
):
    figure = make(name, folder)
    assert len(figure.axes) == panels
    for axes in figure.axes:
        check_curves(axes, methods)
    assert set(legend_texts(figure)) == {style.method_name(m) for m in methods}


def test_figure12_tells_tasks_of_pretraining_from_new_ones(make, folder):
    figure = make("figure12", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:4] == [
        "Mismatch [8, 8, 0, 0]\nall tasks",
        "Mismatch [8, 8, 0, 0]\ntasks seen in pre-training",
        "Mismatch [8, 8, 0, 0]\nnew tasks",
        "No mismatch [4, 4, 4, 4]\nall tasks",
    ]
    # the second seed adds .01 to the mean over tasks: of all, of the first or last two
    starts = (0.03 + 0.01, 0.005 + 0.01, 0.055 + 0.01, 0.03 + 0.01)
    for axes, start in zip(figure.axes[:4], starts, strict=True):
        check_curves(axes, comparisons.REGULARISERS.methods, start)
    for axes, start in zip(figure.axes[4:], starts, strict=True):
        check_curves(axes, comparisons.PRIORS.methods, start)
    assert len(legend_texts(figure)) == len(comparisons.FORGETTING.methods)


def test_figure13_shows_success_and_mixing_of_amf(make, folder):
    figure = make("figure13_metaworld", folder)
    rounds = np.arange(ROUNDS + 1)
    for axes, task, before in zip(figure.axes, TASKS, (8, 8, 0, 0), strict=True):
        assert axes.get_title() == f"{task}\n{before} pre-training demonstrations"
        success = line(axes, "Success rate").get_ydata()
        offset = 0.01 + TASK_OFFSETS[TASKS.index(task)]
        np.testing.assert_allclose(success, 0.02 * rounds + offset)
        alpha = line(axes, "Mixing weight α").get_ydata()
        np.testing.assert_allclose(alpha, 0.04 * rounds)


def test_figure13_needs_a_mixing(tmp_path):
    records = [{"round": 0, "success": [0.0] * 4, "mixing": None}]
    for seed in (0, 1):
        save(tmp_path, "metaworld", "8-8-0-0", "amf", seed, records)
    with pytest.raises(NoResultsError, match="amf with an adaptive prior"):
        figures.make("figure13_metaworld", tmp_path)


@pytest.mark.parametrize(
    ("name", "comparison"),
    [
        ("ablation_criterion", comparisons.CRITERIA),
        ("ablation_weights", comparisons.WEIGHTS),
        ("all_selectors", comparisons.SELECTORS),
        ("all_forgetting", comparisons.FORGETTING),
    ],
)
def test_areas_are_compared_seed_by_seed(name, comparison, make, folder):
    figure = make(name, folder)
    for axes in figure.axes[:3]:
        check_curves(axes, comparison.methods)
    ordered = [m for m in style.METHODS if m in comparison.methods]
    labels = [text.get_text() for text in figure.axes[3].get_yticklabels()]
    assert labels == [style.method_name(method) for method in ordered[1:]]
    # AMF's curves and those of the others are parallel
    expected = [-method_offset(method) for method in ordered[1:]]
    for axes in figure.axes[3:]:
        np.testing.assert_allclose(leads(axes), expected, atol=1e-12)
        assert len(axes.collections) == len(ordered) - 1  # an interval each


def test_intervals_of_areas_are_those_of_the_verdicts(make, tmp_path):
    rng = np.random.default_rng(0)
    for method in ("amf", "prior_entropy"):
        for seed in range(6):
            records = figure_results.metaworld_records(method, seed)
            for record in records:
                record["success"] = rng.uniform(0.0, 0.3, 4) + 0.1 * seed
                record["mean_success"] = record["success"].mean()
            save(tmp_path, "metaworld", "8-8-0-0", method, seed, records)
    figure = make("ablation_criterion", tmp_path)
    evidence = runs.collect_all(tmp_path)
    place = ("metaworld", "8-8-0-0")
    found = scores.compared(evidence, place, "", "amf", "prior_entropy", None)
    axes = figure.axes[1]
    np.testing.assert_allclose(leads(axes), [found.summary.mean])
    (interval,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(interval[:, 0], found.summary.interval)


def test_areas_pool_tasks_where_the_curves_do(make, tmp_path):
    for seed in range(2):
        records = figure_results.metaworld_records("amf", seed)
        save(tmp_path, "metaworld", "8-8-0-0", "amf", seed, records)
        for record in records:
            record["success"] = record["success"] - TASK_OFFSETS
        save(tmp_path, "metaworld", "8-8-0-0", "prior_entropy", seed, records)
    # of differences 0, 0, .01, .01, .02, .02, .09, .09 all, and the middle four
    for estimate, expected in ((MEAN, 0.03), (IQM, 0.015)):
        figure = make("ablation_criterion", tmp_path, estimate=estimate)
        np.testing.assert_allclose(leads(figure.axes[1]), [expected])


def test_ablations_of_the_integrator_show_return_and_entropy(make, folder):
    figure = make("ablation_weights_integrator", folder)
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == [f"{k}/12 tasks demonstrated" for k in (1, 6, 12)]
    returns, entropies, areas = (figure.axes[i : i + 3] for i in (0, 3, 6))
    for k, one, other, area in zip((1, 6, 12), returns, entropies, areas, strict=True):
        start = -3.0 + 0.1 * k + 0.5
        amf = line(one, "AMF").get_ydata()
        np.testing.assert_allclose(amf, start + 0.1 * np.arange(6))
        amf = line(other, "AMF").get_ydata()
        np.testing.assert_allclose(amf, 0.5 - 0.1 * np.arange(6))
        # AMF minus plain weights, none, uniform
        np.testing.assert_allclose(leads(area), 3 * [0.1 * k])
    assert len(legend_texts(figure)) == 4


def compared():
    return [
        c for c in vars(comparisons).values() if isinstance(c, comparisons.Comparison)
    ]


def lightness(colour):
    """CIE L* of a colour, 0 to 100."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_every_method_has_a_look_of_its_own():
    assert set(methods.METHODS) <= set(style.METHODS)
    looks = [*style.METHODS.values(), style.look("my_own_rule")]
    for field in ("name", "colour"):
        assert len({getattr(look, field) for look in looks}) == len(looks)
    assert len({(look.marker, look.dashes) for look in looks}) == len(looks)


def test_a_method_without_a_look_is_drawn_last_and_named_by_its_key():
    look = style.look("my_own_rule")
    assert look.name == style.method_name("my_own_rule") == "My own rule"
    assert lightness(look.colour) < min(
        lightness(listed.colour) for listed in style.METHODS.values()
    )
    assert style.ordered(["b_rule", "uniform", "a_rule", "amf"]) == [
        "amf",
        "uniform",
        "b_rule",
        "a_rule",
    ]


@pytest.mark.parametrize("comparison", compared(), ids=lambda one: one.title)
def test_methods_of_a_panel_can_be_told_apart_in_grey(comparison):
    looks = [style.METHODS[m] for m in comparison.methods + comparison.also]
    assert len({look.marker for look in looks}) == len(looks)
    shades = sorted(lightness(look.colour) for look in looks)
    assert min(np.diff(shades)) > 4


def test_names_tell_of_more_information():
    assert style.method_name("learning_progress").endswith("(uses rollouts)")
    assert style.method_name("rebalancing").endswith("(privileged)")


def test_markers_of_a_panel_are_apart():
    panel = comparisons.BASELINES.methods + comparisons.BASELINES.also
    lines = [curves.method_line(method, panel, 21) for method in panel]
    assert [line["markevery"] for line in lines] == [(0, 4), (1, 4), (2, 4), (3, 4)]
