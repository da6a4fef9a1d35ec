"""Cells without an experiment, for the sweep's tests.

Worker processes import this module, so it must not import JAX.
"""

import json
import os
import signal
import time
from pathlib import Path

from ml_collections import ConfigDict

from experiments import threads

ROUNDS = 2

CONFIG_FILE = """
from experiments.configs import common

TASK_NAMES = ("mug left", "mug right", "faucet open", "faucet close")

def get_config(string):
    config = common.neural("metaworld", string, ("8-8-0-0",), TASK_NAMES)
    config.rounds = 2
    config.attempts = 10
    return config.lock()
"""


def folder(config: ConfigDict) -> Path:
    """Where the run keeps its results."""
    return Path(config.results_dir) / config.suite / config.setting / config.method


def record(round_: int, seconds: float = 2.0) -> dict:
    """A record as the driver writes it, of a round that took `seconds`."""
    return {
        "round": round_,
        "task": None if round_ == 0 else round_ % 4,
        "success": [0.5, 0.7, 0.1, 0.3],
        "mean_success": 0.4,
        "return": None,
        "demos_per_task": [0, 0, round_, 0],
        "mixing": [0.9, 0.8, 1.0, 1.0],
        "seconds": {"select": 0.25 * seconds, "finetune": 0.75 * seconds},
    }


def write(config: ConfigDict, rounds: int, seconds: float = 2.0) -> None:
    """Writes the results of rounds 0 to `rounds`, at once as real runs do."""
    lines = [{"config": config.to_dict(), "versions": {}, "seed": config.seed}]
    lines += [record(round_, seconds) for round_ in range(rounds + 1)]
    path = folder(config) / f"seed{config.seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(line) + "\n" for line in lines))
    part.replace(path)


def run(config: ConfigDict) -> None:
    """Finishes; keeps a diary of who ran which run with what."""
    diary = Path(config.results_dir) / "diary"
    with diary.open("a") as file:
        entry = {
            "seed": config.seed,
            "process": os.getpid(),
            "cores": threads.available_cores(),
            "threads": os.environ["OMP_NUM_THREADS"],
        }
        file.write(json.dumps(entry) + "\n")
    print("a chatty library")
    write(config, config.rounds)


def run_of_known_method(config: ConfigDict) -> None:
    """Finishes if the process knows the run's method."""
    from experiments import methods

    methods.get(config.method)
    run(config)


def crash_once(config: ConfigDict) -> None:
    """Seed 1 raises when it is run for the first time."""
    mark = Path(config.results_dir) / "crashed"
    if config.seed == 1 and not mark.exists():
        mark.touch()
        raise ValueError("a rare accident")
    run(config)


def always_crash(config: ConfigDict) -> None:
    """Seed 1 raises whenever it is run."""
    if config.seed == 1:
        raise ValueError("a rare accident\nin two lines")
    run(config)


def killed_once(config: ConfigDict) -> None:
    """The first run of seed 1 is killed, as the kernel does when memory is short."""
    mark = Path(config.results_dir) / "killed"
    if config.seed == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    run(config)


def ctrl_c(config: ConfigDict) -> None:
    """Somebody presses Ctrl-C in round 1, which is finished all the same."""
    os.kill(os.getppid(), signal.SIGINT)
    finish_round(config)


def finish_round(config: ConfigDict) -> None:
    """Is in round 1 until Ctrl-C, then finishes it."""
    try:
        write(config, 0)
        _sleep(60.0)
    except KeyboardInterrupt:
        write(config, 1)
        raise


def ctrl_c_twice(config: ConfigDict) -> None:
    """Ctrl-C is pressed twice, and the run hears neither."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for _ in range(2):
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(1)  # the second one must not merge with the first
    _sleep(60.0)


def sleep(config: ConfigDict) -> None:
    """Tells its process id and sleeps."""
    part = Path(config.results_dir) / "process.part"
    part.write_text(str(os.getpid()))
    part.rename(part.with_suffix(""))
    _sleep(120.0)


def _sleep(seconds: float) -> None:
    # An interrupt that is no signal, such as Ray's, does not end a sleep.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)


class DiesOnArrival:
    """What kills the process that receives it."""

    def __reduce__(self):
        """Unpickling calls `os._exit(3)`."""
        return os._exit, (3,)
