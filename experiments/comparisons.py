"""Which methods are compared with which: few enough to tell their curves apart.

Sweeps run them, and figures draw them.
"""

from typing import NamedTuple


class Comparison(NamedTuple):
    """Methods that share panels.

    Attributes:
      title: what is compared, for headings.
      methods: to be drawn; a notice names those without results.
      also: drawn where there are results of them.
    """

    title: str
    methods: tuple[str, ...]
    also: tuple[str, ...] = ()


#: What others are to improve on: the first of these that has results.
BASELINE_METHODS = ("uniform_adaptive_prior", "uniform")

MAIN_JOB = Comparison(
    "active against uniform choice",
    ("amf", "uniform_adaptive_prior"),
)
BASELINES = Comparison(
    "active against uniform choice",
    ("amf", "uniform_adaptive_prior", "uniform"),
    also=("amf_paper",),
)
GAUSSIAN_PROCESS = Comparison("active against uniform choice", ("amf", "uniform"))
ESTIMATORS = Comparison(
    "uncertainty estimators",
    (
        "amf",
        "amf_network_gradient",
        "amf_projected_gradient",
        "last_layer",
        "dropout",
        "prior_entropy",
        "uniform_adaptive_prior",
    ),
)
#: Those of the paper's figure 5, and uniform choice.
PAPER_ESTIMATORS = Comparison(
    "uncertainty estimators", ("amf", "last_layer", "dropout", "uniform_adaptive_prior")
)
REBALANCING = Comparison(
    "does AMF rebalance the demonstrations?",
    ("amf", "rebalancing", "round_robin", "uniform_adaptive_prior", "uniform"),
)
#: The paper's figure 14.
PRIVILEGED = Comparison(
    "does AMF rebalance the demonstrations?",
    ("amf", "rebalancing", "uniform_adaptive_prior"),
)
LITERAL = Comparison(
    "what the paper's letter changes",
    ("amf", "amf_paper", "amf_plain", "amf_validation_copy", "amf_no_history"),
)
SELECTORS = Comparison(
    "all selection rules",
    (
        "amf",
        "amf_paper",
        "prior_entropy",
        "learning_progress",
        "rebalancing",
        "round_robin",
        "uniform_adaptive_prior",
        "uniform",
    ),
)
REGULARISERS = Comparison(
    "regularisation against the adaptive prior",
    ("amf", "amf_no_prior", "amf_l2", "amf_l2_strong", "amf_ewc", "amf_ewc_strong"),
)
PRIORS = Comparison(
    "variants of the adaptive prior",
    (
        "amf",
        "amf_no_prior",
        "amf_closed_form",
        "amf_gate",
        "amf_prequential",
        "amf_mixing_network",
    ),
)
FORGETTING = Comparison(
    "all ways not to forget",
    tuple(dict.fromkeys(REGULARISERS.methods + PRIORS.methods)),
)
CRITERIA = Comparison(
    "ablation of the criterion",
    ("amf", "amf_entropy", "prior_entropy", "uniform_adaptive_prior"),
)
CRITERIA_GP = Comparison(
    "ablation of the criterion", ("amf", "prior_entropy", "uniform")
)
WEIGHTS = Comparison(
    "ablation of the importance weights",
    (
        "amf",
        "amf_plain",
        "amf_deterministic",
        "amf_unweighted",
        "uniform_adaptive_prior",
    ),
)
WEIGHTS_GP = Comparison(
    "ablation of the importance weights",
    ("amf", "amf_plain", "amf_unweighted", "uniform"),
)
