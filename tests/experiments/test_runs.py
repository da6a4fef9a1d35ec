import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import reading, results
from experiments.reading import Run
from experiments.runs import (
    ResultsWarning,
    collect,
    collect_all,
    finished,
    matched,
    warn_if_incomparable,
)
from experiments.series import asked_indices, per_task, score, values
from tests.experiments.result_files import header, place, rounds


def test_collect_sorts_seeds_as_numbers(tmp_path):
    for seed in (10, 2, 0):
        results.write(place(tmp_path, seed), header(seed), rounds(0))
    (place(tmp_path, 0).parent / "seed0.checkpoint").mkdir()
    runs = collect(tmp_path, "metaworld", "8-8-0-0", "amf")
    assert [run.seed for run in runs] == [0, 2, 10]
    assert collect(tmp_path, "metaworld", "8-8-0-0", "uniform") == []


def test_collect_refuses_seeds_of_several_configs(tmp_path):
    results.write(place(tmp_path, 0), header(0), rounds(0))
    results.write(place(tmp_path, 1), header(1, results_dir="other"), rounds(0))
    results.write(place(tmp_path, 2), header(2, preset="paper"), rounds(0))
    with pytest.raises(
        ResultsError, match=r"\(seed 0, seed 2\): preset: 'fast', 'paper'"
    ):
        collect(tmp_path, "metaworld", "8-8-0-0", "amf")


def test_collect_refuses_seeds_whose_method_stood_for_different_things(tmp_path):
    results.write(place(tmp_path, 0), header(0), rounds(0))  # does not say
    for seed, weights in ((1, "plain"), (2, "plain")):
        one = header(seed) | {"method": {"weights": weights}}
        results.write(place(tmp_path, seed), one, rounds(0))
    assert len(collect(tmp_path, "metaworld", "8-8-0-0", "amf")) == 3
    other = header(3) | {"method": {"weights": "off"}}
    results.write(place(tmp_path, 3), other, rounds(0))
    with pytest.raises(
        ResultsError, match=r"\(seed 1, seed 3\): method\.weights: 'plain', 'off'"
    ):
        collect(tmp_path, "metaworld", "8-8-0-0", "amf")


def test_collect_refuses_a_file_under_another_seed(tmp_path):
    results.write(place(tmp_path, 1), header(0), rounds(0))
    with pytest.raises(ResultsError, match=r"seed1\.jsonl holds the results of seed 0"):
        collect(tmp_path, "metaworld", "8-8-0-0", "amf")


@pytest.mark.parametrize(
    ("field", "value"),
    [("suite", "kitchen"), ("setting", "9-8-0-0"), ("method", "uniform"), ("seed", 1)],
)
def test_collect_refuses_a_file_that_was_moved(field, value, tmp_path):
    moved = header() | {"config": header()["config"] | {field: value}}
    results.write(place(tmp_path, 0), moved, rounds(0))
    told = {"suite": "metaworld", "setting": "8-8-0-0", "method": "amf", "seed": 0}
    words = (
        rf"seed0\.jsonl holds the results of {field} {value}, not of {told[field]}; "
    )
    with pytest.raises(ResultsError, match=words):
        collect(tmp_path, "metaworld", "8-8-0-0", "amf")


def test_rounds_without_end_are_not_counted():
    run = Run(header(rounds=2**52), rounds(0, 1))
    assert not reading.is_complete(run, run.config["rounds"])
    assert reading.is_complete(run, 1)
    assert not reading.is_complete(Run(header(), rounds(0, 2)), 1)


def test_unfinished_runs_are_left_out_with_a_warning():
    whole, partial = Run(header(0), rounds(0, 1, 2)), Run(header(1), rounds(0, 1))
    with pytest.warns(
        ResultsWarning, match=r"amf: unfinished runs \(seeds 1\) are left"
    ):
        assert finished([whole, partial]) == [whole]
    with pytest.warns(ResultsWarning, match="up to the last round they share"):
        assert finished([partial]) == [partial]


def test_curves_of_unlike_budgets_are_warned_about():
    runs = {
        "AMF": [Run(header(), [])],
        "Uniform": [Run(header(method="uniform", attempts=25), [])],
    }
    with pytest.warns(ResultsWarning, match="attempts is 50 for AMF; 25 for Uniform"):
        warn_if_incomparable(runs)


def test_methods_alone_are_comparable():
    runs = {m: [Run(header(method=m), [])] for m in ("amf", "uniform")}
    warn_if_incomparable(runs)


def test_values_stacks_seeds_up_to_the_shortest_and_null_is_nan():
    first = [
        {"a": 1.0, "b": [1, None]},
        {"a": None, "b": None},
        {"a": 3.0, "b": [5, 6]},
    ]
    second = [{"a": 4, "b": [7, 8]}, {"a": 5}]
    runs = [Run(header(0), first), Run(header(1), second)]
    nan = np.nan
    np.testing.assert_array_equal(values(runs, "a"), [[1, nan], [4, 5]])
    np.testing.assert_array_equal(
        values(runs, "b"), [[[1, nan], [nan, nan]], [[7, 8], [nan, nan]]]
    )
    np.testing.assert_array_equal(values(runs, "c"), np.full((2, 2), nan))


def test_collect_all_has_every_finished_run_in_the_order_of_numbers(tmp_path):
    for setting in ("12", "2"):
        for method in ("uniform", "amf", "study_figure3"):
            config = {"suite": "integrator", "setting": setting, "method": method}
            where = results.path(tmp_path, "integrator", setting, method, 0)
            results.write(where, header(**config), rounds(0, 1, 2))
    results.write(place(tmp_path, 0), header(), rounds(0, 1))
    with pytest.warns(ResultsWarning, match="8-8-0-0 amf is left out: no run is fin"):
        found = collect_all(tmp_path)
    assert list(found) == [("integrator", "2"), ("integrator", "12")]
    assert list(found["integrator", "2"]) == ["amf", "uniform"]
    assert found["integrator", "12"]["amf"][0].config["setting"] == "12"


def test_collect_all_of_an_empty_folder_is_empty(tmp_path):
    assert collect_all(tmp_path) == {}


def test_matched_keeps_the_seeds_that_both_have():
    first = [Run(header(seed), []) for seed in (0, 2, 3)]
    second = [Run(header(seed, method="uniform"), []) for seed in (3, 2, 5)]
    with pytest.warns(
        ResultsWarning,
        match="8-8-0-0 amf and metaworld 8-8-0-0 uniform: seeds 0, 5 are not in both",
    ):
        ours, theirs = matched(first, second)
    assert [run.seed for run in ours] == [run.seed for run in theirs] == [2, 3]
    assert theirs[0].config["method"] == "uniform"


@pytest.mark.parametrize("field", ["mean_success", "return"])
def test_score_is_the_success_where_there_is_one(field):
    empty = {"mean_success": None, "return": None}
    assert score([Run(header(), [empty | {field: 0.5}])]) == field


def test_only_canonical_names_are_runs(tmp_path):
    results.write(place(tmp_path, 7), header(7), rounds(0, 1, 2))
    twin = place(tmp_path, 7).with_name("seed007.jsonl")
    twin.write_bytes(place(tmp_path, 7).read_bytes())
    assert len(collect(tmp_path, "metaworld", "8-8-0-0", "amf")) == 1


def test_runs_that_have_not_begun_are_left_out_even_alone():
    empty = Run(header(0), [])
    with pytest.warns(ResultsWarning, match="unfinished runs"):
        assert finished([empty]) == []


def test_indices_are_wanted_of_evaluation_tasks_alone():
    def run(*tasks):
        records = [{"round": r, "task": t} for r, t in enumerate([None, *tasks])]
        return Run(header(), records)

    np.testing.assert_array_equal(
        asked_indices([run(0, 2), run(1, 1)]), [[0, 2], [1, 1]]
    )
    with pytest.raises(ResultsError, match="metaworld 8-8-0-0 amf asks for tasks that"):
        asked_indices([run(0, [0.5, 1.0])])
    with pytest.raises(ResultsError, match="different length"):
        asked_indices([run(0, 2), run(1)])


def test_fields_that_are_no_numbers_of_one_shape_are_refused():
    run = Run(header(), [{"mine": [1.0, 2.0]}, {"mine": [1.0]}, {"mine": None}])
    with pytest.raises(ResultsError, match="mine must be a number in every record"):
        values([run], "mine")
    even = Run(header(), [{"mine": [1.0, 2.0]}, {"mine": None}])
    assert per_task([even], "mine", 2).shape == (1, 2, 2)
    assert per_task([even], "other", 3).shape == (1, 2, 3)
    with pytest.raises(ResultsError, match="mine must be a list of 3 numbers"):
        per_task([even], "mine", 3)
