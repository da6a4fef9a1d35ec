"""Demonstrations in the HDF5 layout of robomimic: one task per file."""

import collections
import io
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amf_jax import errors, ranges
from amf_jax.demonstrations import Demonstrations, Episode, from_episodes
from experiments import extras, output
from experiments.demos import hdf5
from experiments.demos.collect import Attempt
from experiments.demos.hdf5 import Matrix
from experiments.suites.recording import World

#: robomimic numbers the environments that it can make, from 1 on. This is none of them.
ENVIRONMENT_TYPE = -1

#: Since HDF5 1.10 all but the numbers themselves has checksums.
_VERSION = ("v110", "v110")

#: Bytes that the demonstrations of a file may take.
MOST_BYTES = 2**32


def write(path: Path, world: World, attempts: Sequence[Attempt]) -> None:
    """Writes attempts at one task; the file is there as a whole or not at all.

    Everything in it has a checksum, so that a reader notices damage.

    Args:
      path: of the file; what was there before is replaced.
      world: that they were made in.
      attempts: at least one; the i-th becomes `data/demo_i`.

    Raises:
      ResultsError: the file cannot be written.
      MissingDependencyError: h5py is not installed.
    """
    h5py = extras.load("h5py")
    task = attempts[0].task
    environment = {
        "env_name": world.name,
        "type": ENVIRONMENT_TYPE,
        "env_kwargs": {"task": world.task_names[task]},
    }
    # In memory: HDF5's library crashes where a disk is full.
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_VERSION) as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(len(a.recording.actions) for a in attempts)
        data.attrs["env_args"] = json.dumps(environment)
        outcomes: dict[str, list[str]] = {}
        for number, attempt in enumerate(attempts):
            name = f"demo_{number}"
            _write_demonstration(data.create_group(name), world, attempt)
            outcome = "successful" if attempt.recording.success else "failed"
            outcomes.setdefault(outcome, []).append(name)
        for outcome, names in outcomes.items():
            _store(file, f"mask/{outcome}", np.array(names, "S"))
    with output.replacing(path) as scratch:
        scratch.write_bytes(image.getbuffer())


def _write_demonstration(group: Any, world: World, attempt: Attempt) -> None:
    recording = attempt.recording
    dones = recording.solved.astype(np.int64)
    dones[-1] = 1
    group.attrs["num_samples"] = len(recording.actions)
    group.attrs["success"] = recording.success
    group.attrs["seed"] = attempt.stream
    group.attrs["task"] = world.task_names[attempt.task]
    group.attrs["prompt"] = world.prompts[attempt.task]
    _store(group, "actions", recording.actions)
    _store(group, "states", recording.states[:-1])
    _store(group, "rewards", recording.solved.astype(np.float32))
    _store(group, "dones", dones)
    for part, columns in world.observation_parts.items():
        _store(group, f"obs/{part}", recording.observations[:-1, columns])
        _store(group, f"next_obs/{part}", recording.observations[1:, columns])


def _store(group: Any, name: str, array: np.ndarray) -> None:
    # Both filters have checksums: Fletcher's takes zeros for zeros that were written.
    group.create_dataset(
        name, data=array, chunks=array.shape, compression="gzip", fletcher32=True
    )


def read(
    path: str | os.PathLike[str],
    parts: Iterable[str],
    task_vector: ArrayLike,
    task_id: int,
    filter_key: str | None = "successful",
    *,
    most_bytes: float = MOST_BYTES,
) -> Demonstrations:
    """Reads the demonstrations of one task from a file in robomimic's layout.

    Nothing outside the file is read, whatever it refers to: neither links, but hard
    ones, nor virtual datasets nor external storage are followed.

    Args:
      path: of the file.
      parts: names below `obs`, in the order in which they make up an observation, such
        as `World.observation_parts`.
      task_vector: `[D]`, the task that the file demonstrates.
      task_id: its index among the evaluation tasks, -1 if it is none of them.
      filter_key: name below `mask` that lists the demonstrations to read; None reads
        all of them.
      most_bytes: that the demonstrations may take, padding included; what declares to
        be larger is refused before anything is allocated.

    Returns:
      One row per demonstration, in the order of their numbers; those shorter than the
      longest are padded with zeros and masked.

    Raises:
      DemonstrationError: the file is missing, is not HDF5, is damaged or lacks
        something; lengths or widths do not agree; a value is no finite number; the
        demonstrations are larger than `most_bytes`. The message names the file and the
        member of it.
      InvalidArgumentError: no parts, or another argument out of range.
      UnknownNameError: no such filter key.
      MissingDependencyError: h5py is not installed.
    """
    names = () if isinstance(parts, str) else tuple(parts)
    if not names:
        raise errors.InvalidArgumentError(
            f"parts must be a list of names below obs, at least one, got {parts!r}"
        )
    ranges.check("most_bytes", most_bytes, ranges.POSITIVE)
    ranges.check("task_id", task_id, ranges.at_least(-1))
    vector = np.asarray(task_vector, np.float32)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise errors.InvalidArgumentError(
            f"task_vector must be one vector of finite numbers, got {task_vector!r}"
        )
    with hdf5.opened(path) as file:
        data = hdf5.group(file, "data")
        episodes = [
            _episode(hdf5.group(data, name), names, most_bytes)
            for name in _names(file, data, filter_key)
        ]
        if not episodes:
            raise errors.DemonstrationError(
                f"{os.fspath(path)} holds no demonstration"
                + (f" under mask/{filter_key}" if filter_key else "")
            )
        widths = [_width(path, matrices) for matrices in zip(*episodes, strict=True)]
        longest = max(actions.shape[0] for actions, *_ in episodes)
        shape = len(episodes), longest, sum(widths)
        size = math.prod(shape) * np.dtype(np.float32).itemsize
        if size > most_bytes:
            raise errors.DemonstrationError(
                f"{os.fspath(path)} takes {size} bytes with {shape[0]} demonstrations"
                f" padded to {shape[1]} steps, more than {most_bytes:.0f}"
            )
        recorded = []
        for actions, *columns in episodes:
            seen = np.concatenate([column.read() for column in columns], axis=1)
            recorded.append(Episode(seen, actions.read(), vector, task_id))
    return from_episodes(recorded)


def _names(file: Any, data: Any, filter_key: str | None) -> list[str]:
    """Demonstrations under a filter key, in the order of their numbers."""
    known = hdf5.names(data)
    if filter_key is None:
        found = known
    else:
        masks = hdf5.group(file, "mask") if "mask" in hdf5.names(file) else None
        keys = [] if masks is None else hdf5.names(masks)
        if filter_key not in keys:
            raise errors.UnknownNameError(
                f"filter key (below mask in {file.filename})",
                filter_key,
                map(hdf5.shown, keys),
            )
        found = hdf5.texts(masks, filter_key, most=len(known))
    for name in found:
        if not re.fullmatch("demo_[0-9]{1,9}", name):
            raise errors.DemonstrationError(
                f"{file.filename} holds '{hdf5.shown(name)}'; robomimic's"
                " demonstrations are called demo_0, demo_1 and so on"
            )
    repeated = [name for name, count in collections.Counter(found).items() if count > 1]
    if repeated:
        raise errors.DemonstrationError(
            f"{file.filename}: /mask/{filter_key} lists {repeated[0]} more than once"
        )
    return sorted(found, key=lambda name: int(name.removeprefix("demo_")))


def _episode(group: Any, parts: Sequence[str], most_bytes: float) -> list[Matrix]:
    """Actions and parts of the observations of one demonstration."""
    actions = hdf5.matrix(group, "actions", most_bytes)
    observations = hdf5.group(group, "obs")
    columns = [hdf5.matrix(observations, part, most_bytes) for part in parts]
    for column in columns:
        if column.shape[0] != actions.shape[0]:
            raise column.member.error(
                f"has {column.shape[0]} steps and actions {actions.shape[0]}; both need"
                " one row per action"
            )
    return [actions, *columns]


def _width(path: str | os.PathLike[str], matrices: Sequence[Matrix]) -> int:
    """How wide the same matrices of all demonstrations are."""
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) > 1:
        raise errors.DemonstrationError(
            f"{os.fspath(path)}: {matrices[0].member.name} of different demonstrations"
            f" are {' and '.join(map(str, sorted(widths)))} wide; they should agree"
        )
    return widths.pop()
