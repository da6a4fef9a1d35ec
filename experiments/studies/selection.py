"""The selection of AMF-GP, with any way to search the circle."""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from amf_jax import selectors
from amf_jax.candidates import Optimiser, unlisted
from amf_jax.policies import gp
from amf_jax.selectors import Selector


def selector(config: ConfigDict, optimiser: Optimiser) -> Selector:
    """The rule of a config of the integrator, without its warm start.

    Args:
      config: whose policy and selection are used, but for its search.
      optimiser: takes the place of the search.
    """
    selection = config.selection
    return selectors.make(
        "amf",
        gp.embedding(),
        gp.policy().log_likelihood,
        criterion=selection.criterion,
        normalise_kernel=selection.normalise_kernel,
        noise_variance=config.policy.noise**2,
        likelihood_clip=selection.likelihood_clip,
        trajectory_samples=selection.trajectory_samples,
        optimiser=optimiser,
    )


def every_one_of(goals: np.ndarray) -> Optimiser:
    """Values these tasks, where random shooting draws some."""
    candidates = unlisted(jnp.asarray(goals, jnp.float32))

    def optimise(key, objective, tasks):
        del key, tasks
        return candidates, objective(candidates)

    return optimise
