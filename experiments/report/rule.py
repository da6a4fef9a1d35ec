"""The rule by which evidence decides a claim: an interval against a bound.

An interval of 90 % leaves 5 % on either side, so that each verdict about a bound is a
one-sided test at level 0.05, and `within` is the usual test of equivalence.
"""

import enum
from collections.abc import Iterable

from experiments.statistics import CONFIDENCE, Summary

#: Differences in success below this do not count: parity and "no worse than" allow it.
MARGIN = 0.03

#: A bootstrap over fewer seeds is not trusted with a verdict.
MIN_SEEDS = 6

STATED = f"""\
A statement compares two methods by the mean over seeds of a paired difference (the same
seed has the same pre-training, the same expert episodes for the k-th demonstration of a
task, the same evaluation starts) and its {100 * CONFIDENCE:.0f} % bootstrap interval.
*Area* is the area under the curve of multi-task success (integrator: of return), per
round.

* **A > B** holds if the interval lies above 0 and does not hold if it lies below 0.
  The estimate says whether the difference is worth anything.
* **A no worse than B** holds if the interval lies above -{MARGIN} and does not hold if
  it lies below -{MARGIN}.
* **A = B** holds if the interval lies within ±{MARGIN} and does not hold if it lies
  beyond on one side.
* Otherwise, and with fewer than {MIN_SEEDS} seeds, a statement is undecided.
* A claim holds on a suite if all its statements there hold, and does not hold if one of
  them does not.

Lines without a verdict are shown, not judged. The rule, the margin and the statements
are in [experiments/report/](experiments/report)."""


class Verdict(enum.StrEnum):
    """What the evidence says about a statement."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    MISSING = "no evidence yet"


def above(summary: Summary | None, bound: float = 0.0) -> Verdict:
    """Whether a quantity is larger than a bound.

    Args:
      summary: a scalar estimate with its interval; None without evidence.
      bound: 0 for "A is better than B", `-MARGIN` for "A is no worse than B".

    Returns:
      Holds if the interval lies above the bound, does not if it lies below; else, or
      with fewer than `MIN_SEEDS` seeds, it is undecided.
    """
    if summary is None:
        return Verdict.MISSING
    if summary.interval is None or summary.seeds < MIN_SEEDS:
        return Verdict.UNDECIDED
    low, high = summary.interval
    if low > bound:
        return Verdict.HOLDS
    return Verdict.FAILS if high < bound else Verdict.UNDECIDED


def below(summary: Summary | None, bound: float = 0.0) -> Verdict:
    """Whether a quantity is smaller than a bound; the mirror image of `above`."""
    if summary is None or summary.interval is None:
        return above(summary)
    low, high = summary.interval
    return above(Summary(-summary.mean, (-high, -low), summary.seeds), -bound)


def within(summary: Summary | None, margin: float = MARGIN) -> Verdict:
    """Whether a difference is practically none.

    Returns:
      Holds if the interval lies within ±margin, does not if it lies beyond on one side;
      else, or with fewer than `MIN_SEEDS` seeds, it is undecided.
    """
    sides = above(summary, -margin), below(summary, margin)
    return all_of(sides)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim that makes several statements.

    Returns:
      Does not hold if one of them does not; else no evidence if that is missing for
      one; else undecided if one is; holds if all of them hold.
    """
    found = set(verdicts)
    worst_first = (Verdict.FAILS, Verdict.MISSING, Verdict.UNDECIDED)
    return next((verdict for verdict in worst_first if verdict in found), Verdict.HOLDS)
