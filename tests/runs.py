"""Runs of the driver side by side."""

import jax
import numpy as np


def without_seconds(records):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


def assert_same_run(one, other):
    """Records but for their seconds, demonstrations and states, to the bit."""
    assert without_seconds(one.records) == without_seconds(other.records)
    jax.tree.map(
        np.testing.assert_array_equal,
        (one.demos, one.learner_state, one.selector_state),
        (other.demos, other.learner_state, other.selector_state),
    )
