"""The benchmark of embeddings runs, counts right and writes what it measured."""

import io
import json

import pytest
from rich.console import Console

from benchmarks import embeddings


def test_a_small_run_writes_its_rows(tmp_path):
    screen = io.StringIO()
    options = ["--widths", "4", "--points", "3", "--rank", "5", "--repeats", "2"]
    folder = tmp_path / "bench"
    code = embeddings.main(
        ["embeddings", *options, "--output", str(folder)],
        Console(file=screen, width=120),
    )
    assert code == 0
    record = json.loads((folder / "embeddings.json").read_text())
    assert record["points"] == 3 and record["widths"] == [4]

    inputs, actions, width = 39 + 384, 4, 4
    dense = (inputs + 1) * width + (width + 1) * width + (width + 1) * actions
    parameters = dense + 2 * (2 * width)
    layers = (inputs + width) + (width + width) + 2 * (2 * width) + (width + actions)
    numbers = {row["embedding"]: row["numbers"] for row in record["rows"]}
    assert numbers == {
        "last_layer_gradient": width + actions,
        "network_gradient": layers,
        "projected_gradient": 5,
        "loss_gradient": parameters,
    }
    for row in record["rows"]:
        assert row["parameters"] == parameters
        low, high = row["quartiles"]
        assert 0 < low <= row["milliseconds"] <= high
        assert row["embedding"] in screen.getvalue()


@pytest.mark.parametrize("width", [64, 256])
def test_memory_of_the_exact_kernel_follows_the_widths_not_the_parameters(width):
    # From the first width to the second the parameters become 5.5 times as many, and
    # the numbers of a point 2.6 times.
    points, float_bytes = 50, 4
    exact, explicit = (
        embeddings.measure(name, width, points, rank=1, repeats=1)
        for name in ("network_gradient", "loss_gradient")
    )
    assert exact.temporary_bytes < 1.2 * points * exact.numbers * float_bytes
    assert exact.temporary_bytes < 0.03 * points * exact.parameters * float_bytes
    # what it would be with gradients that are as long as the parameters
    assert explicit.temporary_bytes >= points * explicit.parameters * float_bytes


def test_sizes_below_one_are_refused(capsys):
    with pytest.raises(SystemExit) as exit_info:
        embeddings.main(["embeddings", "--points", "0"])
    assert exit_info.value.code == 2
    assert "--points: must be at least 1, got 0" in capsys.readouterr().err


def test_help_explains_the_columns(capsys):
    with pytest.raises(SystemExit) as exit_info:
        embeddings.main(["embeddings", "--help"])
    assert exit_info.value.code == 0
    text = capsys.readouterr().out
    assert "Columns:" in text and "Examples:" in text and "--widths" in text
