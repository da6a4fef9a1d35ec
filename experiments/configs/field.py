"""A field of a config: what it means, and what it may be."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from amf_jax import errors, ranges
from amf_jax.ranges import Range


class Field(NamedTuple):
    """A field of a config.

    Attributes:
      about: what it means, with its unit, in a few words.
      words: says what it may be; called late, since plugins add names.
      check: `(name, value)`: raises where it is something else.
      by_setting: whether it goes with the setting, so that nothing else may change it.
    """

    about: str
    words: Callable[[], str]
    check: Callable[[str, Any], object]
    by_setting: bool = False


def number(about: str, allowed: Range, *, optional: bool = False) -> Field:
    """A number of a range."""
    words = f"{allowed.words}{' or None' if optional else ''}"

    def check(name: str, value: Any) -> None:
        ranges.check(name, value, allowed, optional=optional)

    return Field(about, lambda: words, check)


def name(about: str, known: Collection[str], *, optional: bool = False) -> Field:
    """One of some names, to which plugins may add."""

    def words() -> str:
        return f"one of {', '.join(known)}{' or None' if optional else ''}"

    def check(name: str, value: Any) -> None:
        if value is None and optional:
            return
        if not isinstance(value, str):
            raise errors.InvalidArgumentError(f"{name} must be {words()}, got {value}")
        errors.check_name(name, value, known)

    return Field(about, words, check)


def other(about: str, kind: type, words: str, *, optional: bool = False) -> Field:
    """A value that only its type restricts."""
    words += " or None" if optional else ""

    def check(name: str, value: Any) -> None:
        if not (isinstance(value, kind) or (optional and value is None)):
            raise errors.InvalidArgumentError(f"{name} must be {words}, got {value!r}")

    return Field(about, lambda: words, check)


def texts(about: str, words: str) -> Field:
    """A tuple of strings."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
            raise errors.InvalidArgumentError(f"{name} must be {words}, got {value!r}")

    return Field(about, lambda: words, check)


def within(section: str, fields: dict[str, Field]) -> dict[str, Field]:
    """The fields of a section, as `section.field`."""
    return {f"{section}.{name}": field for name, field in fields.items()}
