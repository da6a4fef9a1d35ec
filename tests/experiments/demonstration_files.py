"""HDF5 files of demonstrations, made by hand."""

import h5py
import numpy as np


def hand_made(path, lengths, success=None):
    """A file as other programs write it: position counts up, action is ten times it."""
    with h5py.File(path, "w") as file:
        for number, length in enumerate(lengths):
            positions = np.arange(length, dtype=np.float64)[:, None] + 100 * number
            file[f"data/demo_{number}/obs/position"] = positions
            file[f"data/demo_{number}/obs/aside"] = np.hstack([-positions, positions])
            file[f"data/demo_{number}/actions"] = 10 * positions
        if success is not None:
            file["mask/successful"] = np.array(success, "S")
    return path
