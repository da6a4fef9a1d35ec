"""Methods: named combinations of a selector and a way not to forget."""

import dataclasses

from amf_jax import errors


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method name stands for; a config may override the selector's options.

    Attributes:
      selector: a key of `amf_jax.selectors.SELECTORS`.
      adaptive_prior: whether actions are mixed with those of the pre-trained policy.
      weights: mode of the importance weights.
      condition_on_history: whether the posterior holds earlier demonstrations.
      embedding_policy: "pretrained" (frozen) or "validation_copy".
    """

    selector: str
    adaptive_prior: bool
    weights: str = "self_normalised"
    condition_on_history: bool = True
    embedding_policy: str = "pretrained"


METHODS = {
    "amf": Method("amf", adaptive_prior=True),
    "amf_paper": Method(
        "amf_paper",
        adaptive_prior=True,
        weights="plain",
        condition_on_history=False,
        embedding_policy="validation_copy",
    ),
    "uniform": Method("uniform", adaptive_prior=False),
    "uniform_adaptive_prior": Method("uniform", adaptive_prior=True),
}


def get(name: str) -> Method:
    """The method of this name, or an error that offers the nearest one."""
    if name not in METHODS:
        raise errors.UnknownNameError("method", name, METHODS)
    return METHODS[name]
