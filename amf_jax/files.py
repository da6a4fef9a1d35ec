"""Files of this machine: paths as people write them, and readers that cannot hang."""

import contextlib
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from amf_jax import errors

#: Without waiting for the other end of a pipe, where there are pipes.
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
#: With one slash too: `pathlib` leaves no more. Drives of Windows have one letter.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")


def local_path(name: str, path: Any) -> Path:
    """A path with `~` as the home folder.

    Args:
      name: of the argument, for the message.
      path: of a file or folder on this machine, a string or a `pathlib.Path`.

    Raises:
      InvalidArgumentError: what is no path, an empty one, a URL such as
        `gs://bucket/run`, or the home folder of a user that there is not.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not (isinstance(text, str) and _is_nameable(text)):
        raise errors.InvalidArgumentError(
            f"{name} must be a path, as a string or a pathlib.Path; got {path!r}"
        )
    if not text:
        raise errors.InvalidArgumentError(
            f"{name} is empty; name a folder, '.' for the one you are in"
        )
    if match := _URL.match(text):
        raise errors.InvalidArgumentError(
            f"{name} must be a path on this machine, got the URL {text!r}; mount"
            f" {match[0]}… as a folder, or copy from a local one afterwards"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise errors.InvalidArgumentError(
            f"{name} begins with the home folder of a user that there is not: {text!r}"
        ) from None


def _is_nameable(text: str) -> bool:
    """Whether a file can have that name."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file open for reading, if it is a regular one.

    Opening a named pipe would wait for ever, and a device may have no end.

    Raises:
      OSError: it cannot be opened, or is no regular file (with what it is).
    """
    descriptor = os.open(path, _READING)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(f"{os.fspath(path)} is {_kind(mode)}, not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def reason(error: OSError) -> str:
    """What went wrong, without the path; libraries say it in words of their own.

    Example:
      >>> reason(FileNotFoundError(2, "No such file", "a")), reason(OSError("no disk"))
      ('No such file', 'no disk')
    """
    return error.strerror or str(error)


def read_text(path: str | os.PathLike[str], *, most_bytes: int | None = None) -> str:
    """The UTF-8 text of a regular file.

    Args:
      path: of the file.
      most_bytes: refuses a larger one before anything of it is read; None takes any.

    Raises:
      OSError: as `open_regular`, or the file is larger than `most_bytes`.
      UnicodeDecodeError: it is not UTF-8.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most_bytes is not None and size > most_bytes:
            raise OSError(f"{os.fspath(path)} has {size} bytes, more than {most_bytes}")
        return file.read().decode("utf-8")


def replace(path: Path, content: bytes) -> None:
    """Writes a whole file, durably: readers see the old one or the new one.

    A process that is killed leaves `.<name>.<digits>.tmp` behind.

    Raises:
      OSError: it cannot be written; the file that was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, with nothing in it that JSON does not have.

    Python's parser takes NaN and infinity, keeps the last of two members of one name,
    and a number that is too large for a float becomes infinite.

    Raises:
      ValueError: it is not JSON, not UTF-8, has one of the above, or is nested deeper
        than can be followed.

    Example:
      >>> parse_json('{"rounds": [1, 2.5]}')
      {'rounds': [1, 2.5]}
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has two members {twice!r}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


#: As `parse_json` but in a third of the time where numbers are many: one that is too
#: large becomes infinite, which is left to see to; so is RecursionError.
FAST_JSON = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_no_constant)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is too large for a float")
    return value


def _kind(mode: int) -> str:
    kinds: dict[str, Any] = {
        "a folder": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
        "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    return next((name for name, is_one in kinds.items() if is_one(mode)), "special")
