"""The MuJoCo model: metaworld's Sawyer arm, mug and faucet on one table."""

import importlib.util
import pathlib

import mujoco

from amf_jax import errors

INSTALL = "pip install 'amf_jax[metaworld]'"

_XML = """
<mujoco model="metaworld_mug_faucet">
  <compiler assetdir="{assets}/sawyer_xyz"/>
  <include file="{assets}/scene/basic_scene.xml"/>
  <include file="{assets}/objects/assets/coffeemachine_dependencies.xml"/>
  <include file="{assets}/objects/assets/faucet_dependencies.xml"/>
  <include file="{assets}/objects/assets/xyz_base_dependencies.xml"/>
  <worldbody>
    <include file="{assets}/objects/assets/xyz_base.xml"/>
    <body name="obj">
      <freejoint name="mug_joint"/>
      <include file="{assets}/objects/assets/mug.xml"/>
    </body>
    <body name="faucet_base" mocap="true">
      <include file="{assets}/objects/assets/faucet.xml"/>
    </body>
  </worldbody>
  <actuator>
    <position joint="r_close" kp="400" ctrllimited="true" ctrlrange="-1 1"/>
    <position joint="l_close" kp="400" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
  <equality>
    <weld body1="mocap" body2="hand" relpose="0 0 0 -1 0 0 0" torquescale="5"
      solref="0.02 1"/>
  </equality>
</mujoco>
"""


def assets() -> pathlib.Path:
    """The folder of metaworld's asset files, found without importing the package.

    Raises:
      MissingDependencyError: metaworld is not installed.
    """
    found = importlib.util.find_spec("metaworld")
    if found is None or not found.submodule_search_locations:
        raise errors.MissingDependencyError(
            f"the metaworld suite needs the package metaworld; install it: {INSTALL}"
        )
    return pathlib.Path(found.submodule_search_locations[0]) / "assets"


def build() -> mujoco.MjModel:
    """Compiles the scene for simulation, without the geoms that are only seen.

    Geoms that nothing can collide with carry no mass here (bodies give their inertia or
    take it from collision geoms), so the physics is the same without them.
    """
    spec = full_spec()
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
    # Each simulator reserves this; contacts take a tenth of it at most, and the default
    # is 14 MiB times the hundreds of simulators of one evaluation.
    spec.memory = 2**21
    return spec.compile()


def full_spec() -> mujoco.MjSpec:
    """The scene with everything there is to see."""
    return mujoco.MjSpec.from_string(_XML.format(assets=assets()))


def _can_collide(geom: mujoco.MjsGeom, other: mujoco.MjsGeom) -> bool:
    return bool(geom.contype & other.conaffinity or other.contype & geom.conaffinity)
