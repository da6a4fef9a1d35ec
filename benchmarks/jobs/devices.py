"""One selection on several devices: virtual ones, where there is only one."""

import json
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from amf_jax import devices
from amf_jax.selectors import Execution
from benchmarks import problems, rows
from benchmarks.jobs.base import Bench, close, compiled, run_python, timed
from benchmarks.jobs.selection import active, scores, select, start
from benchmarks.problems import Sizes
from benchmarks.rows import Row
from benchmarks.timing import compile_program, in_turns

_VIRTUAL = 8


def run(bench: Bench) -> Iterator[Row]:
    """All devices of this machine against one of them."""
    if jax.device_count() > 1:
        yield measure(problems.sizes(bench.quick), bench.seconds)
    elif bench.quick:  # another process would take more than all the rest
        yield Row("devices", note="one device alone: nothing to measure with --quick")
    else:
        yield _virtual(bench.seconds)


def report(seconds: float) -> None:
    """Prints the row of virtual devices, in a process that has them."""
    row = measure(problems.PAPER, seconds, virtual=True)
    print(json.dumps(rows.to_json(row)))


def measure(sizes: Sizes, seconds: float, *, virtual: bool = False) -> Row:
    """The row of all devices of this process.

    Args:
      sizes: of the problem.
      seconds: to spend on the comparison.
      virtual: whether they are parts of one CPU.
    """
    problem = problems.selection(sizes)
    mesh = Mesh(np.array(jax.devices()), ("device",))
    case = f"{mesh.size} {'virtual CPU ' if virtual else ''}devices"
    programs = []
    for share in (mesh, None):
        selector = active(problem, execution=Execution("function", None, None, share))
        programs.append(compile_program(select(selector), *start(selector, problem)))
    together, alone = (scores(program) for program in programs)
    complaint = close(1e-5)(together(), alone())
    if complaint is not None:
        return Row("devices", case, error=complaint)
    pairs = sizes.tasks * sizes.demonstrations
    held = _shares(mesh, pairs)
    note = f"{min(held)} to {max(held)} of {pairs} pairs a device"
    if virtual:
        note += "; they share the cores of one CPU, so that nothing gets faster"
    row = compiled(Row("devices", case, peer="one device", note=note), programs[0])
    return timed(row, *in_turns([together, alone], seconds))


def _virtual(seconds: float) -> Row:
    """The row of virtual devices, from a process that has them."""
    flags = f"--xla_force_host_platform_device_count={_VIRTUAL}"
    printed = run_python(
        "-c",
        f"from benchmarks.jobs import devices; devices.report({seconds})",
        environment={
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
            # Those that wait for each other hold a thread each, see docs/devices.md.
            "NPROC": str(4 * _VIRTUAL),
        },
    )
    return rows.from_json(json.loads(printed.splitlines()[-1]))


def _shares(mesh: Mesh, count: int) -> list[int]:
    """How many of `count` pairs each device gets."""

    def share():
        held = devices.shard_size(mesh, jnp.int32(count))
        return jax.lax.all_gather(held, mesh.axis_names)

    return np.asarray(devices.everywhere(mesh, share)()).tolist()
