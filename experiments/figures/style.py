"""How things look in every figure and table: a method has one colour everywhere.

Tables and lists of figures need no matplotlib, so it is imported where one is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from experiments.folders import Labelled, method_of

if TYPE_CHECKING:
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


#: In the order of legends and columns. Families share a hue: AMF is blue, uncertainty
#: estimates are green, regularisers purple and pink, adaptive priors teal, baselines
#: warm or grey.
METHODS = {
    "amf": Look("AMF", "#0b3d91", "o", "-"),
    "amf_paper": Look("AMF (paper-literal)", "#7cc0ea", "^", "--"),
    "amf_no_history": Look("AMF, no history", "#1a4fa8", "h", "-."),
    "amf_validation_copy": Look("AMF, embeddings of a copy", "#66a9e0", "P", "--"),
    "amf_entropy": Look("AMF (entropy form)", "#327cd9", "*", "--"),
    "amf_deterministic": Look("AMF, deterministic weights", "#0661c4", "d", "--"),
    "amf_plain": Look("AMF, plain weights", "#3b89dd", "X", ":"),
    "amf_unweighted": Look("AMF, no importance weights", "#8acefa", "v", "--"),
    "amf_network_gradient": Look("Full-network gradients", "#00602e", "p", "--"),
    "amf_projected_gradient": Look("Projected gradients", "#0f7d41", "h", ":"),
    "last_layer": Look("Last-layer features", "#589546", ">", "--"),
    "prior_entropy": Look("Prior entropy", "#84b660", "<", ":"),
    "dropout": Look("MC dropout", "#b9d37f", "d", "-"),
    "amf_no_prior": Look("AMF, no adaptive prior", "#807269", "X", "-."),
    "amf_l2": Look("AMF + L2 (weak)", "#f29bca", ">", ":"),
    "amf_l2_strong": Look("AMF + L2 (strong)", "#a50168", "<", "-."),
    "amf_ewc": Look("AMF + EWC (weak)", "#a884d0", "v", ":"),
    "amf_ewc_strong": Look("AMF + EWC (strong)", "#381470", "^", "-."),
    "amf_closed_form": Look("AMF, closed-form α", "#0a6e71", "s", "--"),
    "amf_gate": Look("AMF, gated α", "#0e9296", "D", "-"),
    "amf_prequential": Look("AMF, prequential α", "#1fb8b6", "p", "-."),
    "amf_mixing_network": Look("AMF, α from a network", "#78d9d7", "*", ":"),
    "round_robin": Look("Round robin", "#7d4328", "v", "-."),
    "learning_progress": Look(
        "Learning progress (uses rollouts)", "#d8372f", "X", "--"
    ),
    "rebalancing": Look("Rebalancing (privileged)", "#a7810a", "P", "-"),
    "uniform_adaptive_prior": Look("Uniform + adaptive prior", "#e8790c", "s", "-."),
    "uniform": Look("Uniform", "#666666", "D", ":"),
}
#: Of the lines of each folder, where several are compared.
_FOLDERS: tuple[Dashes, ...] = ("-", "--", "-.", ":")
#: Of a method that has no line above; at the end of legends.
UNLISTED = Look("", "#000000", "H", "-")

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


def look(method: str) -> Look:
    """The look of a method; one that is not listed is black and named by its key.

    Of one in several folders, the dashes tell the folder.
    """
    if isinstance(method, Labelled):
        alone = look(method.method)
        name = f"{alone.name} ({method.label})"
        return alone._replace(name=name, dashes=_FOLDERS[method.place])
    if method in METHODS:
        return METHODS[method]
    return UNLISTED._replace(name=method.replace("_", " ").capitalize())


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods in the order of legends, those that are not listed last.

    Example:
      >>> ordered(["uniform", "my_own_rule", "amf"])
      ['amf', 'uniform', 'my_own_rule']
    """
    places = {method: place for place, method in enumerate(METHODS)}
    return sorted(methods, key=lambda name: places.get(method_of(name), len(places)))


def method_name(method: str) -> str:
    """The name a reader sees.

    Example:
      >>> method_name("amf_paper"), method_name("my_own_rule")
      ('AMF (paper-literal)', 'My own rule')
    """
    return look(method).name


def task_colours(count: int) -> list[str]:
    """Colours for `count` tasks, apart in lightness too."""
    import matplotlib

    colormap = matplotlib.colormaps["viridis"]
    positions = [0.85 * task / max(count - 1, 1) for task in range(count)]
    return [matplotlib.colors.to_hex(colormap(position)) for position in positions]


def new_figure(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """An empty figure of that size in inches, which no window system ever sees."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


def heading(
    figure: Figure, title: str, handles: Iterable[Artist], columns: int = 4
) -> None:
    """The title of a figure above one legend for all panels.

    Handles of equal label share an entry. Columns are fewer where they have no room.
    The title is the legend's: matplotlib draws a suptitle on top of an outside legend.
    """
    distinct = {str(handle.get_label()): handle for handle in handles}
    columns = min(columns, len(distinct))
    while columns > 1 and _width([*distinct], columns) > figure.get_figwidth():
        columns -= 1
    figure.legend(
        handles=list(distinct.values()),
        loc="outside upper center",
        ncols=columns,
        handlelength=3.2,
        title=title,
        title_fontproperties={"weight": "bold", "size": RC["figure.titlesize"]},
    )


def _width(labels: list[str], columns: int) -> float:
    """About how wide a legend is, in inches; it is filled column by column."""
    rows = -(-len(labels) // columns)
    widest = [
        max(map(len, labels[first : first + rows]))
        for first in range(0, len(labels), rows)
    ]
    em = RC["font.size"] / 72
    return em * sum(0.53 * letters + 6.0 for letters in widest)


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
