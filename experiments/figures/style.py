"""How things look in every figure and table: a method has one colour everywhere."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure

Layout = Literal["constrained", "compressed"]
Dashes = Literal["-", "--", "-.", ":"]


class Look(NamedTuple):
    """Name and line of a method; marker and dashes keep it apart in grey print."""

    name: str
    colour: str
    marker: str
    dashes: Dashes


#: In the order of legends and columns.
METHODS = {
    "amf": Look("AMF", "#0b3d91", "o", "-"),
    "amf_paper": Look("AMF (paper-literal)", "#7cc0ea", "^", "--"),
    "uniform_adaptive_prior": Look("Uniform + adaptive prior", "#e8790c", "s", "-."),
    "uniform": Look("Uniform", "#666666", "D", ":"),
}

SUITES = {"integrator": "2-D integrator", "metaworld": "Metaworld"}

TASK_MARKERS = "ovsP*XD^<>ph"
PRETRAINING_GREY = "#c4c4c4"
BAND_ALPHA = 0.18

DPI = 150
RC: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.2,
    "legend.frameon": False,
    "figure.titlesize": 11.0,
    "figure.titleweight": "bold",
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.w_pad": 0.09,
}


def method_name(method: str) -> str:
    """The name a reader sees.

    Example:
      >>> method_name("amf_paper"), method_name("round_robin")
      ('AMF (paper-literal)', 'Round robin')
    """
    look = METHODS.get(method)
    return look.name if look else method.replace("_", " ").capitalize()


def task_colours(count: int) -> list[str]:
    """Colours for `count` tasks, apart in lightness too."""
    colormap = matplotlib.colormaps["viridis"]
    positions = [0.85 * task / max(count - 1, 1) for task in range(count)]
    return [matplotlib.colors.to_hex(colormap(position)) for position in positions]


def new_figure(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """An empty figure of that size in inches, which no window system ever sees."""
    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def heading(
    figure: Figure, title: str, handles: Iterable[Artist], columns: int = 4
) -> None:
    """The title of a figure above one legend for all panels.

    Handles of equal label share an entry. The title is the legend's: matplotlib draws a
    suptitle on top of an outside legend.
    """
    distinct = {str(handle.get_label()): handle for handle in handles}
    figure.legend(
        handles=list(distinct.values()),
        loc="outside upper center",
        ncols=min(columns, len(distinct)),
        handlelength=3.2,
        title=title,
        title_fontproperties={"weight": "bold", "size": RC["figure.titlesize"]},
    )


def caption(figure: Figure, text: str) -> None:
    """A line below all panels that says what is shown."""
    figure.supxlabel(text, fontsize=8, color="#555555")


def seeds(count: int) -> str:
    """A number of seeds in words.

    Example:
      >>> seeds(1), seeds(6)
      ('1 seed', '6 seeds')
    """
    return f"{count} seed{'s' if count > 1 else ''}"
