"""Methods: named combinations of a selection rule and a way not to forget."""

import dataclasses

from amf_jax import errors, selectors


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method name stands for; a config may override every part but the first.

    Attributes:
      selector: a key of `amf_jax.selectors.SELECTORS`.
      forgetting: a key of `experiments.builders.forgetting.FORGETTING`.
      strength: of the L2 or EWC penalty; None for the other ways.
      criterion: of the active rules; None is the suite's own.
      weights: mode of the importance weights.
      embedding: a key of `amf_jax.embeddings.EMBEDDINGS`, for neural policies.
      condition_on_history: whether the posterior holds earlier demonstrations.
      embedding_policy: "pretrained" (frozen), "validation_copy" or "current".
    """

    selector: str
    forgetting: str = "adaptive_prior"
    strength: float | None = None
    criterion: str | None = None
    weights: str = "self_normalised"
    embedding: str = "last_layer_gradient"
    condition_on_history: bool = True
    embedding_policy: str = "pretrained"


METHODS = {
    # Active multi-task fine-tuning, ours and the paper's letter.
    "amf": Method("amf"),
    "amf_paper": Method(
        "amf_paper",
        weights="plain",
        condition_on_history=False,
        embedding_policy="validation_copy",
    ),
    # One by one what the letter changes; its weights alone are `amf_plain`.
    "amf_no_history": Method("amf", condition_on_history=False),
    "amf_validation_copy": Method("amf", embedding_policy="validation_copy"),
    # Baselines.
    "uniform": Method("uniform", forgetting="none"),
    "uniform_adaptive_prior": Method("uniform"),
    "round_robin": Method("round_robin"),
    "rebalancing": Method("rebalancing"),
    "learning_progress": Method("learning_progress"),
    # Other criteria.
    "amf_entropy": Method("amf", criterion="entropy"),
    "prior_entropy": Method("prior_entropy", criterion="prior_entropy"),
    # Other importance weights.
    "amf_plain": Method("amf", weights="plain"),
    "amf_deterministic": Method("amf", weights="deterministic"),
    "amf_unweighted": Method("amf", weights="off"),
    # Other uncertainty estimates.
    "amf_network_gradient": Method("amf", embedding="network_gradient"),
    "amf_projected_gradient": Method("amf", embedding="projected_gradient"),
    "last_layer": Method("amf", embedding="last_layer_feature"),
    "dropout": Method(
        "prior_entropy",
        criterion="prior_entropy",
        embedding="dropout",
        condition_on_history=False,
        embedding_policy="current",
    ),
    # Other ways not to forget.
    "amf_no_prior": Method("amf", forgetting="none"),
    "amf_l2": Method("amf", forgetting="l2", strength=0.1),
    "amf_l2_strong": Method("amf", forgetting="l2", strength=1.0),
    "amf_ewc": Method("amf", forgetting="ewc", strength=0.1),
    "amf_ewc_strong": Method("amf", forgetting="ewc", strength=1.0),
    "amf_closed_form": Method("amf", forgetting="closed_form"),
    "amf_gate": Method("amf", forgetting="gate"),
    "amf_prequential": Method("amf", forgetting="prequential"),
    "amf_mixing_network": Method("amf", forgetting="network"),
}


def get(name: str) -> Method:
    """The method of this name, or the selector of this name with the defaults.

    Raises:
      UnknownNameError: for neither; offers the nearest one.
    """
    if name in METHODS:
        return METHODS[name]
    if name in selectors.SELECTORS:
        return Method(name)
    raise errors.UnknownNameError("method", name, {*METHODS, *selectors.SELECTORS})
