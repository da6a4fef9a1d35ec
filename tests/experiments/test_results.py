import json
import os

import ml_collections
import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import results
from experiments.results import ResultsWarning, Run

CONFIG = {
    "suite": "metaworld",
    "setting": "8-8-0-0",
    "method": "amf",
    "preset": "fast",
    "rounds": 2,
    "attempts": 50,
    "results_dir": "results",
    "policy": {"width": 256},
}


def header(seed=0, **changes):
    return {"config": CONFIG | {"seed": seed} | changes, "versions": {}, "seed": seed}


def rounds(*numbers):
    return [{"round": number, "mean_success": number / 10} for number in numbers]


def place(folder, seed, method="amf"):
    return results.path(folder, "metaworld", "8-8-0-0", method, seed)


def test_round_trip_keeps_every_digit_and_turns_nan_into_null(tmp_path):
    path = place(tmp_path, 3)
    record = {
        "round": np.int64(0),
        "task": None,
        "success": np.array([0.1, np.nan, np.inf]),
        "scores": np.array([[1, 2], [3, 4]]),
        "mixing": np.array([0.1], dtype=np.float32),
        "return": 0.1 + 0.2,
        "seconds": {"select": np.float32(0.5)},
        "done": np.bool_(True),
    }
    config = ml_collections.ConfigDict({"names": ("a", "b"), "where": None, "seed": 3})
    results.write(path, {"config": config, "versions": {}, "seed": 3}, [record])

    run = results.read(path)
    assert run.config == {"names": ["a", "b"], "where": None, "seed": 3}
    assert run.seed == 3
    assert not run.torn
    assert run.records == [
        {
            "round": 0,
            "task": None,
            "success": [0.1, None, None],
            "scores": [[1, 2], [3, 4]],
            "mixing": [0.10000000149011612],  # float32(0.1), unrounded
            "return": 0.30000000000000004,
            "seconds": {"select": 0.5},
            "done": True,
        }
    ]
    text = path.read_text()
    assert text.count("\n") == 2
    assert "NaN" not in text
    assert "Infinity" not in text


def test_versions_are_those_installed_and_skip_what_is_not(monkeypatch):
    monkeypatch.setattr(results, "PACKAGES", ("numpy", "surely-not-installed"))
    assert results.versions().keys() == {"python", "numpy"}
    assert results.versions()["numpy"] == np.__version__


def test_torn_last_line_is_dropped_and_flagged(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    whole = path.read_bytes()
    cut = len(whole) - 7
    path.write_bytes(whole[:cut])

    run = results.read(path)
    assert run.torn
    assert run.records == rounds(0, 1)


def test_last_line_without_newline_is_whole(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    path.write_bytes(path.read_bytes()[:-1])
    assert results.read(path) == Run(header(), rounds(0, 1), torn=False)


@pytest.mark.parametrize("garbage", [b'{"round": 1, "mean', b"\xff\xfe{}", b"[1]"])
def test_broken_middle_line_names_file_and_line(tmp_path, garbage):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    lines = path.read_bytes().split(b"\n")
    lines[2] = garbage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 3 is no"):
        results.read(path)


@pytest.mark.parametrize("content", ["", '{"config": {', '{"round": 0}\n'])
def test_unusable_header_is_an_error(tmp_path, content):
    path = tmp_path / "seed0.jsonl"
    path.write_text(content)
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 1 is no"):
        results.read(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match="cannot read"):
        results.read(tmp_path / "seed0.jsonl")


def test_old_file_survives_a_value_that_cannot_be_written(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0))
    with pytest.raises(ResultsError, match=r"record 1\.task\[0\] is a object"):
        results.write(path, header(), [*rounds(0), {"round": 1, "task": [object()]}])
    assert results.read(path).records == rounds(0)


def test_old_file_survives_a_crash_while_writing(tmp_path, monkeypatch):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0))
    written = []

    def crash(source, target):
        # the new content must be complete before it takes the old one's place
        written.append(len(results.read(source).records))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(ResultsError, match=r"seed0\.jsonl: No space left"):
            results.write(path, header(), rounds(0, 1))
    assert written == [2]
    assert results.read(path).records == rounds(0)
    assert len(results.collect(tmp_path, "metaworld", "8-8-0-0", "amf")) == 1

    results.write(path, header(), rounds(0, 1))
    assert [file.name for file in path.parent.iterdir()] == ["seed0.jsonl"]


def test_same_config_in_another_folder_is_accepted(tmp_path):
    path = place(tmp_path, 0)
    config = ml_collections.ConfigDict(CONFIG | {"names": ("a", "b"), "seed": 0})
    results.require_same_config(path, config)  # nothing there yet
    results.write(path, {"config": config, "versions": {}, "seed": 0}, [])
    config.results_dir = "elsewhere"
    results.require_same_config(path, config)


def test_another_config_is_refused_naming_the_fields(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(old=1), rounds(0))
    config = CONFIG | {"seed": 0, "rounds": 40, "policy": {"width": 64}}
    with pytest.raises(ResultsError) as caught:
        results.require_same_config(path, config)
    message = str(caught.value)
    assert "old: 1, absent; policy.width: 256, 64; rounds: 2, 40" in message
    assert "seed0.jsonl" in message
    assert "attempts" not in message


def test_check_writable_makes_the_folder_and_leaves_nothing(tmp_path):
    folder = tmp_path / "a" / "b"
    results.check_writable(folder)
    assert folder.is_dir()
    assert not any(folder.iterdir())


def test_folder_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(ResultsError, match="results_dir: cannot write to"):
            results.check_writable(folder)


def test_refused_permission_is_not_writable(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)  # root may write anywhere
    with pytest.raises(ResultsError, match="Permission denied"):
        results.check_writable(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "complete"),
    [((0, 1, 2), True), ((0, 1), False), ((0, 2, 1), False), ((0, 1, 2, 3), False)],
)
def test_is_complete(numbers, complete):
    assert results.is_complete(Run(header(), rounds(*numbers)), 2) is complete


def test_collect_sorts_seeds_as_numbers(tmp_path):
    for seed in (10, 2, 0):
        results.write(place(tmp_path, seed), header(seed), rounds(0))
    (place(tmp_path, 0).parent / "seed0.checkpoint").mkdir()
    runs = results.collect(tmp_path, "metaworld", "8-8-0-0", "amf")
    assert [run.seed for run in runs] == [0, 2, 10]
    assert results.collect(tmp_path, "metaworld", "8-8-0-0", "uniform") == []


def test_collect_refuses_seeds_of_several_configs(tmp_path):
    results.write(place(tmp_path, 0), header(0), rounds(0))
    results.write(place(tmp_path, 1), header(1, results_dir="other"), rounds(0))
    results.write(place(tmp_path, 2), header(2, preset="paper"), rounds(0))
    with pytest.raises(
        ResultsError, match=r"\(seed 0, seed 2\): preset: 'fast', 'paper'"
    ):
        results.collect(tmp_path, "metaworld", "8-8-0-0", "amf")


def test_collect_refuses_a_file_under_another_seed(tmp_path):
    results.write(place(tmp_path, 1), header(0), rounds(0))
    with pytest.raises(ResultsError, match=r"seed1\.jsonl holds the results of seed 0"):
        results.collect(tmp_path, "metaworld", "8-8-0-0", "amf")


def test_unfinished_runs_are_left_out_with_a_warning():
    whole, partial = Run(header(0), rounds(0, 1, 2)), Run(header(1), rounds(0, 1))
    with pytest.warns(
        ResultsWarning, match=r"amf: unfinished runs \(seeds 1\) are left"
    ):
        assert results.finished([whole, partial]) == [whole]
    with pytest.warns(ResultsWarning, match="up to the last round they share"):
        assert results.finished([partial]) == [partial]


def test_curves_of_unlike_budgets_are_warned_about():
    runs = {
        "AMF": [Run(header(), [])],
        "Uniform": [Run(header(method="uniform", attempts=25), [])],
    }
    with pytest.warns(ResultsWarning, match="attempts is 50 for AMF; 25 for Uniform"):
        results.warn_if_incomparable(runs)


def test_methods_alone_are_comparable():
    runs = {m: [Run(header(method=m), [])] for m in ("amf", "uniform")}
    results.warn_if_incomparable(runs)


def test_values_stacks_seeds_up_to_the_shortest_and_null_is_nan():
    first = [
        {"a": 1.0, "b": [1, None]},
        {"a": None, "b": None},
        {"a": 3.0, "b": [5, 6]},
    ]
    second = [{"a": 4, "b": [7, 8]}, {"a": 5}]
    runs = [Run(header(0), first), Run(header(1), second)]
    nan = np.nan
    np.testing.assert_array_equal(results.values(runs, "a"), [[1, nan], [4, 5]])
    np.testing.assert_array_equal(
        results.values(runs, "b"), [[[1, nan], [nan, nan]], [[7, 8], [nan, nan]]]
    )
    np.testing.assert_array_equal(results.values(runs, "c"), np.full((2, 2), nan))


def test_lines_are_plain_json_in_the_fixed_order(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(lines[0]) == ["config", "versions", "seed"]
    assert lines[1:] == rounds(0, 1)
