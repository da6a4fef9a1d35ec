"""The selection rule on the real scene: does it ask for what pre-training lacked?

Both directions of mismatch are needed: a rule that merely likes hard tasks passes one
of them and fails the other. Fine-tuning plays no part in it, since the embeddings are
those of the pre-trained policy; without it, each demonstration stands for its own task.
"""

import numpy as np
import pytest

from amf_jax import criteria
from experiments import build
from experiments.configs import metaworld

SEEDS = range(3)
ACTIVE_ROUNDS = 16  # of 20; the first four ask for each task once


def pick_counts(setting, seed):
    config = metaworld.get_config(setting)
    config.seed = seed
    config.attempts = 0
    config.training.finetuning_steps = 0
    config.selection.weights = "deterministic"
    experiment = build.build(config)
    records = experiment.tuner.run()
    experiment.suite.close()
    picks = [record["task"] for record in records[1 + config.warm_start_rounds :]]
    assert len(picks) == ACTIVE_ROUNDS
    return np.bincount(picks, minlength=4)


def undemonstrated_share(setting, seeds=SEEDS):
    missing = np.array([count == "0" for count in setting.split("-")])
    shares = [
        pick_counts(setting, seed)[missing].sum() / ACTIVE_ROUNDS for seed in seeds
    ]
    return np.mean(shares)


@pytest.mark.parametrize("setting", ["8-8-0-0", "0-0-8-8"])
def test_asks_for_the_tasks_that_pre_training_lacked(setting):
    assert undemonstrated_share(setting) >= 0.8


@pytest.mark.parametrize("setting", ["8-8-0-0", "0-0-8-8"])
def test_with_the_sign_of_equation_4_as_printed_it_does_not(setting, monkeypatch):
    printed = criteria.CRITERIA["variance"]._replace(sign=-1.0)
    monkeypatch.setitem(criteria.CRITERIA, "variance", printed)
    assert undemonstrated_share(setting, seeds=[0]) < 0.5


def test_spreads_its_choices_without_mismatch():
    counts = np.mean([pick_counts("4-4-4-4", seed) for seed in SEEDS], axis=0)
    assert counts.max() <= 6
