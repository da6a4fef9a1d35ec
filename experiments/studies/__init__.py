"""Studies: single looks at the integrator, behind figures that compare no methods.

Other figures compare methods by their curves; these look into a policy or a selection.
A study writes its records to
`<results_dir>/integrator/<setting>/study_<name>/seed<k>.jsonl`. A new one is a function
`(config, seeds) -> records of each seed` and one line below.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from amf_jax import provenance
from amf_jax.errors import check_name
from experiments import results
from experiments.configs import fields, loading
from experiments.studies import bound, finetuning, landscape, search

Record = dict[str, Any]


class Study(NamedTuple):
    """A study, and where its records go.

    Attributes:
      about: what it looks at, in one line.
      compute: `(config, seeds) -> records` of one seed after the other.
      config: makes the config that `compute` is given.
      seeds: how many, unless the user asks for another number.
      conclude: what to print about the records of all seeds; None for nothing.
    """

    about: str
    compute: Callable[[ConfigDict, Sequence[int]], Iterator[list[Record]]]
    config: Callable[[], ConfigDict]
    seeds: int = 1
    conclude: Callable[[Sequence[list[Record]]], str] | None = None


def _mismatch(rounds: int) -> ConfigDict:
    """The mismatched setting of figure 2, with that many rounds."""
    return loading.load("integrator:6", {"rounds": rounds, "attempts": 0})


def _top_half() -> ConfigDict:
    """What the integrator's config says about things other than fine-tuning."""
    config = loading.load("integrator:6")
    names = ("suite", "preset", "method", "seed", "results_dir", "selection", "policy")
    return ConfigDict(
        {name: config[name] for name in names} | {"setting": "top-half"}
    ).lock()


STUDIES = {
    "figure3": Study(
        "trajectories of the expert, and of AMF-GP as it is fine-tuned",
        finetuning.trajectories,
        functools.partial(_mismatch, 20),
    ),
    "figure19": Study(
        "importance weights over all tasks as AMF-GP is fine-tuned",
        finetuning.weight_sweep,
        functools.partial(_mismatch, 9),
    ),
    "figure21": Study(
        "the criterion over all tasks, against the return it leads to",
        landscape.criterion_and_return,
        _top_half,
        seeds=10,
        conclude=landscape.report_correlation,
    ),
    "bound": Study(
        "the gap between AMF-GP and the expert, below the bound of theorem A.10",
        bound.gap_and_bounds,
        functools.partial(loading.load, "integrator:6"),
        seeds=3,
        conclude=bound.report,
    ),
    "search": Study(
        "what searches for the best task find, and what they cost",
        search.value_and_cost,
        functools.partial(_mismatch, 20),
        seeds=6,
        conclude=search.report,
    ),
}


def run(name: str, results_dir: str | Path, seeds: int | None = None) -> list[Path]:
    """Computes a study and writes its results files.

    Args:
      name: a key of `STUDIES`.
      results_dir: folder of results.
      seeds: how many, counted from 0; None is what the study takes by itself.

    Returns:
      The files, by seed.

    Raises:
      UnknownNameError: naming the nearest study there is.
      InvalidArgumentError: less than one seed.
      ResultsError: if a file cannot be written, or another config wrote it.
    """
    check_name("study", name, STUDIES)
    study = STUDIES[name]
    count = study.seeds if seeds is None else seeds
    fields.SWEEP["seeds"].check("seeds", count)
    results.refuse_evidence(results_dir)
    config = study.config()
    plain = results.plain_config(config) | {"results_dir": str(results_dir)}
    targets: dict[Path, Record] = {}
    for seed in range(count):
        path = results.path(
            results_dir, config.suite, config.setting, f"study_{name}", seed
        )
        results.check_writable(path.parent)
        config_of_seed = plain | {"seed": seed}
        results.require_same_config(path, config_of_seed)
        targets[path] = {
            "config": config_of_seed,
            "versions": provenance.versions(),
            "seed": seed,
        }
    runs = []
    for (path, header), records in zip(
        targets.items(), study.compute(config, range(count)), strict=True
    ):
        results.write(path, header, records)
        runs.append(records)
    if study.conclude is not None:
        print(f"{name}: {study.conclude(runs)}")
    return list(targets)
