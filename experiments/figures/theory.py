"""The gap to the expert below the bound of theorem A.10, from study files."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from experiments.figures import curves, data, style
from experiments.figures.data import Source
from experiments.figures.estimates import Estimate
from experiments.figures.style import Look
from experiments.reading import Run
from experiments.series import values

_MEASURED = style.METHODS["amf"].colour
_BOUND = "#b2182b"

GAPS = {
    "bound": Look("Theorem A.10", _BOUND, "s", "-"),
    "bound_given_gain": Look("… given the gain of each round", "#d6604d", "^", "--"),
    "bound_given_deviation": Look(
        "… given the posterior deviations", "#f4a582", "D", "-."
    ),
    "gap_at_rest": Look("Measured, never moving", "#666666", "", ":"),
    "gap": Look("Measured, AMF", _MEASURED, "o", "-"),
}
GAINS = {
    "round_gain_bound": Look("Lemma A.6", _BOUND, "s", "-"),
    "round_gain": Look("Measured, AMF", _MEASURED, "o", "-"),
}


def draw_bound(source: Source) -> Figure:
    """Gap to the expert and gain of a round, each below its bound."""
    runs = data.load_study(source, "bound")
    figure = style.new_figure(10.0, 4.6)
    gap, gain = figure.subplots(1, 2)
    _draw(gap, runs, GAPS, source.estimate)
    gap.set_title("Gap to the expert")
    gap.set_ylabel("Return, expert minus policy")
    _draw(gain, runs, GAINS, source.estimate)
    gain.set_title("Information gain of one more demonstration")
    gain.set_ylabel("Γ (nats)")
    lines = [line for axes in (gap, gain) for line in axes.get_lines()]
    style.heading(figure, "2-D integrator: measured and guaranteed", lines, columns=3)
    style.caption(
        figure,
        "A bound above the dotted line promises no more than never moving would. "
        f"{data.describe([{'study': runs}], source.estimate)}",
    )
    return figure


def _draw(
    axes: Axes, runs: Sequence[Run], looks: dict[str, Look], estimate: Estimate
) -> None:
    rounds = values(runs, "round")[0]
    for field, look in looks.items():
        summary = estimate.curve(runs, field)
        axes.plot(
            rounds,
            summary.mean,
            color=look.colour,
            marker=look.marker,
            linestyle=look.dashes,
            label=look.name,
            markevery=_sparse(rounds),
        )
        curves.band(axes, rounds, summary, look.colour)
    axes.set(xscale="log", yscale="log", xlabel="Round")
    axes.set_xticks(rounds[_sparse(rounds)])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _sparse(rounds: Iterable[float]) -> list[int]:
    """Positions of the rounds 1, 2, 5, 10, 20, 50, ... and of the last one."""
    array = np.asarray(rounds)
    leading = array / 10.0 ** np.floor(np.log10(array))
    shown = np.flatnonzero(np.isclose(leading[:, None], [1.0, 2.0, 5.0]).any(axis=1))
    return sorted({*shown.tolist(), len(array) - 1})
