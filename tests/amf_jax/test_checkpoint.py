"""Checkpoints: what is saved comes back, and damage is noticed."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import errors
from amf_jax.checkpoint import Checkpointer

IDENTITY = {"suite": "reach", "tasks": ("left", "right"), "seed": 3}


def some_state(offset=0.0):
    """Named tuples, None, dicts, empty and scalar leaves, as a run has them."""
    params = {"kernel": jnp.arange(6.0).reshape(2, 3) + offset, "bias": jnp.ones(3)}
    return (
        params,
        optax.adam(0.1).init(params),
        None,
        (),
        jnp.array([True, False]),
        jnp.int32(7),
    )


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoint of round 2."""
    checkpointer = Checkpointer(tmp_path / "run", IDENTITY)
    for index in range(3):
        records = [{"round": i, "task": None} for i in range(index + 1)]
        checkpointer.save(index, some_state(index), records)
    checkpointer.close()
    return tmp_path / "run"


def restore(folder, identity=IDENTITY, template=None):
    checkpointer = Checkpointer(folder, identity)
    try:
        return checkpointer.restore(
            jax.eval_shape(some_state) if template is None else template
        )
    finally:
        checkpointer.close()


def test_the_latest_round_comes_back_bit_for_bit(saved):
    state, records = restore(saved)
    assert jax.tree.structure(state) == jax.tree.structure(some_state())
    jax.tree.map(np.testing.assert_array_equal, state, some_state(2))
    assert records == [{"round": i, "task": None} for i in range(3)]
    checkpointer = Checkpointer(saved, IDENTITY)
    assert checkpointer.latest_round() == 2
    checkpointer.close()


def test_only_the_latest_round_is_kept(saved):
    assert [path.name for path in saved.iterdir() if path.is_dir()] == ["2"]


def test_an_empty_folder_has_no_round(tmp_path):
    checkpointer = Checkpointer(tmp_path, IDENTITY)
    assert checkpointer.latest_round() is None
    with pytest.raises(errors.CheckpointError, match="holds no checkpoint"):
        checkpointer.restore(jax.eval_shape(some_state))
    checkpointer.close()


def test_another_run_is_refused(saved):
    with pytest.raises(errors.CheckpointError, match="another config"):
        restore(saved, IDENTITY | {"seed": 4})


@pytest.mark.parametrize("item", ["state", "run"])
def test_truncated_files_are_noticed(saved, item):
    files = [path for path in (saved / "2" / item).rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.CheckpointError, match="round 2 .* is damaged"):
        restore(saved)


def test_missing_files_are_noticed(saved):
    for path in (saved / "2" / "state").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(errors.CheckpointError, match="delete the folder"):
        restore(saved)


def test_a_state_of_other_shapes_is_refused(saved):
    params, *rest = jax.eval_shape(some_state)
    wider = params | {"bias": jax.ShapeDtypeStruct((4,), jnp.float32)}
    with pytest.raises(errors.CheckpointError):
        restore(saved, template=(wider, *rest))


def test_a_round_that_was_cut_off_while_writing_does_not_count(saved):
    # orbax writes to a temporary folder and renames it: this is what a crash leaves.
    unfinished = saved / "3.orbax-checkpoint-tmp-0"
    (unfinished / "state").mkdir(parents=True)
    _, records = restore(saved)
    assert len(records) == 3


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    pathlib.Path(tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.CheckpointError, match="writable"):
        Checkpointer(tmp_path / "file" / "run", IDENTITY)
