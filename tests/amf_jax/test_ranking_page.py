"""docs/ranking.md: what it shows is what comes out."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from amf_jax import cli

PAGE = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text("utf-8")
FILE, ARRAYS, TORCH = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.M)
SHOWN = dict(re.findall(r"^    \$ (amf .*)\n((?:    .*\n|\n(?=    ))*)", PAGE, re.M))


def run(source, **names):
    exec(compile(source, "docs/ranking.md", "exec"), names)
    return names


def test_the_page_is_as_printed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    run(FILE)
    ((command, expected),) = SHOWN.items()
    assert cli.run(shlex.split(command)[1:]) == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown == [line[4:] for line in expected.splitlines()]
    run(ARRAYS)
    expected = re.search(r"which prints `(.*?)`", PAGE)[1]
    assert capsys.readouterr().out.strip() == expected


def test_features_and_errors_of_a_torch_policy_are_its_gradients(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    last = torch.nn.Linear(5, 2)
    policy = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), last)

    def loss(outputs, actions):
        return ((outputs - actions) ** 2).sum()

    observations, actions = torch.randn(6, 3), torch.randn(6, 2)
    ids = torch.arange(6)
    batches = [(x[:4], x[4:]) for x in (observations, actions, ids, ids % 2)]
    path = tmp_path / "steps.npz"
    run(TORCH)["export"](policy, last, loss, zip(*batches, strict=True), path)
    held = np.load(path)
    assert held["task_ids"].tolist() == [0, 1, 0, 1, 0, 1]
    for step in range(6):
        policy.zero_grad()
        loss(policy(observations[step]), actions[step]).backward()
        kernel = np.outer(held["errors"][step], held["features"][step])
        np.testing.assert_allclose(last.weight.grad.numpy(), kernel, rtol=1e-4)
        np.testing.assert_allclose(last.bias.grad, held["errors"][step], rtol=1e-4)
