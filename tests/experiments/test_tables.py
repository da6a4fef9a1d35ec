import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import tables
from experiments.results import ResultsWarning, Run


def make_run(method, seed, successes, field="mean_success", rounds=None):
    config = {
        "suite": "metaworld",
        "setting": "8-8-0-0",
        "method": method,
        "preset": "fast",
        "attempts": 50,
        "rounds": len(successes) - 1 if rounds is None else rounds,
    }
    records = [
        {"round": number, "mean_success": None, "return": None} | {field: value}
        for number, value in enumerate(successes)
    ]
    return Run({"config": config, "versions": {}, "seed": seed}, records)


def two_methods(field="mean_success"):
    ramp = np.linspace(0.0, 0.5, 11)
    return {
        "amf": [make_run("amf", s, ramp + 0.1 * s, field) for s in range(2)],
        "uniform_adaptive_prior": [
            make_run("uniform_adaptive_prior", s, np.full(11, 0.25), field)
            for s in range(2)
        ],
    }


def test_rows_hold_mean_and_interval_of_every_fourth_round_and_the_area():
    table = tables.compare(two_methods())
    assert table.columns == (
        "Round",
        "AMF (2 seeds)",
        "Uniform + adaptive prior (2 seeds)",
    )
    # seeds are ramp and ramp + 0.1: the interval of two seeds ends at the seeds
    flat = "0.250 [0.25, 0.25]"
    assert table.rows == (
        ("0", "0.050 [0.00, 0.10]", flat),
        ("4", "0.250 [0.20, 0.30]", flat),
        ("8", "0.450 [0.40, 0.50]", flat),
        ("10", "0.550 [0.50, 0.60]", flat),
        ("Area under curve", "0.300 [0.25, 0.35]", flat),
    )
    assert table.title.startswith("metaworld 8-8-0-0: multi-task success")


def test_last_round_is_shown_once():
    table = tables.compare({"amf": [make_run("amf", s, np.ones(9)) for s in range(2)]})
    assert [row[0] for row in table.rows] == ["0", "4", "8", "Area under curve"]


def test_return_is_shown_where_success_is_undefined():
    table = tables.compare(two_methods(field="return"))
    assert table.title.startswith("metaworld 8-8-0-0: return")
    assert table.rows[0][1] == "0.050 [0.00, 0.10]"


def test_one_seed_has_no_brackets():
    with pytest.warns(ResultsWarning, match="only one seed"):
        table = tables.compare({"amf": [make_run("amf", 0, [0.1234, 0.5])]})
    assert table.columns[1] == "AMF (1 seed)"
    assert table.rows[0] == ("0", "0.123")


def test_shorter_runs_leave_a_dash_and_are_warned_about():
    runs = {
        "amf": [make_run("amf", s, np.ones(5)) for s in range(2)],
        "uniform": [make_run("uniform", s, np.ones(3)) for s in range(2)],
    }
    with pytest.warns(ResultsWarning, match="rounds is 4 for amf; 2 for uniform"):
        table = tables.compare(runs)
    assert table.rows[1] == ("4", "1.000 [1.00, 1.00]", "–")


@pytest.mark.parametrize("runs", [{}, {"amf": []}])
def test_nothing_to_compare_is_an_error(runs):
    with pytest.raises(ResultsError, match="no results to compare"):
        tables.compare(runs)


def test_text_is_aligned():
    lines = tables.to_text(tables.compare(two_methods()), width=100).splitlines()
    body = [line for line in lines if "0.250 [0.25, 0.25]" in line]
    assert len(body) == 5
    assert len({line.rindex("0.250") for line in body}) == 1
    assert len({len(line) for line in body}) == 1
    assert any("AMF" in line and "Uniform + adaptive prior" in line for line in lines)


def test_four_methods_fit_80_columns_with_intervals_below_the_means():
    runs = two_methods() | {
        method: [make_run(method, s, np.full(11, 0.25)) for s in range(2)]
        for method in ("amf_paper", "uniform")
    }
    text = tables.to_text(tables.compare(runs), width=80)
    assert text.count("[0.25, 0.25]") == 3 * 5
    assert all(len(line) <= 80 for line in text.splitlines())


def test_markdown():
    lines = tables.to_markdown(tables.compare(two_methods())).splitlines()
    assert lines[2:5] == [
        "| Round | AMF (2 seeds) | Uniform + adaptive prior (2 seeds) |",
        "| ---: | :--- | :--- |",
        "| 0 | 0.050 [0.00, 0.10] | 0.250 [0.25, 0.25] |",
    ]
    assert lines[-1] == "| Area under curve | 0.300 [0.25, 0.35] | 0.250 [0.25, 0.25] |"
