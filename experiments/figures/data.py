"""From result files to what a figure draws."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from amf_jax.errors import ResultsError
from experiments.comparisons import Comparison
from experiments.figures import style
from experiments.figures.estimates import MEAN, Estimate
from experiments.folders import Folder, named
from experiments.reading import Run
from experiments.runs import (
    ResultsWarning,
    collect,
    finished,
    places,
    warn_if_incomparable,
)
from experiments.series import per_task
from experiments.suites.base import Suite

#: The runs of one panel by method, and the panels by setting.
Runs = Mapping[str, Sequence[Run]]
Panels = Mapping[str, Runs]


class NoResultsError(ResultsError):
    """A figure has nothing to draw."""


class Source(NamedTuple):
    """What a figure is drawn from.

    Attributes:
      results_dir: folder of result files, or several to be compared.
      command: makes the results of this figure.
      estimate: what curves show of the seeds.
    """

    results_dir: Path | Sequence[Folder]
    command: str
    estimate: Estimate = MEAN

    @property
    def folders(self) -> Sequence[Folder]:
        """The folder, or those to be compared."""
        if isinstance(self.results_dir, Path):
            return [Folder("", self.results_dir)]
        return self.results_dir

    def alone(self) -> "Source":
        """The same, for a figure that has no room for more than one folder.

        Raises:
          NoResultsError: there are several.
        """
        if len(self.folders) > 1:
            labels = ", ".join(folder.label for folder in self.folders)
            raise NoResultsError(
                f"this figure shows one folder of results; give one of {labels}"
            )
        return self

    def missing(self, what: str) -> NoResultsError:
        """The error for a figure without any results."""
        where = " or ".join(str(folder.path) for folder in self.folders)
        return NoResultsError(
            f"no results of {what} in {where}. Produce them with: {self.command}"
        )


def notice(text: str) -> None:
    """Tells the user about something that was left out."""
    warnings.warn(text, ResultsWarning, stacklevel=2)


def first_present(source: Source, suite: Suite, settings: Sequence[str]) -> str:
    """The first setting with results of any method, else the first."""
    for setting in settings:
        for folder in source.folders:
            if places(folder.path, f"{suite.name}/{setting}/*"):
                return setting
    return settings[0]


def contrast(source: Source, suite: Suite) -> tuple[str, str]:
    """The main setting with a mismatch, and one without."""
    return suite.mismatch[0], first_present(source, suite, suite.even)


def compared_settings(source: Source, suite: Suite) -> tuple[str, ...]:
    """All settings with a mismatch, and one without."""
    return (*suite.mismatch, first_present(source, suite, suite.even))


def load(
    source: Source, suite: Suite, settings: Sequence[str], comparison: Comparison
) -> dict[str, dict[str, list[Run]]]:
    """Finished runs by setting and method, both in the order of legends.

    A notice names what has no results, and the command that makes them.

    Raises:
      NoResultsError: if no setting has results.
    """
    ordered = style.ordered(dict.fromkeys(comparison.methods + comparison.also))
    loaded: dict[str, dict[str, list[Run]]] = {}
    for setting in settings:
        for method in ordered:
            for name, folder in named(source.folders, method):
                found = collect(folder, suite.name, setting, method)
                if begun := finished(found):
                    loaded.setdefault(setting, {})[name] = begun
    if not loaded:
        raise source.missing(
            f"{suite.name} {' or '.join(settings)} (any of {', '.join(ordered)})"
        )
    _notice_missing(source, suite, settings, comparison, loaded)
    warn_if_incomparable(
        {f"{s} {m}": group for s, runs in loaded.items() for m, group in runs.items()}
    )
    return loaded


def _notice_missing(
    source: Source,
    suite: Suite,
    settings: Sequence[str],
    comparison: Comparison,
    loaded: Panels,
) -> None:
    settings_lacking: dict[str, list[str]] = {}
    for setting in settings:
        runs = loaded.get(setting, {})
        lacking = [
            name
            for method in comparison.methods
            for name, _ in named(source.folders, method)
            if name not in runs
        ]
        if lacking:
            methods = f" ({', '.join(lacking)})" if runs else ""
            settings_lacking.setdefault(methods, []).append(setting)
    if settings_lacking:
        listed = "; ".join(
            f"{suite.name} {', '.join(among)}{methods}"
            for methods, among in settings_lacking.items()
        )
        notice(f"no results of {listed}: left out. Produce them with: {source.command}")


def load_study(source: Source, name: str) -> list[Run]:
    """The runs of one study of the integrator, by seed.

    Raises:
      NoResultsError: if there is none.
    """
    results_dir = source.alone().folders[0].path
    found = places(results_dir, f"integrator/*/study_{name}")
    for place in found:
        runs = [run for run in collect(results_dir, *place) if run.records]
        if runs:
            if place != found[-1]:
                drawn = results_dir.joinpath(*place)
                notice(f"several settings have a study of {name}: drawing {drawn}")
            return runs
    raise source.missing(f"integrator study_{name}")


def pretraining_counts(setting: str) -> np.ndarray:
    """Pre-training demonstrations per task of an allocation.

    Example:
      >>> pretraining_counts("8-8-0-0")
      array([8, 8, 0, 0])
    """
    return np.array([int(count) for count in setting.split("-")])


def collected(runs: Sequence[Run], tasks: int) -> np.ndarray:
    """Demonstrations collected in fine-tuning, `[seeds, rounds, C]`, 0 at first."""
    counts = per_task(runs, "demos_per_task", tasks)
    return counts - counts[:, :1]


def describe(groups: Iterable[Runs], estimate: Estimate) -> str:
    """The sentence about estimate, seeds and preset that belongs under every figure."""
    runs = [group for by_method in groups for group in by_method.values()]
    counts = sorted({len(group) for group in runs})
    seeds = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    presets = ", ".join(sorted({str(group[0].config.get("preset")) for group in runs}))
    if counts == [1]:
        return f"{estimate.centre} of one seed, so no interval; preset: {presets}."
    return (
        f"{estimate.centre} and 90 % {estimate.bootstrap} interval over {seeds} seeds; "
        f"preset: {presets}."
    )
