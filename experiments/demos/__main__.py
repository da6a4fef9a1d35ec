"""`python -m experiments.demos --suite=<suite>`: records what the experts do."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import rich.progress
from rich.console import Console

from amf_jax import errors, files, ranges
from experiments import command, demos, extras, output
from experiments.demos import collect, robomimic
from experiments.demos.collect import Attempt
from experiments.demos.rendering import Painter
from experiments.execution import progress
from experiments.suites.recording import World
from experiments.suites.registry import SUITES
from experiments.tables.table import to_rich

#: Rows of a contact sheet, or episodes of a film, where a single task is shown.
_SHOWN = 5

_EXAMPLES = """\
examples:
  # 25 episodes of one task; the successful ones become demos/kitchen/microwave.hdf5.
  python -m experiments.demos --suite=kitchen --task=microwave

  # Every task of a suite, one file each, and a picture of the first episode of each.
  python -m experiments.demos --suite=metaworld --episodes=50 --render=metaworld.png

  # Failed episodes too, under another seed and folder, and a film.
  python -m experiments.demos --suite=kitchen --task=knob_on --keep_failed --seed=1 \\
      --output=recorded --render=knob.mp4

tasks:
"""


def _parser() -> argparse.ArgumentParser:
    suites = demos.worlds()
    width = max(map(len, suites)) + 2
    tasks = [
        f"  {suite:<{width}}{', '.join(SUITES[suite].task_names)}" for suite in suites
    ]
    parser = argparse.ArgumentParser(
        prog="python -m experiments.demos",
        description="Record episodes of a simulated suite's experts to HDF5 files in"
        " robomimic's layout, see docs/demonstrations.md. The same seed gives the same"
        " files.",
        epilog=_EXAMPLES + "\n".join(tasks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", required=True, help="one of those below")
    parser.add_argument("--task", help="one of its tasks below (default: all of them)")
    parser.add_argument(
        "--episodes",
        type=int,
        default=25,
        help="attempts per task, failed ones included (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random streams (default: 0)"
    )
    parser.add_argument(
        "--keep_failed",
        action="store_true",
        help="write episodes that do not solve their task, too",
    )
    parser.add_argument(
        "--output",
        default="demos",
        help="folder of the files <suite>/<task>.hdf5; those that are there already are"
        " replaced (default: %(default)s)",
    )
    parser.add_argument(
        "--render",
        metavar="FILE",
        help="draw the first written episode of every task, or the first"
        f" {_SHOWN} of a single task: .png is a sheet of pictures, .mp4 a"
        " film",
    )
    return parser


def _run(options: argparse.Namespace, console: Console) -> None:
    ranges.check("episodes", options.episodes, ranges.COUNT)
    ranges.check("seed", options.seed, ranges.SEED)
    tasks = demos.task_ids(options.suite, options.task)
    folder = files.local_path("output", options.output) / options.suite
    extras.load("h5py")
    picture = None
    if options.render is not None:
        picture = files.local_path("render", options.render)
        pictures = extras.load("experiments.demos.pictures")
        pictures.check(picture)
    output.check_folder(folder, "output")
    world = demos.worlds()[options.suite]()
    with contextlib.ExitStack() as stack:
        # Opened first, so that a missing library is found out before the work.
        painter = stack.enter_context(Painter(world)) if picture else None
        written = _record(options, world, tasks, folder, console)
        shown = [
            attempt
            for attempts in written
            for attempt in attempts[: _SHOWN if len(tasks) == 1 else 1]
        ]
        if painter and shown:
            with _status(console, f"drawing {picture}"):
                pictures.write(picture, world, shown, painter.paint)
            progress.say(console, f"picture: {picture}")
    missing = [
        world.task_names[task]
        for task, attempts in zip(tasks, written, strict=True)
        if not attempts
    ]
    if missing:
        raise errors.DemonstrationError(
            f"no episode solved {', '.join(missing)}, so nothing was written for it;"
            " ask for more --episodes, or for --keep_failed"
        )


def _record(
    options: argparse.Namespace,
    world: World,
    tasks: Sequence[int],
    folder: Path,
    console: Console,
) -> list[list[Attempt]]:
    """Writes the file of every task, prints how it went, and returns what it wrote."""
    by_task, written = {}, []
    for task in tasks:
        name = world.task_names[task]
        path = folder / f"{demos.file_stem(name)}.hdf5"
        with _bar(console) as bar:
            tried = list(
                bar.track(
                    collect.attempts(world, task, options.episodes, options.seed),
                    total=options.episodes,
                    description=name,
                )
            )
        kept = [a for a in tried if options.keep_failed or a.recording.success]
        if kept:
            robomimic.write(path, world, kept)
            progress.say(
                console, f"{path}: {len(kept)} demonstrations of {len(tried)} attempts"
            )
        by_task[name] = tried
        written.append(kept)
    title = f"Experts of {options.suite}, seed {options.seed}"
    console.print(to_rich(collect.summary(title, by_task)))
    return written


def _status(console: Console, text: str) -> contextlib.AbstractContextManager[object]:
    """Says what goes on, where somebody watches."""
    if progress.can_animate(console):
        return console.status(text)
    return contextlib.nullcontext()


def _bar(console: Console) -> rich.progress.Progress:
    """A bar that is gone when done, and is not there where nobody watches."""
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("ETA"),
        rich.progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not progress.can_animate(console),
    )


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
      arguments: those of the process if None.
      console: where to show progress and results.
    """
    console = console or command.console()
    try:
        return command.run(_parser(), arguments, lambda options: _run(options, console))
    except KeyboardInterrupt:
        print(
            "stopped; files of finished tasks are whole, that of the task in progress"
            " was not touched",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    command.start(main)
