"""All seeds of a cell at once: whole experiments in one jitted program."""

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from amf_jax import interrupt, loop, provenance
from amf_jax.records import Record, round_record
from amf_jax.selectors.batch import tasks_of
from experiments import build, cell, results

#: Without these, XLA compiles in half the time, and what it makes is no slower.
_CPU_OPTIONS = {"xla_cpu_use_fusion_emitters": False}


def run_seeds(config: ConfigDict) -> list[Path]:
    """Runs the seeds `config.seeds` of a cell, from their beginning to their end.

    The results files are those of `run_cell`, written when all rounds of all seeds are
    through: until then nothing is kept. `seconds` of a round is its share of the whole.
    Ctrl-C waits for them, a second one does not.

    Args:
      config: of one of the cells, and `seeds`.

    Returns:
      The results files.

    Raises:
      ResultsError: a folder is not writable, or its file is another config's.
      RunInUseError: another process is at one of them.
      SelectionError: a selector could not rank its candidates.
    """
    configs = [_of_seed(config, seed) for seed in config.seeds]
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(cell.claimed(one)) for one in configs]
        stack.enter_context(interrupt.deferred(print))
        started = time.perf_counter()
        program = build.SUITES[config.suite].program
        assert program is not None  # checked by the launcher
        each = [program.inputs(one) for one in configs]
        inputs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        shared = FrozenConfigDict(program.representative(configs[0]))
        done = jax.device_get(_mapped(shared)(inputs))
        share = (time.perf_counter() - started) / (len(configs) * config.rounds)
        for i, (one, path) in enumerate(zip(configs, paths, strict=True)):
            rounds = jax.tree.map(lambda leaf, i=i: leaf[i], done)
            try:
                records = _records(one, rounds, share)
            except Exception as error:
                error.add_note(f"(seed {one.seed})")
                raise
            sessions = [provenance.session(first_round=0)]
            results.write(path, cell.header(one, sessions), records)
    return paths


@functools.cache  # one program for all settings, compiled once in a process
def _mapped(shared: FrozenConfigDict) -> Callable[[Any], loop.Rounds]:
    program = build.SUITES[shared.suite].program
    assert program is not None
    run = program.run(ConfigDict(shared))
    on_cpu = jax.default_backend() == "cpu"

    def mapped(inputs):
        # On a CPU, seeds side by side only push each other out of the cache.
        return jax.lax.map(run, inputs) if on_cpu else jax.vmap(run)(inputs)

    return jax.jit(mapped, compiler_options=_CPU_OPTIONS if on_cpu else None)


def _of_seed(config: ConfigDict, seed: int) -> ConfigDict:
    one = ConfigDict(config)
    with one.unlocked():
        del one.seeds
        one.seed = seed
    return one


def _records(config: ConfigDict, rounds: loop.Rounds, share: float) -> list[Record]:
    """The records of one seed, as the driver makes them."""
    per_round = config.batch * config.demos_per_round
    num_tasks = rounds.infos.effective_sample_size.shape[-1]
    rows = np.arange(rounds.demos.demo_mask.size)
    seconds = dict.fromkeys(("select", "finetune", "evaluate"))
    records = []
    for index in range(config.rounds + 1):
        asked, infos = [], None
        if index:
            choices, infos = jax.tree.map(
                lambda leaf, index=index: leaf[index - 1],
                (rounds.choices, rounds.infos),
            )
            asked = tasks_of(choices, infos, config.task_names)
        record = round_record(
            index,
            asked,
            rounds.demos._replace(demo_mask=rows < index * per_round),
            num_tasks,
            None if rounds.mixing is None else rounds.mixing[index],
            infos,
            {name: values[index].item() for name, values in rounds.metrics.items()},
            {**seconds, "share": share if index else 0.0},
        )
        records.append(record)
    return records
