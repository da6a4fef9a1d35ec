"""HDF5 files of others: each member is looked at before anything of it is read.

HDF5 can refer to other files in many ways, declare sizes that nothing on disk stands
behind, and load code of its own to decode what it stores. Nothing of that is followed.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from amf_jax import errors, files
from experiments import extras

#: Filters that come with HDF5 or h5py; any other is a plugin.
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}

_LONGEST_TEXT = 1024  # bytes
_MOST_SHOWN, _LONGEST_SHOWN = 20, 80  # names, and letters of one


class Member(NamedTuple):
    """A place in a file, whether or not anything is there.

    Attributes:
      parent: h5py's group.
      name: in that group.
    """

    parent: Any
    name: str

    def __str__(self) -> str:
        """The file and the path in it."""
        path = f"{self.parent.name.rstrip('/')}/{self.name}"
        return f"{self.parent.file.filename}: {shown(path)}"

    def error(self, what: str) -> errors.DemonstrationError:
        """An error that says what is wrong with it."""
        return errors.DemonstrationError(f"{self} {what}")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Names the member in whatever h5py raises, which is of many kinds."""
        try:
            yield
        except Exception as error:
            raise self.error(f"cannot be read ({error})") from error


class Matrix(NamedTuple):
    """Numbers in a file, a row per step, of which none is read yet.

    Attributes:
      member: where they are.
      dataset: h5py's.
      shape: rows and columns.
    """

    member: Member
    dataset: Any
    shape: tuple[int, int]

    def read(self) -> np.ndarray:
        """The numbers in float32.

        Raises:
          DemonstrationError: they are damaged, or one is NaN or infinite in float32.
        """
        with self.member.reading(), np.errstate(over="ignore"):
            read = self.dataset[()].astype(np.float32)
        finite = np.isfinite(read).all(axis=1)
        if not finite.all():
            step = int(np.argmin(finite))
            raise self.member.error(f"is NaN or infinite in float32 at step {step}")
        return read


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An `h5py.File` to be read.

    Raises:
      DemonstrationError: it is missing, no regular file, not HDF5, damaged, or being
        written to by another process.
      MissingDependencyError: h5py is not installed.
    """
    h5py = extras.load("h5py")
    try:
        with files.open_regular(path):
            pass  # HDF5 would wait at a pipe
        file = h5py.File(path, "r")
    except Exception as error:  # h5py raises many kinds
        raise errors.DemonstrationError(
            f"cannot read {os.fspath(path)}, which should be an HDF5 file that nobody"
            f" is writing to: {error}"
        ) from error
    with file:
        yield file


def names(group: Any) -> list[str]:
    """Names of the members of a group."""
    with Member(group, "").reading():
        return [
            name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
            for name in group
        ]


def shown(name: str) -> str:
    """A name from a file for a message, whatever is in it."""
    return (name if name.isprintable() else ascii(name))[:_LONGEST_SHOWN]


def group(parent: Any, name: str) -> Any:
    """A group in another one.

    Raises:
      DemonstrationError: there is none, or it is a link to somewhere else.
    """
    found = _get(member := Member(parent, name))
    if not isinstance(found, extras.load("h5py").Group):
        raise member.error("is not a group")
    return found


def texts(parent: Any, name: str, most: int) -> list[str]:
    """A list of strings.

    Args:
      parent: group.
      name: of the list.
      most: strings that it may hold.

    Raises:
      DemonstrationError: there is none, it is not in this file, or it is no such list
        of UTF-8 strings.
    """
    dataset = _dataset(member := Member(parent, name))
    with member.reading():
        info = extras.load("h5py").check_string_dtype(dataset.dtype)
        shape = dataset.shape
    if info is None or shape is None or len(shape) != 1:
        raise member.error("is not a list of strings")
    if shape[0] > most:
        raise member.error(f"lists {shape[0]} strings, more than the {most} there are")
    _check_storage(member, dataset, most * _LONGEST_TEXT)
    with member.reading():
        # One by one: there may be a long one, to which all of them refer.
        return [dataset[i].decode() for i in range(shape[0])]


def matrix(parent: Any, name: str, most_bytes: float) -> Matrix:
    """Numbers `[H, W]`, at least one.

    Args:
      parent: group.
      name: below that group; further groups on the way are apart by slashes.
      most_bytes: that they may take.

    Raises:
      DemonstrationError: there are none, they are not in this file as a whole, need a
        plugin, are more than `most_bytes`, or are anything else than a vector of real
        numbers for every step.
    """
    *folders, last = name.split("/")
    for folder in folders:
        parent = group(parent, folder)
    dataset = _dataset(member := Member(parent, last))
    with member.reading():
        shape, dtype = dataset.shape, dataset.dtype
    if dtype.kind not in "iuf" or dtype.metadata:  # which an enumeration has
        raise member.error(f"holds {dtype}; expected real numbers")
    if shape is None or len(shape) != 2 or 0 in shape:
        raise member.error(f"has shape {shape}; expected one vector per step")
    _check_storage(member, dataset, most_bytes)
    return Matrix(member, dataset, shape)


def _get(member: Member) -> Any:
    """What is there, if it is in this file."""
    h5py = extras.load("h5py")
    parent, name = member
    with member.reading():
        # h5py's `in` would follow a link.
        known = parent.id.links.exists(name.encode("utf-8", "surrogateescape"))
    if not known:
        there = [shown(other) for other in names(parent)[:_MOST_SHOWN]]
        raise errors.DemonstrationError(
            f"{parent.file.filename} has no {parent.name.rstrip('/')}/{name}; there is:"
            f" {', '.join(there) or 'nothing'}"
        )
    with member.reading():
        link = parent.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            return parent[name]
    raise member.error("is a link to somewhere else, which is not followed")


def _dataset(member: Member) -> Any:
    """A dataset that can be read from this file with nothing but h5py."""
    found = _get(member)
    if not isinstance(found, extras.load("h5py").Dataset):
        raise member.error("is not a dataset")
    with member.reading():
        # Before its shape, for which a virtual one looks into its sources.
        elsewhere = found.is_virtual or found.external
        plan = found.id.get_create_plist()
        filters = [plan.get_filter(i) for i in range(plan.get_nfilters())]
    if elsewhere:
        raise member.error("is stored in other files, which are not read")
    for code, *_, text in filters:
        if code not in _FILTERS:
            raise member.error(
                f"needs the filter plugin {text or code!r}; known filters are"
                f" {', '.join(_FILTERS.values())}"
            )
    return found


def _check_storage(member: Member, dataset: Any, most_bytes: float) -> None:
    """Refuses what is too large or what has gaps, which would be read as zeros."""
    with member.reading():
        shape, chunks = dataset.shape, dataset.chunks
        stored = dataset.id.get_storage_size()
        written = dataset.id.get_num_chunks() if chunks else None
        # A chunk is decoded as a whole, and can be larger than what there is of it.
        size = max(math.prod(shape), math.prod(chunks or ())) * dataset.dtype.itemsize
    if size > most_bytes:
        raise member.error(f"takes {size} bytes, more than {most_bytes:.0f}")
    tiles = zip(shape, chunks or (), strict=False)
    needed = math.prod(-(-length // chunk) for length, chunk in tiles)
    if 0 not in shape and (not stored or (chunks and written != needed)):
        raise member.error("was never written as a whole")
