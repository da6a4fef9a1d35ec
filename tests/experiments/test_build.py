"""From a config to a driver: what each method means, and what is refused."""

import numpy as np
import pytest

from amf_jax import embeddings, errors, learners, selectors
from experiments import build, methods
from experiments.builders import base, forgetting
from experiments.configs import loading
from experiments.suites import integrator


def options_of(monkeypatch, cell, **overrides):
    """Arguments that selector and learner are built with."""
    seen = {"learner": {}}
    make, gradient_learner = selectors.make, learners.gradient_learner
    make_embedding = embeddings.make

    def spy(name, embedding=None, log_likelihood=None, **options):
        seen["name"], seen["selector"] = name, options
        return make(name, embedding, log_likelihood, **options)

    def spy_learner(*args, **options):
        seen["learner"] = options
        return gradient_learner(*args, **options)

    def spy_embedding(name, policy, **options):
        seen["embedding"] = name
        return make_embedding(name, policy, **options)

    monkeypatch.setattr(embeddings, "make", spy_embedding)
    monkeypatch.setattr(selectors, "make", spy)
    monkeypatch.setattr(learners, "gradient_learner", spy_learner)
    built = build.build(loading.load(cell, overrides))
    built.suite.close()
    return seen


def test_amf_is_our_rule_on_metaworld(monkeypatch):
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf")
    assert seen["name"] == "amf"
    assert seen["selector"]["weights"] == "self_normalised"
    assert seen["selector"]["criterion"] == "variance"
    assert seen["selector"]["condition_on_history"] is True
    assert seen["selector"]["frozen_embeddings"] is True
    assert seen["learner"]["validation_copy_after"] is None
    assert seen["learner"]["mixing"] is not None
    assert seen["embedding"] == "last_layer_gradient"


def test_amf_paper_is_the_papers_rule_on_metaworld(monkeypatch):
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf_paper")
    assert seen["name"] == "amf_paper"
    assert seen["selector"]["weights"] == "plain"
    assert seen["selector"]["condition_on_history"] is False
    assert seen["selector"]["frozen_embeddings"] is False
    assert seen["learner"]["validation_copy_after"] == 4  # the warm start


@pytest.mark.parametrize(
    ("method", "mixes"), [("uniform", False), ("uniform_adaptive_prior", True)]
)
def test_uniform_comes_with_and_without_the_adaptive_prior(monkeypatch, method, mixes):
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method=method)
    assert seen["name"] == "uniform"
    assert seen["selector"] == {}
    assert ("mixing" in seen["learner"]) is mixes


def test_a_config_overrides_its_method(monkeypatch):
    overrides = {"selection.weights": "off", "selection.condition_on_history": True}
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf_paper", **overrides)
    assert seen["selector"]["weights"] == "off"
    assert seen["selector"]["condition_on_history"] is True
    assert seen["learner"]["validation_copy_after"] == 4


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_can_be_built_on_metaworld(monkeypatch, name):
    method = methods.get(name)
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method=name)
    assert seen["name"] == method.selector
    assert seen["embedding"] == method.embedding
    if selectors.get(method.selector).needs_model:
        assert seen["selector"]["criterion"] == (method.criterion or "variance")
        assert seen["selector"]["weights"] == method.weights
    assert seen["learner"]["embedding_policy"] == method.embedding_policy
    given = {"mixing", "regulariser"} & seen["learner"].keys()
    assert bool(given) is (method.forgetting != "none")


def test_the_privileged_rule_is_told_the_pretraining_counts(monkeypatch):
    seen = options_of(monkeypatch, "metaworld:8-0-0-8", method="rebalancing")
    assert tuple(seen["selector"]["pretraining_counts"]) == (8, 0, 0, 8)


@pytest.mark.parametrize("name", forgetting.FORGETTING)
def test_every_way_not_to_forget_can_be_chosen(monkeypatch, name):
    overrides = {"forgetting.method": name}
    if name in ("l2", "ewc"):
        overrides["forgetting.strength"] = 0.1
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf", **overrides)
    given = {"mixing", "regulariser"} & seen["learner"].keys()
    assert len(given) == (name != "none")


@pytest.mark.parametrize("name", embeddings.EMBEDDINGS)
def test_every_embedding_can_be_chosen(monkeypatch, name):
    overrides = {"selection.embedding": name}
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf", **overrides)
    assert seen["embedding"] == name


@pytest.mark.parametrize(
    ("method", "criterion"),
    [("amf", "entropy"), ("prior_entropy", "prior_entropy")],
)
def test_the_criterion_on_the_integrator_is_the_entropy_or_the_methods(
    monkeypatch, method, criterion
):
    seen = options_of(monkeypatch, "integrator:6", method=method)
    assert seen["selector"]["criterion"] == criterion


@pytest.mark.parametrize(
    ("method", "weights"), [("amf", "self_normalised"), ("amf_paper", "plain")]
)
def test_a_gaussian_process_conditions_on_history_with_either_rule(
    monkeypatch, method, weights
):
    seen = options_of(monkeypatch, "integrator:6", method=method)
    assert seen["selector"]["condition_on_history"] is True
    assert seen["selector"]["frozen_embeddings"] is True
    assert seen["selector"]["weights"] == weights
    assert seen["selector"]["noise_variance"] == pytest.approx(0.05**2)


@pytest.mark.parametrize(
    ("cell", "overrides", "error", "message"),
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
        ("integrator:6", {"policy.noise": 0.0}, errors.InvalidArgumentError, "noise"),
        ("integrator:6", {"rounds": 0}, errors.InvalidArgumentError, "rounds"),
        ("integrator:6", {"seed": -1}, errors.InvalidArgumentError, "seed"),
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
            "elastic weight consolidation has no data",
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
            "rate",
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
def test_configs_that_make_no_sense_are_refused(cell, overrides, error, message):
    with pytest.raises(error, match=message):
        build.build(loading.load(cell, overrides))


def test_an_unknown_suite_is_refused_with_the_nearest_one():
    config = loading.load("integrator:6")
    config.suite = "integrater"
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'integrator'"):
        build.build(config)


def test_methods_are_named_in_the_error_about_an_unknown_one():
    with pytest.raises(errors.UnknownNameError, match="amf, amf_closed_form, .*"):
        methods.get("active")


def test_pretraining_shows_the_tasks_that_the_setting_says():
    suite = integrator.make()
    demos = base.pretraining(suite, 0, [2, 0, 3])
    np.testing.assert_array_equal(demos.task_ids, [0, 0, 2, 2, 2])
    same, other = (base.pretraining(suite, seed, [2, 0, 3]) for seed in (0, 1))
    np.testing.assert_array_equal(demos.actions, same.actions)
    assert not np.isin(demos.actions, other.actions).any()


def test_no_demonstration_is_given_twice(monkeypatch):
    asked, demonstrate = [], integrator.demonstrate

    def spy(entropy, task, count):
        asked.append(tuple(entropy))
        return demonstrate(entropy, task, count)

    monkeypatch.setattr(integrator, "demonstrate", spy)
    overrides = dict(method="uniform", rounds=3, demos_per_round=2, attempts=0)
    built = build.build(loading.load("integrator:6", overrides))
    built.tuner.run()
    assert len(set(asked)) == len(asked) == 6 + 3
    actions = np.concatenate(
        [
            np.asarray(built.tuner.demos.actions).reshape(6, -1),
            np.asarray(built.tuner.learner_state.auxiliary.actions).reshape(12, -1),
        ]
    )
    assert len(np.unique(actions, axis=0)) == 18
