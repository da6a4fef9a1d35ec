"""Named arrays in an `.npz` file, read without pickle and as large as they say."""

import math
import os
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

from amf_jax import errors, files

#: Of numbers, booleans and texts: the kinds of `numpy.dtype` that hold no objects.
_KINDS = "biufU"


def read(path: Any, known: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a file that `numpy.savez` wrote.

    Args:
      path: of the file, a regular one.
      known: names that they may have.

    Raises:
      DemonstrationError: it cannot be read, is damaged, holds what is no array of
        numbers or texts, or one of another name, or more than there is memory.
    """
    path = files.local_path("file", path)
    try:
        with files.open_regular(path) as file, zipfile.ZipFile(file) as archive:
            members = {
                info.filename.removesuffix(".npy"): info for info in archive.infolist()
            }
            for name in members:
                errors.check_name("array", name, known)
            _check_sizes(archive)
            return {name: _load(archive, info) for name, info in members.items()}
    except errors.UnknownNameError as error:
        raise errors.DemonstrationError(f"{path}: {error}") from None
    except OSError as error:
        raise errors.DemonstrationError(
            f"cannot read {path}: {files.reason(error)}"
        ) from error
    except Exception as error:  # zipfile and NumPy raise many kinds for damaged files
        raise errors.DemonstrationError(
            f"{path} cannot be used: {str(error)[:200]}; it must be an .npz file of"
            " numbers and texts, as numpy.savez writes it"
        ) from error


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuses, before anything is allocated, what would not fit or is not what it says.

    Raises:
      ValueError: they take more memory than this machine has, or the header of an
        array is not that of the bytes that follow.
    """
    members = archive.infolist()
    total = sum(info.file_size for info in members)
    if total > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise ValueError(f"its arrays take {total} bytes, more than there is memory")
    if len({info.filename for info in members}) < len(members):
        raise ValueError("two arrays have the same name")
    for info in members:
        with archive.open(info) as member:
            try:
                version = np.lib.format.read_magic(member)
                header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(member)
            except Exception as error:  # some of NumPy's words advise to trust the file
                words = f"the header of {info.filename} is not that of an array"
                raise ValueError(words) from error
            size = math.prod(shape) * dtype.itemsize
            fits = size == info.file_size - member.tell() and min(shape, default=0) >= 0
            if not fits or dtype.kind not in _KINDS:
                raise ValueError(f"{info.filename} holds {dtype} of shape {shape}")


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
    if array.dtype.kind == "U":
        code_points = np.dtype("u4").newbyteorder(array.dtype.byteorder)
        letters = np.frombuffer(array.tobytes(), code_points)
        if ((letters > 0x10FFFF) | (letters >> 11 == 0xD800 >> 11)).any():
            raise ValueError(f"{info.filename} holds what is no text")
    return array
