"""The examples of docs/extending.md, run as they are printed."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from experiments import build, figures
from experiments.configs import loading
from tests import problems
from tests.experiments import figure_results

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
EXAMPLES = [block for block in BLOCKS if block.startswith('"""')]


def example(about):
    (source,) = [block for block in EXAMPLES if block.startswith(f'"""{about}')]
    return source


@pytest.mark.parametrize("source", EXAMPLES)
def test_no_example_takes_thirty_lines(source):
    assert sum(bool(line.strip()) for line in source.splitlines()) < 30


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


def test_the_figure_of_the_page_is_drawn_by_one_registry_line(monkeypatch, tmp_path):
    draw = run(example("Entropy of AMF-GP"))["draw_entropy"]
    entry = figures.Entry("entropy", draw, "make it")
    monkeypatch.setitem(figures.FIGURES, "entropy", entry)
    figure_results.save_integrator(tmp_path, 6, ("amf", "uniform"))
    figure = figures.make("entropy", tmp_path)
    assert len(figure.axes[0].get_lines()) == 2


def test_the_suite_of_the_page_runs_by_one_registry_line(monkeypatch, tmp_path):
    file = tmp_path / "reach.py"
    file.write_text(example("A point that reaches"))
    monkeypatch.setitem(build.SUITES, "reach", run(file.read_text())["build"])
    overrides = {
        "rounds": 3,
        "training.pretraining_steps": 200,
        "training.finetuning_steps": 200,
    }
    built = build.build(loading.load(f"{file}:8-0", overrides))
    records = built.tuner.run()
    assert [record["task"] for record in records] == [None, 0, 1, 1]
    assert records[-1]["success"][1] > records[0]["success"][1]
