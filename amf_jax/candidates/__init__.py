"""Candidate optimisers: how the arg max over tasks is searched."""

from amf_jax.candidates.base import Candidates, Objective, Optimiser, unlisted
from amf_jax.candidates.cross_entropy import cross_entropy
from amf_jax.candidates.enumeration import enumerate_tasks
from amf_jax.candidates.gradient import gradient_refinement, value_and_slope
from amf_jax.candidates.registry import OPTIMISERS, Entry, make
from amf_jax.candidates.shooting import random_shooting
from amf_jax.candidates.space import TaskSpace, tasks_near, widths

__all__ = [
    "OPTIMISERS",
    "Candidates",
    "Entry",
    "Objective",
    "Optimiser",
    "TaskSpace",
    "cross_entropy",
    "enumerate_tasks",
    "gradient_refinement",
    "make",
    "random_shooting",
    "tasks_near",
    "unlisted",
    "value_and_slope",
    "widths",
]
