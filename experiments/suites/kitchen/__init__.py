"""The Kitchen suite: a Franka arm in a kitchen, five tasks.

What is gymnasium-robotics': the models and meshes, and the action space of its
FrankaKitchen-v1, joint velocities held by position servos at 12.5 Hz. Goals and
tolerances are those of RoboHive's kitchen.

What is ours: the scripted experts, the noise of the starts, the observation, which has
neither velocities nor the task, and by default a coarser time step with an implicit
integrator.
"""
