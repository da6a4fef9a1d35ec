"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from amf_jax import errors, files
from amf_jax.demonstrations import Demonstrations
from amf_jax.learners import LearnerState
from amf_jax.lock import Lock
from amf_jax.provenance import Session
from amf_jax.records import Record
from amf_jax.rounds import RunState
from amf_jax.session import fingerprint, growth
from amf_jax.session.journal import Journal, array_tasks, plain_tasks
from amf_jax.session.quiet import quiet
from amf_jax.session.specification import Specification

#: Rounds that are kept: should the latest be damaged, there is the one before it.
_GENERATIONS = 2


class Restored(NamedTuple):
    """A run as it was after a round.

    Attributes:
      state: after that round.
      records: of all rounds.
      sessions: that made them.
      places: who was still at which task, as in `ongoing.Ongoing`.
    """

    state: RunState
    records: list[Record]
    sessions: list[Session]
    places: list[Any]


class Checkpointer:
    """Keeps the latest rounds of a run in one folder, by orbax.

    A round is committed by renaming its folder: a crash while writing leaves those
    before it intact. What is read back has the checksums of what was written.

    Args:
      directory: of this run alone; created if absent. No other process can use it
        until `close`.
      given: the arguments of the run.
      identity: what else its caller says about it, as JSON holds it.

    Attributes:
      journal: of what came since the checkpoints.

    Raises:
      InvalidArgumentError: the folder is none of this machine.
      CheckpointError: if the folder cannot be created or written.
      RunInUseError: another process is at it.
    """

    def __init__(
        self, directory: str | os.PathLike[str], given: Specification, identity: Any
    ):
        self._given = fingerprint.of_arguments(given, identity)
        self._blank = given.blank
        self._is_open = True
        self.directory = files.local_path("checkpoint_dir", directory)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_GENERATIONS,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,  # of processes that were killed
        )
        try:
            self.directory = self.directory.resolve()
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.directory / "run.lock", self.directory)
            self._manager = ocp.CheckpointManager(self.directory, options=options)
            self.journal = Journal(
                self.directory / "journal", fingerprint.fixed(self._given), given.blank
            )
        except errors.AmfError:
            raise
        except (OSError, RuntimeError) as error:  # the latter of links in a circle
            raise errors.CheckpointError(
                f"cannot write checkpoints to {self.directory}"
                f" ({getattr(error, 'strerror', None) or _reason(error)}); choose a"
                " folder that is writable"
            ) from error

    def check_open(self) -> None:
        """Raises `CheckpointError` after `close`: the folder may be another's."""
        if not self._is_open:
            raise errors.CheckpointError(
                f"the run in {self.directory} was closed; a new ActiveFineTuner with"
                " that folder goes on with it"
            )

    def save(
        self,
        state: RunState,
        records: Sequence[Record],
        sessions: Sequence[Session],
        places: Sequence[Any] = (),
    ) -> None:
        """Commits the state after the last of the records, if that is not yet done.

        Raises:
          CheckpointError: it cannot be written; those before it are whole.
        """
        round_index = len(records) - 1
        if self.latest_round() == round_index:
            return
        run = {
            "fingerprint": self._given | fingerprint.of_states(*state[1:]),
            "records": records,
            "sessions": sessions,
            "places": plain_tasks(places),
        }
        sums = {"state": fingerprint.digest(state), "run": _checksum(run)}
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(_by_position(state)),
            run=ocp.args.JsonSave({"run": run, "sha256": sums}),
        )
        try:
            with quiet():
                self._manager.save(round_index, args=arguments)
        except Exception as error:  # orbax raises many kinds, and most of them chained
            raise errors.CheckpointError(
                f"cannot write the checkpoint of round {round_index} to"
                f" {self.directory} ({_reason(error)}); those before it are whole:"
                " make room, then go on from there"
            ) from None
        self.journal.forget(min(self._manager.all_steps()))

    def latest_round(self) -> int | None:
        """The latest round that was committed; None if there is none."""
        return self._manager.latest_step()

    def restore(
        self,
        initial: Callable[[Demonstrations, int], RunState],
        updated: Callable[[LearnerState, Demonstrations], LearnerState],
    ) -> Restored | None:
        """The latest round that is not damaged; None if there is no round.

        A run that was begun with a smaller budget is carried over into the buffers of
        this one. Damaged rounds are set aside, with all that they hold.

        Args:
          initial: `(empty buffer, rounds) -> state before the first round`, to be
            traced.
          updated: `(learner's state, buffer) -> the one after a round`, to be traced.

        Raises:
          CheckpointError: it is another run's, or every round is damaged.

        Warns:
          ResumeWarning: a round is damaged, and the one before it is taken.
        """
        if self.latest_round() is None:
            return None
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                run, checksum = self._run(step)
                there, here = run["fingerprint"], self._given
                template = growth.shapes(
                    there, here, self._blank, initial, updated, self.directory
                )
                held = self._state(step, template, checksum)
            except _Damage as damage:
                damaged[step] = str(damage)
                continue
            self._set_aside(damaged, step)
            state = growth.grown(held, initial, self._blank, here["rounds"])
            places = array_tasks(run.get("places", ()), self._blank)  # none in old ones
            return Restored(state, run["records"], run["sessions"], [*places])
        raise errors.CheckpointError(
            f"{self.directory} is damaged: {_listed(damaged)}. Nothing of it was"
            " changed; copy it back from where you keep copies, or start afresh in"
            " another folder"
        )

    def close(self) -> None:
        """Leaves the folder to others."""
        self._is_open = False
        self._manager.close()
        self._lock.release()

    def _run(self, step: int) -> tuple[dict[str, Any], str]:
        """A run and the checksum of its state."""
        stored = self._read(step, "run", ocp.args.JsonRestore())
        if isinstance(stored, dict) and "identity" in stored:
            raise errors.CheckpointError(
                f"{self.directory} was written by an older version of amf_jax, which"
                " noted nothing that tells runs apart; finish the run with that"
                " version, or name another folder"
            )
        try:
            run, sums = stored["run"], stored["sha256"]
            rounds = [record["round"] for record in run["records"]]
            # The length first: a folder may have any number for a name.
            if len(rounds) != step + 1 or rounds != list(range(len(rounds))):
                raise _Damage(f"its records are of rounds {rounds}")
            if _checksum(run) != sums["run"]:
                raise _Damage("its records are not those that were written")
            return run, sums["state"]
        except (KeyError, TypeError) as error:
            raise _Damage(f"its records are no records ({error})") from error

    def _state(self, step: int, template: Any, checksum: str) -> Any:
        how = ocp.args.StandardRestore(_by_position(template))
        leaves = self._read(step, "state", how)
        state = jax.tree.unflatten(
            jax.tree.structure(template), [leaves[name] for name in sorted(leaves)]
        )
        if fingerprint.digest(state) != checksum:
            raise _Damage("its state is not the one that was written")
        return state

    def _read(self, step: int, item: str, how: Any) -> Any:
        try:
            with quiet():
                args = ocp.args.Composite(**{item: how})
                return self._manager.restore(step, args=args)[item]
        except Exception as error:  # orbax raises many kinds for damaged files
            raise _Damage(f"its {item} cannot be read ({_reason(error)})") from error

    def _set_aside(self, damaged: Mapping[int, str], step: int) -> None:
        if not damaged:
            return
        for broken in damaged:
            names = (f"damaged-{broken}-{number}" for number in itertools.count(1))
            free = next(
                path for name in names if not (path := self.directory / name).exists()
            )
            (self.directory / str(broken)).rename(free)
        self._manager.reload()
        warnings.warn(
            f"{self.directory} is damaged: {_listed(damaged)}. The run goes on from"
            f" round {step}, and does again what came after it; what is damaged is"
            " kept in folders of that name",
            errors.ResumeWarning,
            stacklevel=6,
        )


class _Damage(Exception):
    """What is wrong with the checkpoint of a round."""


def _by_position(tree: Any) -> dict[str, Any]:
    """Leaves by position: named tuples and optimiser states need no schema this way."""
    return {f"{i:06d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _checksum(run: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


def _listed(damaged: Mapping[int, str]) -> str:
    return "; ".join(f"round {step}: {why}" for step, why in damaged.items())


def _reason(error: Exception) -> str:
    """The first line of an error, as far as it fits into another one."""
    first, *_ = str(error).splitlines() or [type(error).__name__]
    return first if len(first) <= 200 else f"{first[:200]}…"
