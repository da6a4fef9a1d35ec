"""Result files whose curves are known, for the tests of figures."""

import numpy as np

from experiments import figures, results
from experiments.figures import search, style, theory
from experiments.figures.estimates import MEAN

TASKS = ("mug left", "mug right", "faucet open", "faucet close")
METHODS = tuple(style.METHODS)
ROUNDS = 20
SEEDS = 2

#: Success of the tasks above that of the first, 0.03 on average. With a second seed
#: 0.02 higher, the middle four of the eight are 0.02, 0.02, 0.03 and 0.04.
TASK_OFFSETS = np.array([0.0, 0.01, 0.02, 0.09])
MEAN_OFFSET, IQM_OFFSET = 0.04, 0.0275


def save(folder, suite, setting, method, seed, records, **changes):
    config = {
        "suite": suite,
        "setting": setting,
        "method": method,
        "seed": seed,
        "preset": "fast",
        "rounds": len(records) - 1,
        "demos_per_round": 1,
        "task_names": TASKS,
    } | changes
    path = results.path(folder, suite, setting, method, seed)
    results.write(path, {"config": config, "versions": {}, "seed": seed}, records)


def method_offset(method):
    return 0.01 * METHODS.index(method)


def metaworld_records(method, seed):
    """Round r asks for task (r - 1) % 4; success is linear in the round."""
    records = []
    for r in range(ROUNDS + 1):
        success = 0.02 * r + method_offset(method) + 0.02 * seed + TASK_OFFSETS
        own = np.zeros((4, ROUNDS))
        for demo in range(r - 1):
            own[:, demo] = 0.1
            own[demo % 4, demo] = 0.7
        records.append(
            {
                "round": r,
                "task": None if r == 0 else (r - 1) % 4,
                "success": success,
                "mean_success": success.mean(),
                "demos_per_task": np.bincount(np.arange(r) % 4, minlength=4),
                "mixing": None if method == "uniform" else 0.04 * r * np.ones(4),
                "importance_weights": own if method == "amf" and r > 4 else None,
            }
        )
    return records


def gp_records(k, method, seed):
    """Returns rise by 0.1 a round, entropies fall by as much."""
    return [
        {
            "round": r,
            "return": -3.0 + 0.1 * r + (0.1 * k if method == "amf" else 0.0) + seed,
            "entropy": -0.1 * r + seed,
        }
        for r in range(6)
    ]


def save_metaworld(folder, setting, methods, seeds=SEEDS, **changes):
    for method in methods:
        for seed in range(seeds):
            records = metaworld_records(method, seed)
            save(folder, "metaworld", setting, method, seed, records, **changes)


def save_integrator(folder, k, methods, seeds=SEEDS):
    for method in methods:
        for seed in range(seeds):
            records = gp_records(k, method, seed)
            save(folder, "integrator", str(k), method, seed, records)


def bound_records(seed):
    """Bounds fall as the square root of the round; seeds differ by a factor."""
    return [
        {"round": number}
        | {
            name: 10.0**power * (1 + seed) / np.sqrt(number)
            for power, name in enumerate([*theory.GAPS, *theory.GAINS])
        }
        for number in range(1, 41)
    ]


def search_records(seed):
    """Shortfalls fall as one over the budget; seeds and searches differ by a factor."""
    return [
        {
            "round": number,
            "search": name,
            "evaluations": budget,
            "shortfall": [place * (1 + seed) / budget * share for share in (0.5, 1.5)],
            "seconds": 0.001 * place * budget,
        }
        for number in (2, 5)
        for place, name in enumerate(search.LOOKS, start=1)
        for budget in (25, 100)
    ]


def save_studies(folder):
    turn = np.linspace(-np.pi, np.pi, 9)
    trajectories = [
        {"task": [x, y], "states": np.outer(np.arange(6) / 5, [x, y]), "kind": kind}
        | {"round": r}
        for kind, r in (("policy", 10), ("policy", 0), ("expert", 0))
        for x, y in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
    ]
    save(folder, "integrator", "12", "study_figure3", 0, trajectories)
    swept = [
        {
            "round": r,
            "angles": turn,
            "weights": r * np.arange(1, 5)[:, None] + np.cos(turn),
            "demo_angles": [-2.0, -1.0, 1.0, 2.0],
        }
        for r in (1, 5, 9)
    ]
    save(folder, "integrator", "6", "study_figure19", 0, swept)
    for seed in range(SEEDS):
        save(folder, "integrator", "6", "study_bound", seed, bound_records(seed))
        save(folder, "integrator", "6", "study_search", seed, search_records(seed))
        landscape = {
            "angles": turn,
            "criterion": np.sin(turn) + seed,
            "return": np.cos(turn) + seed,
            "pretraining_angles": np.full(50, 1.0),
        }
        save(folder, "integrator", "6", "study_figure21", seed, [landscape])


def save_all(folder):
    """Every method on three settings of Metaworld, the integrator and its studies."""
    for setting in ("8-8-0-0", "0-0-8-8", "4-4-4-4"):
        save_metaworld(folder, setting, METHODS)
    for k in range(1, 13):
        gp_ablations = ("prior_entropy", "amf_plain", "amf_unweighted")
        extra = gp_ablations if k in (1, 6, 12) else ()
        save_integrator(folder, k, ("amf", "uniform", *extra))
    save_studies(folder)


def make(monkeypatch, name, folder, estimate=MEAN):
    """A figure without the notices about what the folder lacks."""
    with monkeypatch.context() as patch:
        patch.setattr("experiments.figures.data.notice", lambda text: None)
        return figures.make(name, folder, estimate)


def panel(figure, title):
    (axes,) = [axes for axes in figure.axes if axes.get_title() == title]
    return axes


def line(axes, label):
    (found,) = [found for found in axes.get_lines() if found.get_label() == label]
    return found


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def band_of(axes, index):
    """Lower and upper end of a band at round 0."""
    points = axes.collections[index].get_paths()[0].vertices
    at_zero = points[points[:, 0] == 0.0, 1]
    return at_zero.min(), at_zero.max()


def check_curves(axes, methods, start=MEAN_OFFSET):
    """Whether a panel shows the success of these methods alone, from `start` on."""
    rounds = np.arange(ROUNDS + 1)
    labels = [drawn.get_label() for drawn in axes.get_lines()]
    assert sorted(labels) == sorted(style.method_name(method) for method in methods)
    for method in methods:
        drawn = line(axes, style.method_name(method))
        np.testing.assert_array_equal(drawn.get_xdata(), rounds)
        expected = 0.02 * rounds + method_offset(method) + start
        np.testing.assert_allclose(drawn.get_ydata(), expected, atol=1e-12)
