import numpy as np
import pytest
from PIL import Image

from amf_jax.errors import ResultsError, UnknownNameError
from experiments import figures, results
from experiments.configs import sweeps
from experiments.figures import __main__ as command
from experiments.figures import style, weights
from experiments.results import ResultsWarning

TASKS = ("mug left", "mug right", "faucet open", "faucet close")
METHODS = tuple(style.METHODS)
ROUNDS = 20
SEEDS = 2


def save(folder, suite, setting, method, seed, records, **changes):
    config = {
        "suite": suite,
        "setting": setting,
        "method": method,
        "seed": seed,
        "preset": "fast",
        "rounds": len(records) - 1,
        "task_names": TASKS,
    } | changes
    path = results.path(folder, suite, setting, method, seed)
    results.write(path, {"config": config, "versions": {}, "seed": seed}, records)


def offset(method, seed):
    return 0.1 * METHODS.index(method) + 0.02 * seed


def mean_offset(method):
    return 0.1 * METHODS.index(method) + 0.01


def metaworld_records(method, seed):
    """Round r asks for task (r - 1) % 4; success is linear in the round."""
    prior = None if method == "uniform" else 0.0
    records = []
    for r in range(ROUNDS + 1):
        success = 0.02 * r + offset(method, seed) + 0.01 * np.arange(4)
        own = np.zeros((4, ROUNDS))
        for demo in range(r - 1):
            own[:, demo] = 0.1
            own[demo % 4, demo] = 0.7
        records.append(
            {
                "round": r,
                "task": None if r == 0 else (r - 1) % 4,
                "success": success,
                "mean_success": success.mean(),
                "demos_per_task": np.bincount(np.arange(r) % 4, minlength=4),
                "mixing": None if prior is None else 0.04 * r * np.ones(4) + prior,
                "importance_weights": own if method == "amf" and r > 4 else None,
            }
        )
    return records


def gp_records(k, method, seed):
    return [
        {
            "round": r,
            "return": -3.0 + 0.1 * r + (0.1 * k if method == "amf" else 0.0) + seed,
            "entropy": -0.1 * r + seed,
        }
        for r in range(6)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for setting in ("8-8-0-0", "0-0-8-8", "4-4-4-4"):
        for method in METHODS:
            for seed in range(SEEDS):
                records = metaworld_records(method, seed)
                save(folder, "metaworld", setting, method, seed, records)
    for k in range(1, 13):
        for method in ("amf", "uniform"):
            for seed in range(SEEDS):
                records = gp_records(k, method, seed)
                save(folder, "integrator", str(k), method, seed, records)
    turn = np.linspace(-np.pi, np.pi, 9)
    trajectories = [
        {"task": [x, y], "states": np.outer(np.arange(6) / 5, [x, y]), "kind": kind}
        | {"round": r}
        for kind, r in (("policy", 10), ("policy", 0), ("expert", 0))
        for x, y in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
    ]
    save(folder, "integrator", "12", "study_figure3", 0, trajectories)
    swept = [
        {
            "round": r,
            "angles": turn,
            "weights": r * np.arange(1, 5)[:, None] + np.cos(turn),
            "demo_angles": [-2.0, -1.0, 1.0, 2.0],
        }
        for r in (1, 5, 9)
    ]
    save(folder, "integrator", "6", "study_figure19", 0, swept)
    for seed in range(SEEDS):
        landscape = {
            "angles": turn,
            "criterion": np.sin(turn) + seed,
            "return": np.cos(turn) + seed,
            "pretraining_angles": np.full(50, 1.0),
        }
        save(folder, "integrator", "6", "study_figure21", seed, [landscape])
    return folder


def make(name, folder):
    """A figure without the notices about settings that the fixture lacks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.figures.data.notice", lambda text: None)
        return figures.make(name, folder)


def panel(figure, title):
    (axes,) = [axes for axes in figure.axes if axes.get_title() == title]
    return axes


def line(axes, label):
    (found,) = [found for found in axes.get_lines() if found.get_label() == label]
    return found


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def check_success_panel(axes):
    rounds = np.arange(ROUNDS + 1)
    for method in METHODS:
        drawn = line(axes, style.method_name(method))
        np.testing.assert_array_equal(drawn.get_xdata(), rounds)
        # the mean over tasks adds 0.015
        expected = 0.02 * rounds + mean_offset(method) + 0.015
        np.testing.assert_allclose(drawn.get_ydata(), expected)
    assert axes.get_ylabel() == "Multi-task success rate"
    assert axes.get_xlabel() == "Round"


def band_of(axes, index):
    """Lower and upper end of a band at round 0."""
    points = axes.collections[index].get_paths()[0].vertices
    at_zero = points[points[:, 0] == 0.0, 1]
    return at_zero.min(), at_zero.max()


def test_every_figure_has_a_line_of_help_and_a_command(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name, entry in figures.FIGURES.items():
        assert f"  {name:<10}{entry.draw.__doc__.splitlines()[0]}" in text
        assert len(entry.draw.__doc__.splitlines()[0]) > 20
        assert entry.command


def test_commands_name_sweeps_that_draw_the_figure():
    for name, entry in figures.FIGURES.items():
        sweep = entry.command.rpartition("sweeps.py:")[2]
        if sweep in sweeps.SWEEPS:
            assert name in sweeps.SWEEPS[sweep].figures
    assert figures.FIGURES["main"].command == "make run"
    assert "main" in sweeps.SWEEPS["main"].figures


@pytest.mark.filterwarnings("ignore::experiments.results.ResultsWarning")
@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_becomes_a_small_picture(name, folder, tmp_path):
    path = figures.draw(name, folder, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / f"{name}.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=300)
    counts = sorted((count for count, _ in colours), reverse=True)
    assert sum(counts[1:]) > 0.01 * sum(counts)  # not an empty page


def test_main_shows_success_demos_and_mixing(folder):
    figure = make("main", folder)
    success = panel(figure, "Multi-task success")
    check_success_panel(success)
    # seeds 0 and 1 of AMF lie at .015 and .035 in round 0
    np.testing.assert_allclose(band_of(success, 0), [0.015, 0.035])
    assert legend_texts(figure) == [style.method_name(m) for m in METHODS]
    assert "over 2 seeds" in figure.get_supxlabel()

    demos = panel(figure, "Demonstrations per task")
    for container in demos.containers:
        if container.get_label() == "Pre-training":
            assert [bar.get_height() for bar in container] == [8, 8, 0, 0]
        else:  # rounds 1 to 20 ask for each task five times
            assert [bar.get_height() for bar in container] == [5, 5, 5, 5]
            assert [bar.get_y() for bar in container] == [8, 8, 0, 0]
    assert len(demos.containers) == 2 * len(METHODS)

    mixing = panel(figure, "Adaptive prior: weight of the fine-tuned policy")
    drawn = line(mixing, "AMF: mug left").get_ydata()
    np.testing.assert_allclose(drawn, 0.04 * np.arange(ROUNDS + 1))
    assert len(mixing.get_lines()) == 2 * len(TASKS)  # AMF and uniform + prior


def test_main_without_adaptive_prior_says_so(tmp_path):
    for seed in range(SEEDS):
        records = metaworld_records("uniform", seed)
        save(tmp_path, "metaworld", "8-8-0-0", "uniform", seed, records)
    figure = make("main", tmp_path)
    mixing = panel(figure, "Adaptive prior: weight of the fine-tuned policy")
    assert not mixing.get_lines()
    assert mixing.texts[0].get_text() == "no method with adaptive prior"


def test_figure4_compares_mismatch_with_the_even_setting_there_is(folder):
    figure = make("figure4", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Mismatch [8, 8, 0, 0]", "No mismatch [4, 4, 4, 4]"]
    for axes in figure.axes:
        check_success_panel(axes)


def test_figure9_skips_allocations_without_results(folder):
    with pytest.warns(
        ResultsWarning, match="metaworld 0-8-8-0, 2-2-2-2: panels skipped"
    ):
        figure = figures.make("figure9", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "Mismatch [8, 8, 0, 0]",
        "Mismatch [0, 0, 8, 8]",
        "No mismatch [4, 4, 4, 4]",
    ]
    for axes in figure.axes:
        check_success_panel(axes)


@pytest.mark.parametrize(
    ("name", "before"), [("figure17", [8, 8, 0, 0]), ("figure18", [4, 4, 4, 4])]
)
def test_task_figures_show_success_above_demos(name, before, folder):
    figure = make(name, folder)
    rounds = np.arange(ROUNDS + 1)
    for task, title in enumerate(TASKS):
        success, demos = figure.axes[task], figure.axes[len(TASKS) + task]
        assert success.get_title() == title
        for method in METHODS:
            rates = line(success, style.method_name(method)).get_ydata()
            expected = 0.02 * rounds + mean_offset(method) + 0.01 * task
            np.testing.assert_allclose(rates, expected)
            counted = line(demos, style.method_name(method))
            np.testing.assert_array_equal(counted.get_ydata(), (rounds + 3 - task) // 4)
            assert counted.get_linestyle() == "--"
        assert set(demos.get_lines()[-1].get_ydata()) == {before[task]}


def test_figure2_shows_both_settings_and_the_gain_by_k(folder):
    figure = make("figure2", folder)
    for k, title in ((12, "No mismatch"), (6, "Mismatch")):
        axes = panel(figure, f"{title} ({k}/12 tasks demonstrated)")
        rounds = np.arange(6)
        amf = line(axes, "AMF").get_ydata()
        np.testing.assert_allclose(amf, -3.0 + 0.1 * rounds + 0.1 * k + 0.5)
        uniform = line(axes, "Uniform").get_ydata()
        np.testing.assert_allclose(uniform, -3.0 + 0.1 * rounds + 0.5)
    entropies = [a for a in figure.axes if a.get_ylabel().endswith("entropy (nats)")]
    assert len(entropies) == 2
    for axes in entropies:
        drawn = line(axes, "AMF").get_ydata()
        np.testing.assert_allclose(drawn, 0.5 - 0.1 * np.arange(6))
    for label in ("Last round", "Rounds 1–10, mean"):
        gain = line(panel(figure, "Improvement over uniform"), label)
        np.testing.assert_array_equal(gain.get_xdata(), np.arange(1, 13))
        np.testing.assert_allclose(gain.get_ydata(), 0.1 * np.arange(1, 13))
    assert legend_texts(figure) == ["AMF", "Uniform"]


def test_gain_is_paired_by_seed(folder, tmp_path):
    for seed in (0, 1):
        save(tmp_path, "integrator", "6", "amf", seed, gp_records(6, "amf", seed))
    for seed in (1, 2):
        records = gp_records(6, "uniform", seed)
        save(tmp_path, "integrator", "6", "uniform", seed, records)
    with pytest.warns(ResultsWarning, match="only one seed"):
        figure = make("figure2", tmp_path)
    gain = line(panel(figure, "Improvement over uniform"), "Last round")
    np.testing.assert_allclose(gain.get_xydata(), [[6, 0.6]])


def test_figure7_has_return_and_entropy_of_every_k(folder):
    figure = make("figure7", folder)
    assert len(figure.axes) == 24
    for k in range(1, 13):
        axes = panel(figure, f"{k}/12 tasks demonstrated")
        last = line(axes, "AMF").get_ydata()[-1]
        np.testing.assert_allclose(last, -3.0 + 0.5 + 0.1 * k + 0.5)


def test_figure3_shows_expert_then_policy_by_round(folder):
    figure = make("figure3", folder)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Expert", "Policy, round 0", "Policy, round 10"]
    for axes in figure.axes:
        paths = [one for one in axes.get_lines() if len(one.get_xdata()) == 6]
        assert len(paths) == 3
        np.testing.assert_allclose(paths[1].get_ydata(), np.arange(6) / 5)
        assert axes.get_aspect() == 1.0


def test_figure19_sweeps_the_tasks_for_every_round(folder):
    figure = make("figure19", folder)
    angles = np.linspace(-np.pi, np.pi, 9)
    for r in (1, 5, 9):
        axes = panel(figure, f"Round {r}")
        for demo in range(4):
            drawn = line(axes, f"Demonstration {demo + 1}").get_ydata()
            np.testing.assert_allclose(drawn, r * (demo + 1) + np.cos(angles))
        verticals = [
            x.get_xdata()[0] for x in axes.get_lines() if len(x.get_xdata()) == 2
        ]
        assert verticals == [-2.0, -1.0, 1.0, 2.0]


def test_figure21_stacks_density_criterion_and_return(folder):
    figure = make("figure21", folder)
    density, criterion, returns = figure.axes
    angles = np.linspace(-np.pi, np.pi, 9)
    curve = density.get_lines()[0]
    assert curve.get_xdata()[np.argmax(curve.get_ydata())] == angles[5]  # nearest 1.0
    np.testing.assert_allclose(
        criterion.get_lines()[0].get_ydata(), np.sin(angles) + 0.5
    )
    np.testing.assert_allclose(returns.get_lines()[0].get_ydata(), np.cos(angles) + 0.5)


def test_figure20_groups_weights_by_task(folder):
    figure = make("figure20", folder)
    # a mean weight of .7 against three of .1, in rows that sum to 1
    expected = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    for title in ("Round 5", "Round 10", "Round 20"):
        (image,) = panel(figure, title).get_images()
        np.testing.assert_allclose(image.get_array(), expected)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(TASKS)


def weight_run(matrix, tasks):
    records = [{"round": r, "task": task} for r, task in enumerate([None, *tasks])]
    records.append({"round": len(records), "task": 0, "importance_weights": matrix})
    header = {"config": {}, "versions": {}, "seed": 0}
    return results.Run(header, records)


def test_weight_matrix_by_hand():
    # three demonstrations, of tasks 1, 0 and 1, and a column of padding
    run = weight_run(
        [[0.2, 0.5, 0.3, 9.0], [0.6, 0.0, 0.4, 9.0], [0.5, 0.2, 0.1, 9]], [1, 0, 1]
    )
    nan = np.nan
    np.testing.assert_allclose(
        weights.task_matrix(run, 4, 3),
        [[0.5, 0.25, nan], [0.0, 0.5, nan], [0.2, 0.3, nan]],
    )
    np.testing.assert_allclose(
        weights.mean_matrix([run], 4, 3),
        [[2 / 3, 1 / 3, nan], [0.0, 1.0, nan], [0.4, 0.6, nan]],
    )


def test_too_few_weights_are_an_error():
    run = weight_run([[0.2], [0.8]], [1, 0])
    with pytest.raises(ResultsError, match="1 columns for 2 demonstrations"):
        weights.task_matrix(run, 3, 2)


def test_methods_differ_in_colour_marker_and_dashes():
    looks = list(style.METHODS.values())
    for field in ("name", "colour", "marker", "dashes"):
        assert len({getattr(look, field) for look in looks}) == len(looks)


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
    assert command.main(["figure4", *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "figure4.png")
    assert captured.err == ""
    assert command.main(["figure9", *options]) == 0
    assert "note: no results of metaworld 0-8-8-0" in capsys.readouterr().err


def test_all_draws_what_has_results(folder, tmp_path, capsys):
    for seed in range(SEEDS):
        records = gp_records(6, "amf", seed)
        save(tmp_path, "integrator", "6", "amf", seed, records)
    output = tmp_path / "pictures"
    assert command.main(["all", f"--results_dir={tmp_path}", f"--output={output}"]) == 0
    captured = capsys.readouterr()
    assert sorted(path.name for path in output.iterdir()) == [
        "figure2.png",
        "figure7.png",
    ]
    assert "note: figure4: no results of metaworld" in captured.err
    empty = tmp_path / "empty"
    assert command.main(["all", f"--results_dir={empty}"]) == 1
    assert "no figure has any results" in capsys.readouterr().err


def test_mixed_presets_are_noted(tmp_path):
    for seed in range(SEEDS):
        for method, preset in (("amf", "fast"), ("uniform", "paper")):
            records = metaworld_records(method, seed)
            save(tmp_path, "metaworld", "8-8-0-0", method, seed, records, preset=preset)
    with pytest.warns(
        ResultsWarning, match="preset is 'fast' for 8-8-0-0 amf; 'paper'"
    ):
        figures.make("main", tmp_path)


def test_output_below_a_file_is_an_error(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="output: cannot write"):
        figures.draw("figure4", folder, tmp_path / "file" / "figures")


def test_one_seed_is_drawn_without_band_and_noted(tmp_path, capsys):
    save(tmp_path, "integrator", "6", "amf", 0, gp_records(6, "amf", 0))
    with pytest.warns(ResultsWarning, match="only one seed"):
        figure = make("figure7", tmp_path)
    axes = panel(figure, "6/12 tasks demonstrated")
    assert not axes.collections
    assert "One seed" in figure.get_supxlabel()
    assert (
        command.main(["figure7", f"--results_dir={tmp_path}", f"--output={tmp_path}"])
        == 0
    )
    assert capsys.readouterr().err.count("only one seed") == 1


def test_study_in_several_settings_is_noted(tmp_path):
    for setting in ("6", "12"):
        record = {"round": 1, "angles": [0, 1], "weights": [[0, 1]], "demo_angles": [0]}
        save(tmp_path, "integrator", setting, "study_figure19", 0, [record])
    with pytest.warns(
        ResultsWarning, match="several settings have a study of figure19"
    ):
        figures.make("figure19", tmp_path)
