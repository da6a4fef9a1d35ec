"""Growth curves as a figure."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import Row
from experiments import figures
from experiments.figures import style

#: What grows in each job, for the axis.
_CURVES = {
    "growth_demonstrations": "demonstrations n",
    "growth_features": "demonstrations n, in weight space",
    "growth_tasks": "tasks C",
    "growth_embedding": "embedding size p",
}
_BLUE, _GREY = "#0b3d91", "#999999"


def growth(rows: Sequence[Row], path: Path) -> bool:
    """Draws time and memory of a selection against what grows.

    Returns:
      Whether there was anything to draw.

    Raises:
      MissingDependencyError: matplotlib is not installed.
    """
    curves = {job: curve(rows, job) for job in _CURVES}
    curves = {job: points for job, points in curves.items() if points}
    if not curves:
        return False
    figures.require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(style.RC):
        figure = style.new_figure(3.0 * len(curves), 4.4)
        axes = figure.subplots(2, len(curves), squeeze=False, sharex="col")
        for column, (job, points) in enumerate(curves.items()):
            values = [value for value, _ in points]
            seconds = [row.seconds or 0.0 for _, row in points]
            mebibytes = [(row.bytes_peak or 0) / 2**20 for _, row in points]
            top, bottom = axes[:, column]
            for panel, measured in ((top, seconds), (bottom, mebibytes)):
                panel.plot(values, measured, marker="o", color=_BLUE)
                proportional = [measured[0] * value / values[0] for value in values]
                panel.plot(values, proportional, color=_GREY, linestyle="--")
                panel.set(xscale="log", yscale="log")
            bottom.set_xticks(values, [str(value) for value in values], rotation=45)
            bottom.minorticks_off()
            bottom.set_xlabel(_CURVES[job])
        axes[0, 0].set_ylabel("one selection, seconds")
        axes[1, 0].set_ylabel("its buffers, MiB")
        style.caption(figure, "dashed: in proportion")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return True


def curve(rows: Sequence[Row], job: str) -> list[tuple[int, Row]]:
    """The timed rows of a job whose cases read "n = 20", with the number.

    >>> rows = [Row("growth", "n = 20", seconds=1.0), Row("growth", "exponent")]
    >>> curve(rows, "growth")
    [(20, Row(job='growth', case='n = 20', seconds=1.0, ...))]
    """
    found = []
    for row in rows:
        match = re.search(r" = (\d+)$", row.case or "")
        if row.job == job and row.seconds is not None and match:
            found.append((int(match[1]), row))
    return found
