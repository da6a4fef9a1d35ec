"""The Kitchen suite: a Franka arm in a kitchen, five tasks.

What is gymnasium-robotics': the models and meshes, and the action space of its
FrankaKitchen-v1, joint velocities held by position servos at 12.5 Hz. Goals and
tolerances are those of RoboHive's kitchen.

What is ours: the scripted experts, the noise of the starts, the observation, which has
neither velocities nor the task, and by default a coarser time step with an implicit
integrator. The pivoting cabinet is the right door; RoboHive's task is the left one.
"""

from experiments.suites.kitchen import (
    environment,
    experts,
    kinematics,
    normaliser,
    scene,
)
from experiments.suites.kitchen.tasks import (
    ACTION_SIZE,
    OBSERVATION_PARTS,
    PROMPTS,
    TASK_NAMES,
    solved,
)
from experiments.suites.recording import Camera, World

__all__ = ["ACTION_NOISE", "PROMPTS", "TASK_NAMES", "world"]

ACTION_NOISE = 0.1

_CAMERA = Camera((-0.15, 0.5, 2.0), distance=2.0, azimuth=60.0, elevation=-22.0)


def world(physics: str = "fast") -> World:
    """Compiles the scene; takes about a second.

    Args:
      physics: a key of `scene.PHYSICS`.

    Raises:
      UnknownNameError: no such physics.
      MissingDependencyError: the package gymnasium-robotics is not installed.
    """
    compiled = scene.make(scene.build(physics))
    solver = kinematics.Kinematics(compiled)
    return World(
        name="kitchen",
        task_names=TASK_NAMES,
        prompts=PROMPTS,
        horizon=environment.HORIZON,
        control_seconds=scene.CONTROL_SECONDS,
        observation_mean=normaliser.MEAN,
        observation_std=normaliser.STD,
        observation_parts=OBSERVATION_PARTS,
        action_size=ACTION_SIZE,
        action_noise=ACTION_NOISE,
        episode=lambda: environment.Episode(compiled),
        expert=lambda task, episode: experts.Expert(task, episode, solver),
        solved=solved,
        full_spec=lambda: scene.full_spec(physics),
        camera=_CAMERA,
    )
