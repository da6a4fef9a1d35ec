"""Draws recorded states of a simulator, without a display."""

import importlib
import os
import sys
from types import TracebackType
from typing import Self

import mujoco
import numpy as np
from mujoco import gl_context

from amf_jax import errors
from experiments.suites.recording import STATE, World

WIDTH, HEIGHT = 640, 480
_FONT = mujoco.mjtFontScale.mjFONTSCALE_100.value  # no text is drawn with it


class Painter:
    """Draws states of a world with everything there is to see.

    Args:
      world: that the states were recorded in.

    Raises:
      MissingDependencyError: OpenGL does not work here without a display.
    """

    def __init__(self, world: World):
        _choose_backend()
        spec = world.full_spec()
        # Where no GPU draws, multisampling and shadows take many times as long as all
        # the rest.
        spec.visual.quality.offsamples = 0
        spec.visual.quality.shadowsize = 0
        spec.visual.global_.offwidth, spec.visual.global_.offheight = WIDTH, HEIGHT
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, HEIGHT, WIDTH)
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
        ):
            self._renderer.scene.flags[flag] = False
        self._camera = mujoco.MjvCamera()
        self._camera.lookat[:] = world.camera.lookat
        self._camera.distance = world.camera.distance
        self._camera.azimuth = world.camera.azimuth
        self._camera.elevation = world.camera.elevation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renderer.close()

    def paint(self, state: np.ndarray) -> np.ndarray:
        """The picture `[HEIGHT, WIDTH, 3]`, uint8, of a state `[N]` of a recording."""
        mujoco.mj_setState(self._model, self._data, state, STATE)
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera)
        return self._renderer.render()


def _choose_backend() -> None:
    """Draws with EGL on Linux unless MUJOCO_GL says otherwise, and tries it out."""
    try:
        if sys.platform == "linux" and not os.environ.get("MUJOCO_GL"):
            # mujoco chooses when it is imported, and without MUJOCO_GL it chooses a
            # library that needs a display.
            gl_context.GLContext = importlib.import_module("mujoco.egl").GLContext
        # Not a Renderer, whose destructor fails if its constructor has failed.
        context = gl_context.GLContext(WIDTH, HEIGHT)
        context.make_current()
        mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), _FONT).free()
        context.free()
    except Exception as error:  # PyOpenGL fails in many ways where a library is missing
        raise errors.MissingDependencyError(
            "drawing needs OpenGL without a display, which does not work here"
            f" ({error}). On Debian: apt-get install libegl1 libgl1. Or draw in"
            " software: apt-get install libosmesa6, and set MUJOCO_GL=osmesa"
        ) from error
