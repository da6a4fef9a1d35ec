"""The readers of files that are fuzzed; a new one gets a line in `READERS`."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax.data import arrays
from amf_jax.rounds import RunState
from amf_jax.session.journal import Asked, Delivered, Journal
from amf_jax.session.specification import specify
from benchmarks import readme, rows
from experiments import evidence, results, runs, series, tables
from experiments.demos import collect, robomimic
from experiments.encoders import table
from tests import fuzzing, problems
from tests.amf_jax import test_checkpoint
from tests.benchmarks import test_rows_and_tables
from tests.experiments import cart_world, result_files
from tests.experiments.demonstration_files import hand_made
from tests.fuzzing import Damage, Reader

_WIDTH = 4
_EPISODES = problems.tiny_demos(0, (0, 1))


def _own_demonstrations(folder: Path) -> Path:
    path = folder / "own.hdf5"
    world = cart_world.WORLD
    robomimic.write(path, world, list(collect.attempts(world, 1, 12, seed=0)))
    return path


def _demonstrations_of_others(folder: Path) -> Path:
    folder.mkdir()
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
    folder.mkdir()
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


_RUN = "metaworld", "8-8-0-0", "amf"
_FIELDS = "mean_success", "return", "success", "mixing", "ess", "entropy"


def _results(folder: Path) -> Path:
    """Two seeds of three rounds, with all that a record has and something more."""
    for seed in range(2):
        header = result_files.header(
            seed, task_names=["left", "right"], allocation=[8, 0], demos_per_round=1
        )
        header["method"] = {"selector": "amf", "weights": "self_normalised"}
        records = [
            {
                "round": number,
                "task": number % 2 if number else None,
                "success": [0.5, number / 8],
                "mean_success": 0.25 + number / 16,
                "return": None,
                "entropy": 0.125 * number,
                "demos_per_task": [number, 0],
                "mixing": [0.75, seed / 2],
                "scores": [-1.0, -2.5] if number else None,
                "ess": [1.0, 2.5],
                "importance_weights": [[0.25, 0.75], [1.0, 0.0]],
                "seconds": {"select": 0.5, "finetune": 2.0},
                "something": {"more": [1, "two", None]},
            }
            for number in range(3)
        ]
        results.write(results.path(folder, *_RUN, seed), header, records)
    return folder


def _evidence(folder: Path) -> Path:
    evidence.add(_results(folder.with_name("results")), folder)
    return folder


def _read_results(folder: Path) -> dict:
    """Numbers by seed and field, None where there is a gap."""
    found = runs.collect(folder, *_RUN)
    tables.to_text(tables.compare({"amf": found}))
    tables.to_text(tables.leaderboard(tables.rank({"amf": found})))
    columns = {}
    for run in found:
        columns[run.seed, "task"] = series.asked(run)
        for field in _FIELDS:
            numbers = series.values([run], field)[0]
            columns[run.seed, field] = np.where(
                np.isnan(numbers), None, numbers
            ).tolist()
    return columns


def _are_results(data: dict, whole: dict) -> bool:
    return all(number is None or np.isfinite(number) for number in _numbers(data))


def _numbers(data: dict) -> Iterator[float | None]:
    for column in data.values():
        for row in column:
            yield from row if isinstance(row, list) else [row]


def _are_the_first_rounds(data: dict, whole: dict) -> bool:
    """A last line that is cut off is left out, with a note."""
    return data.keys() == whole.keys() and all(
        column == whole[name][: len(column)] for name, column in data.items()
    )


def _are_some_of_the_seeds(data: dict, whole: dict) -> bool:
    """A lost line cannot be told from a seed that was never run."""
    return data.items() <= whole.items()


def _are_results_with_gaps(data: dict, whole: dict) -> bool:
    """Null is a gap, and a negative number is a number."""
    strange = {None, -1.5}
    return all(
        {*_numbers({name: column})} <= {*_numbers({name: whole[name]})} | strange
        for name, column in data.items()
    )


def _read_checkpoint(folder: Path) -> list | None:
    restored = test_checkpoint.restore(folder)
    return None if restored is None else _plain(*restored)


def _plain(state: RunState, *told: list) -> list:
    keys = jax.tree.map(_bits, state)
    return [[leaf.tolist() for leaf in jax.tree.leaves(keys)], *told]


def _bits(leaf: jax.Array) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def _is_the_round_before(data: list | None, whole: list) -> bool:
    """The latest round is damaged, which is said, and there is that before it."""
    given = specify(**test_checkpoint.GIVEN)
    before = test_checkpoint.state_of(given, 1)
    return data == _plain(before, test_checkpoint.records_of(2), *whole[2:])


def _open_journal(folder: Path) -> Journal:
    return Journal(folder, {"seed": 3}, jax.tree.map(np.zeros_like, _EPISODES))


def _journal(folder: Path) -> Path:
    """Two rounds: in the first, an attempt failed."""
    journal = _open_journal(folder)
    vector = np.array([0.5, 0.25], np.float32)
    for index, failed in ((1, (True, False)), (2, (False, False))):
        journal.write(index, 0, Asked((index, vector)))
        journal.write(index, 1, Delivered(_EPISODES, failed, (0,), is_last=index == 2))
    return folder


def _read_journal(folder: Path) -> list:
    events = _open_journal(folder).read(0)
    return [
        [index, *(np.asarray(leaf).tolist() for leaf in jax.tree.leaves(event))]
        for index, told in events.items()
        for event in told
    ]


def _are_the_first_events(data: list, whole: list) -> bool:
    return data == whole[: len(data)]


def _measurements(folder: Path) -> Path:
    path = folder / "latest.json"
    rows.write(path, test_rows_and_tables.MACHINE, test_rows_and_tables.ROWS)
    return path


def _read_measurements(path: Path) -> list:
    """Numbers by row, None where there is none."""
    machine, measured = rows.read(path)
    assert readme.section(machine, measured, None)
    return [dataclasses.astuple(row) for row in measured]


def _are_measurements(data: list, whole: list) -> bool:
    numbers = [n for row in data for n in row if not isinstance(n, str | tuple)]
    return all(number is None or np.isfinite(number) for number in numbers)


def _arrays(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "steps.npz"
    ids = np.arange(3)
    np.savez(path, features=np.ones((3, 2)), task_ids=ids, task_names=["a", "b", "c"])
    return path


def _read_arrays(path: Path) -> dict:
    held = arrays.read(path, ("features", "task_ids", "task_names"))
    return {name: values.tolist() for name, values in held.items()}


def _are_some_arrays(data: dict, whole: dict) -> bool:
    """A lost entry cannot be told from an array that was never there."""
    return all(whole[name] == values for name, values in data.items())


def _are_arrays(data: dict, whole: dict) -> bool:
    """Of numbers that there is no second copy of."""
    return data.keys() == whole.keys()


READERS: Mapping[str, Reader] = {
    "arrays": Reader(
        _arrays,
        _read_arrays,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_some_arrays),
            "arrays": Damage(fuzzing.damaged_arrays, _are_arrays),
        },
    ),
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
    "results": Reader(
        _results,
        _read_results,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_results),
            "lines": Damage(fuzzing.damaged_lines, _are_the_first_rounds),
            "JSON": Damage(fuzzing.damaged_json_lines, _are_results_with_gaps),
        },
    ),
    "evidence": Reader(
        _evidence,
        _read_results,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_results),
            "lines": Damage(fuzzing.damaged_lines, _are_some_of_the_seeds),
            "JSON": Damage(fuzzing.damaged_json_lines, _are_results_with_gaps),
        },
    ),
    "checkpoints": Reader(
        test_checkpoint.write,
        _read_checkpoint,
        {"bytes": Damage(fuzzing.damaged_bytes, _is_the_round_before)},
        cost=5,
    ),
    "journal": Reader(
        _journal,
        _read_journal,
        {"bytes": Damage(fuzzing.damaged_bytes, _are_the_first_events)},
    ),
    "measurements": Reader(
        _measurements,
        _read_measurements,
        {
            "bytes": Damage(fuzzing.damaged_bytes, _are_measurements),
            "JSON": Damage(fuzzing.damaged_json, _are_measurements),
        },
    ),
}
