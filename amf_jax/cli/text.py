"""Plain text for terminals, pipes and files."""

import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells


def printable(text: str) -> str:
    r"""The text with what would move a cursor or change a colour written out.

    Example:
      >>> print(printable("open\x1b[31m the\ndoor"))
      open\x1b[31m the\ndoor
    """
    return "".join(
        letter if letter.isprintable() else repr(letter)[1:-1] for letter in text
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: the first to the left, numbers to the right.

    On a terminal that is narrower, the texts of the first column are cut, down to 8
    places, and then numbers left out, but for the last, those behind the texts first.

    Example:
      >>> print(table(["task", "value"], [["open", "0.5"], ["close it", "12.25"]]))
      task      value
      open        0.5
      close it  12.25
    """
    cells = [list(header), *map(list, rows)]
    first, *others = (
        2 + max(map(cell_len, column)) for column in zip(*cells, strict=True)
    )
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        while len(others) > 1 and columns < min(first, 10) + sum(others):
            del others[0]
        first = min(first, max(columns - sum(others), 10))

    def line(row: Sequence[str]) -> str:
        text = _cut(row[0], first - 2)
        blank = " " * (first - 2 - cell_len(text))
        numbers = zip(row[len(row) - len(others) :], others, strict=True)
        return text + blank + "".join(number.rjust(width) for number, width in numbers)

    return "\n".join(map(line, cells))


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else chop_cells(text, width - 3)[0] + "..."
