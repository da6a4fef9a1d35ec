"""The MuJoCo model: the Franka arm and the kitchen of gymnasium-robotics."""

import dataclasses

import mujoco
import numpy as np

from amf_jax import errors
from experiments.suites import models
from experiments.suites.kitchen.tasks import TASKS

_PACKAGE = "gymnasium_robotics"
_MODEL = "envs/assets/kitchen_franka/kitchen_assets/kitchen_env_model.xml"
CONTROL_SECONDS = 0.08

# The burner of a knob is coupled to it and has to start where the knob says.
_BURNERS = {
    "knob_Joint_1": "bottom_right_burner",
    "knob_Joint_2": "bottom_left_burner",
}
_BURNER_PER_KNOB = 1 / 174
_BURNER_LOWEST = -0.009

_ARM_HOME = (
    [0.148388023, -1.76848573, 1.84390296, -2.47685760]
    + [0.260252026, 0.712533105, 1.59515394]
    + [0.04, 0.04]  # fingers, open
)
_KETTLE_HOME = [-0.2694, 0.35038, 1.6194, 1.0, 0.0, 0.0, 0.0]


@dataclasses.dataclass(frozen=True)
class Physics:
    """How time is discretised; an action lasts `CONTROL_SECONDS` either way."""

    timestep: float
    integrator: mujoco.mjtIntegrator


#: "stock" is what gymnasium-robotics simulates. "fast" takes half the steps.
PHYSICS = {
    "fast": Physics(0.004, mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
    "stock": Physics(0.002, mujoco.mjtIntegrator.mjINT_EULER),
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """The compiled model and the addresses that an episode reads.

    Attributes:
      model: for simulation.
      steps_per_action: physics steps.
      home: `[nq]`, joints at the start of an episode without noise.
      objects: `[5]`, address of each task's joint in `qpos`.
      handles: `[5]`, site of each task's handle.
      end_effector: site between the fingers.
    """

    model: mujoco.MjModel
    steps_per_action: int
    home: np.ndarray
    objects: np.ndarray
    handles: np.ndarray
    end_effector: int


def full_spec(physics: str = "fast") -> mujoco.MjSpec:
    """The scene with everything there is to see.

    Raises:
      UnknownNameError: no such physics.
      MissingDependencyError: gymnasium-robotics is not installed.
    """
    errors.check_name("physics", physics, PHYSICS)
    with models.package_files(_PACKAGE, "kitchen") as folder:
        spec = mujoco.MjSpec.from_file(str(folder / _MODEL))
    spec.option.timestep = PHYSICS[physics].timestep
    spec.option.integrator = PHYSICS[physics].integrator
    return spec


def build(physics: str = "fast") -> mujoco.MjModel:
    """The scene for simulation: without the geoms that are only seen.

    Raises:
      UnknownNameError: no such physics.
      MissingDependencyError: gymnasium-robotics is not installed.
    """
    with models.package_files(_PACKAGE, "kitchen"):
        return models.compile_for_simulation(full_spec(physics))


def make(model: mujoco.MjModel) -> Scene:
    """Looks up the addresses, and where everything is at the start."""

    def address(joint: str) -> int:
        return int(model.joint(joint).qposadr[0])

    home = model.qpos0.copy()
    home[: len(_ARM_HOME)] = _ARM_HOME
    kettle = address("kettle")
    home[kettle : kettle + 7] = _KETTLE_HOME
    for task in TASKS:
        home[address(task.joint)] = task.start
        if task.joint in _BURNERS:
            turned = max(task.start * _BURNER_PER_KNOB, _BURNER_LOWEST)
            home[address(_BURNERS[task.joint])] = turned
    return Scene(
        model=model,
        steps_per_action=round(CONTROL_SECONDS / model.opt.timestep),
        home=home,
        objects=np.array([address(task.joint) for task in TASKS]),
        handles=np.array([model.site(task.handle).id for task in TASKS]),
        end_effector=model.site("end_effector").id,
    )
