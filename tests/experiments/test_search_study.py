"""The study of searches: the selections it looks at, what it measures, its figure."""

import jax
import matplotlib
import numpy as np
import pytest

from amf_jax import candidates
from experiments import build, studies
from experiments.figures import search as drawing
from experiments.figures import style
from experiments.figures.data import NoResultsError, Source
from experiments.studies import search
from experiments.suites import integrator
from tests.experiments import figure_results


@pytest.mark.slow
def test_a_problem_is_what_the_run_was_given():
    config = studies.STUDIES["search"].config().copy_and_resolve_references()
    config.rounds, config.selection.shooting_budget = 3, 20
    experiment = build.build(config)
    records = experiment.tuner.run()
    (problem,) = search._problems(config, 0, (3,))
    assert (problem.round, int(problem.context.demos.demo_mask.sum())) == (3, 2)

    # The same selection again, with the key that the driver has for the round.
    optimiser = candidates.random_shooting(integrator.sample_tasks, 20)
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 3), 3)[0]
    scores, seconds = search._scores(search._select(config, optimiser), key, problem)
    np.testing.assert_allclose(scores, records[3]["scores"], rtol=1e-5)
    assert seconds > 0


@pytest.fixture
def by_hand(monkeypatch):
    """Selections whose scores are those of the grid, or the budget divided by 100."""
    seen = []

    def select(config, optimiser):
        return optimiser

    def scores(select, key, problem):
        seen.append(tuple(jax.random.key_data(key).tolist()))
        if select == "grid":
            return np.array([1.0, 2.0, 3.0]), 9.0
        return np.array([0.0, select / 100]), next(seconds)

    seconds = iter(range(1, 100))
    monkeypatch.setattr(search, "_select", select)
    monkeypatch.setattr(search, "_scores", scores)
    monkeypatch.setattr(search.selection, "every_one_of", lambda goals: "grid")
    monkeypatch.setattr(candidates, "make", lambda name, space, budget, **rest: budget)
    monkeypatch.setattr(
        search,
        "_problems",
        lambda config, seed, rounds: [search._Problem(r, None, None) for r in rounds],
    )
    return seen


def test_shortfalls_are_shares_of_what_the_best_is_above_the_average(by_hand):
    (records,) = search.value_and_cost(None, [0], (2, 5), budgets=(100, 250), draws=2)
    assert len(records) == 2 * 3 * 2
    assert {r["search"] for r in records} == set(drawing.LOOKS) == set(search.SEARCHES)
    first, second, *_ = records
    # The grid has 3 at best and 2 on average; 1 and 2.5 were found.
    assert (first["round"], first["evaluations"], second["evaluations"]) == (
        2,
        100,
        250,
    )
    np.testing.assert_allclose(first["shortfall"], [2.0, 2.0])
    np.testing.assert_allclose(second["shortfall"], [0.5, 0.5])
    # The first of three selections compiles; the faster of the others counts.
    assert (first["seconds"], second["seconds"]) == (2, 5)
    assert len(set(by_hand)) == 2 * 2  # keys by round and draw, the same for all
    text = search.report([records])
    assert text.startswith("missed with 100, 250 evaluations: random_shooting: 200.00%")
    assert "cross_entropy: 200.00% 50.00%" in text


@pytest.mark.parametrize("budget", [25, 50, 100, 200])
def test_every_search_can_be_had_at_every_budget(budget):
    for name, options in search.SEARCHES.items():
        candidates.make(name, integrator.SPACE, budget=budget, **options(budget))


def test_figure_shows_shortfall_by_evaluations_and_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.statistics.RESAMPLES", 200)
    for seed in range(2):
        records = figure_results.search_records(seed)
        figure_results.save(tmp_path, "integrator", "6", "study_search", seed, records)
    with matplotlib.rc_context(style.RC):
        figure = drawing.draw_search(Source(tmp_path, "command"))
    costs = {"By evaluations": 1.0, "By time": 0.001}
    for title, unit in costs.items():
        axes = figure_results.panel(figure, title)
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        for place, look in enumerate(drawing.LOOKS.values(), start=1):
            line = figure_results.line(axes, look.name)
            scale = unit * (1 if title == "By evaluations" else place)
            np.testing.assert_allclose(line.get_xdata(), [25 * scale, 100 * scale])
            # one and two times `place / budget`, over two seeds
            np.testing.assert_allclose(line.get_ydata(), [place * 0.06, place * 0.015])
    assert "rounds 2, 5" in figure.get_supxlabel()
    assert "over 2 seeds" in figure.get_supxlabel()


def test_figure_without_results_names_the_command(tmp_path):
    with pytest.raises(
        NoResultsError, match=r"study_search.*Produce them with: make it"
    ):
        drawing.draw_search(Source(tmp_path, "make it"))
