"""The examples and the README's, run as a user would run them."""

import importlib.util
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import Context, embeddings, selectors

ROOT = pathlib.Path(__file__).parents[1]
UNSHOWN = 3  # the task that no example's policy was pre-trained on


@pytest.fixture
def example(monkeypatch):
    """Imports an example by path, its folder first on the path as for a script."""
    monkeypatch.syspath_prepend(ROOT / "examples")

    def load(name):
        path = ROOT / "examples" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"example_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_linen_example_asks_for_the_task_pretraining_lacked(example, capsys):
    assert example("linen_policy").main() == UNSHOWN
    assert f"demonstrate task {UNSHOWN} next" in capsys.readouterr().out


def test_nnx_example_asks_for_the_task_pretraining_lacked(example):
    asked = example("nnx_policy").main()
    assert len(asked) == 8
    assert asked[0] == UNSHOWN
    assert asked.count(UNSHOWN) >= 6


def test_bare_function_example_agrees_over_seeds(example):
    assert example("bare_function").main() == [UNSHOWN] * 8


def test_bare_function_example_is_what_the_selector_computes(example):
    bare = example("bare_function")
    keys = jax.random.split(jax.random.key(3), 4)
    hidden = jax.random.normal(keys[0], (6, 64))
    pretrained = bare.fit(hidden, bare.sensed(keys[1], bare.PRETRAINING))
    demos = bare.sensed(keys[2], jnp.arange(4))
    context = Context(
        demos, bare.TASKS, bare.TASK_WEIGHTS, bare.fit(hidden, demos), pretrained
    )
    init, select = selectors.amf(
        embeddings.last_layer_gradient(bare.last_layer), bare.log_likelihood
    )
    _, _, info = jax.jit(select)(keys[3], init(context), context)
    pieces = jax.jit(bare.scores)(jax.random.key(3))
    np.testing.assert_allclose(pieces, info.scores, rtol=1e-2)


def test_parallel_experts_are_not_all_sent_after_the_same_gap(example, capsys):
    asked = example("parallel_demonstrators").main()
    assert len(asked) == len(capsys.readouterr().out.splitlines()) == 12
    at_once = [task for minute, _, task in asked if minute == 0]
    assert sorted(set(at_once)) == [2, 3]  # what pre-training did not show
    assert [asked.count(entry) for entry in asked] == [1] * 12
    tasks = [task for _, _, task in asked]
    assert tasks.count(2) >= 5 and tasks.count(3) >= 5
    # an expert is asked again when it has delivered, and not before
    for expert, minutes in enumerate((3, 4, 7)):
        times = [minute for minute, who, _ in asked if who == expert]
        assert set(np.diff(times)) == {minutes}


def test_readme_example_runs_as_printed(capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert len([line for line in block.splitlines() if line]) <= 15
    exec(compile(block, "README.md", "exec"), {})
    assert "demonstrate task 2 next" in capsys.readouterr().out


def test_page_on_asking_people_runs_as_printed(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "ask_and_tell.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile("".join(blocks), "ask_and_tell.md", "exec"), {})
    assert f"prints `{capsys.readouterr().out.strip()}`" in page
