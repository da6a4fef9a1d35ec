"""Policies as parameters plus pure functions.

`amf_jax.policies.gp` is imported on demand: it brings gpjax along.
"""

from amf_jax.policies.base import LayeredPolicy, Policy

__all__ = ["LayeredPolicy", "Policy"]
