import re
import sys

import pytest
from PIL import Image

from amf_jax.errors import ResultsError, UnknownNameError
from experiments import comparisons, figures
from experiments.configs import sweeps
from experiments.figures import __main__ as command
from experiments.figures import data
from experiments.runs import ResultsWarning
from experiments.studies import __main__ as study_command
from tests.experiments import figure_results
from tests.experiments.figure_results import (
    check_curves,
    panel,
    save,
    save_integrator,
    save_metaworld,
)

#: One figure of each layout.
LAYOUTS = (
    "main",
    "figure2",
    "figure3",
    "figure5_metaworld",
    "figure7",
    "figure12",
    "figure13_metaworld",
    "figure17",
    "figure19",
    "figure20",
    "figure21",
    "search",
    "all_forgetting",
    "ablation_criterion_integrator",
)
BASELINES = ("amf", "amf_paper", "uniform_adaptive_prior", "uniform")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    figure_results.save_all(folder)
    return folder


def sweep_of(name):
    match = re.search("sweeps.py:(.*)", figures.command_of(name))
    return sweeps.get_config(match[1]) if match else None


def test_every_figure_has_a_line_of_help_and_a_command(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name, entry in figures.FIGURES.items():
        assert re.search(rf"^  {name} +{re.escape(entry.about)}$", text, re.MULTILINE)
        assert len(entry.about) > 20
        assert figures.command_of(name)


def test_commands_name_sweeps_that_draw_the_figure():
    for name in figures.FIGURES:
        if sweep := sweep_of(name):
            assert name in sweep.figures
    assert figures.command_of("main") == "make run"
    assert "main" in sweeps.get_config("main").figures


def test_sweeps_run_the_methods_that_their_figures_draw(monkeypatch, tmp_path):
    class Asked(Exception):
        pass

    def load(source, suite, settings, comparison):
        raise Asked(suite, comparison)

    monkeypatch.setattr(data, "load", load)
    for name in figures.FIGURES:
        if sweep := sweep_of(name):
            with pytest.raises(Asked) as asked:
                figures.make(name, tmp_path)
            suite, comparison = asked.value.args
            assert set(comparison.methods) <= set(sweep.methods)
            assert any(spec.startswith(f"{suite.name}:") for spec in sweep.settings)


@pytest.mark.filterwarnings("ignore::experiments.runs.ResultsWarning")
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_becomes_a_small_picture(name, folder, tmp_path):
    path = figures.draw(name, folder, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / f"{name}.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=300)
    counts = sorted((count for count, _ in colours), reverse=True)
    assert sum(counts[1:]) > 0.01 * sum(counts)  # not an empty page


def test_figure9_skips_allocations_without_results(folder):
    with pytest.warns(ResultsWarning, match="metaworld 0-8-8-0, 2-2-2-2: left out"):
        figure = figures.make("figure9", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "Mismatch [8, 8, 0, 0]",
        "Mismatch [0, 0, 8, 8]",
        "No mismatch [4, 4, 4, 4]",
    ]
    for axes in figure.axes:
        check_curves(axes, BASELINES)


def test_missing_methods_are_named_with_the_command_that_runs_them(tmp_path):
    save_metaworld(tmp_path, "8-8-0-0", ("amf", "last_layer"))
    save_metaworld(tmp_path, "4-4-4-4", ("amf", "dropout"))
    with pytest.warns(ResultsWarning, match="no results of") as caught:
        figure = figures.make("figure5_metaworld", tmp_path)
    (warning,) = caught
    others = "prior_entropy, uniform_adaptive_prior"
    assert (
        "metaworld 8-8-0-0 (amf_network_gradient, amf_projected_gradient, dropout, "
        f"{others}); metaworld 4-4-4-4 (amf_network_gradient, amf_projected_gradient, "
        f"last_layer, {others}): left out."
    ) in str(warning.message)
    assert str(warning.message).endswith(figures.command_of("figure5_metaworld"))
    check_curves(panel(figure, "Mismatch [8, 8, 0, 0]"), ("amf", "last_layer"))
    check_curves(panel(figure, "No mismatch [4, 4, 4, 4]"), ("amf", "dropout"))


def test_optional_methods_are_not_missed(recwarn, tmp_path):
    save_metaworld(tmp_path, "8-8-0-0", comparisons.BASELINES.methods)
    figures.make("figure17", tmp_path)
    assert not recwarn.list


def test_unknown_figure_suggests_the_nearest(folder, tmp_path, capsys):
    with pytest.raises(UnknownNameError, match="Did you mean 'figure17'"):
        figures.make("figure_17", folder)
    with pytest.raises(SystemExit) as caught:
        command.main(["mian", f"--results_dir={folder}", f"--output={tmp_path}"])
    assert caught.value.code == 2
    assert "Did you mean 'main'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_missing_results_name_the_command_that_makes_them(tmp_path, capsys):
    assert command.main(["figure9", f"--results_dir={tmp_path}"]) == 1
    message = capsys.readouterr().err
    assert "no results of metaworld 8-8-0-0 or 0-8-8-0" in message
    assert (
        "python -m experiments.sweep --config=experiments/configs/sweeps.py:figure9"
        in message
    )


def test_command_draws_and_prints_notices(folder, tmp_path, capsys):
    options = [f"--results_dir={folder}", f"--output={tmp_path}"]
    assert command.main(["figure4_metaworld", *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "figure4_metaworld.png")
    assert captured.err == ""
    assert command.main(["figure9", *options]) == 0
    assert "note: no results of metaworld 0-8-8-0" in capsys.readouterr().err


def test_command_draws_the_interquartile_mean(folder, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        figures, "_picture", lambda figure: drawn.append(figure) or page
    )
    page = Image.new("RGB", (1, 1))
    options = [f"--results_dir={folder}", f"--output={tmp_path}"]
    assert command.main(["figure4_metaworld", *options, "--iqm"]) == 0
    (figure,) = drawn
    assert figure.get_supxlabel().startswith(
        "Interquartile mean and 90 % stratified bootstrap interval over 2 seeds"
    )


def test_all_draws_what_has_results(tmp_path, capsys, monkeypatch):
    page = Image.new("RGB", (1, 1))
    monkeypatch.setattr(figures, "_picture", lambda figure: page)
    save_integrator(tmp_path, 6, ["amf"])
    output = tmp_path / "pictures"
    assert command.main(["all", f"--results_dir={tmp_path}", f"--output={output}"]) == 0
    captured = capsys.readouterr()
    assert sorted(path.stem for path in output.iterdir()) == [
        "ablation_criterion_integrator",
        "ablation_weights_integrator",
        "figure2",
        "figure7",
    ]
    assert "note: figure4_metaworld: no results of metaworld" in captured.err
    empty = tmp_path / "empty"
    assert command.main(["all", f"--results_dir={empty}"]) == 1
    assert "no figure has any results" in capsys.readouterr().err


def test_mixed_presets_are_noted(tmp_path):
    save_metaworld(tmp_path, "0-0-8-8", ["amf"], preset="fast")
    save_metaworld(tmp_path, "0-0-8-8", ["uniform_adaptive_prior"], preset="paper")
    with pytest.warns(
        ResultsWarning, match="preset is 'fast' for 0-0-8-8 amf; 'paper'"
    ):
        figures.make("main", tmp_path)


def test_output_below_a_file_is_an_error(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="output: cannot write"):
        figures.draw("figure4_metaworld", folder, tmp_path / "file" / "figures")


def test_one_seed_is_drawn_without_band_and_noted(tmp_path, capsys):
    save_integrator(tmp_path, 6, ["amf", "uniform"], seeds=1)
    with pytest.warns(ResultsWarning) as caught:
        figure = figures.make("figure7", tmp_path)
    assert any("only one seed" in str(warning.message) for warning in caught)
    axes = panel(figure, "6/12 tasks demonstrated")
    assert not axes.collections
    assert "Mean of one seed, so no interval" in figure.get_supxlabel()
    options = [f"--results_dir={tmp_path}", f"--output={tmp_path}"]
    assert command.main(["figure7", *options]) == 0
    assert capsys.readouterr().err.count("only one seed") == 1


def test_study_in_several_settings_is_noted(tmp_path):
    for setting in ("6", "12"):
        record = {"round": 1, "angles": [0, 1], "weights": [[0, 1]], "demo_angles": [0]}
        save(tmp_path, "integrator", setting, "study_figure19", 0, [record])
    with pytest.warns(
        ResultsWarning, match="several settings have a study of figure19"
    ):
        figures.make("figure19", tmp_path)


def test_without_matplotlib_the_extra_is_named(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = [f"--results_dir={folder}", f"--output={tmp_path}"]
    assert command.main(["figure4_metaworld", *options]) == 1
    assert "error: the package matplotlib is needed" in capsys.readouterr().err
    assert study_command.main(["all", f"--results_dir={tmp_path}"]) == 1
    assert "pip install 'amf_jax[experiments]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())  # no study was computed in vain
