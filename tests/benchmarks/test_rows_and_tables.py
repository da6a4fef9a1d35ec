"""The saved file, the tables, the page and the figure made from it."""

import io
import json

import pytest
from rich.console import Console

from benchmarks import plots, readme, rows, table
from benchmarks.rows import Row
from experiments.tables.table import to_markdown, to_rich

MACHINE = {
    "backend": "cpu",
    "device": "cpu",
    "processor": "a processor",
    "cores": 2,
    "load": 0.0,
    "versions": {"jax": "1.2.3"},
    "date": "2000-01-01",
}
ROWS = [
    Row(
        "selection_dense",
        seconds=0.2,
        spread=(0.1, 0.3),
        peer="PyTorch",
        peer_seconds=5.0,
        limit_seconds=0.05,
        bytes_peak=3 * 2**20,
        compile_seconds=1.5,
        flops=4e10,
        note="a note",
    ),
    Row("greedy", "5 of 6", seconds=1e-5, peer="activeft", note="not installed"),
    Row("growth_tasks", "C = 2", seconds=0.1, bytes_peak=2**20),
    Row("growth_tasks", "C = 4", seconds=0.4, bytes_peak=2**21),
    Row("growth_tasks", "exponent", value=2.0, unit="e"),
    Row("evaluation", peer="gymnasium", error="ValueError: no\nscene"),
]


def test_the_file_holds_every_field_and_comes_back(tmp_path):
    path = tmp_path / "folder" / "bench.json"
    rows.write(path, MACHINE, ROWS)
    record = json.loads(path.read_text())
    assert set(record) == {"machine", "rows"} and record["machine"] == MACHINE
    promised = {
        *("job", "seconds", "spread", "peer", "peer_seconds", "ratio"),
        *("limit_seconds", "limit_ratio", "bytes_peak"),
    }
    for entry in record["rows"]:
        assert promised <= set(entry)
    dense, greedy, *_ = record["rows"]
    assert dense["spread"] == [0.1, 0.3]
    assert dense["ratio"] == pytest.approx(25.0)  # 5 s against 0.2 s
    assert dense["limit_ratio"] == pytest.approx(4.0)  # 0.2 s against 0.05 s
    assert greedy["ratio"] is None and greedy["peer_seconds"] is None
    assert greedy["limit_ratio"] is None and greedy["spread"] is None
    assert rows.read(path) == (MACHINE, ROWS)


def test_a_number_that_json_does_not_know_is_refused_and_the_file_kept(tmp_path):
    path = tmp_path / "bench.json"
    rows.write(path, MACHINE, ROWS)
    with pytest.raises(ValueError, match="JSON compliant"):
        rows.write(path, MACHINE, [Row("greedy", value=float("nan"))])
    assert rows.read(path)[1] == ROWS


def test_the_tables_say_what_was_measured():
    times, comparisons, values, wrong = table.tables(ROWS)
    assert times.rows[0] == (
        *("selection_dense", "200 ms (100–300)", "1.50 s"),
        *("200 GFLOP/s", "4.00", "3.00 MiB"),
    )
    assert comparisons.rows == (
        ("selection_dense", "200 ms", "PyTorch", "5.00 s", "25.0"),
        ("greedy, 5 of 6", "10.0 µs", "activeft", "–", "–"),
    )
    assert values.rows == (("growth_tasks, exponent", "2", "e"),)
    assert wrong.rows == (("evaluation", "gymnasium", "ValueError: no scene"),)
    assert "greedy: not installed" in table.notes(ROWS)
    screen = Console(file=io.StringIO(), width=120)
    screen.print(to_rich(times))
    assert "selection_dense" in screen.file.getvalue()
    assert "| selection_dense | 200 ms (100–300) |" in to_markdown(times)


def test_a_job_measured_against_two_peers_is_listed_once_among_the_times():
    both = [ROWS[0], Row("selection_dense", seconds=0.21, peer="NumPy")]
    times, comparisons = table.tables(both)
    assert len(times.rows) == 1 and len(comparisons.rows) == 2


def test_the_page_is_rewritten_between_its_marks(tmp_path):
    page, file = tmp_path / "README.md", tmp_path / "bench.json"
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    rows.write(file, MACHINE, ROWS)
    for _ in range(2):
        assert readme.main([str(file), "--output", str(page)]) == 0
        text = page.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n")
        assert "old" not in text and text.count("a processor, 2 cores") == 1
    assert "](growth.png)" in text
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_run_the_page_says_how_to_come_by_one(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        readme.main([str(tmp_path / "none.json")])
    assert exit_info.value.code == 2
    assert "make bench" in capsys.readouterr().err


def test_the_curve_of_a_job_is_read_from_its_cases():
    found = plots.curve(ROWS, "growth_tasks")
    assert [(value, row.seconds) for value, row in found] == [(2, 0.1), (4, 0.4)]
    assert not plots.growth(ROWS[:2], "unused")


def test_the_committed_page_has_both_marks():
    page = (readme.FOLDER / "README.md").read_text()
    assert page.index(readme.BEGIN) < page.index(readme.END)
