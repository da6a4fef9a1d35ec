"""Small result files, for the tests of what reads them."""

from experiments import results

CONFIG = {
    "suite": "metaworld",
    "setting": "8-8-0-0",
    "method": "amf",
    "preset": "fast",
    "rounds": 2,
    "attempts": 50,
    "results_dir": "results",
    "policy": {"width": 256},
}


def header(seed=0, **changes):
    return {"config": CONFIG | {"seed": seed} | changes, "versions": {}, "seed": seed}


def rounds(*numbers):
    return [{"round": number, "mean_success": number / 10} for number in numbers]


def place(folder, seed, method="amf"):
    return results.path(folder, "metaworld", "8-8-0-0", method, seed)
