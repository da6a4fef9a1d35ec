"""Named sweeps: every setting × every method, and what they include, × seeds 0, 1, ….

`main` is what `make run` does; `evidence_…` make the committed result sets; `figure…`
and `ablation_…` run what the figure of that name compares; `all_state` is all of them.
"""

from typing import NamedTuple

from ml_collections import ConfigDict, config_dict

from amf_jax import errors
from experiments import comparisons
from experiments.comparisons import Comparison


class Sweep(NamedTuple):
    """One named sweep.

    Attributes:
      about: what it compares, in one line.
      settings: what to run, as `<suite>:<setting>[,option…]`.
      methods: run in every setting.
      figures: drawn from the results at the end; None is the one of its name.
      includes: other sweeps that are part of this one, with the same seeds.
      seeds: how many seeds, counted from 0.
    """

    about: str
    settings: tuple[str, ...]
    methods: tuple[str, ...]
    figures: tuple[str, ...] | None = None
    includes: tuple[str, ...] = ()
    seeds: int = 10


def _settings(suite: str, *settings: str | int) -> tuple[str, ...]:
    return tuple(f"{suite}:{setting}" for setting in settings)


_INTEGRATOR = _settings("integrator", *range(1, 13))
_SKEWED = _settings("metaworld", "8-8-0-0")
_EVEN = _settings("metaworld", "4-4-4-4")
_METAWORLD = _settings("metaworld", "8-8-0-0", "0-0-8-8", "4-4-4-4")
_ALLOCATIONS = _METAWORLD + _settings("metaworld", "0-8-8-0", "2-2-2-2")
_KITCHEN_SKEWED = _settings("kitchen", "8-8-0-0-0")
_KITCHEN_EVEN = _settings("kitchen", "3-3-3-3-3")
_KITCHEN = _settings("kitchen", "8-8-0-0-0", "0-0-0-8-8", "3-3-3-3-3")
_KITCHEN_ALL = _settings(
    "kitchen", "8-8-0-0-0", "0-8-8-0-0", "0-0-8-8-0", "0-0-0-8-8", "3-3-3-3-3"
)

_KITCHEN_BASELINES = (
    "amf",
    "amf_paper",
    "uniform_adaptive_prior",
    "uniform",
    "rebalancing",
)


def _methods(*parts: Comparison) -> tuple[str, ...]:
    return tuple(dict.fromkeys(method for part in parts for method in part.methods))


_NN_ALL = _methods(
    comparisons.SELECTORS,
    comparisons.LITERAL,
    comparisons.CRITERIA,
    comparisons.WEIGHTS,
    comparisons.ESTIMATORS,
    comparisons.FORGETTING,
)
_INTEGRATOR_FIGURES = (
    "figure2",
    "figure7",
    "ablation_criterion_integrator",
    "ablation_weights_integrator",
)
_METAWORLD_FIGURES = (
    "main",
    "figure4_metaworld",
    "figure5_metaworld",
    "figure9",
    "figure12",
    "figure13_metaworld",
    "figure14",
    "figure17",
    "figure18",
    "figure20",
    "ablation_criterion",
    "ablation_weights",
    "all_selectors",
    "all_forgetting",
)
_KITCHEN_FIGURES = (
    "figure4_kitchen",
    "figure5_kitchen",
    "figure8",
    "figure12_kitchen",
    "figure13",
    "figure14_kitchen",
    "figure15",
    "figure16",
    "figure20_kitchen",
)

SWEEPS = {
    "main": Sweep(
        "active against uniform choice on Metaworld under mismatch",
        _settings("metaworld", "0-0-8-8"),
        comparisons.MAIN_JOB.methods,
        seeds=6,
    ),
    "evidence_integrator": Sweep(
        "the committed integrator results: every number of demonstrated tasks",
        _INTEGRATOR,
        _methods(comparisons.CRITERIA_GP, comparisons.WEIGHTS_GP),
        figures=_INTEGRATOR_FIGURES,
    ),
    "evidence_metaworld": Sweep(
        "the committed Metaworld results: mismatch, its reverse, and none",
        _METAWORLD,
        _NN_ALL,
        figures=_METAWORLD_FIGURES,
        seeds=8,
    ),
    "evidence_kitchen": Sweep(
        "the committed kitchen results: mismatch, its reverse, and none",
        _KITCHEN,
        _KITCHEN_BASELINES,
        figures=_KITCHEN_FIGURES,
        includes=("figure5_kitchen", "figure12_kitchen"),
        seeds=8,
    ),
    "figure2": Sweep(
        "return and entropy of AMF-GP, and its gain by number of demonstrated tasks",
        _INTEGRATOR,
        comparisons.GAUSSIAN_PROCESS.methods,
    ),
    "figure7": Sweep(
        "return and entropy of AMF-GP for every number of demonstrated tasks",
        _INTEGRATOR,
        comparisons.GAUSSIAN_PROCESS.methods,
    ),
    "figure4_metaworld": Sweep(
        "success of AMF-NN with and without mismatch, from states",
        _SKEWED + _EVEN,
        comparisons.BASELINES.methods,
    ),
    "figure4_kitchen": Sweep(
        "the same in the kitchen",
        _KITCHEN_SKEWED + _KITCHEN_EVEN,
        comparisons.BASELINES.methods,
    ),
    "figure5_metaworld": Sweep(
        "estimates of uncertainty: gradients, features, dropout",
        _SKEWED + _EVEN,
        comparisons.ESTIMATORS.methods,
    ),
    "figure5_kitchen": Sweep(
        "estimates of uncertainty in the kitchen: gradients, features, dropout",
        _KITCHEN_SKEWED + _KITCHEN_EVEN,
        comparisons.PAPER_ESTIMATORS.methods,
    ),
    "figure8": Sweep(
        "success of AMF-NN in the kitchen for several pre-training allocations",
        _KITCHEN_ALL,
        comparisons.BASELINES.methods,
    ),
    "figure9": Sweep(
        "success of AMF-NN for several pre-training allocations",
        _ALLOCATIONS,
        comparisons.BASELINES.methods,
    ),
    "figure12": Sweep(
        "ways not to forget: adaptive prior, L2, EWC, none",
        _SKEWED + _EVEN,
        comparisons.FORGETTING.methods,
        figures=("figure12", "figure13_metaworld"),
    ),
    "figure12_kitchen": Sweep(
        "ways not to forget in the kitchen: adaptive prior, L2, EWC, none",
        _KITCHEN_SKEWED + _KITCHEN_EVEN,
        comparisons.REGULARISERS.methods,
    ),
    "figure13": Sweep(
        "success and mixing weight of each kitchen task",
        _KITCHEN_SKEWED,
        ("amf",),
    ),
    "figure14": Sweep(
        "AMF against rules that are told the pre-training counts or the success so far",
        _METAWORLD,
        comparisons.SELECTORS.methods,
    ),
    "figure14_kitchen": Sweep(
        "AMF in the kitchen against rebalancing that knows the pre-training counts",
        _KITCHEN,
        comparisons.PRIVILEGED.methods,
    ),
    "figure15": Sweep(
        "success and demonstrations of each kitchen task under mismatch",
        _KITCHEN_SKEWED,
        comparisons.BASELINES.methods,
    ),
    "figure16": Sweep(
        "success and demonstrations of each kitchen task without mismatch",
        _KITCHEN_EVEN,
        comparisons.BASELINES.methods,
    ),
    "figure17": Sweep(
        "success and demonstrations of each task under mismatch",
        _SKEWED,
        comparisons.BASELINES.methods,
    ),
    "figure18": Sweep(
        "success and demonstrations of each task without mismatch",
        _EVEN,
        comparisons.BASELINES.methods,
    ),
    "figure20": Sweep(
        "importance weights between the tasks of Metaworld under mismatch",
        _SKEWED,
        ("amf",),
    ),
    "figure20_kitchen": Sweep(
        "importance weights between the tasks of the kitchen under mismatch",
        _KITCHEN_SKEWED,
        ("amf",),
    ),
    "ablation_criterion": Sweep(
        "look-ahead against the uncertainty before a demonstration",
        _METAWORLD,
        comparisons.CRITERIA.methods,
        figures=("ablation_criterion", "ablation_criterion_integrator"),
        includes=("ablation_criterion_integrator",),
    ),
    "ablation_criterion_integrator": Sweep(
        "the same for Gaussian processes",
        _INTEGRATOR,
        comparisons.CRITERIA_GP.methods,
    ),
    "ablation_weights": Sweep(
        "self-normalised importance weights against others and none",
        _METAWORLD,
        comparisons.WEIGHTS.methods,
        figures=("ablation_weights", "ablation_weights_integrator"),
        includes=("ablation_weights_integrator",),
    ),
    "ablation_weights_integrator": Sweep(
        "the same for Gaussian processes",
        _INTEGRATOR,
        comparisons.WEIGHTS_GP.methods,
    ),
    "all_state": Sweep(
        "everything that needs states only: all methods on all suites",
        _ALLOCATIONS + _KITCHEN_ALL,
        _NN_ALL,
        figures=_INTEGRATOR_FIGURES + _METAWORLD_FIGURES + _KITCHEN_FIGURES,
        includes=("evidence_integrator",),
    ),
}


def get_config(name: str) -> ConfigDict:
    """The sweep called `name`; every field can be overridden.

    Raises:
      UnknownNameError: no such sweep; names the nearest one.
    """
    errors.check_name("sweep", name, SWEEPS)
    sweep = SWEEPS[name]
    return ConfigDict(
        {
            "name": name,
            "settings": sweep.settings,
            "methods": sweep.methods,
            "includes": sweep.includes,
            "seeds": sweep.seeds,
            "preset": "fast",
            "rounds": config_dict.placeholder(int),  # None: as the suite says
            "overrides": ConfigDict(),  # further fields of every run
            "results_dir": "results",
            "figures": (name,) if sweep.figures is None else sweep.figures,
            "workers": 0,  # 0: one per core
        }
    )
