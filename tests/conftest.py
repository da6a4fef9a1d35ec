"""Runs every test with JAX at its strictest and checks annotations at run time."""

import atexit
import gc
import os
import shutil
import tempfile

# Before BLAS and XLA are loaded; what a test starts inherits it. Several processes with
# a thread per core each would wait for each other, and most of the time of tests goes
# into compiling programs that are too small to be worth optimising.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# Where each operation was written is noted in every program, and read by nobody.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_llvm_force_inline_before_split=false",
    ]
).strip()

# Tests that compile the same programs share them, in whichever process they run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="amf_jax-tests-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

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
