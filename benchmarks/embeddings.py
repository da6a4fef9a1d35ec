"""Time and memory of the gradient embeddings as the hidden layers grow wider.

  python -m benchmarks.embeddings [--widths W ...] [--points N] [--rank R]
      [--repeats K] [--output FOLDER]

Each row is one compiled program: embed N points of the MLP policy at the sizes of the
Metaworld scene (39 observations, 384 task dimensions, 4 actions, two hidden layers) and
compute their N x N kernel. Of the four embeddings,

  last_layer_gradient  sees the last layer alone;
  network_gradient     sees all parameters, exactly, by the layers' factors;
  projected_gradient   estimates the same kernel from R numbers a point;
  loss_gradient        is the same kernel from N gradients as long as the parameters.

Columns:
  numbers  what one point holds, which is what a history of points costs
  time     median of the warm calls, with the quartiles, in milliseconds
  memory   temporary buffers of the program as compiled, in MiB

Examples:
  # Four widths on a laptop, in a minute or two.
  python -m benchmarks.embeddings

  # One wide network, kept as FOLDER/embeddings.json.
  python -m benchmarks.embeddings --widths 1024 --points 100 --output results

Timings mean something on an otherwise idle machine only.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.box
from rich.console import Console
from rich.table import Table

from amf_jax import embeddings
from amf_jax.policies import mlp

OBSERVATION_SIZE, TASK_SIZE, ACTION_SIZE = 39, 384, 4
EMBEDDINGS = (
    "last_layer_gradient",
    "network_gradient",
    "projected_gradient",
    "loss_gradient",
)


class Row(NamedTuple):
    """One measured program.

    Attributes:
      width: of both hidden layers.
      parameters: of the policy.
      embedding: a key of `embeddings.EMBEDDINGS`.
      numbers: what one point holds.
      milliseconds: median time of the warm calls.
      quartiles: of the same times.
      temporary_bytes: temporary buffers; None where the backend does not tell.
    """

    width: int
    parameters: int
    embedding: str
    numbers: int
    milliseconds: float
    quartiles: tuple[float, float]
    temporary_bytes: int | None


def main(argv: Sequence[str], console: Console | None = None) -> int:
    """Runs what a command line asks for; returns the exit code."""
    console = console or Console()
    options = _parser().parse_args(argv[1:])
    rows = []
    for width in options.widths:
        with console.status(f"measuring width {width}"):
            for name in EMBEDDINGS:
                row = measure(
                    name, width, options.points, options.rank, options.repeats
                )
                rows.append(row)
    device = jax.devices()[0].device_kind
    console.print(_table(rows, f"{options.points} points on {device}"))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / "embeddings.json"
        settings = {k: v for k, v in vars(options).items() if k != "output"}
        record = {
            "device": device,
            "jax": jax.__version__,
            **settings,
            "rows": [row._asdict() for row in rows],
        }
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        console.print(f"written to {path}")
    return 0


def measure(name: str, width: int, points: int, rank: int, repeats: int) -> Row:
    """Compiles one program, calls it once to warm up and times `repeats` calls."""
    policy = mlp.policy(
        jnp.zeros(OBSERVATION_SIZE),
        jnp.ones(OBSERVATION_SIZE),
        TASK_SIZE,
        ACTION_SIZE,
        features=(width, width),
    )
    assert policy.init is not None
    params = policy.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    examples = [
        jnp.asarray(rng.normal(size=(points, size)), jnp.float32)
        for size in (OBSERVATION_SIZE, ACTION_SIZE, TASK_SIZE)
    ]
    embedding = embeddings.make(name, policy, projection_rank=rank)
    arguments = (params, jax.random.key(1), *examples)

    @jax.jit
    def gram(*arguments):
        embedded = embedding.embed(*arguments)
        return embedding.kernel(embedded, embedded)

    compiled = gram.lower(*arguments).compile()
    memory = compiled.memory_analysis()
    held = jax.eval_shape(embedding.embed, *arguments)
    times = time_calls(lambda: compiled(*arguments), repeats)
    low, median, high = np.percentile(times, [25, 50, 75])
    return Row(
        width,
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        name,
        sum(leaf.size for leaf in jax.tree.leaves(held)) // points,
        float(median),
        (float(low), float(high)),
        None if memory is None else memory.temp_size_in_bytes,
    )


def time_calls(function: Callable, repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` calls, after one that does not count."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _table(rows: Sequence[Row], title: str) -> Table:
    table = Table(title=title, box=rich.box.SIMPLE_HEAD)
    table.add_column("width", justify="right", no_wrap=True)
    table.add_column("embedding", no_wrap=True)
    for heading in ("numbers", "time (ms)", "memory (MiB)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        low, high = row.quartiles
        memory = row.temporary_bytes
        table.add_row(
            str(row.width),
            row.embedding,
            f"{row.numbers:,}",
            f"{row.milliseconds:.1f} ({low:.1f} to {high:.1f})",
            "–" if memory is None else f"{memory / 2**20:.1f}",
            end_section=row.embedding == EMBEDDINGS[-1],
        )
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.embeddings",
        usage="%(prog)s [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(name, default, text, **more):
        help_text = f"{text} (default: %(default)s)"
        parser.add_argument(
            name, type=_positive, default=default, help=help_text, **more
        )

    add("--widths", [32, 64, 128, 256], "hidden widths, narrow to wide", nargs="+")
    add("--points", 256, "points N to embed")
    add("--rank", 64, "numbers a point of the projected gradient")
    add("--repeats", 20, "timed calls of each program")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write embeddings.json there; without it the table is all",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv))
