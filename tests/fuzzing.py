"""Damage to files by a random choice, and what a reader may make of it."""

import contextlib
import functools
import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amf_jax.errors import AmfError, ResumeWarning
from experiments.runs import ResultsWarning

Edit = Callable[[bytes], bytes]

#: Of a message: it is read by people.
LONGEST_MESSAGE = 2000


class Damage(NamedTuple):
    """A kind of damage.

    Attributes:
      edits: of a file with some content.
      allows: `(data, whole) -> bool`, whether data may be read instead of the whole.
        Nothing may where a reader can tell; of a digit without a checksum it cannot.
    """

    edits: Callable[[bytes], st.SearchStrategy[Edit]]
    allows: Callable[[Any, Any], bool] = lambda data, whole: False


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
      make: creates a folder, writes a valid file or more there, and returns what is
        read: the file, or the folder.
      read: the data of it, which can be compared.
      damages: by name.
      cost: of reading, in other readers: so many times fewer examples are tried.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    damages: Mapping[str, Damage]
    cost: int = 1


def budget(examples: int) -> settings:
    """So many examples, the same ones every time: a test that passes passes again."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def fuzz(reader: Reader, damage: Damage, folder: Path, examples: int) -> None:
    """Damages one file at a time, and reads.

    Args:
      reader: of the files.
      damage: one of its.
      folder: empty.
      examples: how many.

    Raises:
      AssertionError: an error that does not name the file, or data that are not right.
    """
    made, work = folder / "made", folder / "damaged"
    path = work / reader.make(made).relative_to(made)
    names = [file.relative_to(made) for file in made.rglob("*") if file.is_file()]
    contents = {name: (made / name).read_bytes() for name in sorted(names)}
    shutil.copytree(made, work)
    whole = reader.read(path)

    @budget(examples // reader.cost)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(contents)))
        edit = data.draw(damage.edits(contents[name]))
        shutil.rmtree(work)
        shutil.copytree(made, work)
        (work / name).write_bytes(edit(contents[name]))
        with _refused(path):
            found = reader.read(path)
            assert found == whole or damage.allows(found, whole)

    check()


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Lets pass what is documented: a named error, and notes."""
    with warnings.catch_warnings():
        for documented in (ResultsWarning, ResumeWarning):
            warnings.simplefilter("ignore", documented)
        try:
            yield
        except AmfError as error:
            message = str(error)
            assert str(path) in message
            assert len(message) < LONGEST_MESSAGE
            assert message.encode()  # it can be printed


# Bytes.


def damaged_bytes(content: bytes) -> st.SearchStrategy[Edit]:
    """Bits flipped, an end cut off, and pieces lost, doubled, moved or blank."""
    offsets = st.integers(0, max(0, len(content) - 1))
    flips = st.lists(st.tuples(offsets, st.integers(0, 7)), min_size=1, max_size=8)
    lengths = st.sampled_from([1, 2, 4, 8, 64, 512])
    pieces = st.sampled_from([_lose, _double, _move, _blank, _fill])
    return st.one_of(
        st.builds(functools.partial, st.just(_flip), flips),
        st.builds(functools.partial, st.just(_cut), offsets),
        st.builds(functools.partial, pieces, offsets, lengths, offsets),
    )


def _flip(bits, content):
    changed = bytearray(content)
    for offset, bit in bits:
        changed[offset] ^= 1 << bit
    return bytes(changed)


def _cut(length, content):
    return content[:length]


def _lose(offset, length, _, content):
    return content[:offset] + content[offset + length :]


def _double(offset, length, to, content):
    return content[:to] + content[offset : offset + length] + content[to:]


def _move(offset, length, to, content):
    piece = content[offset : offset + length]
    return (content[:to] + piece + content[to + len(piece) :])[: len(content)]


def _blank(offset, length, _, content):
    piece = content[offset : offset + length]
    return content[:offset] + bytes(len(piece)) + content[offset + len(piece) :]


def _fill(offset, length, _, content):
    piece = content[offset : offset + length]
    return content[:offset] + b"\xff" * len(piece) + content[offset + len(piece) :]


# Arrays.


def damaged_arrays(content: bytes) -> st.SearchStrategy[Edit]:
    """Bytes of one array of an `.npz` file, below a checksum that fits them."""

    def edits(name: str) -> st.SearchStrategy[Edit]:
        return damaged_bytes(_members_of_zip(content)[name]).map(
            lambda edit: functools.partial(_edit_array, name, edit)
        )

    return st.sampled_from(list(_members_of_zip(content))).flatmap(edits)


def _members_of_zip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _edit_array(name, edit, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, array in _members_of_zip(content).items():
            archive.writestr(member, edit(array) if member == name else array)
    return buffer.getvalue()


# Lines.


def damaged_lines(content: bytes) -> st.SearchStrategy[Edit]:
    """Lines that are lost, doubled, swapped, cut or joined with the next."""
    numbers = st.integers(0, len(content.splitlines()) - 1)
    kinds = st.sampled_from(["lost", "doubled", "swapped", "cut", "joined"])
    return st.builds(functools.partial, st.just(_edit_lines), kinds, numbers, numbers)


def _edit_lines(kind, at, to, content):
    lines = content.splitlines(keepends=True)
    if kind == "lost":
        del lines[at]
    elif kind == "doubled":
        lines.insert(to, lines[at])
    elif kind == "swapped":
        lines[at], lines[to] = lines[to], lines[at]
    elif kind == "cut":
        lines[at] = lines[at][: len(lines[at]) // 2]
    else:
        lines[at] = lines[at].rstrip(b"\n")
    return b"".join(lines)


# JSON.

#: Nothing that is right where a number, a string or a list of them belongs.
STRANGE = {
    "NaN": "NaN",
    "infinity": "-Infinity",
    "overflow": "1e999",
    "large": "1e300",
    "digits": "9" * 5000,
    "true": "true",
    "null": "null",
    "empty text": '""',
    "half a character": '"\\ud800"',
    "no list": "[]",
    "no object": "{}",
    "a list of lists": "[[1.5], [[2.5]]]",
    "an object": '{"a": {"b": [1.5]}}',
    "negative": "-1.5",
    "deep": "[" * 3000 + "]" * 3000,
}
_MARK = "a value to be replaced"


def damaged_json(content: bytes) -> st.SearchStrategy[Edit]:
    """Values replaced by strange ones, lost, doubled, or under another name."""
    return _json_edits(content, "whole")


def damaged_json_lines(content: bytes) -> st.SearchStrategy[Edit]:
    """The same, in a file that has JSON on every line."""
    lines = st.integers(0, len(content.splitlines()) - 1)
    return lines.flatmap(
        lambda line: _json_edits(content.splitlines()[line], str(line))
    )


def _json_edits(text: bytes, line: str) -> st.SearchStrategy[Edit]:
    ways = [*STRANGE, "lost", "doubled", "renamed"]
    return st.sampled_from(_paths_by_depth(text)).flatmap(
        lambda paths: st.builds(
            functools.partial,
            st.just(_edit_json),
            st.just(line),
            st.sampled_from(paths),
            st.sampled_from(ways),
        )
    )


@functools.lru_cache(maxsize=64)
def _paths_by_depth(text: bytes) -> list[list[tuple[Any, ...]]]:
    levels: list[list[tuple[Any, ...]]] = []

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        if len(path) == len(levels):
            levels.append([])
        levels[len(path)].append(path)
        if isinstance(value, dict):
            value, names = value.values(), list(value)
        elif isinstance(value, list):
            names = range(len(value))
        else:
            return
        for name, part in zip(names, value, strict=True):
            walk(part, (*path, name))

    walk(json.loads(text), ())
    return levels


def _edit_json(line, path, way, content):
    if line != "whole":
        lines = content.splitlines(keepends=True)
        edited = _edit_json("whole", path, way, lines[int(line)].rstrip())
        lines[int(line)] = edited + b"\n"
        return b"".join(lines)
    value = json.loads(content)
    if not path:
        return STRANGE.get(way, "").encode()
    *above, last = path
    parent = functools.reduce(lambda part, name: part[name], above, value)
    replaced = json.dumps(parent[last])
    named = f"{json.dumps(last)}: " if isinstance(parent, dict) else ""
    if way == "lost":
        del parent[last]
    elif way == "renamed" and named:
        parent[f"{last}?"] = parent.pop(last)
    else:
        parent[last] = _MARK
    new = STRANGE.get(way, f"{replaced}, {named}{replaced}")
    return json.dumps(value).replace(f'"{_MARK}"', new).encode()


# HDF5.


def damaged_members(content: bytes) -> st.SearchStrategy[Edit]:
    """Members of an HDF5 file that are lost, of another kind, or elsewhere."""
    ways = st.sampled_from(["lost", "renamed", *_MEMBERS])
    names = st.sampled_from(_members(content))
    return st.builds(functools.partial, st.just(_edit_member), names, ways)


@functools.lru_cache(maxsize=8)
def _members(content: bytes) -> list[str]:
    found: list[str] = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visit(found.append)
    return found


#: What is put in the place of a member; none of it is right anywhere.
_MEMBERS: Mapping[str, Any] = {
    "a number": 1.5,
    "numbers": np.ones(3),
    "an image": np.ones((2, 2, 3), "u1"),
    "no rows": np.ones((0, 1)),
    "NaN": np.full((2, 1), np.nan),
    "nothing": h5py.Empty("f8"),
    "texts": np.full((2, 1), b"1"),
    "bools": np.ones((2, 1), bool),
    "complex": np.ones((2, 1), complex),
    "records": np.zeros((2, 1), [("x", "f8")]),
    "bytes": np.zeros((2, 1), "V8"),
    "names": np.array([b"demo_0", b"demo_77"]),
    "a type": np.dtype("f8"),
    "a soft link": h5py.SoftLink("/data"),
    "an external link": h5py.ExternalLink("elsewhere.hdf5", "/data"),
}


def _edit_member(name, way, content):
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        if way == "renamed":
            file.move(name, f"{name}?")
        else:
            del file[name]
        if way in _MEMBERS:
            file[name] = _MEMBERS[way]
    return buffer.getvalue()
