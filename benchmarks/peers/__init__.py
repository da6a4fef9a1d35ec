"""Peers: other ways to do the same work, each on the same inputs as ours.

Every module but `literal` needs a package that may not be installed.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

#: Packages that `pip install 'amf_jax[…]'` does not bring; see `make bench-peers`.
OPTIONAL = ("torch", "activeft", "bmdal_reg", "gymnasium", "faiss", "dill")


class Peer(NamedTuple):
    """Who does the same work.

    Attributes:
      name: for the table.
      call: does the work once and returns its result on the host, or None if the peer
        does not take part.
      note: why not.
    """

    name: str
    call: Callable[[], Any] | None
    note: str | None = None


def peer(
    name: str,
    module: str,
    prepare: Callable[[ModuleType], Callable[[], Any]],
    *,
    asked: bool = True,
) -> Peer:
    """A peer that takes part if it was asked for and its packages are there.

    Args:
      name: for the table.
      module: of this package.
      prepare: `(module) -> call`, with the inputs in the peer's own terms.
      asked: whether it was asked for.
    """
    if not asked:
        return Peer(name, None, f"{name}: not asked for; add --peers")
    try:
        loaded = importlib.import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in OPTIONAL:
            raise
        return Peer(name, None, f"{name}: {error.name} is not installed")
    return Peer(name, prepare(loaded))
