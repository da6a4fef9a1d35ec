"""Runs every test with JAX at its strictest and checks annotations at run time."""

import os

# Before BLAS and XLA are loaded; what a test starts inherits both. Several processes
# with a thread per core each would wait for each other, and most of the time of tests
# goes into compiling, which takes a quarter without these emitters.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()
)

import jax
import jaxtyping
import pytest

# Before any backend starts: what depends on the number of devices shows with two.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Before amf_jax is imported: shapes and types are only checked in tests.
jaxtyping.install_import_hook("amf_jax", "beartype.beartype")


def _quick_compile():
    """Compiles unoptimised, for problems so small that compiling is the cost."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


quick_compile = pytest.fixture(_quick_compile)
quick_compile_of_module = pytest.fixture(_quick_compile, scope="module")
