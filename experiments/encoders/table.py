"""Sentence embeddings in a file: a JSON object with a list of numbers per sentence."""

import json
import math
import os
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from amf_jax import errors, files
from experiments import output

_MOST_BYTES = 2**26
_TOLERANCE = 1e-5  # of a norm, which float32 rounds


def read(path: str | os.PathLike[str], size: int) -> dict[str, Float[np.ndarray, " D"]]:
    """The embeddings in a file, by sentence.

    Args:
      path: of the file.
      size: width D of an embedding.

    Raises:
      EncoderError: the file cannot be read, or anything in it is no embedding of this
        width and of unit norm.
    """
    try:
        table = files.parse_json(files.read_text(path, most_bytes=_MOST_BYTES))
    except (OSError, ValueError) as error:
        raise errors.EncoderError(
            f"cannot read the sentence embeddings in {os.fspath(path)}: {error}"
        ) from error
    if type(table) is not dict:
        raise errors.EncoderError(
            f"{os.fspath(path)} must hold a JSON object, a list of numbers per sentence"
        )
    for sentence, row in table.items():
        if not _is_embedding(row, size):
            raise errors.EncoderError(
                f"{os.fspath(path)}: the embedding of {reprlib.repr(sentence)} must be"
                f" {size} numbers of norm 1, got {reprlib.repr(row)}"
            )
    return {sentence: np.asarray(row, np.float32) for sentence, row in table.items()}


def write(path: pathlib.Path, table: Mapping[str, Float[np.ndarray, " D"]]) -> None:
    """Writes embeddings, a line each; the file is there as a whole or not at all.

    Raises:
      ResultsError: it cannot be written.
    """
    lines = [
        # str gives the shortest digits that read back as the same float32
        f"{json.dumps(sentence)}: [{', '.join(map(str, row))}]"
        for sentence, row in table.items()
    ]
    with output.replacing(path) as scratch:
        scratch.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _is_embedding(row: Any, size: int) -> bool:
    """Whether it is a list of so many numbers, with norm 1."""
    return (
        type(row) is list
        and len(row) == size
        and all(type(number) in (int, float) and abs(number) < 2 for number in row)
        and abs(math.hypot(*row) - 1) < _TOLERANCE
    )
