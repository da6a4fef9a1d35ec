"""The examples of docs/extending.md, run as they are printed."""

import io
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from amf_jax import (
    candidates,
    embeddings,
    errors,
    evaluation,
    finetune,
    learners,
    selectors,
)
from amf_jax.selectors.registry import Entry
from amf_jax.windows import Window
from experiments import (
    build,
    figures,
    methods,
    plugins,
    reading,
    results,
    sweep,
    threads,
)
from experiments import run as command_run
from experiments.comparisons import Comparison
from experiments.configs import loading
from experiments.execution import runner
from experiments.figures import curves, data, style
from experiments.figures.estimates import MEAN
from experiments.runs import ResultsWarning
from experiments.suites import integrator
from experiments.suites.base import SUCCESS
from experiments.suites.registry import SUITES
from tests import problems
from tests.experiments import fake_runs, figure_results

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
EXAMPLES = [block for block in BLOCKS if block.startswith('"""')]


def example(about):
    (source,) = [block for block in EXAMPLES if block.startswith(f'"""{about}')]
    return source


@pytest.mark.parametrize("source", EXAMPLES)
def test_no_example_takes_thirty_lines(source):
    assert len(source.splitlines()) < 30


@pytest.mark.parametrize("source", EXAMPLES)
def test_no_example_is_wider_than_the_code(source):
    assert max(map(len, source.splitlines())) <= 88


def run(source):
    namespace = {}
    exec(compile(source, PAGE, "exec"), namespace)
    return namespace


def test_the_selector_of_the_page_asks_for_the_worst_task():
    selector = run(example("Worst first"))["worst_first"]()
    success = jnp.array([[0.1, 0.9, 0.8], [0.9, 0.8, 0.2], [jnp.nan] * 3])
    context = problems.tiny_context()._replace(evaluations=success)
    state = selector.init(context)
    choice, _, _ = jax.jit(selector.select)(jax.random.key(0), state, context)
    assert int(choice.task_id) == 2


def trained(policy, demos):
    """Two rounds of a learner of the page's policy, and what it then does at once."""
    training = learners.Training(300, finetune.constant(0.05), batch_size=8)
    learner = learners.gradient_learner(
        policy, finetune.adamw_direction(), training, training
    )
    state = jax.jit(learner.init)(jax.random.key(0), demos)
    state, metrics = jax.jit(learner.update)(jax.random.key(1), state, demos)
    assert metrics["losses"][-1] < 0.1
    first = jax.tree.map(lambda leaf: leaf[:, 0], demos.observations)
    key = jax.random.key(2)
    return learner.act(state, key, first, demos.tasks, demos.task_ids), state.params


def test_the_policy_of_the_page_sees_a_dict():
    policy = run(example("A linear policy of a dict"))["seeing"](2 + 3 + 2, 2)
    demos = problems.tiny_demos(ragged=False)
    camera = jnp.full((*demos.step_mask.shape, 3), 255, jnp.uint8)
    demos = demos._replace(
        observations={"position": demos.observations[..., :2], "camera": camera},
        actions=demos.observations[..., :2] - demos.tasks[:, None],
    )
    actions, params = trained(policy, demos)
    np.testing.assert_allclose(actions, demos.actions[:, 0], atol=0.5)
    context = problems.tiny_context()._replace(
        demos=demos, params=params, embedding_params=params
    )
    embedding = embeddings.make("last_layer_gradient", policy)
    selector = selectors.amf(embedding, None, weights="deterministic")
    choice, _, info = jax.jit(selector.select)(
        jax.random.key(3), selector.init(context), context
    )
    selectors.check_choice(choice, info)


def test_the_policy_of_the_page_plans_four_steps():
    policy = run(example("A policy that plans"))["planning"](3 + 2, 2)
    demos = problems.tiny_demos(ragged=False)
    line = demos.tasks[:, None] * jnp.arange(1.0, 4.0)[None, :, None]
    at = demos.observations.at[..., :2].set(line)  # seen before it is done
    actions, _ = trained(policy, demos._replace(observations=at, actions=line))
    assert actions.shape == (4, 4, 2)
    np.testing.assert_allclose(actions[:, :3], line, atol=0.5)


def test_the_head_of_the_page_is_trained_behind_a_frozen_backbone():
    source = example("A frozen random convolution")
    shown = []

    def filmed(task_ids):
        demos = problems.tiny_demos(0, task_ids, tasks=problems.tiny_tasks())
        rng = np.random.default_rng(len(shown))
        shown.append(rng.integers(0, 256, (*demos.step_mask.shape, 8, 8, 3), np.uint8))
        return demos._replace(observations=shown[-1])

    given = run(source)
    given["optimizer"] = finetune.adamw_direction()
    given["training"] = learners.Training(3, finetune.constant(1e-2), batch_size=4)
    given["run"] = dict(
        tasks=problems.tiny_tasks(),
        pretraining=filmed((0, 1, 2)),
        demonstrate=lambda task, index, count: filmed((task,) * count),
        rounds=2,
        seed=0,
    )
    exec(BLOCKS[BLOCKS.index(source) + 1], given)
    tuner = given["tuner"]
    tuner.run()
    kernel = given["encoder"].params
    for row, images in enumerate(shown[1:]):  # a convolution by hand
        padded = np.pad(images[0] / 255.0, [(0, 0), (1, 1), (1, 1), (0, 0)])
        patches = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (1, 2))
        maps = np.einsum("thwcij,fcij->thwf", patches[:, ::2, ::2], kernel)
        features = np.maximum(maps, 0.0).mean(axis=(1, 2))
        held = tuner.demos.observations[row]
        np.testing.assert_allclose(held, features, rtol=1e-4, atol=1e-5)


def test_the_search_of_the_page_is_chosen_by_one_registry_line(monkeypatch):
    build_search = run(example("Shrinking box"))["shrinking_box"]
    entry = candidates.Entry(build_search, ("budget", "boxes"))
    monkeypatch.setitem(candidates.OPTIMISERS, "shrinking_box", entry)
    config = loading.load("integrator:6", {"selection.search.name": "shrinking_box"})
    build.check(config)
    goal = jnp.asarray(integrator.TASKS[3:4], jnp.float32)
    optimise = candidates.make("shrinking_box", integrator.SPACE, boxes=5)
    found, scores = jax.jit(
        lambda key: optimise(key, lambda batch: (batch.tasks @ goal.T)[:, 0], goal)
    )(jax.random.key(0))
    assert found.tasks.shape == (100, 2)
    np.testing.assert_allclose(np.linalg.norm(found.tasks, axis=1), 1.0, atol=1e-6)
    best = scores.reshape(5, 20).max(axis=1)
    assert best[-1] == scores.max() > 0.999


def test_the_figure_of_the_page_is_drawn_by_one_registry_line(monkeypatch, tmp_path):
    draw = run(example("Entropy of AMF-GP"))["draw_entropy"]
    entry = figures.Entry("entropy", draw, "make it")
    monkeypatch.setitem(figures.FIGURES, "entropy", entry)
    figure_results.save_integrator(tmp_path, 6, ("amf", "uniform"))
    figure = figures.make("entropy", tmp_path)
    assert len(figure.axes[0].get_lines()) == 2


@pytest.fixture
def reach(tmp_path):
    """The suite of the page, in a file; returns the config of a small run."""
    file = tmp_path / "reach.py"
    environment = example("A point that moves")
    record = BLOCKS[BLOCKS.index(environment) + 1]
    file.write_text(f"{environment}\n\n{record}")
    small = {
        "rounds": 3,
        "attempts": 2,
        "training.batch_size": 32,
        "training.pretraining_steps": 200,
        "training.finetuning_steps": 200,
        "results_dir": str(tmp_path / "results"),
    }

    def config(**overrides):
        return loading.load(f"{file}:8-0", small | overrides)

    yield config
    SUITES.pop("reach", None)


def test_the_suite_of_the_page_runs_by_one_registry_line(reach):
    records = build.build(reach()).tuner.run()
    assert [record["task"] for record in records] == [None, 0, 1, 1]
    assert records[-1]["success"] == [1.0, 1.0]
    assert records[0]["success"][1] < 1.0


def test_the_evaluation_of_the_page_takes_policies_that_plan():
    page = run(BLOCKS[BLOCKS.index(example("A point that moves"))])

    def act(state, key, observations, tasks, task_ids):
        return jnp.stack([tasks, tasks], axis=1)  # the goals are the tasks

    learner = learners.Learner(None, None, act, Window(action_chunk=2))
    actor, tasks = evaluation.jitted(learner), jnp.asarray(page["GOALS"])
    state = learners.LearnerState(None, None, None, None, None)
    policy = evaluation.Act(actor, jax.random.key(0), state, tasks)
    np.testing.assert_array_equal(page["evaluate"](policy, 0, 3)["success"], 1.0)


def test_a_config_of_the_page_is_checked(reach):
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'plain'"):
        build.build(reach(**{"selection.weights": "plane"}))


@pytest.fixture
def worst_first(monkeypatch):
    """Registers the selector of the page."""
    entry = Entry(run(example("Worst first"))["worst_first"], needs_model=False)
    monkeypatch.setitem(selectors.SELECTORS, "worst_first", entry)


def test_the_selector_of_the_page_is_run_and_drawn_by_one_registry_line(
    reach, worst_first, tmp_path
):
    config = reach(method="worst_first", rounds=1, warm_start_rounds=0)
    run_of = reading.read(runner.execute(config))
    assert run_of.records[1]["task"] == 1  # which pre-training did not show
    assert run_of.header["method"]["selector"] == "worst_first"
    assert run_of.header["method"]["forgetting"] == "adaptive_prior"

    source = data.Source(tmp_path / "results", "make it")
    for method in ("amf", "uniform"):  # the same run under names that have a look
        path = results.path(source.results_dir, "reach", "8-0", method, 0)
        header = run_of.header | {"config": run_of.config | {"method": method}}
        results.write(path, header, run_of.records)
    comparison = Comparison("the page", ("worst_first", "uniform", "amf"))
    runs = data.load(source, SUITES["reach"], ("8-0",), comparison)["8-0"]
    axes = style.new_figure(3.0, 2.0).subplots()
    with pytest.warns(ResultsWarning, match="only one seed"):
        curves.method_curves(axes, runs, SUCCESS, MEAN)
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == ["AMF", "Uniform", "Worst first"]
    colours = [line.get_color() for line in axes.get_lines()]
    assert colours[2] not in {look.colour for look in style.METHODS.values()}
    assert len(set(colours)) == 3


@pytest.fixture
def forgets_less(monkeypatch, tmp_path):
    """The plugin of the page as a file; returns the argument that names it."""
    (tmp_path / "forgets_less.py").write_text(example("Forgets less"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(threads, "limit", lambda count: None)
    yield "--plugin=forgets_less"
    methods.METHODS.pop("uniform_l2", None)
    sys.modules.pop("forgets_less", None)


def test_the_plugin_of_the_page_brings_a_method(forgets_less, capsys):
    ran = []
    argv = ["run", "--config=metaworld:8-8-0-0", "--config.method=uniform_l2"]
    console = Console(file=io.StringIO())

    def execute(config, on_round):
        ran.append(methods.get(config.method))

    assert command_run.main(argv, execute, console) == 2
    assert "Did you mean 'uniform'?" in capsys.readouterr().err
    assert command_run.main([*argv, forgets_less], execute, console) == 0
    assert ran == [methods.Method("uniform", forgetting="l2", strength=0.3)]


def test_workers_of_a_sweep_import_plugins(forgets_less, tmp_path):
    argv = [
        "sweep",
        "--config=sweeps:main",
        "--config.methods=uniform_l2",
        "--config.seeds=1",
        "--config.figures=()",
        f"--config.results_dir={tmp_path}",
        forgets_less,
    ]
    console = Console(file=io.StringIO())
    assert sweep.main(argv, fake_runs.run_of_known_method, console) == 0
    assert list(tmp_path.glob("metaworld/*/uniform_l2/seed0.jsonl"))


@pytest.mark.parametrize(
    "source", ["import nothing_of_this_name", "raise ZeroDivisionError"]
)
def test_a_plugin_that_fails_says_so_itself(source, monkeypatch, tmp_path):
    (tmp_path / "broken_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((ZeroDivisionError, ModuleNotFoundError)):
        plugins.load(["broken_plugin"])


def test_a_plugin_that_there_is_not_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(threads, "limit", lambda count: None)
    argv = ["run", "--config=metaworld:8-8-0-0", "--plugin=forgets_les.s"]
    assert command_run.main(argv) == 2
    assert "plugin 'forgets_les.s' is no module" in capsys.readouterr().err


def test_an_unlisted_selector_is_suggested_for_a_typo(worst_first):
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'worst_first'"):
        methods.get("worst_frist")
