"""Runs every test with JAX at its strictest and with annotations checked at run time."""

import jax
import jaxtyping

# Before any backend starts: what depends on the number of devices shows with two.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Before amf_jax is imported: shapes and types are only checked in tests.
jaxtyping.install_import_hook("amf_jax", "beartype.beartype")
