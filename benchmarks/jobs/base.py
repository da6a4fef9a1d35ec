"""What jobs share: their seam, and the comparison of a program with its peers."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.limits import Limits
from benchmarks.peers import Peer
from benchmarks.rows import Row
from benchmarks.timing import Program, Times, in_turns, summarise

_ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 600.0
#: A peer whose first call takes so many times what a comparison may has no second.
_PATIENCE = 5.0


class Bench(NamedTuple):
    """What a job is told.

    Attributes:
      limits: of this machine.
      quick: whether small sizes and few calls will do.
      peers: whether optional peers were asked for.
    """

    limits: Limits
    quick: bool = False
    peers: bool = False

    @property
    def seconds(self) -> float:
        """To spend on one comparison."""
        return 0.1 if self.quick else 4.0


class Job(NamedTuple):
    """A benchmark.

    Attributes:
      title: what is timed, in a few words.
      run: `(bench) -> rows`, each as soon as it is measured.
      target: what the project wants of it, in words; None for no target.
    """

    title: str
    run: Callable[[Bench], Iterator[Row]]
    target: str | None = None


#: `(ours, theirs) -> complaint`; None where the results agree.
Agreement = Callable[[Any, Any], str | None]


def same_choices(ours: Any, theirs: Any) -> str | None:
    """Whether the same rows were chosen, whatever the order."""
    ours, theirs = set(np.ravel(ours).tolist()), set(np.ravel(theirs).tolist())
    if ours == theirs:
        return None
    return f"{len(ours - theirs)} of {len(ours)} choices differ"


def close(tolerance: float) -> Agreement:
    """Whether all numbers are equal up to a share of the largest of them."""

    def compare(ours: Any, theirs: Any) -> str | None:
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.shape != theirs.shape:
            return f"results of shapes {ours.shape} and {theirs.shape}"
        off = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        if off <= tolerance:  # False for NaN
            return None
        return f"results differ by {off:.1e} of the largest, more than {tolerance:.0e}"

    return compare


def compare(
    bench: Bench,
    row: Row,
    ours: Callable[[], Any],
    peers: Sequence[Peer],
    agree: Agreement,
    *,
    factor: float = 1.0,
) -> Iterator[Row]:
    """One row per peer: results first, then times, in turns with ours.

    A peer that is missing leaves a row without its times and says why; one that fails
    or comes to another result leaves an error. Of a very slow one the call that gave
    the result counts, and the row says so.

    Args:
      bench: what the job was told.
      row: what all rows have in common.
      ours: the work, waited for; its first call does not count.
      peers: who else does it.
      agree: compares the results.
      factor: how many times the work is that the row is about.
    """
    result = ours()
    alone: Times | None = None
    named = False
    for peer in sorted(peers, key=lambda peer: peer.call is None):
        label = dataclasses.replace(row, peer=peer.name)
        if peer.call is None:
            alone = alone or in_turns([ours], bench.seconds)[0]
            note = "; ".join(filter(None, (row.note, peer.note)))
            label = dataclasses.replace(label, note=note)
            yield timed(label, alone.scaled(factor))
            named = True
            continue
        start = time.perf_counter()
        try:
            complaint = agree(result, peer.call())
        except Exception as error:
            complaint = f"{type(error).__name__}: {error}"
        once = time.perf_counter() - start
        if complaint is not None:
            yield Row(row.job, row.case, peer=peer.name, error=complaint)
            continue
        if once > _PATIENCE * bench.seconds:
            alone = alone or in_turns([ours], bench.seconds)[0]
            theirs = summarise([once])
            note = "; ".join(filter(None, (row.note, f"{peer.name}: a single call")))
            label = dataclasses.replace(label, note=note)
        else:
            alone, theirs = in_turns([ours, peer.call], bench.seconds)
        yield timed(label, alone.scaled(factor), theirs.scaled(factor))
        named = True
    if not named:
        (alone,) = in_turns([ours], bench.seconds)
        yield timed(row, alone.scaled(factor))


def compiled(row: Row, program: Program) -> Row:
    """The same row with what is known of a compiled program."""
    return dataclasses.replace(
        row, compile_seconds=program.compile_seconds, bytes_peak=program.bytes_peak
    )


def timed(row: Row, ours: Times, theirs: Times | None = None) -> Row:
    """The same row with its times."""
    return dataclasses.replace(
        row,
        seconds=ours.median,
        spread=(ours.low, ours.high),
        peer_seconds=None if theirs is None else theirs.median,
    )


def run_python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Runs Python in a process of its own, at the root of the checkout.

    Args:
      *arguments: of the interpreter.
      environment: variables that differ from those of this process.

    Returns:
      What it printed.

    Raises:
      RuntimeError: with the last line of its complaint, if it fails.
      TimeoutExpired: if it takes more than ten minutes.
    """
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=_ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    if finished.returncode:
        last = finished.stderr.strip().splitlines()[-1:]
        raise RuntimeError(f"python {' '.join(arguments)} failed: {' '.join(last)}")
    return finished.stdout
