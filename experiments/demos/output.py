"""Output files that are there as a whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amf_jax.errors import ResultsError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which it becomes when all went well.

    After an exception, Ctrl-C included, `path` is what it was before.

    Raises:
      ResultsError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            scratch = Path(folder) / path.name
            yield scratch
            os.replace(scratch, path)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}") from error


def check_folder(folder: Path) -> None:
    """Finds out whether files can be written to a folder, and creates it if need be.

    Raises:
      ResultsError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"cannot write to the folder {folder}: {error.strerror}; name another"
        ) from error
