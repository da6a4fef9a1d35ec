"""Demonstrations in the HDF5 layout of robomimic: one task per file."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from amf_jax import demonstrations, errors
from amf_jax.demonstrations import Demonstrations
from experiments.demos import extra, output
from experiments.demos.collect import Attempt
from experiments.suites.recording import World

#: robomimic numbers the environments that it can make, from 1 on. This is none of them.
ENVIRONMENT_TYPE = -1


def write(path: Path, world: World, attempts: Sequence[Attempt]) -> None:
    """Writes attempts at one task; the file is there as a whole or not at all.

    Args:
      path: of the file; what was there before is replaced.
      world: that they were made in.
      attempts: at least one; the i-th becomes `data/demo_i`.

    Raises:
      ResultsError: the file cannot be written.
      MissingDependencyError: h5py is not installed.
    """
    h5py = extra("h5py")
    task = attempts[0].task
    environment = {
        "env_name": world.name,
        "type": ENVIRONMENT_TYPE,
        "env_kwargs": {"task": world.task_names[task]},
    }
    with output.replacing(path) as scratch, h5py.File(scratch, "w") as file:
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
            file[f"mask/{outcome}"] = np.array(names, "S")


def _write_demonstration(group: Any, world: World, attempt: Attempt) -> None:
    recording = attempt.recording
    dones = recording.solved.astype(np.int64)
    dones[-1] = 1
    group.attrs["num_samples"] = len(recording.actions)
    group.attrs["success"] = recording.success
    group.attrs["seed"] = attempt.entropy
    group.attrs["task"] = world.task_names[attempt.task]
    group.attrs["prompt"] = world.prompts[attempt.task]
    group["actions"] = recording.actions
    group["states"] = recording.states[:-1]
    group["rewards"] = recording.solved.astype(np.float32)
    group["dones"] = dones
    for part, columns in world.observation_parts.items():
        group[f"obs/{part}"] = recording.observations[:-1, columns]
        group[f"next_obs/{part}"] = recording.observations[1:, columns]


def read(
    path: str | os.PathLike[str],
    parts: Iterable[str],
    task_vector: ArrayLike,
    task_id: int,
    filter_key: str | None = "successful",
) -> Demonstrations:
    """Reads the demonstrations of one task from a file in robomimic's layout.

    Args:
      path: of the file.
      parts: names below `obs`, in the order in which they make up an observation, such
        as `World.observation_parts`.
      task_vector: `[D]`, the task that the file demonstrates.
      task_id: its index among the evaluation tasks, -1 if it is none of them.
      filter_key: name below `mask` that lists the demonstrations to read; None reads
        all of them.

    Returns:
      One row per demonstration, in the order of their numbers; those shorter than the
      longest are padded with zeros and masked.

    Raises:
      DemonstrationError: the file is missing, is not HDF5 or lacks something; lengths
        or widths do not agree; a value is NaN or infinite.
      UnknownNameError: no such filter key.
      MissingDependencyError: h5py is not installed.
    """
    h5py = extra("h5py")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise errors.DemonstrationError(
            f"cannot read {os.fspath(path)}, which should be an HDF5 file: {error}"
        ) from error
    parts = tuple(parts)
    with file:
        data = _member(file, "data")
        episodes = [
            _read_demonstration(_member(data, name), parts)
            for name in _names(file, data, filter_key)
        ]
    if not episodes:
        raise errors.DemonstrationError(
            f"{os.fspath(path)} holds no demonstration"
            + (f" under mask/{filter_key}" if filter_key else "")
        )
    observations, actions = zip(*episodes, strict=True)
    count, vector = len(episodes), jnp.asarray(task_vector, jnp.float32)
    padded_actions, step_mask = _pad(path, "actions", actions)
    demos = Demonstrations(
        observations=_pad(path, "observations", observations)[0],
        actions=padded_actions,
        step_mask=step_mask,
        tasks=jnp.tile(vector, (count, 1)),
        task_ids=jnp.full(count, task_id, jnp.int32),
        demo_mask=jnp.ones(count, bool),
    )
    demonstrations.validate(demos)
    return demos


def _names(file: Any, data: Any, filter_key: str | None) -> list[str]:
    """Demonstrations under a filter key, in the order of their numbers."""
    if filter_key is None:
        names = list(data)
    else:
        mask = file.get("mask", {})
        if filter_key not in mask:
            raise errors.UnknownNameError(
                f"filter key (below mask in {file.filename})", filter_key, mask
            )
        names = mask[filter_key].asstr()[:].tolist()
    for name in names:
        if not re.fullmatch(r"demo_\d+", name):
            raise errors.DemonstrationError(
                f"{file.filename} holds {name!r}; robomimic's demonstrations are called"
                " demo_0, demo_1 and so on"
            )
    return sorted(names, key=lambda name: int(name.removeprefix("demo_")))


def _read_demonstration(
    group: Any, parts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Observations `[H, S]` and actions `[H, A]` of one demonstration."""
    actions = _array(group, "actions")
    columns = [_array(_member(group, "obs"), part) for part in parts]
    for part, column in zip(parts, columns, strict=True):
        if len(column) != len(actions):
            raise errors.DemonstrationError(
                f"{group.file.filename}: {group.name}/obs/{part} has {len(column)}"
                f" steps and actions {len(actions)}; both need one row per action"
            )
    return np.concatenate(columns, axis=1), actions


def _array(group: Any, name: str) -> np.ndarray:
    array = np.asarray(_member(group, name)[()], np.float32)
    if array.ndim != 2:
        raise errors.DemonstrationError(
            f"{group.file.filename}: {group.name}/{name} has shape {array.shape};"
            " expected one vector per step"
        )
    return array


def _member(group: Any, name: str) -> Any:
    if name not in group:
        raise errors.DemonstrationError(
            f"{group.file.filename} has no {group.name.rstrip('/')}/{name}; there is:"
            f" {', '.join(group) or 'nothing'}"
        )
    return group[name]


def _pad(
    path: str | os.PathLike[str], what: str, arrays: Sequence[np.ndarray]
) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Stacks `[H_i, W]` into `[N, max H_i, W]`, and the mask of what is not padding."""
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise errors.DemonstrationError(
            f"{os.fspath(path)}: {what} of different demonstrations are"
            f" {' and '.join(map(str, sorted(widths)))} wide; they should agree"
        )
    horizon = max(map(len, arrays))
    padded = np.zeros((len(arrays), horizon, widths.pop()), np.float32)
    mask = np.zeros((len(arrays), horizon), bool)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
        mask[row, : len(array)] = True
    return jnp.asarray(padded), jnp.asarray(mask)
