"""Output files that are there as a whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amf_jax.errors import ResultsError
from amf_jax.files import reason


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write in place of `path`, which it becomes when all went well.

    After an exception, Ctrl-C included, `path` is what it was before. What a killed
    process leaves behind is overwritten next time.

    Raises:
      ResultsError: it cannot be written.
    """
    # With the same suffix, which tells some writers what to write.
    scratch = path.with_name(f".unfinished-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield scratch
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {reason(error)}") from error


def check_folder(folder: Path, name: str) -> None:
    """Finds out whether files can be written to a folder, and creates it if need be.

    Args:
      folder: to write to.
      name: of the argument that says so, for the message.

    Raises:
      ResultsError: they cannot, with the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(
            f"{name}: cannot write to the folder {folder}: {reason(error)}; name one"
            " that can be created and written to"
        ) from error
