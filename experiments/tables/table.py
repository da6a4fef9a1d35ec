"""Text in rows and columns, and how it is written."""

import io
from typing import Literal, NamedTuple

import numpy as np
import rich.box
import rich.console
import rich.table
from rich.markup import escape

from experiments import statistics


class Table(NamedTuple):
    """Text in rows and columns.

    Attributes:
      title: what the numbers are.
      columns: the headings; the first is of the row labels.
      rows: as many cells each as there are headings.
      labels: how the row labels are aligned.
      totals: how many rows at the end sum up the others.
      notes: footnotes.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: Literal["left", "right"] = "left"
    totals: int = 0
    notes: tuple[str, ...] = ()


def cell(summary: statistics.Summary | None) -> str:
    """Mean and interval as text, a dash for what is undefined.

    Example:
      >>> cell(statistics.Summary(np.array(0.7123), (0.68, 0.75), 6))
      '0.712 [0.68, 0.75]'
    """
    if summary is None or np.isnan(summary.mean):
        return "–"
    if summary.interval is None:
        return f"{summary.mean:.3f}"
    low, high = summary.interval
    return f"{summary.mean:.3f} [{low:.2f}, {high:.2f}]"


def to_rich(table: Table) -> rich.table.Table:
    """The table for a `rich` console."""
    rendered = rich.table.Table(
        title=escape(table.title),
        box=rich.box.SIMPLE_HEAD,
        caption=escape("\n".join(table.notes)) or None,
        caption_justify="left",
    )
    for index, heading in enumerate(table.columns):
        rendered.add_column(
            escape(heading).replace(" (", "\n("),
            justify=table.labels if index == 0 else "left",
            max_width=10 if index == 0 and table.labels == "right" else None,
        )
    # 80 columns have room for three methods, for more with intervals below the means.
    stack = len(table.columns) > 4
    for index, row in enumerate(table.rows):
        if table.totals and index == len(table.rows) - table.totals:
            rendered.add_section()
        cells = [c.replace(" [", "\n[") if stack else c for c in row]
        rendered.add_row(*map(escape, cells))
    return rendered


def to_text(table: Table, width: int = 200) -> str:
    """The table as aligned plain text."""
    console = rich.console.Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(to_rich(table))
    return capture.get()


def to_markdown(table: Table) -> str:
    """The table as Markdown, title above and notes below as paragraphs.

    Example:
      >>> print(to_markdown(Table("Success", ("Method", "Area"), (("AMF", "0.500"),))))
      Success
      <BLANKLINE>
      | Method | Area |
      | :--- | :--- |
      | AMF | 0.500 |
    """
    first = "---:" if table.labels == "right" else ":---"
    alignment = (first, *(":---" for _ in table.columns[1:]))
    cells = [
        [text.replace("|", r"\|") for text in row]
        for row in (table.columns, alignment, *table.rows)
    ]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    notes = [line for note in table.notes for line in ("", note)]
    return "\n".join([table.title, "", *lines, *notes])
