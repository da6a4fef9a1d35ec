"""Configs that cannot be run: the mistake is named before anything starts."""

import dataclasses

import pytest

from amf_jax import errors
from experiments import build, methods
from experiments.configs import loading
from experiments.suites.registry import SUITES


@pytest.mark.parametrize(
    ("spec", "overrides", "error", "message"),
    [
        (
            "integrator:6",
            {"method": "uniform_adaptive_prior"},
            errors.InvalidArgumentError,
            "method='uniform_adaptive_prior'.* use 'uniform'",
        ),
        (
            "integrator:6",
            {"selection.embedding_policy": "validation_copy"},
            errors.InvalidArgumentError,
            "'pretrained'",
        ),
        (
            "integrator:6",
            {"method": "unifrom"},
            errors.UnknownNameError,
            "Did you mean 'uniform'",
        ),
        (
            "integrator:6",
            {"selection.embedding_policy": "frozen"},
            errors.UnknownNameError,
            "selection.embedding_policy 'frozen'",
        ),
        (
            "integrator:6",
            {"selection.criterion": "varience"},
            errors.UnknownNameError,
            "Did you mean 'variance'",
        ),
        (
            "integrator:6",
            {"selection.weights": "plane"},
            errors.UnknownNameError,
            "Did you mean 'plain'",
        ),
        (
            "integrator:6",
            {"selection.weights": "deterministic"},
            errors.InvalidArgumentError,
            "finite task set",
        ),
        (
            "integrator:6",
            {"selection.shooting_budget": 0},
            errors.InvalidArgumentError,
            "budget",
        ),
        (
            "integrator:6",
            {"selection.search.name": "gradient"},
            errors.UnknownNameError,
            "selection.search.name 'gradient'. Did you mean 'gradient_refinement'",
        ),
        (
            "integrator:6",
            {"selection.search.name": "enumerate_tasks"},
            errors.UnknownNameError,
            "selection.search.name 'enumerate_tasks'",
        ),
        (
            "integrator:6",
            {"selection.search.steps": 3},
            errors.UnknownNameError,
            "option of random_shooting 'steps'. Known: budget",
        ),
        (
            "integrator:6",
            {
                "selection.search.name": "cross_entropy",
                "selection.search.elite_share": 2.0,
            },
            errors.InvalidArgumentError,
            "selection.search.elite_share must be above 0 and at most 1",
        ),
        (
            "integrator:6",
            {"method": "uniform", "selection.search.name": "cross_entropy"},
            errors.InvalidArgumentError,
            "selection.search.name='cross_entropy' does not go with method='uniform'",
        ),
        (
            "integrator:6",
            {"policy.name": "mlp"},
            errors.InvalidArgumentError,
            "policy.name='mlp' needs .*integrator do not have: .*'gaussian_process'",
        ),
        (
            "kitchen:8-8-0-0-0",
            {"policy.name": "gaussian_process"},
            errors.InvalidArgumentError,
            "policy.name='gaussian_process' needs policy.noise",
        ),
        (
            "metaworld:8-8-0-0",
            {"policy.name": "mpl"},
            errors.UnknownNameError,
            "policy.name 'mpl'. Did you mean 'mlp'",
        ),
        ("integrator:6", {"policy.noise": 0.0}, errors.InvalidArgumentError, "noise"),
        ("integrator:6", {"rounds": 0}, errors.InvalidArgumentError, "rounds"),
        ("integrator:6", {"seed": -1}, errors.InvalidArgumentError, "seed"),
        ("integrator:6", {"attempts": -1}, errors.InvalidArgumentError, "attempts"),
        (
            "metaworld:8-8-0-0",
            {"demos_per_round": 0},
            errors.InvalidArgumentError,
            "demos_per_round must be a whole number from 1 to 100000, got 0",
        ),
        ("integrator:6", {"batch": 0}, errors.InvalidArgumentError, "batch"),
        (
            "integrator:6",
            {"method": "learning_progress"},
            errors.InvalidArgumentError,
            "'learning_progress' looks at success rates, and the integrator has none",
        ),
        (
            "integrator:6",
            {"method": "amf_entropy"},
            errors.InvalidArgumentError,
            "both are the same for a Gaussian process; use 'amf'",
        ),
        ("metaworld:8-8-0-0", {"rounds": 0}, errors.InvalidArgumentError, "rounds"),
        (
            "integrator:6",
            {"method": "dropout"},
            errors.InvalidArgumentError,
            "embeddings of a neural policy",
        ),
        (
            "integrator:6",
            {"method": "amf_ewc"},
            errors.InvalidArgumentError,
            "a Gaussian process forgets nothing",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "amf_ewc", "forgetting.fisher_samples": 0},
            errors.InvalidArgumentError,
            "forgetting.fisher_samples must be a whole number, at least 1, got 0",
        ),
        (
            "metaworld:8-8-0-0",
            {"forgetting.method": "l2"},
            errors.InvalidArgumentError,
            "forgetting.strength=None",
        ),
        (
            "metaworld:8-8-0-0",
            {"forgetting.strength": 0.1},
            errors.InvalidArgumentError,
            "does not go with 'adaptive_prior'",
        ),
        (
            "metaworld:8-8-0-0",
            {"forgetting.method": "ecw"},
            errors.UnknownNameError,
            "Did you mean 'ewc'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "amf_entropy", "selection.criterion": "prior_entropy"},
            errors.InvalidArgumentError,
            "contradicts method='amf_entropy'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "prior_entropy", "selection.criterion": "variance"},
            errors.InvalidArgumentError,
            "'variance' contradicts method='prior_entropy'",
        ),
        (
            "integrator:6",
            {"method": "prior_entropy", "selection.criterion": "variance"},
            errors.InvalidArgumentError,
            "'variance' contradicts method='prior_entropy'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "prior_entropy", "selection.criterion": "varience"},
            errors.UnknownNameError,
            "Did you mean 'variance'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "uniform", "selection.weights": "plane"},
            errors.UnknownNameError,
            "Did you mean 'plain'",
        ),
        (
            "integrator:6",
            {"method": "uniform", "selection.criterion": "varience"},
            errors.UnknownNameError,
            "Did you mean 'variance'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "round_robin", "selection.embedding": "droput"},
            errors.UnknownNameError,
            "Did you mean 'dropout'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "rebalancing", "selection.embedding_policy": "curent"},
            errors.UnknownNameError,
            "Did you mean 'current'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "rebalancing", "selection.weights": "plain"},
            errors.InvalidArgumentError,
            "selection.weights='plain' does not go with method='rebalancing'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "learning_progress", "selection.embedding": "dropout"},
            errors.InvalidArgumentError,
            "selection.embedding='dropout' does not go with",
        ),
        (
            "integrator:6",
            {"method": "uniform", "selection.condition_on_history": False},
            errors.InvalidArgumentError,
            "selection.condition_on_history=False does not go with method='uniform'",
        ),
        (
            "integrator:6",
            {"method": "uniform", "selection.criterion": "variance"},
            errors.InvalidArgumentError,
            "selection.criterion='variance' does not go with method='uniform'",
        ),
        (
            "metaworld:8-8-0-0",
            {"selection.embedding": "droput"},
            errors.UnknownNameError,
            "Did you mean 'dropout'",
        ),
        (
            "metaworld:8-8-0-0",
            {"selection.embedding_policy": "pre-trained"},
            errors.UnknownNameError,
            "Did you mean 'pretrained'",
        ),
        (
            "metaworld:8-8-0-0",
            {"method": "dropout", "selection.dropout_rate": 1.0},
            errors.InvalidArgumentError,
            "selection.dropout_rate must be between 0 and 1, both excluded",
        ),
        (
            "metaworld:8-8-0-0",
            {"training.schedule": "cosin"},
            errors.UnknownNameError,
            "Did you mean 'cosine'",
        ),
        (
            "metaworld:8-8-0-0",
            {"selection.noise_variance": 0.0},
            errors.InvalidArgumentError,
            "noise_variance",
        ),
        (
            "metaworld:8-8-0-0",
            {"selection.likelihood_std": 0.0},
            errors.InvalidArgumentError,
            "likelihood_std",
        ),
    ],
)
def test_configs_that_make_no_sense_are_refused(spec, overrides, error, message):
    with pytest.raises(error, match=message):
        build.build(loading.load(spec, overrides))


def test_no_simulator_is_started_for_a_config_that_makes_no_sense(monkeypatch):
    unmakeable = dataclasses.replace(SUITES["metaworld"], make=None)
    monkeypatch.setitem(SUITES, "metaworld", unmakeable)
    config = loading.load("metaworld:8-8-0-0", {"forgetting.method": "l2"})
    with pytest.raises(errors.InvalidArgumentError, match="forgetting.strength"):
        build.build(config)


def test_an_unknown_suite_is_refused_with_the_nearest_one():
    config = loading.load("integrator:6")
    config.suite = "integrater"
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'integrator'"):
        build.build(config)


def test_methods_are_named_in_the_error_about_an_unknown_one():
    with pytest.raises(errors.UnknownNameError, match="amf, amf_closed_form, .*"):
        methods.get("active")
