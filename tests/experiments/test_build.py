"""From a config to a driver: what each method means."""

import contextlib
import inspect

import numpy as np
import pytest

from amf_jax import (
    candidates,
    embeddings,
    errors,
    learners,
    mixing,
    regularisers,
    selectors,
)
from experiments import build, methods
from experiments.builders import base, forgetting
from experiments.configs import loading
from experiments.suites import integrator


def options_of(monkeypatch, spec, **overrides):
    """Arguments that selector, learner and the way not to forget are built with."""
    seen = {"learner": {}, "kept": None}
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

    def spy_on(module, name):
        function = getattr(module, name)

        def spy(*args, **options):
            bound = inspect.signature(function).bind(*args, **options)
            seen["kept"] = name, bound.arguments
            return function(*args, **options)

        monkeypatch.setattr(module, name, spy)

    for name in ("descent", "closed_form", "gate", "prequential", "network"):
        spy_on(mixing, name)
    for name in ("l2", "ewc"):
        spy_on(regularisers, name)
    monkeypatch.setattr(embeddings, "make", spy_embedding)
    monkeypatch.setattr(selectors, "make", spy)
    monkeypatch.setattr(learners, "gradient_learner", spy_learner)
    built = build.build(loading.load(spec, overrides))
    built.environment.close()
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


@pytest.mark.parametrize(("batch", "expected"), [(2, 4), (3, 6), (5, 5)])
def test_a_warm_start_of_four_ends_with_a_batch(monkeypatch, batch, expected):
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf_paper", batch=batch)
    assert seen["learner"]["validation_copy_after"] == expected


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


#: Strengths of the penalties, by method.
STRENGTHS = {"amf_l2": 0.1, "amf_ewc": 0.1, "amf_l2_strong": 1.0, "amf_ewc_strong": 1.0}


def assert_keeps(seen, way, strength=None):
    """Whether the learner of a Metaworld run was given that way not to forget."""
    given = {"mixing", "regulariser"} & seen["learner"].keys()
    if way == "none":
        assert not given and seen["kept"] is None
        return
    penalised = way in ("l2", "ewc")
    assert given == {"regulariser" if penalised else "mixing"}
    built, arguments = seen["kept"]
    assert built == ("descent" if way == "adaptive_prior" else way)
    if penalised:
        assert arguments["strength"] == seen["learner"]["regulariser"].strength
        assert arguments["strength"] == strength
        assert arguments.get("samples") == (256 if way == "ewc" else None)
        return
    tasks = arguments["tasks"] if way == "network" else range(arguments["num_tasks"])
    assert len(tasks) == 4
    assert arguments.get("conservatism") == (None if way == "prequential" else 0.2)
    if way == "adaptive_prior":
        assert (arguments["learning_rate"], arguments["steps"]) == (0.5, 100)


#: Options of the ways not to forget that are nobody's defaults.
KEPT_WITH = {
    "forgetting.conservatism": 0.2,
    "forgetting.learning_rate": 0.5,
    "forgetting.steps": 100,
}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_can_be_built_on_metaworld(monkeypatch, name):
    method = methods.get(name)
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method=name, **KEPT_WITH)
    assert seen["name"] == method.selector
    assert seen["embedding"] == method.embedding
    if selectors.get(method.selector).needs_model:
        assert seen["selector"]["criterion"] == (method.criterion or "variance")
        assert seen["selector"]["weights"] == method.weights
    assert seen["learner"]["embedding_policy"] == method.embedding_policy
    assert_keeps(seen, method.forgetting, STRENGTHS.get(name))


def test_the_privileged_rule_is_told_the_pretraining_counts(monkeypatch):
    seen = options_of(monkeypatch, "metaworld:8-0-0-8", method="rebalancing")
    assert tuple(seen["selector"]["pretraining_counts"]) == (8, 0, 0, 8)


@pytest.mark.parametrize("name", forgetting.FORGETTING)
def test_every_way_not_to_forget_can_be_chosen(monkeypatch, name):
    overrides = {"forgetting.method": name, **KEPT_WITH}
    strength = 0.3 if name in ("l2", "ewc") else None
    if strength:
        overrides["forgetting.strength"] = strength
    seen = options_of(monkeypatch, "metaworld:8-8-0-0", method="amf", **overrides)
    assert_keeps(seen, name, strength)


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


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_on_the_integrator_is_built_or_refused(name):
    with contextlib.suppress(errors.InvalidArgumentError):
        build.build(loading.load("integrator:6", {"method": name})).environment.close()


def test_the_integrator_takes_every_method_that_is_another_one_there():
    def fits(name):
        with contextlib.suppress(errors.InvalidArgumentError):
            build.check(loading.load("integrator:6", {"method": name}))
            return True
        return False

    assert [name for name in methods.METHODS if fits(name)] == [
        "amf",
        "amf_paper",
        "uniform",
        "round_robin",
        "rebalancing",
        "prior_entropy",
        "amf_plain",
        "amf_unweighted",
    ]


@pytest.mark.parametrize(
    ("overrides", "name", "options"),
    [
        ({}, "random_shooting", dict(budget=100)),
        ({"shooting_budget": 30}, "random_shooting", dict(budget=30)),
        (
            {"search.name": "gradient_refinement", "search.steps": 2},
            "gradient_refinement",
            dict(budget=100, steps=2),
        ),
        (
            {"search.name": "cross_entropy", "search.elite_share": 0.5},
            "cross_entropy",
            dict(budget=100, elite_share=0.5),
        ),
    ],
)
def test_the_circle_is_searched_as_the_config_says(
    monkeypatch, overrides, name, options
):
    made, make = [], candidates.make

    def spy(name, space, **options):
        made.append((name, space, options))
        return make(name, space, **options)

    monkeypatch.setattr(candidates, "make", spy)
    given = {f"selection.{field}": value for field, value in overrides.items()}
    build.build(loading.load("integrator:6", given)).environment.close()
    assert made[-1] == (name, integrator.SPACE, options)


def test_pretraining_shows_the_tasks_that_the_setting_says():
    suite = integrator.make()
    demos = base.pretraining(suite, 0, [2, 0, 3])
    np.testing.assert_array_equal(demos.task_ids, [0, 0, 2, 2, 2])
    same, other = (base.pretraining(suite, seed, [2, 0, 3]) for seed in (0, 1))
    np.testing.assert_array_equal(demos.actions, same.actions)
    assert not np.isin(demos.actions, other.actions).any()


@pytest.mark.parametrize(
    "overrides",
    [
        dict(method="uniform"),
        # of three choices out of twelve tasks, some are the same with seed 0
        dict(method="uniform", batch=3),
        dict(method="amf", batch=3),
    ],
    ids=str,
)
def test_no_demonstration_is_given_twice(overrides, monkeypatch):
    asked, demonstrate = [], integrator.demonstrate

    def spy(entropy, task, count):
        asked.append(tuple(entropy))
        return demonstrate(entropy, task, count)

    monkeypatch.setattr(integrator, "demonstrate", spy)
    overrides = dict(rounds=3, demos_per_round=2, attempts=0) | overrides
    built = build.build(loading.load("integrator:6", overrides))
    built.tuner.run()
    calls = 3 * overrides.get("batch", 1)
    assert len(set(asked)) == len(asked) == 6 + calls
    actions = np.concatenate(
        [
            np.asarray(built.tuner.demos.actions).reshape(2 * calls, -1),
            np.asarray(built.tuner.learner_state.auxiliary.actions).reshape(12, -1),
        ]
    )
    assert len(np.unique(actions, axis=0)) == 2 * calls + 12
