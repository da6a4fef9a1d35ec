"""Evidence: what is kept of finished runs, and that it reads like them."""

import json
import os
import re
import shutil

import numpy as np
import pytest

from amf_jax.errors import ResultsError
from experiments import (
    columns,
    evidence,
    reading,
    results,
    runs,
    schema,
    series,
    studies,
)
from experiments.configs import loading, sweeps
from experiments.execution import planning, runner
from experiments.figures import weights
from experiments.runs import collect
from tests.experiments import figure_results
from tests.experiments.result_files import header, place

PLACE = "metaworld", "8-8-0-0", "amf"
ROUNDS = [
    {"round": number, "task": None if number == 0 else 1, "mean_success": number / 10}
    for number in range(3)
]


@pytest.fixture
def folders(tmp_path):
    """Two seeds of AMF, with all that a record has, and where evidence goes."""
    for seed in range(2):
        records = [
            record
            | {
                "scores": None if record["round"] < 5 else [0.25] * 4,
                "ess": None if record["round"] < 5 else [1.0] * 4,
                "seconds": {"select": 0.00123456, "evaluate": 2.0, "share": None},
                "something": {"more": [1, "two", None]} if record["round"] else None,
            }
            for record in figure_results.metaworld_records("amf", seed)
        ]
        figure_results.save(tmp_path / "results", *PLACE, seed, records)
    return tmp_path / "results", tmp_path / "evidence"


def test_evidence_reads_like_the_results_that_it_was_made_of(folders):
    ours, kept = folders
    written = evidence.add(ours, kept)
    assert written == [results.evidence_path(kept, *PLACE)]
    assert runs.places(kept) == runs.places(ours) == [PLACE]
    for one, other in zip(collect(ours, *PLACE), collect(kept, *PLACE), strict=True):
        assert (other.header, other.torn) == (one.header, False)
        for before, after in zip(one.records, other.records, strict=True):
            assert before.keys() - after.keys() == {"scores", "ess"}
            assert after.pop("seconds") == {
                "select": 0.0012,
                "evaluate": 2.0,
                "share": None,
            }
            assert after == {name: before[name] for name in after}
    assert len(written[0].read_bytes().splitlines()) == 2  # a line per run
    pace = planning.seconds_per_round([kept], "metaworld", "fast", "amf")
    assert pace == pytest.approx(2.0012)
    seen = [weights.mean_matrix(collect(f, *PLACE), 10, 4) for f in folders]
    np.testing.assert_array_equal(*seen)
    again = kept.with_name("again")
    evidence.add(kept, again)
    assert results.evidence_path(again, *PLACE).read_bytes() == written[0].read_bytes()


@pytest.mark.parametrize("name", ["figure4_metaworld", "figure3"])
def test_evidence_is_drawn_like_results(tmp_path, name, monkeypatch):
    ours, kept = tmp_path / "results", tmp_path / "evidence"
    for setting in ("8-8-0-0", "2-2-2-2"):  # the second of those without mismatch
        figure_results.save_metaworld(ours, setting, ("amf", "uniform"))
    figure_results.save_studies(ours)
    evidence.add(ours, kept)
    one, other = (figure_results.make(monkeypatch, name, f) for f in (ours, kept))
    for axes, same in zip(one.axes, other.axes, strict=True):
        assert axes.get_title() == same.get_title()
        assert len(axes.get_lines()) > 0
        for line, like in zip(axes.get_lines(), same.get_lines(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), like.get_xydata())


@pytest.mark.parametrize(
    ("method", "task", "there"),
    [("amf", 0, True), ("amf", [0.5, 1.0], False), ("uniform", 0, False)],
)
def test_only_weights_between_tasks_that_are_drawn_are_kept(
    tmp_path, method, task, there
):
    record = {"round": 1, "task": task, "importance_weights": [[1.0]], "scores": [1]}
    figure_results.save(
        tmp_path, *PLACE[:2], method, 0, [ROUNDS[0], record], task_names=["a"]
    )
    evidence.add(tmp_path, tmp_path / "evidence")
    (run,) = collect(tmp_path / "evidence", *PLACE[:2], method)
    assert ("importance_weights" in run.records[1]) is there
    assert series.asked(run) == [task]


def test_a_study_is_kept_as_it_is(tmp_path):
    figure_results.save_studies(tmp_path / "results")
    study = "integrator", "12", "study_figure3"
    evidence.add(tmp_path / "results", tmp_path / "evidence")
    assert collect(tmp_path / "evidence", *study) == collect(
        tmp_path / "results", *study
    )


def test_finished_seeds_are_added_and_replaced(tmp_path):
    ours, kept = tmp_path / "results", tmp_path / "evidence"
    for seed in (0, 10):
        results.write(place(ours, seed), header(seed), ROUNDS)
    evidence.add(ours, kept)
    place(ours, 0).unlink()
    again = [record | {"mean_success": 0.75} for record in ROUNDS]
    results.write(place(ours, 10), header(10), again)
    results.write(place(ours, 3), header(3), ROUNDS)
    results.write(place(ours, 4), header(4), ROUNDS[:2])  # not finished
    evidence.add(ours, kept)
    found = {run.seed: run.records[2]["mean_success"] for run in collect(kept, *PLACE)}
    assert found == {0: 0.2, 3: 0.2, 10: 0.75}


def test_nothing_is_written_if_the_runs_of_a_method_are_of_several_configs(tmp_path):
    ours, kept = tmp_path / "results", tmp_path / "evidence"
    results.write(place(ours, 0), header(0), ROUNDS)
    evidence.add(ours, kept)
    before = {file: file.read_bytes() for file in kept.rglob("*.jsonl")}
    place(ours, 0).unlink()
    results.write(place(ours, 0, "aaa"), header(0, method="aaa"), ROUNDS)
    results.write(place(ours, 1), header(1, preset="paper"), ROUNDS)
    with pytest.raises(ResultsError, match="preset: 'fast', 'paper'"):
        evidence.add(ours, kept)
    assert {file: file.read_bytes() for file in kept.rglob("*.jsonl")} == before


def test_a_file_stays_as_it_was_when_writing_fails(folders, monkeypatch):
    ours, kept = folders
    (path,) = evidence.add(ours, kept)
    before = path.read_bytes()
    place(ours, 1).unlink()

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ResultsError, match=r"cannot write .*amf\.jsonl: No space"):
        evidence.add(ours, kept)
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]


def _cut(lines):
    return [lines[0], lines[1][: len(lines[1]) // 2]]


def _changed(**fields):
    def change(lines):
        line = json.loads(lines[1])
        line["records"] |= fields
        return [lines[0], json.dumps(line)]

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "line 2 is not JSON"),
        (lambda lines: [lines[0], "[1]"], "line 2 is not a JSON object"),
        (lambda lines: [], "line 1 is not JSON"),
        (_changed(round=[0, 1]), "line 2 has no records by columns of one length"),
        (_changed(round=[*range(20), 21]), "line 2, record 20 must be of round 20"),
        (_changed(mixing=1.5), "line 2 has no records by columns"),
        (_changed(mixing={"a": {"b": []}}), "line 2 has no records by columns"),
        (_changed(mean_success=[True] * 21), "line 2, record 0 has mean_success = Tr"),
        (lambda lines: [lines[0], '{"config": {}}'], "line 2 has no records by col"),
        (lambda lines: [lines[1], lines[0]], "line 2 is of seed 0 behind seed 1"),
        (lambda lines: [lines[0], lines[0]], "line 2 is of seed 0 behind seed 0"),
        (
            lambda lines: [lines[0], lines[1].replace('"seed":1,"r', '"seed":2,"r')],
            "line 2 holds the results of seed 1, not of 2",
        ),
    ],
)
def test_damage_names_file_and_line(folders, damage, words):
    ours, kept = folders
    (path,) = evidence.add(ours, kept)
    lines = damage(path.read_text().splitlines())
    path.write_text("\n".join(lines))
    with pytest.raises(ResultsError, match=rf"amf\.jsonl.*{re.escape(words)}"):
        collect(kept, *PLACE)


def test_evidence_is_no_folder_to_run_in(folders, monkeypatch, capsys):
    ours, kept = folders
    evidence.add(ours, kept)
    config = loading.load("metaworld:4-4-4-4", {"results_dir": str(kept)})
    sweep = sweeps.get_config("main")
    sweep.results_dir = str(kept)
    refused = "holds evidence, which no run writes to"
    with pytest.raises(ResultsError, match=refused), runner.claimed(config):
        pass
    with pytest.raises(ResultsError, match=refused):
        planning.plan(sweep)
    with pytest.raises(ResultsError, match=refused):
        studies.run("figure3", kept)
    assert [*kept.rglob("seed*")] == []


def test_results_and_evidence_do_not_share_a_folder(folders, capsys):
    ours, kept = folders
    with pytest.raises(ResultsError, match="evidence: .* is a folder of results"):
        evidence.add(ours, ours)
    evidence.add(ours, kept)
    shutil.copytree(ours / "metaworld", kept / "metaworld", dirs_exist_ok=True)
    with pytest.raises(ResultsError, match="both hold runs of amf"):
        collect(kept, *PLACE)


def test_the_command_says_what_it_wrote_or_what_is_wrong(folders, capsys):
    ours, kept = folders
    assert evidence.main([str(ours), f"--evidence={kept}"]) == 0
    assert capsys.readouterr().out == f"{results.evidence_path(kept, *PLACE)}\n"
    assert evidence.main([str(kept / "nothing"), f"--evidence={kept}"]) == 1
    assert "error: no finished runs in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "records",
    [
        [{"a": 1, "b": None}],
        [{"a": 1, "seconds": {"x": 1, "y": None}}, {"a": [1, {}], "seconds": {}}],
        [{"a": {}}, {"a": {"b": {"c": 1}}}],
    ],
)
def test_rows_of_columns_are_the_records_with_every_field(records):
    names = {name for record in records for name in record}
    for row, record in zip(
        columns.rows(columns.columns(records)), records, strict=True
    ):
        assert row.keys() == names
        for name, value in row.items():
            expected = record.get(name)
            if isinstance(value, dict):
                value = {k: v for k, v in value.items() if k in expected}
            assert value == expected


def test_the_committed_evidence_is_small_and_valid_to_the_last_field():
    found = [file for file in planning.EVIDENCE.rglob("*") if file.is_file()]
    assert len(found) < 300
    assert sum(file.stat().st_size for file in found) < 10e6
    for suite in ("metaworld", "kitchen", "integrator"):
        place = runs.places(planning.EVIDENCE, f"{suite}/*/amf")[0]
        path = results.evidence_path(planning.EVIDENCE, *place)
        lines = path.read_text().splitlines()
        for run, line in zip(reading.read_evidence(path), lines, strict=True):
            header = json.loads(line)
            exact = columns.rows(header.pop("records"))
            assert run == (header, exact, False)
            # Where booleans may be, every value is looked at on its own.
            objects = [header, *exact]
            assert schema.first_fault(objects, None, booleans=True) is None
