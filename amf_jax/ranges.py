"""Ranges of numbers: what an argument may be, said once and checked before any work.

Constructors and the configs of experiments refuse the same values in the same words. A
real number has to be in its range as float32 as well, which it is computed in.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from amf_jax import errors

_PAIRS = (list, tuple)
_LEAST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


class Range(NamedTuple):
    """Numbers that an argument may be.

    Attributes:
      words: how a message says it, behind "must be".
      holds: whether a number is one of them; NaN is none.
      whole: whether only whole numbers are.
      limit: what a message adds where a number is too large for 32 bits.
    """

    words: str
    holds: Callable[[Any], bool]
    whole: bool = False
    limit: str = ""


def at_least(least: int) -> Range:
    """Whole numbers from `least` on, as far as 32 bits count.

    Example:
      >>> at_least(2).words
      'a whole number, at least 2'
    """
    return Range(
        f"a whole number, at least {least}",
        lambda value: least <= value < 2**31,
        whole=True,
        limit=" and below 2147483648",
    )


COUNT = at_least(1)
COUNT_OR_NONE = at_least(0)
POSITIVE = Range("positive and finite", lambda value: 0 < value < math.inf)
FINITE = Range("finite", lambda value: -math.inf < value < math.inf)
AT_LEAST_ZERO = Range("at least 0", lambda value: value >= 0)
NOT_NEGATIVE = Range("at least 0 and finite", lambda value: 0 <= value < math.inf)
SHARE = Range("between 0 and 1", lambda value: 0 <= value <= 1)
SHARE_OF_SOME = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
OPEN_SHARE = Range("between 0 and 1, both excluded", lambda value: 0 < value < 1)
PROPER_SHARE = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
#: Larger seeds are other ones in 32 bits: 7 and 7 + 2^32 would be the same run.
SEED = Range(
    "a whole number from 0 to 4294967295", lambda value: 0 <= value < 2**32, whole=True
)


def check(name: str, value: Any, allowed: Range, *, optional: bool = False) -> None:
    """Refuses a number outside its range.

    A traced number has no value yet and is let through.

    Args:
      name: of the argument, for the message.
      value: a Python, NumPy or JAX scalar.
      allowed: its range.
      optional: whether None will do as well.

    Raises:
      InvalidArgumentError: naming the argument, its range and what was given.

    Example:
      >>> check("steps", -1, COUNT)
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: steps must be a whole number, at least 1, ...
    """
    if isinstance(value, jax.core.Tracer) or (optional and value is None):
        return
    number = _scalar(value)
    is_number = _is_number(number, allowed.whole)
    if not is_number or not _is_in(allowed, number):
        limit = allowed.limit if is_number and number >= 2**31 else ""
        otherwise = " or None" if optional else ""
        raise errors.InvalidArgumentError(
            f"{name} must be {allowed.words}{limit}{otherwise}, got {value!r}"
        )


def check_all(name: str, values: Any, allowed: Range) -> None:
    """Refuses an array with a number outside the range; a traced one is let through.

    Raises:
      InvalidArgumentError: as `check`.
    """
    if not isinstance(values, jax.core.Tracer):
        for value in np.ravel(np.asarray(values)):
            check(name, value, allowed)


def check_flag(name: str, value: Any) -> None:
    """Refuses what is neither True nor False, such as "false", which counts as true.

    Raises:
      InvalidArgumentError: naming the argument and what was given.

    Example:
      >>> check_flag("normalise_kernel", "no")
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: normalise_kernel must be True or False, ...
    """
    if not isinstance(value, bool | np.bool):
        raise errors.InvalidArgumentError(
            f"{name} must be True or False, got {value!r}"
        )


def check_interval(name: str, value: Any) -> None:
    """Refuses what is no pair of bounds, the lower one first; None is no bounds.

    Raises:
      InvalidArgumentError: for anything but two numbers in ascending order, which
        differ as float32 too.

    Example:
      >>> check_interval("likelihood_clip", (0, -12))
      Traceback (most recent call last):
      amf_jax.errors.InvalidArgumentError: likelihood_clip must be two numbers, the ...
    """
    if value is None:
        return
    pair = [_scalar(bound) for bound in value] if isinstance(value, _PAIRS) else []
    ordered = len(pair) == 2 and all(map(_is_number, pair)) and pair[0] < pair[1]
    if not ordered or _single(pair[0]) == _single(pair[1]):
        raise errors.InvalidArgumentError(
            f"{name} must be two numbers, the lower bound first, such as (-12.0, 0.0),"
            f" or None; got {value!r}"
        )


def _scalar(value: Any) -> Any:
    """The Python number that an array without axes holds; all else as it is."""
    array = isinstance(value, np.ndarray | np.generic | jax.Array)
    return value.item() if array and value.ndim == 0 else value


def _is_in(allowed: Range, number: Any) -> bool:
    """Whether a number is in a range, and what stands for it in float32 too."""
    return allowed.holds(number) and (allowed.whole or allowed.holds(_single(number)))


def _single(number: Any) -> float:
    """What stands for a number in float32, where devices take subnormals for zero."""
    if abs(number) > _LARGEST:
        return math.inf if number > 0 else -math.inf
    return float(np.float32(number)) if abs(number) >= _LEAST else 0.0


def _is_number(value: Any, whole: bool = False) -> bool:
    """Whether it is one real number; a bool is none."""
    if isinstance(value, bool):
        return False
    return isinstance(value, numbers.Integral if whole else numbers.Real)
