"""Streams of random numbers: no two that one seed knows are the same."""

import itertools

import numpy as np
import pytest

from experiments.builders import base
from experiments.demos.collect import Attempt
from experiments.studies import finetuning, landscape

SEEDS = (0, 1, 3, 2**32 - 1)
FEW = range(4)


def by_task(seed):
    for task, number, index in itertools.product(FEW, FEW, FEW):
        yield *base.seed_by_task(seed, task, number), index


def by_round(seed):
    for round_index, before, index in itertools.product(FEW, FEW, FEW):
        yield *base.seed_by_round(seed, round_index, before), index


def others(seed):
    """What runs and recordings draw whatever the tasks, each with the last number."""
    for one, two, three in itertools.product(FEW, FEW, FEW):
        yield seed, base.EVALUATION, one, two, three
    for one, two in itertools.product(FEW, FEW):
        yield seed, base.PRETRAINING, one, two
        yield Attempt(one, two, seed, None).stream
        yield seed, finetuning._SHOWN, one, two
        yield seed, landscape._PRETRAINING, one, two
        yield seed, landscape._CANDIDATES, one, two
    yield seed, landscape._PRETRAINING_TASKS


@pytest.mark.parametrize("demonstrations", [by_task, by_round])
def test_no_two_streams_are_one(demonstrations):
    """Of the two ways to seed demonstrations, the task space decides for one."""
    entropies = [
        entropy
        for seed in SEEDS
        for entropy in itertools.chain(demonstrations(seed), others(seed))
    ]
    states = {
        np.random.SeedSequence(entropy).generate_state(4).tobytes()
        for entropy in entropies
    }
    assert len(set(entropies)) == len(entropies) == len(states)


def test_short_entropies_are_filled_with_zeros():
    """Why every stream has at least four numbers, or none that could be its twin."""
    short, long = (
        np.random.SeedSequence(entropy).generate_state(4)
        for entropy in ([3, 0, 5], [3, 0, 5, 0])
    )
    np.testing.assert_array_equal(short, long)


def test_streams_of_runs_are_those_of_committed_results():
    """As they were when evidence/ was made."""
    assert (base.PRETRAINING, base.DEMONSTRATIONS, base.EVALUATION) == (0, 1, 2)
    assert base.seed_by_task(7, 3, 2) == (7, 1, 3, 2)
    assert base.seed_by_round(7, 3, 0) == (7, 1, 3)
    assert base.seed_by_round(7, 3, 2) == (7, 1, 3, 2)
