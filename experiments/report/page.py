"""The report as Markdown, from evidence alone."""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from experiments import figures, tables
from experiments.leads import signed
from experiments.reading import Run
from experiments.report.claims import CLAIMS, Claim, verdicts
from experiments.report.rule import STATED
from experiments.report.scores import Evidence, Finding
from experiments.statistics import Summary

#: Reasons and limits, which no program can give.
FINDINGS = Path(__file__).with_name("findings.md")


def page(evidence: Evidence, figures_dir: Path) -> str:
    """The whole report.

    Args:
      evidence: finished runs by method, by (suite, setting).
      figures_dir: relative to where the report lies; figures that are there are shown.

    Returns:
      Markdown.
    """
    judged = [(claim, list(claim.findings(evidence))) for claim in CLAIMS]
    sections = [
        "# Results",
        "Made by `python -m experiments.report` from the committed runs in"
        " [evidence/](evidence); `--check` tells whether it still is what they give."
        " Only [the reasons and limits](#reasons-and-limits) are written by hand, in"
        " [experiments/report/findings.md](experiments/report/findings.md).",
        "## What the paper says, and what holds here",
        _overview(judged),
        STATED,
        *(
            part
            for number, (claim, found) in enumerate(judged, start=1)
            for part in _claim(number, claim, found)
        ),
        "## Reasons and limits",
        # Their links are relative to where they lie, two folders below the report.
        FINDINGS.read_text(encoding="utf-8").strip().replace("](../../", "]("),
        "## All methods",
        tables.LEGEND,
        *_leaderboards(evidence),
        "## Figures",
        *_figures(figures_dir),
        "## How it was run",
        *_how(evidence),
    ]
    return "\n\n".join(sections) + "\n"


def _overview(judged: Sequence[tuple[Claim, Sequence[Finding]]]) -> str:
    """A row per claim, a column per suite that any claim is about."""
    given = [verdicts(found) for _, found in judged]
    suites = sorted({suite for by_suite in given for suite in by_suite})
    rows = [
        (
            str(number),
            claim.title,
            *(f"**{by_suite[s]}**" if s in by_suite else "" for s in suites),
        )
        for number, ((claim, _), by_suite) in enumerate(
            zip(judged, given, strict=True), start=1
        )
    ]
    return _rows(("", "claim", *(suite.capitalize() for suite in suites)), rows)


def _rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _claim(number: int, claim: Claim, found: Sequence[Finding]) -> list[str]:
    rows = [
        (
            finding.statement,
            f"{finding.suite} {finding.setting}",
            _estimate(finding.summary),
            _seeds(finding),
            finding.verdict or "",
        )
        for finding in found
    ]
    parts = [
        f"### {number}. {claim.title}",
        "; ".join(
            f"{suite.capitalize()}: **{given}**"
            for suite, given in verdicts(found).items()
        ),
        inspect.cleandoc(claim.findings.__doc__ or ""),
        _rows(("statement", "setting", "estimate", "seeds", "verdict"), rows),
    ]
    suites = sorted({line.suite for line in found if line.summary is None})
    if suites:
        commands = " and ".join(f"`{sweep(suite)}`" for suite in suites)
        parts.append(f"What is missing is made by {commands}.")
    return parts


def _estimate(summary: Summary | None) -> str:
    if summary is None or np.isnan(summary.mean):
        return "–"
    return signed(summary)


def _seeds(finding: Finding) -> str:
    """How many, and how many of them agree with the sign +."""
    if finding.summary is None:
        return ""
    if finding.agreeing is None:
        return str(finding.summary.seeds)
    return f"{finding.summary.seeds}, {finding.agreeing} above 0"


def sweep(suite: str) -> str:
    """The command that makes the evidence of a suite."""
    return (
        "python -m experiments.sweep"
        f" --config=experiments/configs/sweeps.py:evidence_{suite}"
    )


def _leaderboards(evidence: Evidence) -> list[str]:
    parts = []
    suite = None
    for place, by_method in evidence.items():
        if place[0] != suite:
            suite = place[0]
            parts.append(f"### {suite.capitalize()}")
        table = tables.leaderboard(tables.rank(by_method))
        parts.append(tables.to_markdown(table._replace(title=f"**{table.title}**")))
    return parts


def _figures(folder: Path) -> list[str]:
    return [
        f"**{name}**: {entry.about}\n\n![{entry.about}]({path.as_posix()})"
        for name, entry in figures.FIGURES.items()
        if (path := folder / f"{name}.png").exists()
    ]


def _how(evidence: Evidence) -> list[str]:
    suites = dict.fromkeys(suite for suite, _ in evidence)
    runs = {
        suite: [
            run
            for place, by_method in evidence.items()
            if place[0] == suite
            for group in by_method.values()
            for run in group
        ]
        for suite in suites
    }
    drawing = "python -m experiments.figures all --output=docs/figures"
    commands = [
        *map(sweep, suites),
        "python -m experiments.studies all",
        "python -m experiments.evidence results",
        f"{drawing} --results_dir=evidence",
        "python -m experiments.report",
    ]
    return [
        "\n".join(f"    {command}" for command in commands),
        _rows(
            ("suite", "runs", "seeds", "preset", "rounds", "attempts", "versions"),
            [
                (
                    suite,
                    str(len(group)),
                    _range(run.seed for run in group),
                    *(
                        _distinct(run.config[field] for run in group)
                        for field in ("preset", "rounds", "attempts")
                    ),
                    _versions(group),
                )
                for suite, group in runs.items()
            ],
        ),
        "Attempts are per task and evaluation. The header of every file holds its whole"
        " config and the versions. The same code on the same number of cores gives the"
        " same records to the bit; compiled for another number of cores, sums are"
        " rounded in another order, and after 1500 steps of pre-training a success rate"
        " may differ by a few attempts.",
    ]


def _range(numbers: Iterable[int]) -> str:
    found = np.unique(list(numbers))
    whole = len(found) > 1 and len(found) == found[-1] - found[0] + 1
    return f"{found[0]} to {found[-1]}" if whole else ", ".join(map(str, found))


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(sorted(set(map(str, values))))


def _versions(runs: Sequence[Run]) -> str:
    found = [run.header.get("versions", {}) for run in runs]
    names = dict.fromkeys(name for versions in found for name in versions)
    return ", ".join(
        f"{name} {_distinct(v[name] for v in found if name in v)}" for name in names
    )
