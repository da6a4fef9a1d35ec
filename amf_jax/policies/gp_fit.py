"""Hyperparameters of the Gaussian-process policy, by maximum marginal likelihood."""

import gpjax
import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors
from amf_jax.demonstrations import Demonstrations, valid_steps
from amf_jax.policies import gp


def fit_hyperparameters(
    demos: Demonstrations, initial: gp.Hyperparameters
) -> gp.Hyperparameters:
    """Hyperparameters that maximise the marginal likelihood of `demos`.

    Runs on the host, in float64 whatever the precision of the data, with the BFGS of
    SciPy through gpjax. A lengthscale is fitted per dimension where `initial` holds one
    per dimension.

    Args:
      demos: typically the pre-training demonstrations; padding is ignored.
      initial: where the search starts.

    Returns:
      The best hyperparameters found, as NumPy values.

    Raises:
      InvalidArgumentError: an initial value that `condition` would refuse,
        demonstrations without a recorded step, or a search that does not end at
        positive, finite values.
    """
    gp.check(initial, demos)
    recorded = np.asarray(valid_steps(demos)).ravel()
    if not recorded.any():
        raise errors.InvalidArgumentError(
            "demos must hold at least one recorded step to fit hyperparameters"
        )
    observations, tasks, targets, _ = (
        np.asarray(rows, np.float64)[recorded] for rows in gp.step_rows(demos)
    )
    size = observations.shape[1]
    # The marginal likelihood of smooth data is too flat for float32 line searches.
    with jax.enable_x64(True):
        data = gpjax.Dataset(
            X=jnp.asarray(np.concatenate([observations, tasks], axis=1)),
            y=jnp.asarray(targets),
        )
        fitted, _ = gpjax.fit_scipy(
            model=_model(initial, size, size + tasks.shape[1]),
            objective=_negative_log_marginal_likelihood,
            train_data=data,
            verbose=False,
        )
        state_kernel, task_kernel = fitted.prior.kernel.kernels
        value = gpjax.parameters.val
        best = gp.Hyperparameters(
            state_lengthscale=np.asarray(value(state_kernel.lengthscale)),
            task_lengthscale=np.asarray(value(task_kernel.lengthscale)),
            signal=np.sqrt(value(state_kernel.variance) * value(task_kernel.variance)),
            noise=np.asarray(value(fitted.likelihood.obs_stddev)),
        )
    for name, found in best._asdict().items():
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise errors.InvalidArgumentError(
                f"the marginal likelihood of demos does not determine {name} (the fit"
                f" ended at {found}); pass hyperparameters of your own"
            )
    return best


def _model(initial: gp.Hyperparameters, state_size: int, size: int):
    """The gpjax model whose trainable parameters are the hyperparameters."""
    state_kernel = gpjax.kernels.RBF(
        active_dims=list(range(state_size)),
        lengthscale=jnp.asarray(initial.state_lengthscale, float),
        variance=jnp.square(jnp.asarray(initial.signal, float)),
    )
    # Only the product of the two variances matters, and only it is read.
    task_kernel = gpjax.kernels.RBF(
        active_dims=list(range(state_size, size)),
        lengthscale=jnp.asarray(initial.task_lengthscale, float),
    )
    prior = gpjax.gps.Prior(
        mean_function=gpjax.mean_functions.Zero(),
        kernel=state_kernel * task_kernel,
        # Relative: gpjax adds 1e-6 by default, which is the noise of small actions.
        jitter=1e-6 * float(jnp.square(initial.signal)),
    )
    return prior * gpjax.likelihoods.Gaussian(jnp.asarray(initial.noise, float))


def _negative_log_marginal_likelihood(model, data):
    def of_output(column):
        output = gpjax.Dataset(X=data.X, y=column[:, None])
        return gpjax.objectives.conjugate_mll(model, output)

    return -jax.vmap(of_output)(data.y.T).sum()
