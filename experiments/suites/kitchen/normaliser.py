"""The suite's fixed observation normaliser.

Stored rather than computed, for the reasons that Metaworld's is. The numbers are mean
and standard deviation over the steps of 8 demonstrations of every task,
`demonstrate((0,), task, 8)`, rounded; a test computes them again.
"""

import numpy as np

STD_FLOOR = 0.01

MEAN = np.array(
    [-0.823, -1.314, 1.415, -2.141, -0.003, 1.513, 1.174, 0.026, 0.027]  # joints
    + [-0.105, -1.439, 0.094, 0.044, -0.068]  # objects
    + [-0.346, 0.436, 2.189]  # tool
    + [0.032, 0.941, -0.066, 0.811, 0.009, 0.107]
    + [0.213, 0.204, 0.037]  # handles, from the tool
    + [0.090, 0.204, 0.037]
    + [-0.156, 0.130, 0.411]
    + [0.281, 0.171, 0.411]
    + [-0.308, 0.026, -0.397],
    np.float32,
)

STD = np.maximum(
    np.array(
        [0.468, 0.451, 0.523, 0.420, 0.327, 0.408, 0.449, 0.015, 0.014]
        + [0.356, 0.413, 0.318, 0.127, 0.241]
        + [0.290, 0.189, 0.231]
        + [0.270, 0.099, 0.164, 0.229, 0.288, 0.442]
        + [0.290, 0.189, 0.231]
        + [0.290, 0.189, 0.231]
        + [0.289, 0.195, 0.231]
        + [0.217, 0.189, 0.231]
        + [0.273, 0.163, 0.231],
        np.float32,
    ),
    np.float32(STD_FLOOR),
)
