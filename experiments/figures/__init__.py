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
      command: makes the results that it draws; None is the sweep of its name.
    """

    about: str
    draw: Callable[[Source], Figure]
    command: str | None = None


def _by(function: str, *about: Any) -> Callable[[Source], Figure]:
    """Draws by `module.function` of this package.

    It is imported when it draws: the list of figures can be shown without matplotlib.
    """
    module, name = function.split(".")

    def draw(source: Source) -> Figure:
        drawing = importlib.import_module(f"{__name__}.{module}")
        return getattr(drawing, name)(source, *about)

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
    ),
    "figure3": Entry(
        "trajectories of expert and policy towards goals on a circle",
        _by("studies.draw_figure3"),
        _study("figure3"),
    ),
    "figure4_metaworld": Entry(
        "success on Metaworld with and without a mismatch in pre-training",
        _by("success.draw_contrast", METAWORLD, comparisons.BASELINES),
    ),
    "figure4_kitchen": Entry(
        "success in the kitchen with and without a mismatch in pre-training",
        _by("success.draw_contrast", KITCHEN, comparisons.BASELINES),
    ),
    "figure5_metaworld": Entry(
        "success on Metaworld by uncertainty estimator (the paper's figure 11)",
        _by("success.draw_contrast", METAWORLD, comparisons.ESTIMATORS),
    ),
    "figure5_kitchen": Entry(
        "success in the kitchen by uncertainty estimator",
        _by("success.draw_contrast", KITCHEN, comparisons.PAPER_ESTIMATORS),
    ),
    "figure7": Entry(
        "returns and entropies of AMF-GP for every number of demonstrated tasks",
        _by("integrator.draw_figure7"),
    ),
    "figure8": Entry(
        "success in the kitchen for every pre-training allocation",
        _by("success.draw_settings", KITCHEN, comparisons.BASELINES),
    ),
    "figure9": Entry(
        "success on Metaworld for every pre-training allocation",
        _by("success.draw_settings", METAWORLD, comparisons.BASELINES),
    ),
    "figure12": Entry(
        "forgetting on Metaworld: regularisers and priors, on seen and new tasks",
        _by("forgetting.draw", METAWORLD),
    ),
    "figure12_kitchen": Entry(
        "forgetting in the kitchen: regularisers and the adaptive prior",
        _by("forgetting.draw_regularisers", KITCHEN),
    ),
    "figure13": Entry(
        "success and mixing weight of each task for AMF in the kitchen",
        _by("tasks.draw_mixing", KITCHEN),
    ),
    "figure13_metaworld": Entry(
        "success and mixing weight of each task for AMF on Metaworld",
        _by("tasks.draw_mixing", METAWORLD),
        _sweep("figure12"),
    ),
    "figure14": Entry(
        "success on Metaworld against privileged rebalancing of demonstrations",
        _by("success.draw_compared", METAWORLD, comparisons.REBALANCING),
    ),
    "figure14_kitchen": Entry(
        "success in the kitchen against privileged rebalancing of demonstrations",
        _by("success.draw_compared", KITCHEN, comparisons.PRIVILEGED),
    ),
    "figure15": Entry(
        "success and demonstrations of each kitchen task under mismatch",
        _by("tasks.draw_mismatch", KITCHEN, comparisons.BASELINES),
    ),
    "figure16": Entry(
        "success and demonstrations of each kitchen task without mismatch",
        _by("tasks.draw_even", KITCHEN, comparisons.BASELINES),
    ),
    "figure17": Entry(
        "success and demonstrations of each Metaworld task under mismatch",
        _by("tasks.draw_mismatch", METAWORLD, comparisons.BASELINES),
    ),
    "figure18": Entry(
        "success and demonstrations of each Metaworld task without mismatch",
        _by("tasks.draw_even", METAWORLD, comparisons.BASELINES),
    ),
    "figure19": Entry(
        "importance weights of four demonstrations over all tasks",
        _by("studies.draw_figure19"),
        _study("figure19"),
    ),
    "figure20": Entry(
        "importance weights between the tasks of Metaworld",
        _by("weights.draw", METAWORLD),
    ),
    "figure20_kitchen": Entry(
        "importance weights between the tasks of the kitchen",
        _by("weights.draw", KITCHEN),
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
        _by("areas.draw", METAWORLD, comparisons.CRITERIA),
    ),
    "ablation_criterion_integrator": Entry(
        "return and entropy by criterion, and differences in area",
        _by("areas.draw", INTEGRATOR, comparisons.CRITERIA_GP),
    ),
    "ablation_weights": Entry(
        "success by importance weights, and differences in area",
        _by("areas.draw", METAWORLD, comparisons.WEIGHTS),
    ),
    "ablation_weights_integrator": Entry(
        "return and entropy by importance weights, and differences in area",
        _by("areas.draw", INTEGRATOR, comparisons.WEIGHTS_GP),
    ),
    "all_selectors": Entry(
        "success by selection rule, and differences in area",
        _by("areas.draw", METAWORLD, comparisons.SELECTORS),
        _sweep("evidence_metaworld"),
    ),
    "all_forgetting": Entry(
        "success by way not to forget, and differences in area",
        _by("areas.draw", METAWORLD, comparisons.FORGETTING),
        _sweep("evidence_metaworld"),
    ),
}


def command_of(name: str) -> str:
    """The command that makes the results which a figure draws."""
    return FIGURES[name].command or _sweep(name)


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
        return entry.draw(Source(results_dir, command_of(name), estimate))


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
