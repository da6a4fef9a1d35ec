"""Runs every test with JAX at its strictest and checks annotations at run time."""

import jax
import jaxtyping
import pytest

# Before any backend starts: what depends on the number of devices shows with two.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Before amf_jax is imported: shapes and types are only checked in tests.
jaxtyping.install_import_hook("amf_jax", "beartype.beartype")


@pytest.fixture
def quick_compile():
    """Compiles unoptimised, for problems so small that compiling is the cost."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
