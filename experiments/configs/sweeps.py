"""Named sweeps: every cell × every method × seeds 0, 1, 2 and so on.

`main` is what `make run` does; `evidence_integrator` and `evidence_metaworld` make the
committed result sets; `figure…` run what the paper's figure of that number compares.
"""

from typing import NamedTuple

from ml_collections import ConfigDict, config_dict

from amf_jax import errors


class Sweep(NamedTuple):
    """One named sweep.

    Attributes:
      about: what it compares, in one line.
      cells: what to run, as `<suite>:<setting>[,option…]`.
      methods: run on every cell.
      seeds: how many seeds, counted from 0.
      figures: drawn from the results at the end.
    """

    about: str
    cells: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int
    figures: tuple[str, ...]


def _cells(suite: str, *settings: str | int) -> tuple[str, ...]:
    return tuple(f"{suite}:{setting}" for setting in settings)


_GP_METHODS = ("amf", "uniform")
_NN_METHODS = ("amf", "uniform_adaptive_prior")
_NN_BASELINES = ("amf", "uniform_adaptive_prior", "uniform")
_ALL_METHODS = ("amf", "amf_paper", "uniform_adaptive_prior", "uniform")

SWEEPS = {
    "main": Sweep(
        "active against uniform choice on Metaworld under mismatch",
        _cells("metaworld", "8-8-0-0"),
        _NN_METHODS,
        6,
        ("main",),
    ),
    "evidence_integrator": Sweep(
        "the committed integrator results: strong, medium and no mismatch",
        _cells("integrator", 1, 6, 12),
        _GP_METHODS,
        10,
        ("figure2",),
    ),
    "evidence_metaworld": Sweep(
        "the committed Metaworld results: mismatch, its reverse, and none",
        _cells("metaworld", "8-8-0-0", "0-0-8-8", "4-4-4-4"),
        _ALL_METHODS,
        6,
        ("main", "figure4", "figure9", "figure17", "figure18", "figure20"),
    ),
    "figure2": Sweep(
        "return and entropy of AMF-GP, and its gain by number of demonstrated tasks",
        _cells("integrator", *range(1, 13)),
        _GP_METHODS,
        10,
        ("figure2",),
    ),
    "figure7": Sweep(
        "return and entropy of AMF-GP for every number of demonstrated tasks",
        _cells("integrator", *range(1, 13)),
        _GP_METHODS,
        10,
        ("figure7",),
    ),
    "figure4_metaworld": Sweep(
        "success of AMF-NN with and without mismatch, from states",
        _cells("metaworld", "8-8-0-0", "4-4-4-4"),
        _NN_BASELINES,
        10,
        ("figure4",),
    ),
    "figure9": Sweep(
        "success of AMF-NN for several pre-training allocations",
        _cells("metaworld", "8-8-0-0", "0-8-8-0", "0-0-8-8", "2-2-2-2"),
        _NN_BASELINES,
        10,
        ("figure9",),
    ),
    "figure17": Sweep(
        "success and demonstrations of each task under mismatch",
        _cells("metaworld", "8-8-0-0"),
        _NN_BASELINES,
        10,
        ("figure17",),
    ),
    "figure18": Sweep(
        "success and demonstrations of each task without mismatch",
        _cells("metaworld", "4-4-4-4"),
        _NN_BASELINES,
        10,
        ("figure18",),
    ),
    "figure20": Sweep(
        "importance weights between the tasks of Metaworld under mismatch",
        _cells("metaworld", "8-8-0-0"),
        ("amf",),
        10,
        ("figure20",),
    ),
}


def get_config(name: str) -> ConfigDict:
    """The sweep called `name`; every field can be overridden.

    Raises:
      UnknownNameError: no such sweep; names the nearest one.
    """
    if name not in SWEEPS:
        raise errors.UnknownNameError("sweep", name, SWEEPS)
    sweep = SWEEPS[name]
    return ConfigDict(
        {
            "name": name,
            "cells": sweep.cells,
            "methods": sweep.methods,
            "seeds": sweep.seeds,
            "preset": "fast",
            "rounds": config_dict.placeholder(int),  # None: as the suite says
            "overrides": ConfigDict(),  # further fields of every cell
            "results_dir": "results",
            "figures": sweep.figures,
            "workers": 0,  # 0: one per core
        }
    )
