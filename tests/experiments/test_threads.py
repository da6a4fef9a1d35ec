"""Threads of a run: as its config says, whatever else the machine does."""

import os
import subprocess
import sys

import pytest

from amf_jax import errors
from experiments import threads
from experiments.configs import loading
from experiments.execution import launchers, worker

SCRIPT = """
import hashlib
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
from experiments import run, threads
from threadpoolctl import threadpool_info

def compute(config, on_round):
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    x = jax.random.normal(jax.random.key(0), (1024, 700))
    w = jax.random.normal(jax.random.key(1), (700, 512))
    step = jax.jit(jax.grad(lambda w, x: jnp.mean(jnp.tanh(x @ w) ** 2)))
    factor = jax.jit(lambda x: jnp.linalg.cholesky(x.T @ x / 1024 + jnp.eye(700)))
    print(step.lower(w, x).compile().as_text())  # has sums cut up for threads
    for value in (step(w, x), factor(x)):
        print(hashlib.sha1(np.asarray(value).tobytes()).hexdigest())

if sys.argv[1] == "one":
    os.sched_setaffinity(0, threads.available_cores()[:1])
sys.exit(run.main(["run", "--config=metaworld:8-8-0-0"], compute))
"""


def _compute(cores):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, cores],
        capture_output=True,
        text=True,
        check=True,
        env={
            **{k: v for k, v in os.environ.items() if "THREADS" not in k},
            "XLA_FLAGS": "",
            "PYTHONPATH": os.getcwd(),
        },
    )
    return done.stdout


@pytest.mark.skipif(len(threads.available_cores()) < 2, reason="has one core anyway")
def test_results_do_not_depend_on_the_cores_that_are_there():
    assert _compute("one") == _compute("all")


def test_more_threads_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: [4, 6])
    threads.check(2)
    with pytest.raises(errors.InvalidArgumentError, match="at most 2, .* got 3"):
        threads.check(3)


@pytest.mark.parametrize("launcher", ["local", "vmap"])
def test_launchers_refuse_more_threads_than_cores(launcher, monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "available_cores", lambda: [0])
    config = loading.load("integrator:6", {"threads": 2})
    job = worker.Job(config, tmp_path / "results", tmp_path / "log")
    with pytest.raises(errors.InvalidArgumentError, match="at most 1, .* got 2"):
        launchers.check(launcher, [job])


def test_cores_are_counted_where_the_system_does_not_tell(monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert threads.available_cores() == [0, 1, 2]


def test_what_is_compiled_for_other_threads_is_not_used(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    one, two = (
        worker.environment(count, tmp_path)["JAX_COMPILATION_CACHE_DIR"]
        for count in (1, 2)
    )
    assert one != two
