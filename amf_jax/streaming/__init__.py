"""Selection from a pool of demonstrations that never fits in memory."""

from amf_jax.streaming.passes import OnProgress
from amf_jax.streaming.reading import Pool
from amf_jax.streaming.selection import select

__all__ = ["OnProgress", "Pool", "select"]
