"""The Metaworld suite: a Sawyer arm, a mug and a faucet on one table, four tasks.

What is metaworld's: the models and meshes, the physics settings, the hand that follows
a mocap body, the action space, the scripted policies, and the 7 cm success rules.

What is not: metaworld has one object and one task per environment; the paper puts
several on one table and does not publish its scene. Ours has the mug of `coffee-push`
(without the coffee machine) beside the faucet. Two goals for the mug and two directions
for the faucet make the four tasks. An action moves the hand for 8 physics steps instead
of 5 and by 1.6 cm instead of 1: the same speed, and the scripted policies finish after
31 to 43 of 50 steps. The observation holds both objects, and neither velocities nor the
goal: only the task vector tells tasks apart. Experts act with Gaussian noise of
standard deviation 0.1.
"""

from experiments.suites.metaworld import environment, experts, normaliser, scene
from experiments.suites.metaworld.tasks import (
    ACTION_SIZE,
    OBSERVATION_PARTS,
    PROMPTS,
    TASK_NAMES,
    solved,
)
from experiments.suites.recording import Camera, World

__all__ = ["ACTION_NOISE", "PROMPTS", "TASK_NAMES", "world"]

ACTION_NOISE = 0.1

_CAMERA = Camera((0.02, 0.66, 0.1), distance=0.95, azimuth=245.0, elevation=-30.0)


def world() -> World:
    """Compiles the scene; takes about a quarter of a second.

    Raises:
      MissingDependencyError: the package metaworld is not installed.
    """
    compiled = environment.make_scene(scene.build())
    return World(
        name="metaworld",
        task_names=TASK_NAMES,
        prompts=PROMPTS,
        horizon=environment.HORIZON,
        control_seconds=environment.FRAME_SKIP * compiled.model.opt.timestep,
        observation_mean=normaliser.MEAN,
        observation_std=normaliser.STD,
        observation_parts=OBSERVATION_PARTS,
        action_size=ACTION_SIZE,
        action_noise=ACTION_NOISE,
        episode=lambda: environment.Episode(compiled),
        expert=lambda task, episode: experts.experts()[task],
        solved=solved,
        full_spec=scene.full_spec,
        camera=_CAMERA,
    )
