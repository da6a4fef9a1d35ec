"""How long `import amf_jax` takes, in a process of its own."""

from collections.abc import Iterator

from benchmarks.jobs.base import Bench, run_python, timed
from benchmarks.rows import Row
from benchmarks.timing import in_turns

_PEER = "import jax, flax, optax"


def run(bench: Bench) -> Iterator[Row]:
    """Against what every program in this corner imports anyway."""
    calls = [
        lambda: run_python("-c", "import amf_jax"),
        lambda: run_python("-c", _PEER),
    ]
    # This process has read all files and written their bytecode.
    turns = {"least_turns": 1} if bench.quick else {}
    ours, theirs = in_turns(calls, bench.seconds, **turns)
    yield timed(Row("startup", case="import amf_jax", peer=_PEER), ours, theirs)
