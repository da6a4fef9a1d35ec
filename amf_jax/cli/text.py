"""Plain text for terminals, pipes and files."""

import shutil
import sys
from collections.abc import Sequence


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

    On a terminal that is narrower, the texts of the first column are cut.

    Example:
      >>> print(table(["task", "value"], [["open", "0.5"], ["close it", "12.25"]]))
      task      value
      open        0.5
      close it  12.25
    """
    cells = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths[1:]) - 2 * len(widths)
        widths[0] = min(widths[0], max(room, 8))

    def line(row: Sequence[str]) -> str:
        first, *numbers = row
        if len(first) > widths[0]:
            first = first[: widths[0] - 3] + "..."
        aligned = [
            cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)
        ]
        return "  ".join([first.ljust(widths[0]), *aligned])

    return "\n".join(map(line, cells))
