"""From result files to what a figure draws."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from amf_jax.errors import ResultsError
from experiments import results
from experiments.figures import style
from experiments.results import ResultsWarning, Run


class NoResultsError(ResultsError):
    """A figure has nothing to draw."""


def notice(text: str) -> None:
    """Tells the user about something that was left out."""
    warnings.warn(text, ResultsWarning, stacklevel=2)


def settings_present(
    results_dir: Path, suite: str, settings: Iterable[str]
) -> tuple[str, ...]:
    """The settings for which some method has results."""
    return tuple(
        setting
        for setting in settings
        if any((Path(results_dir) / suite / setting).glob("*/seed*.jsonl"))
    )


def load(
    results_dir: Path,
    suite: str,
    settings: Sequence[str],
    methods: Sequence[str] = tuple(style.METHODS),
) -> dict[str, dict[str, list[Run]]]:
    """Finished runs by setting and method; a notice names settings without any.

    Raises:
      NoResultsError: if no setting has results.
    """
    loaded: dict[str, dict[str, list[Run]]] = {}
    for setting in settings:
        for method in methods:
            if found := results.collect(results_dir, suite, setting, method):
                loaded.setdefault(setting, {})[method] = results.finished(found)
    if not loaded:
        raise NoResultsError(
            f"no results of {suite} {' or '.join(settings)} (any of "
            f"{', '.join(methods)}) in {results_dir}"
        )
    if missing := [setting for setting in settings if setting not in loaded]:
        notice(f"no results of {suite} {', '.join(missing)}: panels skipped")
    results.warn_if_incomparable(
        {f"{s} {m}": group for s, runs in loaded.items() for m, group in runs.items()}
    )
    return loaded


def load_study(results_dir: Path, name: str) -> list[Run]:
    """The runs of one study of the integrator, by seed.

    Raises:
      NoResultsError: if there is none.
    """
    folders = sorted(Path(results_dir).glob(f"integrator/*/study_{name}"))
    for folder in folders:
        runs = results.collect(
            results_dir, "integrator", folder.parent.name, folder.name
        )
        if runs:
            if folder != folders[-1]:
                notice(f"several settings have a study of {name}: drawing {folder}")
            return runs
    raise NoResultsError(f"no results of integrator study_{name} in {results_dir}")


def pretraining_counts(setting: str) -> np.ndarray:
    """Pre-training demonstrations per task of an allocation.

    Example:
      >>> pretraining_counts("8-8-0-0")
      array([8, 8, 0, 0])
    """
    return np.array([int(count) for count in setting.split("-")])


def collected(runs: Sequence[Run]) -> np.ndarray:
    """Demonstrations collected in fine-tuning, `[seeds, rounds, C]`, 0 at first."""
    counts = results.values(runs, "demos_per_task")
    return counts - counts[:, :1]


def allocation_title(setting: str) -> str:
    """Says what an allocation is.

    Example:
      >>> allocation_title("8-8-0-0")
      'Mismatch [8, 8, 0, 0]'
    """
    kind = "No mismatch" if len(set(setting.split("-"))) == 1 else "Mismatch"
    return f"{kind} [{setting.replace('-', ', ')}]"


def describe(groups: Iterable[Mapping[str, Sequence[Run]]]) -> str:
    """The sentence about seeds and preset that belongs under every figure."""
    runs = [group for by_method in groups for group in by_method.values()]
    counts = sorted({len(group) for group in runs})
    seeds = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    presets = sorted({str(group[0].config.get("preset")) for group in runs})
    if counts == [1]:
        return f"One seed, so no interval; preset: {', '.join(presets)}."
    return (
        f"Mean and 90 % bootstrap interval over {seeds} seeds; "
        f"preset: {', '.join(presets)}."
    )
