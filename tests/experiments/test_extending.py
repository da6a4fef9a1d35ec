"""The examples of docs/extending.md, run as they are printed."""

import re
from pathlib import Path

import pytest

from experiments import build
from experiments.configs import loading

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
EXAMPLES = [block for block in BLOCKS if block.startswith('"""')]


def example(about):
    (source,) = [block for block in EXAMPLES if block.startswith(f'"""{about}')]
    return source


@pytest.mark.parametrize("source", EXAMPLES)
def test_no_example_takes_thirty_lines(source):
    assert sum(bool(line.strip()) for line in source.splitlines()) < 30


def test_the_suite_of_the_page_runs_by_one_registry_line(monkeypatch, tmp_path):
    file = tmp_path / "reach.py"
    file.write_text(example("A point that reaches"))
    namespace = {}
    exec(compile(file.read_text(), file, "exec"), namespace)
    monkeypatch.setitem(build.SUITES, "reach", namespace["build"])
    overrides = {
        "rounds": 3,
        "training.pretraining_steps": 200,
        "training.finetuning_steps": 200,
    }
    built = build.build(loading.load(f"{file}:8-0", overrides))
    records = built.tuner.run()
    assert [record["task"] for record in records] == [None, 0, 1, 1]
    assert records[-1]["success"][1] > records[0]["success"][1]
