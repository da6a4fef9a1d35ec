import json
import os

import ml_collections
import numpy as np
import pytest

from amf_jax.errors import InvalidArgumentError, ResultsError
from experiments import reading, results, runs, series
from experiments.reading import Run
from tests.experiments.result_files import CONFIG, header, place, rounds


def test_round_trip_keeps_every_digit_and_turns_nan_into_null(tmp_path):
    path = place(tmp_path, 3)
    record = {
        "round": np.int64(0),
        "task": None,
        "success": np.array([0.1, np.nan, np.inf]),
        "importance_weights": np.array([[1, 2], [3, 4], [5, 6]]),
        "mixing": np.full(3, 0.1, dtype=np.float32),
        "return": 0.1 + 0.2,
        "seconds": {"select": np.float32(0.5)},
        "done": np.bool_(True),
    }
    config = ml_collections.ConfigDict({"names": ("a", "b"), "where": None, "seed": 3})
    results.write(path, {"config": config, "versions": {}, "seed": 3}, [record])

    run = reading.read(path)
    assert run.config == {"names": ["a", "b"], "where": None, "seed": 3}
    assert run.seed == 3
    assert not run.torn
    assert run.records == [
        {
            "round": 0,
            "task": None,
            "success": [0.1, None, None],
            "importance_weights": [[1, 2], [3, 4], [5, 6]],
            "mixing": [0.10000000149011612] * 3,  # float32(0.1), unrounded
            "return": 0.30000000000000004,
            "seconds": {"select": 0.5},
            "done": True,
        }
    ]
    text = path.read_text()
    assert text.count("\n") == 2
    assert "NaN" not in text
    assert "Infinity" not in text


def test_old_file_survives_a_value_that_cannot_be_written(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0))
    with pytest.raises(ResultsError, match=r"record 1\.task\[0\] is a object"):
        results.write(path, header(), [*rounds(0), {"round": 1, "task": [object()]}])
    assert reading.read(path).records == rounds(0)


def test_old_file_survives_a_crash_while_writing(tmp_path, monkeypatch):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0))
    written = []

    def crash(source, target):
        # the new content must be complete before it takes the old one's place
        written.append(len(reading.read(source).records))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(ResultsError, match=r"seed0\.jsonl: No space left"):
            results.write(path, header(), rounds(0, 1))
    assert written == [2]
    assert reading.read(path).records == rounds(0)
    assert len(runs.collect(tmp_path, "metaworld", "8-8-0-0", "amf")) == 1

    assert [file.name for file in path.parent.iterdir()] == ["seed0.jsonl"]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    path, other = place(tmp_path, 0), place(tmp_path, 1)
    for one in (path, other):
        results.write(one, header(), rounds(0))
    for name in (".seed0.jsonl.tmp", ".seed0.jsonl.1a2b3c4d.tmp"):
        path.with_name(name).write_text("half")
    kept = path.with_name(".seed1.jsonl.1a2b3c4d.tmp")
    kept.write_text("half, by another run")
    results.remove_leftovers(path)
    assert {file.name for file in path.parent.iterdir()} == {
        "seed0.jsonl",
        "seed1.jsonl",
        kept.name,
    }


def test_the_folder_of_results_is_one_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    results.check_writable("~/results")
    assert (tmp_path / "results").is_dir()
    home = results.path("~/results", "reach", "8-0", "amf", 0)
    assert home == tmp_path / "results/reach/8-0/amf/seed0.jsonl"
    for folder in ("", "gs://bucket/results"):
        with pytest.raises(InvalidArgumentError, match="results_dir"):
            results.check_writable(folder)
        with pytest.raises(InvalidArgumentError, match="results_dir"):
            results.path(folder, "reach", "8-0", "amf", 0)


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
    assert "old: 1, absent; policy.width: 256, 64; rounds: 2, 40. Use" in message
    assert "seed0.jsonl" in message
    assert "attempts" not in message
    assert "delete" not in message


def test_the_budget_may_grow_but_not_shrink(tmp_path):
    path, config = place(tmp_path, 0), CONFIG | {"seed": 0}
    results.write(path, header(), rounds(0))
    results.require_same_run(path, config | {"rounds": 40})
    with pytest.raises(ResultsError, match="run of 2 rounds, .* or more, not 1, or"):
        results.require_same_run(path, config | {"rounds": 1})
    with pytest.raises(ResultsError, match="attempts: 50, 60"):
        results.require_same_run(path, config | {"rounds": 40, "attempts": 60})


def test_a_method_that_stood_for_something_else_is_refused(tmp_path):
    path = place(tmp_path, 0)
    method = {"selector": "amf", "weights": "plain", "strength": None}
    results.write(path, header() | {"method": method}, rounds(0))
    config = CONFIG | {"seed": 0}
    results.require_same_config(path, config, method)
    results.require_same_config(path, config)
    with pytest.raises(ResultsError, match=r"method\.weights: 'plain', 'off'\. Use"):
        results.require_same_config(path, config, method | {"weights": "off"})


def test_what_only_one_file_says_of_its_method_is_not_compared(tmp_path):
    path = place(tmp_path, 0)
    config, method = CONFIG | {"seed": 0}, {"selector": "amf", "weights": "plain"}
    results.write(path, header(), rounds(0))  # as before there was such a field
    results.require_same_config(path, config, method)
    results.write(path, header() | {"method": method}, rounds(0))
    results.require_same_config(path, config, method | {"new": 1})


def test_a_file_older_than_a_field_did_what_was_done_before_it(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0))
    assert reading.read(path).batch == 1
    results.require_same_config(path, CONFIG | {"seed": 0, "batch": 1})
    with pytest.raises(ResultsError, match="batch: 1, 2. Use"):
        results.require_same_config(path, CONFIG | {"seed": 0, "batch": 2})
    results.write(place(tmp_path, 1), header(1, batch=1), rounds(0))
    both = runs.collect(tmp_path, "metaworld", "8-8-0-0", "amf")
    assert [run.seed for run in both] == [0, 1]
    runs.warn_if_incomparable({"old": both[:1], "new": both[1:]})


def test_the_identity_of_a_run_is_that_of_one_older_than_a_field():
    old = {"seed": 0, "policy": {"width": 64}}
    here = {**old, "results_dir": "results", "rounds": 3}
    assert results.identity(here) == results.identity({**here, "batch": 1}) == old
    assert results.identity({**here, "batch": 2}) == {**old, "batch": 2}


def test_what_was_asked_for_is_one_list_whatever_the_batch():
    tasks = [[0.5, -1.0], [1.0, 0.0]]
    single = [{"task": task} for task in (None, *tasks)]
    assert series.asked(Run(header(), single)) == tasks
    double = [{"task": task} for task in (None, [2, 0], [1, 1], [0, 2])]
    run = Run(header(batch=2), double)
    assert series.asked(run) == [2, 0, 1, 1, 0, 2]
    assert series.asked(run, 2, 3) == [1, 1]


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
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # root may write anywhere
    with pytest.raises(ResultsError, match="Permission denied"):
        results.check_writable(tmp_path)


def test_lines_are_plain_json_in_the_fixed_order(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(lines[0]) == ["config", "versions", "seed"]
    assert lines[1:] == rounds(0, 1)
