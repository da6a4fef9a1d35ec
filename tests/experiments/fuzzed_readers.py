"""The readers of files that are fuzzed; a new one gets a line in `READERS`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.demos import collect, robomimic
from experiments.encoders import table
from tests import fuzzing
from tests.experiments import cart_world
from tests.experiments.demonstration_files import hand_made
from tests.fuzzing import Damage, Reader

_WIDTH = 4


def _own_demonstrations(folder: Path) -> Path:
    path = folder / "own.hdf5"
    world = cart_world.WORLD
    robomimic.write(path, world, list(collect.attempts(world, 1, 8, seed=0)))
    return path


def _demonstrations_of_others(folder: Path) -> Path:
    return hand_made(folder / "other.hdf5", [2, 3, 2], ["demo_0", "demo_1"])


def _read_demonstrations(path: Path) -> list:
    demos = robomimic.read(path, ["position", "aside"], [1.0], 0)
    fields = (demos.observations, demos.actions, demos.step_mask)
    return [np.asarray(field).tolist() for field in fields]


def _are_demonstrations(data: list, whole: list) -> bool:
    observations, actions, mask = map(np.asarray, data)
    return (
        observations.shape[:2] == actions.shape[:2] == mask.shape
        and np.isfinite(observations).all()
        and np.isfinite(actions).all()
        and mask.any(axis=1).all()
    )


def _embeddings(folder: Path) -> Path:
    path = folder / "prompts.json"
    rows = np.eye(3, _WIDTH) + np.linspace(0.1, 0.3, _WIDTH)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sentences = ["open the door", "grüße", 'say "hi"']
    table.write(path, dict(zip(sentences, rows.astype(np.float32), strict=True)))
    return path


def _read_embeddings(path: Path) -> dict:
    return {
        sentence: row.tolist() for sentence, row in table.read(path, _WIDTH).items()
    }


def _are_embeddings(data: dict, whole: dict) -> bool:
    return all(
        len(row) == _WIDTH and abs(np.linalg.norm(row) - 1) < 1e-4
        for row in data.values()
    )


def _are_some_of_the_embeddings(data: dict, whole: dict) -> bool:
    """Under whatever sentence: a lost line cannot be told from one never written."""
    return all(row in whole.values() for row in data.values())


READERS: Mapping[str, Reader] = {
    "demonstrations": Reader(
        _own_demonstrations,
        _read_demonstrations,
        {
            "bytes": Damage(fuzzing.damaged_bytes),
            "members": Damage(fuzzing.damaged_members),
        },
    ),
    "demonstrations of others": Reader(
        _demonstrations_of_others,
        _read_demonstrations,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_demonstrations),
            "members": Damage(fuzzing.damaged_members),
        },
    ),
    "embeddings": Reader(
        _embeddings,
        _read_embeddings,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_embeddings),
            "lines": Damage(fuzzing.damaged_lines, _are_some_of_the_embeddings),
            "JSON": Damage(fuzzing.damaged_json, _are_some_of_the_embeddings),
        },
    ),
}
