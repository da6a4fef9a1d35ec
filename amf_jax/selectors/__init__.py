"""Selectors: pure rules that decide which task to demonstrate next."""

from amf_jax.selectors.amf import AmfState, amf, amf_paper
from amf_jax.selectors.base import (
    Choice,
    Context,
    Selector,
    SelectorInfo,
    check_choice,
)
from amf_jax.selectors.registry import SELECTORS, get, make
from amf_jax.selectors.uniform import uniform
from amf_jax.selectors.warm_start import warm_start

__all__ = [
    "SELECTORS",
    "AmfState",
    "Choice",
    "Context",
    "Selector",
    "SelectorInfo",
    "amf",
    "amf_paper",
    "check_choice",
    "get",
    "make",
    "uniform",
    "warm_start",
]
