"""The MuJoCo model: metaworld's Sawyer arm, mug and faucet on one table."""

from xml.sax import saxutils

import mujoco

from experiments.suites import models

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


def build() -> mujoco.MjModel:
    """The scene for simulation: without the geoms that are only seen.

    Raises:
      MissingDependencyError: metaworld is not installed.
    """
    with models.package_files("metaworld", "metaworld"):
        return models.compile_for_simulation(full_spec())


def full_spec() -> mujoco.MjSpec:
    """The scene with everything there is to see."""
    with models.package_files("metaworld", "metaworld") as folder:
        assets = saxutils.escape(str(folder / "assets"), {'"': "&quot;"})
        return mujoco.MjSpec.from_string(_XML.format(assets=assets))
