"""Folders of results side by side: each has a label, and its methods carry it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from amf_jax import files
from amf_jax.errors import InvalidArgumentError
from experiments.reading import Run
from experiments.runs import collect_all

#: As many as a figure can tell apart, by the dashes of lines.
MOST = 4

HELP = (
    "folder of results (default: results). Several are compared: each has a label,"
    " its name or what is written before it as in mine=results"
)


class Folder(NamedTuple):
    """A folder of results and what it is called beside others."""

    label: str
    path: Path


class Labelled(str):
    """A method in one of several folders; as a string, `method (label)`.

    Attributes:
      method: its name.
      label: of the folder.
      place: of the folder among those compared.
    """

    method: str
    label: str
    place: int

    def __new__(cls, method: str, label: str, place: int) -> "Labelled":
        name = super().__new__(cls, f"{method} ({label})")
        name.method, name.label, name.place = method, label, place
        return name


def method_of(name: str) -> str:
    """The method, whatever folder it is in."""
    return name.method if isinstance(name, Labelled) else name


def beside(name: str, method: str) -> str:
    """The name of another method of the same folder."""
    if isinstance(name, Labelled):
        return Labelled(method, name.label, name.place)
    return method


def parse(entries: Sequence[str]) -> list[Folder]:
    """Folders as people write them: `results`, or with a label `mine=results`.

    A folder whose name has an equals sign is written with a slash, as `./lr=0.1`.

    Raises:
      InvalidArgumentError: two have one label, there are too many, or one is no path on
        this machine.

    Example:
      >>> [folder.label for folder in parse(["mine=results", "runs/evidence"])]
      ['mine', 'evidence']
    """
    folders = []
    for entry in entries:
        label, equals, rest = entry.partition("=")
        if not equals or "/" in label or os.sep in label:
            label, rest = "", entry
        path = files.local_path("results_dir", rest)
        folders.append(Folder(label or path.resolve().name, path))
    labels = [folder.label for folder in folders]
    if shared := next((label for label in labels if labels.count(label) > 1), None):
        raise InvalidArgumentError(
            f"results_dir: two folders are called {shared!r}; write a label before"
            f" each, as in mine={folders[0].path}"
        )
    if len(folders) > MOST:
        raise InvalidArgumentError(
            f"results_dir: {len(folders)} folders; at most {MOST} can be told apart"
        )
    return folders


def named(folders: Sequence[Folder], method: str) -> list[tuple[str, Path]]:
    """A method in each folder, by name; one folder alone needs no label."""
    if len(folders) == 1:
        return [(method, folders[0].path)]
    return [
        (Labelled(method, folder.label, place), folder.path)
        for place, folder in enumerate(folders)
    ]


def collect_side_by_side(
    folders: Sequence[Folder],
) -> dict[tuple[str, str], dict[str, list[Run]]]:
    """The finished runs of all folders, as `runs.collect_all` has those of one."""
    if len(folders) == 1:
        return collect_all(folders[0].path)
    found: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for place, folder in enumerate(folders):
        for setting, by_method in collect_all(folder.path).items():
            found.setdefault(setting, {}).update(
                (Labelled(method, folder.label, place), runs)
                for method, runs in by_method.items()
            )
    return found
