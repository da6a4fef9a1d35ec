"""Mixing weights of the adaptive prior: which policy to trust, task by task.

Fine-tuning on a few demonstrations forgets what pre-training taught. The adaptive prior
(section 4.2) mixes the actions of the frozen pre-trained policy back in,

    a = alpha(c) a_policy + (1 - alpha(c)) a_prior,

and the rules below differ in how they find alpha. `descent`, `closed_form`, `gate` and
`network` minimise `losses.adaptive_prior` on the demonstrations that the policy was
trained on, with a pull of strength beta towards the prior; `prequential` scores each
demonstration before the policy is trained on it, and needs no pull.

Whatever the rule, alpha lies in [0, 1], and is 0 where nothing is known: before the
first round and for a task without demonstrations. (`network` starts near 0 and judges
every task by what it learned from others.) Where the actions to compare are not finite,
or too large to be squared, alpha is NaN, which `check_alpha` refuses on the host.
"""

from amf_jax.losses import Comparison
from amf_jax.mixing.base import Mixing, MixingState, check_alpha, compare
from amf_jax.mixing.network import network
from amf_jax.mixing.per_task import closed_form, descent, gate, prequential

__all__ = [
    "Comparison",
    "Mixing",
    "MixingState",
    "check_alpha",
    "closed_form",
    "compare",
    "descent",
    "gate",
    "network",
    "prequential",
]
