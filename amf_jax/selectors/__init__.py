"""Selectors: pure rules that decide which task to demonstrate next."""

from amf_jax.carry import carry_over
from amf_jax.posterior.spaces import Execution
from amf_jax.selectors import pending
from amf_jax.selectors.amf import amf
from amf_jax.selectors.base import (
    Choice,
    Context,
    Selector,
    check_choice,
    check_frozen,
    diagnostics,
    pick,
)
from amf_jax.selectors.batch import select_batch, tasks_of
from amf_jax.selectors.context import Pending, check_context
from amf_jax.selectors.history import AmfState
from amf_jax.selectors.info import AmfInfo
from amf_jax.selectors.learning_progress import learning_progress
from amf_jax.selectors.presets import amf_paper, prior_entropy
from amf_jax.selectors.rebalancing import rebalancing
from amf_jax.selectors.registry import SELECTORS, get, make
from amf_jax.selectors.round_robin import round_robin
from amf_jax.selectors.uniform import uniform
from amf_jax.selectors.warm_start import warm_start

__all__ = [
    "SELECTORS",
    "AmfInfo",
    "AmfState",
    "Choice",
    "Context",
    "Execution",
    "Pending",
    "Selector",
    "amf",
    "amf_paper",
    "carry_over",
    "check_choice",
    "check_context",
    "check_frozen",
    "diagnostics",
    "get",
    "learning_progress",
    "make",
    "pending",
    "pick",
    "prior_entropy",
    "rebalancing",
    "round_robin",
    "select_batch",
    "tasks_of",
    "uniform",
    "warm_start",
]
