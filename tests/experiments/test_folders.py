import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from amf_jax.errors import InvalidArgumentError
from experiments import figures, folders
from experiments.figures import __main__ as figures_command
from experiments.figures import style
from experiments.figures.data import NoResultsError
from experiments.folders import Folder, Labelled
from experiments.tables import __main__ as tables_command
from tests.experiments import figure_results
from tests.experiments.figure_results import legend_texts, line, panel


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("experiments.statistics.RESAMPLES", 200)


@pytest.fixture
def two(tmp_path):
    """`mine` is 0.1 above `other` in every round, and lacks a method."""
    for name, more in (("other", 0.0), ("mine", 0.1)):
        for method in ("amf", "uniform")[: 2 if name == "other" else 1]:
            for seed in range(2):
                records = figure_results.metaworld_records(method, seed)
                for record in records:
                    record["success"] = record["success"] + more
                    record["mean_success"] += more
                place = ("metaworld", "8-8-0-0", method, seed)
                folder = tmp_path / name
                figure_results.save(folder, *place, records, demos_per_round=1)
    return [Folder("other", tmp_path / "other"), Folder("m", tmp_path / "mine")]


def arguments(two):
    return [str(two[0].path), f"m={two[1].path}"]


def test_labels_are_written_or_the_names_of_folders(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert folders.parse(["mine=results", "a/b", "./lr=0.1", ".", "x=~/y"][:4]) == [
        Folder("mine", Path("results")),
        Folder("b", Path("a/b")),
        Folder("lr=0.1", Path("lr=0.1")),
        Folder(tmp_path.name, Path()),
    ]
    assert folders.parse(["x=~/y=1"]) == [Folder("x", Path("/home/me/y=1"))]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["a/results", "b/results"], "two folders are called 'results'; write a label"),
        (["x=a", "x=b"], "two folders are called 'x'"),
        (["a", "b", "c", "d", "e"], "5 folders; at most 4"),
        (["x=gs://bucket/run"], "must be a path on this machine"),
        (["x="], "results_dir is empty"),
    ],
)
def test_folders_that_cannot_be_told_apart_are_refused(entries, message):
    with pytest.raises(InvalidArgumentError, match=message):
        folders.parse(entries)


def test_a_method_of_a_folder_keeps_its_colour_and_has_its_dashes():
    name = Labelled("uniform", "mine", 1)
    look, alone = style.look(name), style.look("uniform")
    assert (look.colour, look.marker) == (alone.colour, alone.marker)
    assert (look.name, look.dashes) == ("Uniform (mine)", "--")
    assert folders.method_of(folders.beside(name, "amf")) == "amf"
    assert folders.beside(name, "amf") == "amf (mine)"
    assert folders.beside("uniform", "amf") == "amf"


def test_tables_have_a_column_for_the_folder(two, capsys):
    assert tables_command.main([*arguments(two), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| Method | Folder | Seeds | Success | IQM |" in out
    rows = [row for row in out.splitlines() if row.startswith(("| AMF", "| Uniform"))]
    assert [row.split(" | ")[1] for row in rows] == ["other", "m", "other"]
    # A run is compared with the baseline of its folder; there is none in `mine`.
    assert [row.rstrip(" |").split(" | ")[-1][:1] for row in rows] == ["–", "–", "0"]


def test_csv_has_a_column_for_the_folder(two, capsys):
    one, other = arguments(two)
    assert tables_command.main(["--results_dir", one, other, "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = {(row["folder"], row["method"]): float(row["last"]) for row in table}
    assert found.keys() == {("other", "amf"), ("other", "uniform"), ("m", "amf")}
    assert found["m", "amf"] - found["other", "amf"] == pytest.approx(0.1)
    assert tables_command.main([one, "--csv"]) == 0
    assert "folder" not in capsys.readouterr().out


def test_equal_labels_end_as_a_wrong_argument(two, capsys):
    one, _ = arguments(two)
    for command in (tables_command, figures_command):
        options = [f"--results_dir={one}", f"--results_dir={one}"]
        name = ["figure9"] if command is figures_command else []
        with pytest.raises(SystemExit) as caught:
            command.main([*name, *options])
        assert caught.value.code == 2
        assert "two folders are called 'other'" in capsys.readouterr().err


def test_figures_have_curves_for_each_folder(two, tmp_path, capsys, monkeypatch):
    figure = figure_results.make(monkeypatch, "figure4_metaworld", two)
    assert legend_texts(figure) == ["AMF (other)", "AMF (m)", "Uniform (other)"]
    axes = panel(figure, "Mismatch [8, 8, 0, 0]")
    mine, other = (line(axes, f"AMF ({label})") for label in ("m", "other"))
    np.testing.assert_allclose(mine.get_ydata(), other.get_ydata() + 0.1)
    assert (mine.get_linestyle(), other.get_linestyle()) == ("--", "-")
    figure = figure_results.make(monkeypatch, "all_selectors", two)
    labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert labels == ["AMF (m)", "Uniform (other)"]
    lead = figure.axes[1].get_lines()[1].get_xdata()  # of other over mine
    np.testing.assert_allclose(lead, [-0.1])


def test_what_a_folder_lacks_is_noted_with_its_label(two, tmp_path, capsys):
    options = [f"--results_dir={entry}" for entry in arguments(two)]
    output = tmp_path / "pictures"
    assert figures_command.main(["figure12", *options, f"--output={output}"]) == 0
    assert "amf_l2 (other), amf_l2 (m)" in capsys.readouterr().err


def test_gains_are_drawn_for_each_folder(tmp_path, monkeypatch):
    figure_results.save_integrator(tmp_path / "a", 6, ("amf", "uniform"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    two = folders.parse([str(tmp_path / "a"), str(tmp_path / "b")])
    figure = figure_results.make(monkeypatch, "figure2", two)
    gain = panel(figure, "Improvement over uniform")
    labels = [text.get_text() for text in gain.get_legend().get_texts()]
    assert labels == [
        f"{period} ({label})"
        for label in ("a", "b")
        for period in ("Rounds 1–10, mean", "Last round")
    ]


@pytest.mark.parametrize("name", ["main", "figure13_metaworld", "figure20", "bound"])
def test_figures_of_one_folder_say_so(two, name):
    with pytest.raises(NoResultsError, match="one folder of results; give one"):
        figures.make(name, two)
