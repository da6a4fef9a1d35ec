"""What the MuJoCo models of all suites go through before they are simulated."""

import contextlib
import importlib.util
import pathlib
from collections.abc import Iterator

import mujoco

from amf_jax import errors

# Each simulator reserves this; contacts take a tenth of it at most, and the default is
# 14 MiB or more times the hundreds of simulators of one evaluation.
_ARENA_BYTES = 2**21


@contextlib.contextmanager
def package_files(package: str, suite: str) -> Iterator[pathlib.Path]:
    """The folder of an installed package, found without importing it.

    What MuJoCo says about files while they are in use names the package, too.

    Raises:
      MissingDependencyError: it is not installed, or lacks what the suite is made of.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise errors.MissingDependencyError(
            f"the {suite} suite needs the package {package}; install it:"
            f" pip install 'amf_jax[{suite}]'"
        )
    folder = pathlib.Path(found.submodule_search_locations[0])
    try:
        yield folder
    except ValueError as error:
        words = " ".join(str(error).split())  # of several lines
        raise errors.MissingDependencyError(
            f"MuJoCo cannot read what the {suite} suite is made of from {folder}"
            f" ({words}); install the package again:"
            f" pip install --force-reinstall 'amf_jax[{suite}]'"
        ) from error


def compile_for_simulation(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compiles a scene without the geoms and meshes that are only seen.

    Meant for scenes where geoms that nothing can collide with carry no mass (bodies
    give their inertia, or take it from collision geoms), so that the physics is the
    same without them. Changes `spec`.
    """
    geoms = list(spec.geoms)
    seen_only = [
        geom
        for geom in geoms
        if not any(_can_collide(geom, other) for other in geoms if other is not geom)
    ]
    for geom in seen_only:
        geom.delete()
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            mesh.delete()
    spec.memory = _ARENA_BYTES
    return spec.compile()


def _can_collide(geom: mujoco.MjsGeom, other: mujoco.MjsGeom) -> bool:
    return bool(geom.contype & other.conaffinity or other.contype & geom.conaffinity)
