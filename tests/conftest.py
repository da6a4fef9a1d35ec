"""Runs every test with JAX at its strictest and checks annotations at run time."""

import gc
import os

# Before BLAS and XLA are loaded; what a test starts inherits it. Several processes with
# a thread per core each would wait for each other, and most of the time of tests goes
# into compiling programs that are too small to be worth optimising.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_llvm_force_inline_before_split=false",
    ]
).strip()

import jax
import jaxtyping

# Traces are many small objects that live long; looking through them for cycles as often
# as is usual takes a tenth of the time.
gc.set_threshold(50_000)

# Before any backend starts: what depends on the number of devices shows with two.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Before amf_jax is imported: shapes and types are only checked in tests.
jaxtyping.install_import_hook("amf_jax", "beartype.beartype")
