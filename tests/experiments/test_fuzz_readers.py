"""Damaged files of every format: the same data, a named error, or a documented note.

HDF5's library, which is written in C, reads them in the process of the tests. The
examples are always the same ones, and it survives all of them.
"""

import pytest

from tests.experiments.fuzzed_readers import READERS
from tests.fuzzing import fuzz

CASES = [(name, kind) for name, reader in READERS.items() for kind in reader.damages]


@pytest.mark.parametrize("examples", [50, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_damage_gives_the_same_data_or_a_named_error(tmp_path, name, kind, examples):
    reader = READERS[name]
    fuzz(reader, reader.damages[kind], tmp_path, examples)
