"""Several devices choose and learn what one does, in shares.

What has more devices than this process runs in processes of its own, see
`tests.on_devices`: most of their time goes into compiling every program anew.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import devices, errors, finetune
from tests import problems

ROOT = Path(__file__).parents[2]
PATIENCE = 280.0  # seconds; a minute does on an idle machine


def outputs(folder, processes, each, names):
    """What every process finds; all of them end here, also if one fails."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # Virtual devices that wait for each other hold a thread each; matmuls need others.
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "NPROC": str(4 * processes * each),
    }
    running, started = [], time.monotonic()
    for process in range(processes):
        arguments = [*map(str, (process, processes, each, port)), *names]
        with (
            open(folder / f"{process}.out", "w") as printed,
            open(folder / f"{process}.err", "w") as complaint,
        ):
            command = [sys.executable, "-m", "tests.on_devices", *arguments]
            running.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=printed, stderr=complaint
                )
            )
    try:
        while None in (codes := [process.poll() for process in running]):
            assert not any(codes), "one failed, the others would wait for it"
            assert time.monotonic() - started < PATIENCE, f"not done in {PATIENCE} s"
            time.sleep(0.1)
        assert not any(codes)
    except AssertionError as error:
        tails = [path.read_text()[-3000:] for path in sorted(folder.glob("*.err"))]
        pytest.fail("\n\n".join([str(error), *tails]))
    finally:
        for process in running:
            process.kill()
            process.wait()
    lines = [(folder / f"{i}.out").read_text().splitlines() for i in range(processes)]
    return [json.loads(printed[-1]) for printed in lines]


@pytest.mark.parametrize(
    "names",
    [
        ("function", "weight, all pairs", "entropy", "slopes"),
        ("even split", "finetuning", "seeds", "driver"),
    ],
    ids=["select", "train"],
)
def test_eight_devices_do_what_one_does(names, tmp_path):
    (found,) = outputs(tmp_path, 1, 8, names)
    assert found.keys() == set(names)
    for counts in found.get("even split", []):
        assert max(counts) - min(counts) <= 1


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    names = ("function, all pairs", "weight", "entropy", "program")
    one, other = outputs(tmp_path, 2, 2, names)
    assert one == other and one.keys() == set(names)


def two_devices():
    return jax.make_mesh((2,), ("device",))


def test_what_is_sharded_is_gathered_in_order():
    mesh, values = two_devices(), jnp.arange(10.0).reshape(5, 2)

    def share():
        own = devices.shard(mesh, values)
        held = jax.lax.all_gather(own, mesh.axis_names)
        return held, devices.gather(mesh, own, 5)

    held, again = devices.everywhere(mesh, share)()
    np.testing.assert_array_equal(held[0], values[::2])
    np.testing.assert_array_equal(held[1], [*values[1::2], [0.0, 0.0]])
    np.testing.assert_array_equal(again, values)


def test_one_device_takes_everything():
    values = jnp.arange(3.0)
    assert devices.everywhere(None, devices.check) is devices.check
    for unchanged in (
        devices.shard(None, values),
        devices.mean(None, values),
        devices.replicate(None, values),
    ):
        assert unchanged is values


def test_the_average_is_that_of_the_devices():
    mesh = two_devices()

    def share():
        return devices.mean(mesh, 10.0 * devices.place(mesh))

    assert devices.everywhere(mesh, share)() == 5.0  # of 0 and 10


def test_a_minibatch_that_cannot_be_divided_is_refused():
    policy = problems.tiny_policy()
    with pytest.raises(
        errors.InvalidArgumentError, match="of the mesh's 2 .* 9; .* 10"
    ):
        finetune.finetune(
            policy.loss,
            optax.identity(),
            finetune.constant(0.1),
            jax.random.key(0),
            policy.init(jax.random.key(1)),
            (),
            problems.tiny_demos(),
            3,
            batch_size=9,
            mesh=two_devices(),
        )


@pytest.mark.parametrize("mesh", [8, "cpu", jax.sharding.AbstractMesh((2,), ("d",))])
def test_what_is_no_mesh_of_devices_is_refused(mesh):
    named = f"mesh must be a jax.sharding.Mesh.*got {type(mesh).__name__}"
    with pytest.raises(errors.InvalidArgumentError, match=named):
        devices.check(mesh)
