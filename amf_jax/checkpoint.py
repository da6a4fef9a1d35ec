"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import json
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from amf_jax import errors


class Checkpointer:
    """Keeps the latest round of a run in one folder, by orbax.

    A round is committed by renaming its folder, so that a crash while writing leaves
    the round before it intact.

    Args:
      directory: of this run alone; created if absent.
      identity: JSON-able description of the run (its config and seed). A folder written
        with another one is refused.

    Raises:
      CheckpointError: if the folder cannot be created or written.
    """

    def __init__(self, directory: str | Path, identity: Any):
        self._directory = Path(directory).resolve()
        self._identity = json.loads(json.dumps(identity))  # as it will be read back
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False
        )
        try:
            self._manager = ocp.CheckpointManager(self._directory, options=options)
        except OSError as error:
            raise errors.CheckpointError(
                f"cannot write checkpoints to {self._directory} ({error}); choose a"
                " folder that is writable"
            ) from error

    def save(self, round_index: int, state: Any, records: list[dict]) -> None:
        """Commits the state after a round, with the records of all rounds so far."""
        run = {"identity": self._identity, "records": records}
        self._manager.save(
            round_index,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_by_position(state)),
                run=ocp.args.JsonSave(run),
            ),
        )

    def latest_round(self) -> int | None:
        """The round that `restore` would go back to; None if there is none."""
        return self._manager.latest_step()

    def restore(self, template: Any) -> tuple[Any, list[dict]]:
        """The state after the latest round, and the records of all rounds so far.

        Args:
          template: a pytree of `jax.ShapeDtypeStruct`s with the structure of the state.

        Raises:
          CheckpointError: if the files cannot be read or belong to another run.
        """
        step = self.latest_round()
        if step is None:
            raise errors.CheckpointError(f"{self._directory} holds no checkpoint")
        run = self._read(step, "run", ocp.args.JsonRestore())
        if run["identity"] != self._identity:
            raise errors.CheckpointError(
                f"{self._directory} was written by another config; use another results"
                " folder, or delete it to start this run afresh"
            )
        leaves = self._read(
            step, "state", ocp.args.StandardRestore(_by_position(template))
        )
        state = jax.tree.unflatten(
            jax.tree.structure(template), [leaves[name] for name in sorted(leaves)]
        )
        return state, run["records"]

    def close(self) -> None:
        """Releases orbax's resources."""
        self._manager.close()

    def _read(self, step: int, item: str, how: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**{item: how}))[
                item
            ]
        except Exception as error:  # orbax raises many kinds for damaged files
            raise errors.CheckpointError(
                f"the checkpoint of round {step} in {self._directory} is damaged"
                f" ({error}); delete the folder to start this run afresh"
            ) from error


def _by_position(tree: Any) -> dict[str, Any]:
    """Leaves by position: named tuples and optimiser states need no schema this way."""
    return {f"{i:06d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}
