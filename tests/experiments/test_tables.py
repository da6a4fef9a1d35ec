import csv
import io
import subprocess
import sys

import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import results, tables
from experiments.reading import Run
from experiments.runs import ResultsWarning
from experiments.tables.__main__ import main


def make_run(method, seed, successes, field="mean_success", rounds=None):
    config = {
        "suite": "metaworld",
        "setting": "8-8-0-0",
        "method": method,
        "preset": "fast",
        "attempts": 50,
        "demos_per_round": 2,
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
        # .09 above the mean of .05 and .25 is reached in rounds 4 and 0, by seed 0
        # alone in round 5 and by seed 1 alone in round 3; a round is 2 demonstrations
        ("Demos saved", "-8 [-10, -6]", "–"),
    )
    assert table.totals == 2
    (note,) = table.notes
    assert note.startswith(
        "To reach 0.24 (90 % of the way from round 0 to the lower end), AMF takes 8"
        " demonstrations, Uniform + adaptive prior 0: -8 [-10, -6] saved. Area +0.050"
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
    total = "| Area under curve | 0.300 [0.25, 0.35] | 0.250 [0.25, 0.25] |"
    assert lines[-4:-2] == [total, "| Demos saved | -8 [-10, -6] | – |"]


def three_methods():
    """Curves over rounds 0, 1, 2 whose areas are 0.5, 0.25 and 0.4 in both seeds."""
    curves = {
        "uniform": [0.0, 0.5, 0.0],
        "amf": [0.0, 0.5, 1.0],
        "rebalancing": [0.0, 0.6, 0.4],
    }
    return {
        method: [make_run(method, seed, curve) for seed in range(2)]
        for method, curve in curves.items()
    }


def test_ranking_by_area_with_the_numbers_of_a_curve():
    board = tables.rank(three_methods())
    assert [entry.method for entry in board.standings] == [
        "amf",
        "rebalancing",
        "uniform",
    ]
    amf, rebalancing, uniform = board.standings
    assert board.baseline == "uniform"
    # 90 % of the way from 0 to the best last round, 1
    assert board.threshold == pytest.approx(0.9)
    assert (amf.demos, uniform.demos) == (4, np.inf)
    assert amf.area.mean == pytest.approx(0.5)
    assert rebalancing.last.mean == pytest.approx(0.4)
    assert amf.improvement.mean == 1.0
    assert uniform.improvement is None
    assert amf.iqm is None  # no success per task in these runs


def test_threshold_counts_from_round_0_in_any_unit():
    runs = {
        method: [make_run(method, seed, curve, "return") for seed in range(2)]
        for method, curve in {"amf": [-4, -2.2, -2], "uniform": [-4, -4, -3]}.items()
    }
    board = tables.rank(runs)
    assert board.quantity == "return"
    assert board.threshold == pytest.approx(-2.2)
    assert [entry.demos for entry in board.standings] == [2, np.inf]


def test_median_over_seeds_of_demos_to_threshold():
    # the threshold is 0.9 of the last mean, 0.8: reached after 2, 4 and never
    curves = [[0, 0.9, 1.0], [0, 0.5, 1.0], [0, 0.4, 0.4]]
    runs = {"amf": [make_run("amf", seed, c) for seed, c in enumerate(curves)]}
    assert tables.rank(runs).standings[0].demos == 4


def test_the_stronger_baseline_comes_first():
    runs = two_methods() | {
        "uniform": [make_run("uniform", s, np.zeros(11)) for s in range(2)]
    }
    assert tables.rank(runs).baseline == "uniform_adaptive_prior"
    assert tables.rank({"amf": runs["amf"]}).baseline is None


def test_leaderboard_marks_what_is_told_more():
    table = tables.leaderboard(tables.rank(three_methods()))
    assert table.columns == (
        "Method",
        "Seeds",
        "Success",
        "Area",
        "Demos to 0.90",
        "P(better than Uniform)",
    )
    assert table.rows[0] == (
        "AMF",
        "2",
        "1.000 [1.00, 1.00]",
        "0.500 [0.50, 0.50]",
        "4",
        "1.000 [1.00, 1.00]",
    )
    assert table.rows[1][0].endswith(" †")
    assert table.rows[2][-2:] == ("∞", "–")
    assert len(table.notes) == 1
    assert table.notes[0].startswith("† Rebalancing")
    assert table.notes[0] in tables.to_markdown(table)


def test_interquartile_mean_is_shown_where_tasks_have_success():
    run = make_run("amf", 0, [0.25, 0.5])
    for record in run.records:
        record["success"] = [0.0, 0.5, 0.5, 1.0]  # the middle half: 0.5
    other = make_run("amf", 1, [0.25, 0.5])._replace(records=run.records)
    table = tables.leaderboard(tables.rank({"amf": [run, other]}))
    assert table.columns[3] == "IQM"
    assert table.rows[0][3].startswith("0.500")


def test_csv_holds_plain_numbers():
    text = tables.to_csv([tables.rank(three_methods())])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["method"] for row in rows] == ["amf", "rebalancing", "uniform"]
    assert float(rows[1]["area_low"]) == pytest.approx(0.4)
    assert rows[2]["improvement"] == rows[2]["improvement_high"] == ""
    assert float(rows[2]["demos_to_threshold"]) == np.inf
    assert rows[0]["baseline"] == "uniform"
    assert [row["told_more"] for row in rows] == ["no", "yes", "no"]


def test_overview_ranks_what_has_no_room_side_by_side():
    runs = two_methods()
    assert tables.overview(runs).columns[0] == "Round"
    for method in ("uniform", "amf_paper", "dropout"):
        runs[method] = [make_run(method, s, np.full(11, 0.125)) for s in range(2)]
    assert tables.overview(runs).columns[0] == "Method"
    text = tables.to_text(tables.overview(runs), width=80)
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.fixture
def folder(tmp_path):
    for method, group in three_methods().items():
        for run in group:
            path = results.path(tmp_path, "metaworld", "8-8-0-0", method, run.seed)
            results.write(path, run.header, run.records)
    return tmp_path


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--markdown", "| AMF | 2 | 1.000 [1.00, 1.00] |"),
        ("--csv", "metaworld,8-8-0-0,success,2,amf,2,1,1,1,"),
        (None, "metaworld 8-8-0-0, 2 rounds"),
    ],
)
def test_command_writes_text_markdown_or_csv(folder, capsys, flag, expected):
    assert main([str(folder), *([flag] if flag else [])]) == 0
    assert expected in capsys.readouterr().out


def test_command_without_results_fails(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "error: no finished runs in" in capsys.readouterr().err


def test_commands_start_without_matplotlib():
    modules = [
        f"experiments.{name}"
        for name in (
            "tables.__main__",
            "report.__main__",
            "figures.__main__",
            "studies.__main__",
            "sweep",
        )
    ]
    program = (
        f"import sys, {', '.join(modules)}; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_gap_is_noted_and_moves_nobody_elses_numbers():
    whole = three_methods()
    gap = {name: [*runs] for name, runs in whole.items()}
    name = next(reversed(gap))
    broken = gap[name][0]
    records = [dict(record) for record in broken.records]
    records[1]["mean_success"] = None
    gap[name] = [broken._replace(records=records), *gap[name][1:]]
    others = {method: runs for method, runs in whole.items() if method != name}
    with pytest.warns(
        ResultsWarning, match=f"{name}: mean_success is null in rounds 1"
    ):
        board = tables.rank(gap)
    expected = tables.rank(others)
    assert board.threshold == expected.threshold
    assert board.standings[-1].method == name
    assert np.isnan(board.standings[-1].area.mean)
    assert np.isnan(board.standings[-1].demos)
    row = tables.leaderboard(board).rows[-1]
    assert row.count("–") >= 3
    for one, other in zip(board.standings, expected.standings, strict=False):
        assert (one.method, one.area.mean) == (other.method, other.area.mean)
        assert one.demos == other.demos


def test_names_from_files_are_shown_as_they_are():
    table = tables.Table("t [/b]", ("m",), (("x[/red] | [bold]y",),), notes=("[/i]",))
    text = tables.to_text(table)
    assert "t [/b]" in text
    assert "x[/red] | [bold]y" in text
    assert "[/i]" in text
    assert r"x[/red] \| [bold]y" in tables.to_markdown(table)
