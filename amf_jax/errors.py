"""Exceptions: each message names the argument, what is wrong and what would be right.

`Interrupted` alone is no error: it says that Ctrl-C was heard and the round is safe.
"""

import difflib
from collections.abc import Collection, Iterable
from typing import Any


class AmfError(Exception):
    """Base class of every exception this library raises on purpose."""


class InvalidArgumentError(AmfError, ValueError):
    """An argument is outside its domain."""


class UnknownNameError(AmfError, KeyError):
    """A name is not in its registry; the message offers the nearest valid one."""

    def __init__(self, kind: str, name: Any, known: Iterable[str], more: str = ""):
        known = sorted(known)
        text = name if isinstance(name, str) else ""
        near = difflib.get_close_matches(text, known, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        self.message = f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}{more}"
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr
        return self.message


class DemonstrationError(AmfError, ValueError):
    """Demonstrations with wrong shapes, masks, task ids or values."""


class CapacityError(AmfError, ValueError):
    """More demonstrations than a buffer has room for."""


class ChangedPoolError(AmfError, RuntimeError):
    """A pool gave other demonstrations when it was gone through again."""


class MemoryBudgetError(AmfError, MemoryError):
    """A request would not fit in memory; the message names what would."""


class SelectionError(AmfError, ArithmeticError):
    """A selector could not rank the candidates: a score is not finite."""


class UndemonstratedTaskError(SelectionError):
    """Deterministic weights were asked about a task that has no demonstration."""


class TrainingError(AmfError, ArithmeticError):
    """Training left what is not finite."""


class CheckpointError(AmfError, RuntimeError):
    """A checkpoint is unreadable or belongs to another run."""


class ResumeWarning(UserWarning):
    """A run goes on, but not exactly as if it had never stopped."""


class RunInUseError(AmfError, RuntimeError):
    """Another process is at this run; the message says which."""


class ResultsError(AmfError, RuntimeError):
    """A results file is unwritable, unreadable or belongs to another config."""


class EncoderError(AmfError, RuntimeError):
    """Weights, tokenizer or stored embeddings of an encoder are missing or damaged."""


class MissingDependencyError(AmfError, ImportError):
    """An optional package is needed; the message says how to install it."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the round in progress was finished and is safe."""


def check_name(kind: str, name: Any, known: Collection[str]) -> None:
    """Refuses what is no name of a registry, whatever it is.

    Raises:
      UnknownNameError: with the nearest valid name.
    """
    if not isinstance(name, str) or name not in known:
        raise UnknownNameError(kind, name, known)
