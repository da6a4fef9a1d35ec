"""Figures, each drawn from result files alone.

A new figure is one function `(source) -> matplotlib Figure` and one line below.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from amf_jax.errors import ResultsError, check_name
from experiments import comparisons, extras, output
from experiments.figures import style
from experiments.figures.data import Source
from experiments.figures.estimates import MEAN, Estimate
from experiments.folders import Folder
from experiments.suites.registry import INTEGRATOR, KITCHEN, METAWORLD

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image


class Entry(NamedTuple):
    """A figure.

    Attributes:
      about: what it shows, in one line.
      draw: draws it.
      command: makes the results that it draws.
    """

    about: str
    draw: Callable[[Source], Figure]
    command: str


def _by(function: str, **options: Any) -> Callable[[Source], Figure]:
    """Draws by `module.function` of this package.

    It is imported when it draws: the list of figures can be shown without matplotlib.
    """
    module, name = function.split(".")

    def draw(source: Source) -> Figure:
        drawing = importlib.import_module(f"{__name__}.{module}")
        return getattr(drawing, name)(source, **options)

    return draw


def _sweep(name: str) -> str:
    return f"python -m experiments.sweep --config=experiments/configs/sweeps.py:{name}"


def _study(name: str) -> str:
    return f"python -m experiments.studies {name}"


FIGURES = {
    "main": Entry(
        "success, requests and mixing of the main job", _by("main_job.draw"), "make run"
    ),
    "figure2": Entry(
        "returns and entropies of AMF-GP, and its gain by number of demonstrated tasks",
        _by("integrator.draw_figure2"),
        _sweep("figure2"),
    ),
    "figure3": Entry(
        "trajectories of expert and policy towards goals on a circle",
        _by("studies.draw_figure3"),
        _study("figure3"),
    ),
    "figure4_metaworld": Entry(
        "success on Metaworld with and without a mismatch in pre-training",
        _by("success.draw_contrast", suite=METAWORLD, comparison=comparisons.BASELINES),
        _sweep("figure4_metaworld"),
    ),
    "figure4_kitchen": Entry(
        "success in the kitchen with and without a mismatch in pre-training",
        _by("success.draw_contrast", suite=KITCHEN, comparison=comparisons.BASELINES),
        _sweep("figure4_kitchen"),
    ),
    "figure5_metaworld": Entry(
        "success on Metaworld by uncertainty estimator (the paper's figure 11)",
        _by(
            "success.draw_contrast", suite=METAWORLD, comparison=comparisons.ESTIMATORS
        ),
        _sweep("figure5_metaworld"),
    ),
    "figure5_kitchen": Entry(
        "success in the kitchen by uncertainty estimator",
        _by(
            "success.draw_contrast",
            suite=KITCHEN,
            comparison=comparisons.PAPER_ESTIMATORS,
        ),
        _sweep("figure5_kitchen"),
    ),
    "figure7": Entry(
        "returns and entropies of AMF-GP for every number of demonstrated tasks",
        _by("integrator.draw_figure7"),
        _sweep("figure7"),
    ),
    "figure8": Entry(
        "success in the kitchen for every pre-training allocation",
        _by("success.draw_settings", suite=KITCHEN, comparison=comparisons.BASELINES),
        _sweep("figure8"),
    ),
    "figure9": Entry(
        "success on Metaworld for every pre-training allocation",
        _by("success.draw_settings", suite=METAWORLD, comparison=comparisons.BASELINES),
        _sweep("figure9"),
    ),
    "figure12": Entry(
        "forgetting on Metaworld: regularisers and priors, on seen and new tasks",
        _by("forgetting.draw", suite=METAWORLD),
        _sweep("figure12"),
    ),
    "figure12_kitchen": Entry(
        "forgetting in the kitchen: regularisers and the adaptive prior",
        _by("forgetting.draw_regularisers", suite=KITCHEN),
        _sweep("figure12_kitchen"),
    ),
    "figure13": Entry(
        "success and mixing weight of each task for AMF in the kitchen",
        _by("tasks.draw_mixing", suite=KITCHEN),
        _sweep("figure13"),
    ),
    "figure13_metaworld": Entry(
        "success and mixing weight of each task for AMF on Metaworld",
        _by("tasks.draw_mixing", suite=METAWORLD),
        _sweep("figure12"),
    ),
    "figure14": Entry(
        "success on Metaworld against privileged rebalancing of demonstrations",
        _by(
            "success.draw_compared", suite=METAWORLD, comparison=comparisons.REBALANCING
        ),
        _sweep("figure14"),
    ),
    "figure14_kitchen": Entry(
        "success in the kitchen against privileged rebalancing of demonstrations",
        _by("success.draw_compared", suite=KITCHEN, comparison=comparisons.PRIVILEGED),
        _sweep("figure14_kitchen"),
    ),
    "figure15": Entry(
        "success and demonstrations of each kitchen task under mismatch",
        _by("tasks.draw_mismatch", suite=KITCHEN, comparison=comparisons.BASELINES),
        _sweep("figure15"),
    ),
    "figure16": Entry(
        "success and demonstrations of each kitchen task without mismatch",
        _by("tasks.draw_even", suite=KITCHEN, comparison=comparisons.BASELINES),
        _sweep("figure16"),
    ),
    "figure17": Entry(
        "success and demonstrations of each Metaworld task under mismatch",
        _by("tasks.draw_mismatch", suite=METAWORLD, comparison=comparisons.BASELINES),
        _sweep("figure17"),
    ),
    "figure18": Entry(
        "success and demonstrations of each Metaworld task without mismatch",
        _by("tasks.draw_even", suite=METAWORLD, comparison=comparisons.BASELINES),
        _sweep("figure18"),
    ),
    "figure19": Entry(
        "importance weights of four demonstrations over all tasks",
        _by("studies.draw_figure19"),
        _study("figure19"),
    ),
    "figure20": Entry(
        "importance weights between the tasks of Metaworld",
        _by("weights.draw", suite=METAWORLD),
        _sweep("figure20"),
    ),
    "figure20_kitchen": Entry(
        "importance weights between the tasks of the kitchen",
        _by("weights.draw", suite=KITCHEN),
        _sweep("figure20_kitchen"),
    ),
    "figure21": Entry(
        "pre-training density, criterion and return per task",
        _by("studies.draw_figure21"),
        _study("figure21"),
    ),
    "bound": Entry(
        "gap to the expert and gain of a round, each below its bound",
        _by("theory.draw_bound"),
        _study("bound"),
    ),
    "search": Entry(
        "value of the best task found, against the cost of the search",
        _by("search.draw_search"),
        _study("search"),
    ),
    "ablation_criterion": Entry(
        "success by criterion, and differences in area under the curve",
        _by("areas.draw", suite=METAWORLD, comparison=comparisons.CRITERIA),
        _sweep("ablation_criterion"),
    ),
    "ablation_criterion_integrator": Entry(
        "return and entropy by criterion, and differences in area",
        _by("areas.draw", suite=INTEGRATOR, comparison=comparisons.CRITERIA_GP),
        _sweep("ablation_criterion_integrator"),
    ),
    "ablation_weights": Entry(
        "success by importance weights, and differences in area",
        _by("areas.draw", suite=METAWORLD, comparison=comparisons.WEIGHTS),
        _sweep("ablation_weights"),
    ),
    "ablation_weights_integrator": Entry(
        "return and entropy by importance weights, and differences in area",
        _by("areas.draw", suite=INTEGRATOR, comparison=comparisons.WEIGHTS_GP),
        _sweep("ablation_weights_integrator"),
    ),
    "all_selectors": Entry(
        "success by selection rule, and differences in area",
        _by("areas.draw", suite=METAWORLD, comparison=comparisons.SELECTORS),
        _sweep("evidence_metaworld"),
    ),
    "all_forgetting": Entry(
        "success by way not to forget, and differences in area",
        _by("areas.draw", suite=METAWORLD, comparison=comparisons.FORGETTING),
        _sweep("evidence_metaworld"),
    ),
}


def make(
    name: str,
    results_dir: str | os.PathLike[str] | Sequence[Folder],
    estimate: Estimate = MEAN,
) -> Figure:
    """Draws a figure in memory.

    Args:
      name: a key of `FIGURES`.
      results_dir: folder that holds result files, or several (`folders.parse`) whose
        curves are drawn side by side.
      estimate: what its curves show of the seeds.

    Returns:
      The figure.

    Raises:
      UnknownNameError: naming the nearest figure there is.
      MissingDependencyError: matplotlib is not installed.
      ResultsError: if there is nothing to draw, with the command that changes that, or
        if a results file is broken.
    """
    check_name("figure", name, FIGURES)
    entry = FIGURES[name]
    require_matplotlib()
    import matplotlib

    if isinstance(results_dir, str | os.PathLike):
        results_dir = [Folder("", Path(results_dir))]
    with matplotlib.rc_context(style.RC):
        return entry.draw(Source(results_dir, entry.command, estimate))


def require_matplotlib() -> None:
    """Refuses to go on without what draws figures.

    Raises:
      MissingDependencyError: matplotlib is not installed; with how to install it.
    """
    extras.load("matplotlib")


def _picture(figure: Figure) -> Image.Image:
    """The figure in pixels, of 256 colours: a third of the size to keep in git."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return (
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
    )


def draw(
    name: str,
    results_dir: str | os.PathLike[str] | Sequence[Folder],
    output_dir: str | os.PathLike[str],
    estimate: Estimate = MEAN,
) -> Path:
    """Draws a figure into `<output_dir>/<name>.png` and returns that path.

    Raises:
      UnknownNameError: naming the nearest figure there is.
      MissingDependencyError: matplotlib is not installed.
      ResultsError: as for `make`, or if the picture cannot be written.
    """
    figure = make(name, results_dir, estimate)
    path = Path(output_dir) / f"{name}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(figure).save(path, optimize=True)
    except OSError as error:
        raise ResultsError(
            f"output: cannot write {path} ({output.reason(error)})"
        ) from error
    return path
