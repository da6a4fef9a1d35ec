"""Speed and memory of the library, one command per file."""

import os

# Before BLAS is loaded: its threads cost batches of small factors more than they save
# large ones, see "Many small factors" in docs/sharp_bits.md.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
