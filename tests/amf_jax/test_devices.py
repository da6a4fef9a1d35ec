"""One device, eight devices of one process, and eight of two: the same results.

The devices are virtual and have to be there before JAX starts: the checks are those of
`tests.on_devices`, in processes of their own.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import problems

_ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 400


def start(*arguments):
    command = [sys.executable, "-m", "tests.on_devices", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=_ROOT, stdout=pipe, stderr=pipe, text=True)


def results(processes):
    """What each process printed; all end if one fails or takes too long."""
    try:
        finished = [
            process.communicate(timeout=_TIMEOUT_SECONDS) for process in processes
        ]
    finally:
        for process in processes:
            process.kill()
    for process, (_, complaint) in zip(processes, finished, strict=True):
        assert process.returncode == 0, complaint[-3000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in finished]


@pytest.fixture(scope="module")
def together():
    """Eight devices of one process; everything was compared with one device there."""
    return results([start(0, 1, 8, 0)])[0]


def test_the_choices_are_those_of_one_device(together):
    assert together["gram"] == together["gram, all pairs"] == together["feature"]
    assert set(together["other candidates"]) == {-1}


def test_pairs_are_dealt_out_evenly(together):
    for shares in together["even split"]:
        assert max(shares) - min(shares) <= 1


def test_the_path_by_features_adds_up_once(together):
    """One second moment with its mass; the rest are weights and scores of pairs."""
    sizes = {
        path: dict(map(tuple, calls))
        for path, calls in together["communication"].items()
    }
    width = 2 * (problems.OBSERVATION_SIZE + problems.TASK_SIZE + 1)
    assert sizes["feature"]["all-reduce"] == width**2 + 1
    assert "all-reduce" not in sizes["gram"]


def test_two_processes_choose_what_one_does(together):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    first, second = results([start(index, 2, 4, port) for index in range(2)])
    assert first == second
    for name in ("gram", "feature", "entropy"):
        assert first[name] == together[name]
