import json
import os

import pytest

from amf_jax.errors import ResultsError
from experiments import reading, results, schema, series
from experiments.reading import Run
from tests.experiments import figure_results
from tests.experiments.result_files import CONFIG, header, place, rounds


def test_torn_last_line_is_dropped_and_flagged(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    whole = path.read_bytes()
    cut = len(whole) - 7
    path.write_bytes(whole[:cut])

    run = reading.read(path)
    assert run.torn
    assert run.records == rounds(0, 1)


def test_last_line_without_newline_is_whole(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    path.write_bytes(path.read_bytes()[:-1])
    assert reading.read(path) == Run(header(), rounds(0, 1), torn=False)


@pytest.mark.parametrize(
    "garbage",
    [b'{"round": 1, "mean', b"\xff\xfe{}", b"[1]", b'{"a": 1, "a": 1}'],
)
def test_broken_middle_line_names_file_and_line(tmp_path, garbage):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    lines = path.read_bytes().split(b"\n")
    lines[2] = garbage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 3 is no"):
        reading.read(path)


@pytest.mark.parametrize("content", ["", '{"config": {', '{"round": 0}\n'])
def test_unusable_header_is_an_error(tmp_path, content):
    path = tmp_path / "seed0.jsonl"
    path.write_text(content)
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 1 is no"):
        reading.read(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match="cannot read"):
        reading.read(tmp_path / "seed0.jsonl")


@pytest.mark.parametrize(
    ("numbers", "complete"),
    [((0, 1, 2), True), ((0, 1), False), ((0, 2, 1), False), ((0, 1, 2, 3), False)],
)
def test_is_complete(numbers, complete):
    assert reading.is_complete(Run(header(), rounds(*numbers)), 2) is complete


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


FULL = CONFIG | {"task_names": ["a", "b"], "allocation": [8, 0]}
ROUND_0 = {
    "round": 0,
    "task": None,
    "success": [0.5, 0],
    "mean_success": 0.25,
    "return": None,
    "demos_per_task": [0, 0],
    "mixing": [0.1, None],
    "scores": None,
    "ess": None,
    "importance_weights": None,
    "seconds": {"select": 0.5, "share": None},
    "mine": [True, "anything", {"at": {"all": []}}],
}
ROUND_1 = ROUND_0 | {
    "round": 1,
    "task": 1,
    "scores": [1.5, None, -2],
    "ess": [1.0, 2.5],
    "importance_weights": [[0.5, 0.5], [1, 0]],
}


def save_changed(path, line, **changes):
    """A file of two rounds, one of whose lines has other fields."""
    objects = [header() | {"config": FULL}, ROUND_0, ROUND_1]
    objects[line - 1] = objects[line - 1] | changes
    write_lines(path, *map(json.dumps, objects))


def test_a_valid_file_is_read_as_it_is(tmp_path):
    path = place(tmp_path, 0)
    sessions = [{"versions": {"jax": "1"}, "rounds": [0, 1]}]
    save_changed(path, 1, sessions=sessions)
    run = reading.read(path)
    assert run.records == [ROUND_0, ROUND_1]
    assert run.header["sessions"] == sessions


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (1, "config", [1]),
        (1, "config", {**FULL, "rounds": "20"}),
        (1, "config", {**FULL, "rounds": True}),
        (1, "config", {**FULL, "batch": 0}),
        (1, "config", {**FULL, "task_names": ["a", 2]}),
        (1, "config", {**FULL, "allocation": [8, 0, 0]}),
        (1, "config", {**FULL, "suite": None}),
        (1, "config", {**FULL, "preset": "\ud800"}),
        (1, "seed", True),
        (1, "seed", -1),
        (1, "method", "amf"),
        (1, "versions", ["3.11"]),
        (1, "versions", {"jax": 1}),
        (1, "sessions", {"rounds": 1}),
        (3, "task", 2),
        (3, "task", -1),
        (3, "task", None),
        (3, "task", True),
        (3, "task", 1.0),
        (3, "task", []),
        (3, "task", [0.5, None]),
        (3, "success", 0.5),
        (3, "success", [0.5]),
        (3, "success", [0.5, True]),
        (3, "success", [0.5, "1"]),
        (3, "success", [0.5, [1]]),
        (3, "success", {"0": 1}),
        (2, "mean_success", "0.5"),
        (2, "mean_success", False),
        (3, "return", 10**400),
        (3, "entropy", [1.0]),
        (3, "demos_per_task", [1, 0.5]),
        (3, "demos_per_task", [1, -1]),
        (3, "demos_per_task", [1, 2**53]),
        (3, "demos_per_task", None),
        (3, "mixing", [[0.1, 0.2]]),
        (3, "scores", [[1.0], [2.0]]),
        (3, "ess", [1.0, 2.0, 3.0]),
        (3, "importance_weights", [[0.5, 0.5], [1.0]]),
        (3, "importance_weights", [[0.5, 0.5]]),
        (3, "importance_weights", [[0.5, 0.5], None]),
        (3, "importance_weights", [[0.5, 0.5], [1.0, "0"]]),
        (3, "seconds", 1.5),
        (3, "seconds", {"select": "1"}),
    ],
)
def test_what_a_field_must_not_hold_is_refused_by_file_line_and_field(
    tmp_path, line, field, value
):
    path = place(tmp_path, 0)
    save_changed(path, line, **{field: value})
    with pytest.raises(ResultsError, match=rf"seed0\.jsonl, line {line} has {field}"):
        reading.read(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e101"])
def test_only_finite_numbers_are_numbers(tmp_path, number):
    path = place(tmp_path, 0)
    save_changed(path, 2)
    text = path.read_text().replace('"mean_success": 0.25', f'"mean_success": {number}')
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"line 2 (is not JSON|has mean_success)"):
        reading.read(path)


@pytest.mark.parametrize("numbers", [(0, 0), (0, 2), (1, 0), (1,), (0, 1.0), (False,)])
def test_rounds_come_once_and_in_order(tmp_path, numbers):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(*numbers))
    with pytest.raises(
        ResultsError, match=r"line [23] must be of round [01], the next"
    ):
        reading.read(path)


def test_a_batch_asks_for_a_list_of_tasks_and_scores_each(tmp_path):
    path = place(tmp_path, 0)
    config = {"config": FULL | {"batch": 2}}
    second = {"task": [0, [0.5, 1.0]], "scores": [[1.0], [2.0, None]]}
    lines = [header() | config, ROUND_0, ROUND_1 | second]
    write_lines(path, *map(json.dumps, lines))
    assert series.asked(reading.read(path)) == [0, [0.5, 1.0]]
    for wrong in ({"task": 1}, {"task": [0, 1, 1]}, {"scores": [1.0, 2.0]}):
        write_lines(path, *map(json.dumps, [*lines[:2], lines[2] | wrong]))
        with pytest.raises(ResultsError, match=f"line 3 has {next(iter(wrong))}"):
            reading.read(path)


@pytest.mark.parametrize("levels", [30, 100_000])
@pytest.mark.parametrize("field", ["config", "method"])
def test_deep_json_is_refused(tmp_path, levels, field):
    path = place(tmp_path, 0)
    deep = '{"a":' * levels + "1" + "}" * levels
    empty = {"config": "{}", "method": "{}"} | {field: deep}
    line = ", ".join(f'"{name}": {value}' for name, value in empty.items())
    write_lines(path, f'{{"seed": 0, {line}}}', json.dumps(ROUND_0))
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 1"):
        reading.read(path)


@pytest.mark.parametrize("study", sorted(schema.STUDIES))
def test_records_of_studies_have_their_fields(tmp_path, study):
    path = results.path(tmp_path, "integrator", "6", f"study_{study}", 0)
    figure_results.save_studies(tmp_path)
    (path,) = tmp_path.glob(f"integrator/*/study_{study}/seed0.jsonl")
    lines = path.read_text().splitlines()
    for field in schema.STUDIES[study]:
        changed = json.loads(lines[1])
        del changed[field]
        write_lines(path, lines[0], json.dumps(changed), *lines[2:])
        with pytest.raises(ResultsError, match=f"line 2 has no {field}"):
            reading.read(path)
        write_lines(path, lines[0], json.dumps(changed | {field: [True]}), *lines[2:])
        with pytest.raises(ResultsError, match=f"line 2 has {field} = "):
            reading.read(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    folder = tmp_path / "seed0.jsonl"
    folder.mkdir()
    pipe = tmp_path / "seed1.jsonl"
    os.mkfifo(pipe)
    for path, kind in ((folder, "folder"), (pipe, "named pipe"), ("/dev/zero", "dev")):
        with pytest.raises(ResultsError, match=f"cannot read .*{kind}"):
            reading.read(path)


def test_a_gigantic_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "seed0.jsonl"
    with path.open("wb") as file:
        file.truncate(2**40)  # without taking any space
    with pytest.raises(ResultsError, match="1099511627776 bytes, more than"):
        reading.read(path)


def test_a_field_that_a_file_lacks_is_named_where_it_is_asked_for(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    run = reading.read(path)
    with pytest.raises(ResultsError, match=r"config of .*seed0\.jsonl.*'allocation'"):
        run.config["allocation"]
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 3 has no field 'task'"):
        series.asked(run)
