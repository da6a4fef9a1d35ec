"""What the MuJoCo models of all suites go through before they are simulated."""

import importlib.util
import pathlib

import mujoco

from amf_jax import errors

# Each simulator reserves this; contacts take a tenth of it at most, and the default is
# 14 MiB or more times the hundreds of simulators of one evaluation.
_ARENA_BYTES = 2**21


def package_folder(package: str, suite: str) -> pathlib.Path:
    """The folder of an installed package, found without importing it.

    Raises:
      MissingDependencyError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise errors.MissingDependencyError(
            f"the {suite} suite needs the package {package}; install it:"
            f" pip install 'amf_jax[{suite}]'"
        )
    return pathlib.Path(found.submodule_search_locations[0])


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
