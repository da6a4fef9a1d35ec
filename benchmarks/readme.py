"""Writes the measured part of benchmarks/README.md, and its figure, from a saved run.

  python -m benchmarks.readme [FILE]

What stands between the two marker lines of the README is replaced; the rest stays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from amf_jax.errors import ResultsError
from benchmarks import plots, rows, table
from benchmarks.rows import Row
from experiments.tables.table import to_markdown

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FOLDER = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=FOLDER / "latest.json",
        metavar="FILE",
        help="the run (default: benchmarks/latest.json)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER / "README.md",
        help="the page; the figure goes beside it (default: benchmarks/README.md)",
    )
    options = parser.parse_args(arguments)
    try:
        machine, measured = rows.read(options.file)
        page = options.output.read_text(encoding="utf-8")
    except (OSError, ResultsError) as error:
        parser.error(str(error))
    figure = options.output.with_name("growth.png")
    drawn = plots.growth(measured, figure)
    body = section(machine, measured, figure.name if drawn else None)
    options.output.write_text(replaced(page, body), encoding="utf-8")
    print(options.output)
    return 0


def section(machine: dict, measured: Sequence[Row], figure: str | None) -> str:
    """The machine, the tables, the notes and the figure, as Markdown."""
    parts = [f"Measured on {table.describe(machine)}."]
    parts += [
        to_markdown(found._replace(title=f"**{found.title}**"))
        for found in table.tables(measured)
    ]
    parts.append("\n".join(f"- {note}" for note in table.notes(measured)))
    if figure is not None:
        parts.append(f"![time and memory against sizes]({figure})")
    return "\n\n".join(part for part in parts if part)


def replaced(page: str, body: str) -> str:
    """The page with `body` between the markers.

    >>> replaced(f"before {BEGIN} old {END} after", "new").splitlines()[2]
    'new'
    """
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"error: the page has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
