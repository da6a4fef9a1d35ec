"""Figures, each drawn from result files alone.

A new figure is one function `(results_dir) -> matplotlib Figure` and one line below.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from amf_jax.errors import ResultsError, UnknownNameError
from experiments.figures import integrator, main_job, metaworld, studies, style, weights
from experiments.figures.data import NoResultsError


class Entry(NamedTuple):
    """A figure: how to draw it, and the command whose results it draws."""

    draw: Callable[[Path], Figure]
    command: str


def _sweep(name: str) -> str:
    return f"python -m experiments.sweep --config=experiments/configs/sweeps.py:{name}"


def _study(name: str) -> str:
    return f"python -m experiments.studies {name}"


FIGURES = {
    "main": Entry(main_job.draw, "make run"),
    "figure2": Entry(integrator.draw_figure2, _sweep("figure2")),
    "figure3": Entry(studies.draw_figure3, _study("figure3")),
    "figure4": Entry(metaworld.draw_figure4, _sweep("figure4_metaworld")),
    "figure7": Entry(integrator.draw_figure7, _sweep("figure7")),
    "figure9": Entry(metaworld.draw_figure9, _sweep("figure9")),
    "figure17": Entry(metaworld.draw_figure17, _sweep("figure17")),
    "figure18": Entry(metaworld.draw_figure18, _sweep("figure18")),
    "figure19": Entry(studies.draw_figure19, _study("figure19")),
    "figure20": Entry(weights.draw_figure20, _sweep("figure20")),
    "figure21": Entry(studies.draw_figure21, _study("figure21")),
}


def make(name: str, results_dir: str | os.PathLike[str]) -> Figure:
    """Draws a figure in memory.

    Args:
      name: a key of `FIGURES`.
      results_dir: folder that holds result files.

    Returns:
      The figure.

    Raises:
      UnknownNameError: naming the nearest figure there is.
      ResultsError: if there is nothing to draw, with the command that changes that, or
        if a results file is broken.
    """
    if name not in FIGURES:
        raise UnknownNameError("figure", name, FIGURES)
    entry = FIGURES[name]
    try:
        with matplotlib.rc_context(style.RC):
            return entry.draw(Path(results_dir))
    except NoResultsError as error:
        raise NoResultsError(f"{error}. Produce them with: {entry.command}") from error


def _picture(figure: Figure) -> Image.Image:
    """The figure in pixels, of 256 colours: a third of the size to keep in git."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return (
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
    )


def draw(
    name: str, results_dir: str | os.PathLike[str], output_dir: str | os.PathLike[str]
) -> Path:
    """Draws a figure into `<output_dir>/<name>.png` and returns that path.

    Raises:
      UnknownNameError: naming the nearest figure there is.
      ResultsError: as for `make`, or if the picture cannot be written.
    """
    figure = make(name, results_dir)
    path = Path(output_dir) / f"{name}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(figure).save(path, optimize=True)
    except OSError as error:
        raise ResultsError(f"output: cannot write {path} ({error.strerror})") from error
    return path
