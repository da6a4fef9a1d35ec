"""Contact sheets, films, and drawing without a display."""

import sys

import av
import numpy as np
import pytest
from PIL import Image

from amf_jax import errors
from experiments.demos import collect, pictures, rendering
from tests.experiments.cart_world import WORLD


@pytest.fixture
def attempts():
    return list(collect.attempts(WORLD, 0, 2, seed=0))


def paint(state):
    """A picture whose grey is 20 plus 80 times the position."""
    return np.full((480, 640, 3), 20 + 80 * state[1], np.uint8)


def test_the_steps_shown_run_from_the_start_to_the_end():
    assert pictures.steps(50, 6) == [0, 10, 20, 30, 40, 50]
    assert pictures.steps(7, 3) == [0, 4, 7]


def test_a_sheet_has_a_row_per_attempt_and_a_column_per_step(attempts):
    sheet = pictures.sheet(WORLD, attempts, paint)
    # 6 thumbnails of 240 pixels with 4 between; 24 of text, and 24 + 180 per attempt.
    assert sheet.size == (6 * 240 + 5 * 4, 24 + 2 * (24 + 180))
    picture = np.asarray(sheet)
    for row, attempt in enumerate(attempts):
        start = attempt.recording.observations[0, 0]
        top = 24 + row * 204
        for column, step in enumerate([0, 1, 2, 4, 5, 6]):
            thumbnail = picture[top + 24 : top + 204, column * 244 :][:, :240]
            assert (thumbnail == 20 + 80 * (start + 0.25 * step)).all()
        text = picture[top : top + 24]
        assert text.min() < 100  # ink
        assert (text == 255).any()
    assert (picture[48:228, 240:244] == 255).all()  # between the columns


def test_a_sheet_is_written_as_a_picture(attempts, tmp_path):
    path = tmp_path / "sheet.png"
    pictures.write(path, WORLD, attempts, paint)
    with Image.open(path) as picture:
        assert picture.size == (1460, 432)
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_shows_every_state_in_the_time_it_took(attempts, tmp_path):
    path = tmp_path / "film.mp4"
    pictures.write(path, WORLD, attempts, paint)
    with av.open(path) as film:
        assert film.streams.video[0].average_rate == 10  # 0.1 seconds per action
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 14  # 7 states of each of 2 attempts
    assert frames[8].shape == (480, 640, 3)
    start = attempts[1].recording.observations[0, 0]
    lower_half = frames[8][240:]
    np.testing.assert_allclose(lower_half, 20 + 80 * (start + 0.25), atol=3)


def test_a_film_needs_its_package_and_a_picture_a_known_suffix(tmp_path, monkeypatch):
    with pytest.raises(errors.InvalidArgumentError, match=r"\.png or \.mp4"):
        pictures.check(tmp_path / "film.avi")
    monkeypatch.setitem(sys.modules, "av", None)
    pictures.check(tmp_path / "sheet.png")
    with pytest.raises(errors.MissingDependencyError, match="demos"):
        pictures.check(tmp_path / "film.mp4")


def test_without_opengl_the_packages_and_the_variable_are_named(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "mujoco.egl", None)
    with pytest.raises(errors.MissingDependencyError) as raised:
        rendering.Painter(WORLD)
    for name in ("libegl1", "libosmesa6", "MUJOCO_GL=osmesa"):
        assert name in str(raised.value)


def test_the_painter_draws_a_state_where_it_was_recorded(attempts):
    try:
        painter = rendering.Painter(WORLD)
    except errors.MissingDependencyError as error:
        pytest.skip(str(error))
    with painter:
        where = []
        for step in (0, 4):
            picture = painter.paint(attempts[0].recording.states[step])
            assert picture.shape == (480, 640, 3)
            red = picture[..., 0].astype(int) - picture[..., 1]
            where.append(np.argwhere(red > 50).mean(axis=0))
    # one metre to the right at 4 metres with a field of view of 45°, so 145 pixels
    height = 480 / (2 * np.tan(np.pi / 8) * 4)
    np.testing.assert_allclose(where[1] - where[0], [0, height], atol=8)
