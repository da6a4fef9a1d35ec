"""The study of theorem A.10: the integrator's constants, order of bounds, figure."""

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from sklearn.gaussian_process import kernels

from experiments import studies
from experiments.figures import style, theory
from experiments.figures.data import NoResultsError, Source
from experiments.studies import bound
from experiments.suites import integrator
from tests.experiments import figure_results

ROUNDS = 3
HORIZON = integrator.HORIZON


@pytest.fixture(scope="module")
def runs():
    config = studies.STUDIES["bound"].config().copy_and_resolve_references()
    config.rounds = ROUNDS
    return list(bound.gap_and_bounds(config, [0], tasks_per_evaluation_task=1))


def column(runs, name):
    return np.array([record[name] for record in runs[0]])


def test_every_bound_holds_and_measuring_tightens_it(runs):
    np.testing.assert_array_equal(column(runs, "round"), [1, 2, 3])
    names = ("gap", "bound_given_deviation", "bound_given_gain", "bound")
    gaps = np.stack([column(runs, name) for name in names])
    assert (gaps > 0).all()
    assert (np.diff(gaps, axis=0) > 0).all()
    assert (column(runs, "gap") < column(runs, "gap_at_rest")).all()
    # Distances of the expert: 0.8, 0.6, 0.4, 0.2 and 0; at rest: 1, five times.
    np.testing.assert_allclose(column(runs, "gap_at_rest"), 5.0 - 2.0, atol=1e-5)
    assert (column(runs, "round_gain") > 0).all()
    assert (column(runs, "round_gain") < column(runs, "round_gain_bound")).all()
    for name in ("bound", "round_gain_bound", "bound_given_deviation"):
        assert (np.diff(column(runs, name)) < 0).all()


def test_the_theorem_is_looser_by_its_deviation_and_its_gain(runs):
    # Noise of 0.05 in two dimensions: one draw is longer than r with probability
    # exp(-r^2 / 2 0.05^2), one of 15 demonstrations' 75 with at most 0.1 / 2.
    longest = 0.05 * np.sqrt(2 * np.log(75 / 0.05))
    epsilon = 8 * 5**1.5 * 2**5 * 2 * longest
    gains = column(runs, "round_gain_bound") / column(runs, "round_gain")
    np.testing.assert_allclose(
        column(runs, "bound") / column(runs, "bound_given_gain"),
        np.sqrt((1 + epsilon) * gains),
        rtol=1e-4,
    )


def gain_of_greedy_points(kernel, noise_variance, count):
    """Every step solved anew; in nats."""
    chosen: list[int] = []
    gain = 0.0
    for _ in range(count):
        across = kernel[chosen]
        gram = across[:, chosen] + noise_variance * np.eye(len(chosen))
        variance = np.diag(kernel) - np.sum(across * np.linalg.solve(gram, across), 0)
        chosen.append(int(variance.argmax()))
        gain += 0.5 * np.log1p(variance.max() / noise_variance)
    return gain


def test_bound_given_the_gain_uses_the_constants_it_states(runs):
    states, ids = integrator.expert_states()
    inputs = np.concatenate([states, integrator.TASKS[ids]], axis=1).astype(float)
    kernel = 0.2**2 * kernels.RBF(0.5)(inputs)
    for number, record in enumerate(runs[0], 1):
        nats = gain_of_greedy_points(kernel, 0.05**2, 5 * (12 + number))
        nats /= 1 - np.exp(-1)
        beta = 2.555 + np.sqrt(2 * (nats + 1 + np.log(2 / 0.05)))
        scales = 2 * np.hypot(0.2, 0.05)
        # L_Q is 5, tau_min 1/12, the discount 4/5
        expected = np.sqrt(2 * record["round_gain"]) * beta * 5 * scales * 12 * 5
        np.testing.assert_allclose(record["bound_given_gain"], expected, rtol=2e-3)


def test_norm_is_that_of_the_interpolant_on_the_evaluation_tasks():
    pairs = bound._expert_pairs(3)
    assert pairs.states.shape == (3 * 12 * HORIZON, 2)
    states, ids = integrator.expert_states()
    np.testing.assert_allclose(pairs.states[pairs.visits], states, atol=1e-6)
    np.testing.assert_allclose(pairs.goals[pairs.visits], integrator.TASKS[ids])
    inputs = np.concatenate([pairs.states, pairs.goals], axis=1).astype(float)
    kernel = 0.2**2 * kernels.RBF(0.5)(inputs)
    visited = kernel[np.ix_(pairs.visits, pairs.visits)]
    # every action is a fifth of the goal
    values = integrator.TASKS[ids] / 5
    norms = [np.sqrt(v @ np.linalg.lstsq(visited, v)[0]) for v in values.T]
    actual = bound._norm(jnp.asarray(kernel, jnp.float32), pairs)
    np.testing.assert_allclose(actual, max(norms), rtol=1e-3)
    # three times as many pairs, as the study says
    values = pairs.goals.astype(float) / 5
    finer = [np.sqrt(v @ np.linalg.solve(kernel, v)) for v in values.T]
    np.testing.assert_allclose(finer, norms, rtol=1e-3)


def test_lipschitz_constants_of_the_expert_and_of_its_returns():
    rng = np.random.default_rng(0)
    states, goals = rng.normal(size=(2, 2, 5000, 2))
    # neighbours, where a constant is attained, and any two
    states[1, :2500] = states[0, :2500] + 1e-3 * states[1, :2500]
    goals[1, :2500] = goals[0, :2500]

    def length(array):
        return np.linalg.norm(array[0] - array[1], axis=-1)

    moved = length(integrator.expert(states, goals))
    assert (moved <= length(states) + length(goals) + 1e-9).all()
    assert (moved[:2500] > 0.99 * length(states)[:2500]).any()

    actions = 0.3 * rng.normal(size=(2, 5000, 2))
    position = states[:1] + actions
    returns = np.zeros((2, 5000))
    for _ in range(HORIZON):
        returns -= np.linalg.norm(position - goals[:1], axis=-1)
        position = position + integrator.expert(position, goals[:1] + 0 * position)
    difference = np.abs(returns[0] - returns[1])
    assert (difference <= HORIZON * length(actions) + 1e-9).all()
    assert (difference > 0.9 * HORIZON * length(actions)).any()


def test_report_tells_both_ends(runs):
    text = bound.report(runs)
    assert text.startswith("from round 1 to 3 the gap to the expert falls from ")
    assert f"{runs[0][0]['gap']:.2f} to {runs[0][-1]['gap']:.2f}" in text
    assert f"to {runs[0][-1]['bound']:.2g}" in text


def test_figure_shows_measured_curves_and_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.statistics.RESAMPLES", 200)
    for seed in range(2):
        records = figure_results.bound_records(seed)
        figure_results.save(tmp_path, "integrator", "6", "study_bound", seed, records)
    with matplotlib.rc_context(style.RC):
        figure = theory.draw_bound(Source(tmp_path, "command"))
    gap = figure_results.panel(figure, "Gap to the expert")
    gain = figure_results.panel(figure, "Information gain of one more demonstration")
    rounds = np.arange(1, 41)
    looks = [(gap, *item) for item in theory.GAPS.items()]
    looks += [(gain, *item) for item in theory.GAINS.items()]
    for power, (axes, _, look) in enumerate(looks):
        line = figure_results.line(axes, look.name)
        np.testing.assert_array_equal(line.get_xdata(), rounds)
        expected = 10.0**power * 1.5 / np.sqrt(rounds)
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        np.testing.assert_array_equal(axes.get_xticks(), [1, 2, 5, 10, 20, 40])
    assert "over 2 seeds" in figure.get_supxlabel()


def test_figure_without_results_names_the_command(tmp_path):
    with pytest.raises(
        NoResultsError, match=r"study_bound.*Produce them with: make it"
    ):
        theory.draw_bound(Source(tmp_path, "make it"))
