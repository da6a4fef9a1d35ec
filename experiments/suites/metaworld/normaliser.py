"""The suite's fixed observation normaliser.

Stored rather than computed, so that it is the same on every machine and does not move
with the data at hand: a mismatched pre-training set never moves the mug, or the knob.
The numbers are mean and standard deviation over the steps of 8 demonstrations of every
task, `demonstrate((0,), task, 8)`, rounded; a test computes them again.
"""

import numpy as np

STD_FLOOR = 0.01  # for what hardly moves: the height of the handle, the mug's tilt

MEAN = np.array(
    [0.0415, 0.6166, 0.1629, 0.5862]  # hand, gripper
    + [-0.1163, 0.6044, 0.0036]  # mug
    + [0.9982, 0.0051, 0.0053, -0.0207]
    + [0.1934, 0.6494, 0.1240]  # handle
    + [0.2185, 0.6502, 0.1240]
    + [0.0525],
    np.float32,
)

STD = np.maximum(
    np.array(
        [0.1599, 0.1104, 0.0593, 0.2896]
        + [0.0476, 0.0544, 0.0141]
        + [0.0048, 0.0116, 0.0110, 0.0524]
        + [0.0728, 0.0646, 0.0]
        + [0.0707, 0.0670, 0.0]
        + [0.6354],
        np.float32,
    ),
    np.float32(STD_FLOOR),
)
