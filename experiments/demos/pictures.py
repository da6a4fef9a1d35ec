"""Contact sheets and films of recorded episodes."""

import fractions
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from amf_jax import errors
from experiments import extras, output
from experiments.demos.collect import Attempt
from experiments.suites.recording import World

#: `paint(state [N]) -> [height, width, 3]` uint8.
Paint = Callable[[np.ndarray], np.ndarray]

COLUMNS = 6

# Pixels.
THUMBNAIL = (240, 180)
GAP = 4
BAND = 24
_FONT = ImageFont.load_default(15)
_INK, _PAPER = "black", "white"

#: Frames a second; actions that last longer are shown in real time, others slowed down.
_FASTEST = 12.5


def steps(horizon: int, columns: int = COLUMNS) -> list[int]:
    """Evenly spaced steps from the start to the end of an episode.

    Example:
      >>> steps(50), steps(10, 4)
      ([0, 10, 20, 30, 40, 50], [0, 3, 7, 10])
    """
    return np.linspace(0, horizon, columns).round().astype(int).tolist()


def check(path: Path) -> None:
    """Finds out whether a picture can be written, before there is one.

    Raises:
      InvalidArgumentError: the suffix is none of `WRITERS`.
      MissingDependencyError: a film is asked for and av is not installed.
      ResultsError: its folder cannot be written to.
    """
    if path.suffix not in WRITERS:
        raise errors.InvalidArgumentError(
            f"render must be a file that ends in {' or '.join(WRITERS)}, got {path}"
        )
    if path.suffix == ".mp4":
        extras.load("av")
    output.check_folder(path.parent, "render")


def write(path: Path, world: World, attempts: Sequence[Attempt], paint: Paint) -> None:
    """Draws attempts as the suffix of a file says, see `WRITERS`.

    Raises:
      ResultsError: the file cannot be written.
    """
    with output.replacing(path) as scratch:
        WRITERS[path.suffix](scratch, world, attempts, paint)


def sheet(world: World, attempts: Sequence[Attempt], paint: Paint) -> Image.Image:
    """A row per attempt with a line of text above it, a column per step shown."""
    width, height = THUMBNAIL
    shown = steps(world.horizon)
    size = (
        len(shown) * (width + GAP) - GAP,
        BAND + len(attempts) * (BAND + height),
    )
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, step in enumerate(shown):
        middle = column * (width + GAP) + width / 2
        draw.text((middle, BAND / 2), f"step {step}", _INK, _FONT, anchor="mm")
    for row, attempt in enumerate(attempts):
        top = BAND + row * (BAND + height)
        draw.text(
            (GAP, top + BAND / 2), _title(world, attempt), _INK, _FONT, anchor="lm"
        )
        for column, step in enumerate(shown):
            frame = Image.fromarray(paint(attempt.recording.states[step]))
            place = (column * (width + GAP), top + BAND)
            picture.paste(frame.resize(THUMBNAIL, Image.Resampling.LANCZOS), place)
    return picture


def _title(world: World, attempt: Attempt) -> str:
    after = attempt.solved_after
    outcome = "not solved" if after is None else f"solved after {after} actions"
    name, prompt = world.task_names[attempt.task], world.prompts[attempt.task]
    return f"{name}: “{prompt}”, attempt {attempt.number}, {outcome}"


def _write_sheet(
    path: Path, world: World, attempts: Sequence[Attempt], paint: Paint
) -> None:
    # A palette: a third of the size. The default method drops small patches of a colour
    # of their own, such as a burner that is on.
    picture = sheet(world, attempts, paint).quantize(
        method=Image.Quantize.MAXCOVERAGE, kmeans=1
    )
    picture.save(path, optimize=True)


def _write_film(
    path: Path, world: World, attempts: Sequence[Attempt], paint: Paint
) -> None:
    av = extras.load("av")
    rate = fractions.Fraction(min(1 / world.control_seconds, _FASTEST))
    images = _frames(world, attempts, paint)
    first = next(images)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate.limit_denominator(1000))
        stream.width, stream.height = first.size
        for image in itertools.chain([first], images):
            film.mux(stream.encode(av.VideoFrame.from_image(image)))
        film.mux(stream.encode())  # what the encoder still holds


def _frames(
    world: World, attempts: Sequence[Attempt], paint: Paint
) -> Iterator[Image.Image]:
    """Every state of every attempt, with a line of text at the top."""
    for attempt in attempts:
        after = attempt.solved_after
        name = f"{world.task_names[attempt.task]}, attempt {attempt.number}"
        for step, state in enumerate(attempt.recording.states):
            frame = Image.fromarray(paint(state))
            draw = ImageDraw.Draw(frame)
            draw.rectangle((0, 0, frame.width, BAND), _PAPER)
            solved = ", solved" if after is not None and step >= after else ""
            text = f"{name}, step {step}{solved}"
            draw.text((GAP, BAND / 2), text, _INK, _FONT, anchor="lm")
            yield frame


#: How a picture is written, by its suffix.
WRITERS: Mapping[str, Callable[[Path, World, Sequence[Attempt], Paint], None]] = {
    ".png": _write_sheet,
    ".mp4": _write_film,
}
