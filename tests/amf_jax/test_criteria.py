"""The criterion, and with it the selector, against appendix C written out in NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import (
    criteria,
    demonstrations,
    embeddings,
    errors,
    importance,
    posterior,
    selectors,
)
from tests import problems

NOISE = 0.3
POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)


def entropy(variance):
    return 0.5 * np.log(2 * np.pi * np.e * variance)


class AppendixC:
    """One selection, literally: double loops, explicit kernels, `np.linalg.solve`.

    Slow and plain on purpose. `context` holds NumPy arrays; the other arguments are
    options of `selectors.amf`.
    """

    def __init__(self, context, *, weights, criterion, condition_on_history):
        self.context = context
        self.demos = demos = context.demos
        self.held = np.flatnonzero(demos.demo_mask)
        self.weights = self.importance_weights(weights)
        self.criterion = criterion
        self.condition_on_history = condition_on_history

    def outputs(self, params, i, t, task):
        inputs = np.concatenate([self.demos.observations[i, t], task])
        kernel, bias = np.asarray(params["kernel"]), np.asarray(params["bias"])
        return inputs, inputs @ kernel + bias

    def phi(self, demos, i, t, task):
        """2 (pi - a) x [s, c, 1] at the parameters for embeddings."""
        params = self.context.embedding_params
        inputs = np.concatenate([demos.observations[i, t], task])
        outputs = inputs @ np.asarray(params["kernel"]) + np.asarray(params["bias"])
        error = 2 * (outputs - np.asarray(demos.actions[i, t]))
        return np.outer(np.append(inputs, 1.0), error).ravel()

    def steps(self, i):
        return np.flatnonzero(self.demos.step_mask[i])

    def likelihood(self, i, task):
        """Product of pi(a | s, c) over the steps, at the current parameters."""
        product = 1.0
        for t in self.steps(i):
            _, mean = self.outputs(self.context.params, i, t, task)
            error = np.asarray(self.demos.actions[i, t]) - mean
            product *= np.prod(np.exp(-0.5 * error**2) / np.sqrt(2 * np.pi))
        return product

    def importance_weights(self, mode):
        tasks, held = np.asarray(self.context.tasks), self.held
        w = np.zeros((len(tasks), len(held)))
        for k, i in itertools.product(range(len(tasks)), range(len(held))):
            if mode == "off":
                w[k, i] = 1.0
            elif mode == "deterministic":
                w[k, i] = float(int(self.demos.task_ids[held[i]]) == k)
            else:  # eq. 3
                mixture = [
                    self.likelihood(held[i], np.asarray(self.demos.tasks[j]))
                    for j in held
                ]
                w[k, i] = self.likelihood(held[i], tasks[k]) / np.mean(mixture)
        if mode == "plain":
            return w / len(held)
        return w / w.sum(axis=1, keepdims=True)

    def occupancy(self):
        """(weight, phi) of every demonstration's steps under every task."""
        result = []
        for k, task in enumerate(np.asarray(self.context.tasks)):
            for column, i in enumerate(self.held):
                for t in self.steps(i):
                    weight = (
                        float(self.context.task_weights[k]) * self.weights[k, column]
                    )
                    result.append((weight, self.phi(self.demos, i, t, task)))
        return result

    def mean_diagonal(self):
        weights, phis = zip(*self.occupancy(), strict=True)
        return np.average([phi @ phi for phi in phis], weights=weights)

    def scores(self, scale, known=None):
        """Value of each task, given also what the policy was pre-trained on."""
        history = []
        if known is not None:
            history += self.own_phis(known)
        if self.condition_on_history:
            history += self.own_phis(self.demos)
        occupancy = self.occupancy()
        result = []
        for k, task in enumerate(np.asarray(self.context.tasks)):
            total = 0.0
            for column, i in enumerate(self.held):
                block = [self.phi(self.demos, i, t, task) for t in self.steps(i)]
                value = 0.0
                if self.criterion == "prior_entropy":
                    for phi in block:
                        value += entropy(self.remaining(history, phi, scale))
                else:
                    for weight, phi in occupancy:
                        after = self.remaining(history + block, phi, scale)
                        if self.criterion == "entropy":  # eq. 2, minimised
                            value -= weight * entropy(after)
                        else:  # eq. 4: the reduction, maximised
                            before = self.remaining(history, phi, scale)
                            value += weight * (before - after)
                total += self.weights[k, column] * value
            result.append(total)
        return np.array(result)

    def own_phis(self, demos):
        """Embeddings of recorded steps, each under its demonstration's own task."""
        return [
            self.phi(demos, i, t, np.asarray(demos.tasks[i]))
            for i in np.flatnonzero(demos.demo_mask)
            for t in np.flatnonzero(demos.step_mask[i])
        ]

    @staticmethod
    def remaining(known, phi, scale):
        """k(x, x) - K(x, X) [K(X, X) + noise I]^-1 K(X, x)."""
        prior = phi @ phi / scale
        if not known:
            return prior
        matrix = np.stack(known)
        gram = matrix @ matrix.T / scale + NOISE * np.eye(len(known))
        cross = matrix @ phi / scale
        return prior - cross @ np.linalg.solve(gram, cross)


def next_round(context, seed):
    """One more demonstration, of task 1, and a policy that has moved on."""
    shape = dict(horizon=context.demos.step_mask.shape[1], dtype=context.tasks.dtype)
    new = problems.tiny_demos(seed, (1,), tasks=context.tasks, **shape)
    params = jax.tree.map(lambda x: 1.3 * x - 0.1, context.params)
    return context._replace(
        demos=demonstrations.append(context.demos, new), params=params
    )


def choose(selector, contexts, history=None):
    """Choices and diagnostics of successive rounds."""
    state = jax.jit(selector.init)(contexts[0], history)
    return choose_from(state, jax.jit(selector.select), contexts)


def choose_from(state, select, contexts):
    for number, context in enumerate(contexts):
        choice, state, info = select(jax.random.key(number), state, context)
        yield choice, info


@pytest.mark.parametrize("condition_on_history", [True, False])
@pytest.mark.parametrize("criterion", criteria.CRITERIA)
@pytest.mark.parametrize("weights", importance.MODES)
def test_scores_are_those_of_appendix_c(weights, criterion, condition_on_history):
    options = dict(
        weights=weights,
        criterion=criterion,
        condition_on_history=condition_on_history,
    )

    def build(normalise_kernel):
        return selectors.amf(
            EMBEDDING,
            POLICY.log_likelihood,
            noise_variance=NOISE,
            normalise_kernel=normalise_kernel,
            **options,
        )

    with jax.enable_x64(True):
        first = problems.tiny_context(horizon=2, dtype=jnp.float64)
        contexts = [first, next_round(first, 7)]
        references = [
            AppendixC(jax.tree.map(np.asarray, context), **options)
            for context in contexts
        ]
        # A state without normalisation is one whose scale is set to one already, so
        # that both share a compilation.
        select = jax.jit(build(True).select)
        for normalise_kernel in (True, False):
            # frozen embeddings: the scale is set in the first round
            scale = references[0].mean_diagonal() if normalise_kernel else 1.0
            state = jax.jit(build(normalise_kernel).init)(first)
            rounds = choose_from(state, select, contexts)
            for reference, (choice, info) in zip(references, rounds, strict=True):
                expected = reference.scores(scale)
                np.testing.assert_allclose(info.scores, expected, rtol=1e-8)
                assert int(choice.task_id) == np.argmax(expected)
                task = reference.context.tasks[np.argmax(expected)]
                np.testing.assert_array_equal(choice.task, task)
                held = len(reference.held)
                actual = info.importance_weights
                np.testing.assert_allclose(
                    actual[:, :held], reference.weights, rtol=1e-10
                )
                np.testing.assert_array_equal(actual[:, held:], 0.0)


@pytest.mark.parametrize("condition_on_history", [True, False])
def test_scores_given_known_pretraining_demonstrations(condition_on_history):
    with jax.enable_x64(True):
        context = problems.tiny_context(horizon=2, dtype=jnp.float64)
        known = problems.tiny_demos(
            5, (2, 1), capacity=3, horizon=2, tasks=context.tasks, dtype=jnp.float64
        )
        options = dict(
            weights="self_normalised",
            criterion="entropy",
            condition_on_history=condition_on_history,
        )
        selector = selectors.amf(
            EMBEDDING, POLICY.log_likelihood, noise_variance=NOISE, **options
        )
        contexts = [context, next_round(context, 7)]
        rounds = choose(selector, contexts, known)
        for context, (_, info) in zip(contexts, rounds, strict=True):
            reference = AppendixC(jax.tree.map(np.asarray, context), **options)
            # the scale is the mean over what the policy was pre-trained on
            scale = np.mean([phi @ phi for phi in reference.own_phis(known)])
            np.testing.assert_allclose(
                info.scores, reference.scores(scale, known), rtol=1e-8
            )


def test_amf_paper_follows_the_embedding_parameters():
    with jax.enable_x64(True):
        first = problems.tiny_context(horizon=2, dtype=jnp.float64)
        moved = jax.tree.map(lambda x: 0.5 * x + 0.2, first.embedding_params)
        contexts = [first, next_round(first, 7)._replace(embedding_params=moved)]
        selector = selectors.amf_paper(
            EMBEDDING, POLICY.log_likelihood, noise_variance=NOISE
        )
        rounds = choose(selector, contexts)
        for context, (_, info) in zip(contexts, rounds, strict=True):
            reference = AppendixC(
                jax.tree.map(np.asarray, context),
                weights="plain",
                criterion="variance",
                condition_on_history=False,
            )
            np.testing.assert_allclose(
                info.scores, reference.scores(reference.mean_diagonal()), rtol=1e-8
            )


@pytest.mark.parametrize("criterion", ["entropy", "variance"])
def test_single_precision_follows_double_precision(criterion):
    context = problems.tiny_context(horizon=2)
    options = dict(
        weights="self_normalised", criterion=criterion, condition_on_history=True
    )
    selector = selectors.amf(
        EMBEDDING, POLICY.log_likelihood, noise_variance=NOISE, **options
    )
    ((_, info),) = choose(selector, [context])
    reference = AppendixC(jax.tree.map(np.asarray, context), **options)
    np.testing.assert_allclose(
        info.scores, reference.scores(reference.mean_diagonal()), rtol=1e-3, atol=1e-4
    )


# Equation 4 by hand: two tasks of one step each whose embeddings are orthogonal,
# phi(task 0) = (2, 0) and phi(task 1) = (0, 1); noise 1; both tasks equally important.
#
#                        task 0 is demonstrated      task 1 is demonstrated
#   reduction at task 0   4 * 4 / (4 + 1) = 3.2                         0
#   reduction at task 1                       0     1 * 1 / (1 + 1) = 0.5
#   expected reduction                      1.6                      0.25
#   variance left         (0.8 + 1) / 2 = 0.9          (4 + 0.5) / 2 = 2.25
#
# Demonstrating task 0 leaves less: the arg max of the reduction. The arg min that the
# paper prints would ask for task 1.
ORTHOGONAL = jnp.array([[2.0, 0.0], [0.0, 1.0]])
TASK_POINTS = embeddings.Embedding(
    lambda params, key, observations, actions, tasks: tasks,
    embeddings.linear_kernel,
    embeddings.linear_diagonal,
)


def orthogonal_context():
    demos = problems.tiny_demos(0, (1,), horizon=1, tasks=ORTHOGONAL)
    half = jnp.array([0.5, 0.5])
    return selectors.Context(demos, ORTHOGONAL, half, None, None)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("variance", [1.6, 0.25]),
        (
            "entropy",
            [
                -(entropy(0.8) + entropy(1.0)) / 2,
                -(entropy(4.0) + entropy(0.5)) / 2,
            ],
        ),
        ("prior_entropy", [entropy(4.0), entropy(1.0)]),
    ],
)
def test_the_informative_task_is_chosen(criterion, expected):
    selector = selectors.amf(
        TASK_POINTS,
        None,
        weights="off",
        criterion=criterion,
        condition_on_history=False,
        normalise_kernel=False,
        noise_variance=1.0,
    )
    ((choice, info),) = choose(selector, [orthogonal_context()])
    np.testing.assert_allclose(info.scores, expected, rtol=1e-6)
    assert expected[0] > expected[1]
    assert choice.task_id == 0


def test_what_was_demonstrated_is_not_asked_for_again():
    # Conditioned on its demonstration of task 0, variance 0.8 is left there: another
    # would remove 0.8 * 0.8 / (0.8 + 1) = 0.3556; the first of task 1 removes 0.5.
    context = orthogonal_context()
    context = context._replace(
        demos=problems.tiny_demos(0, (0,), horizon=1, tasks=ORTHOGONAL)
    )
    selector = selectors.amf(
        TASK_POINTS, None, weights="off", normalise_kernel=False, noise_variance=1.0
    )
    ((choice, info),) = choose(selector, [context])
    np.testing.assert_allclose(info.scores, [0.64 / 1.8 / 2, 0.5 / 2], rtol=1e-5)
    assert choice.task_id == 1


def test_noise_is_relative_to_the_mean_diagonal():
    # scale (4 + 1) / 2 = 2.5: k = 1.6 and 0.4, reductions 1.6^2 / 2.6 and 0.4^2 / 1.4
    selector = selectors.amf(
        TASK_POINTS, None, weights="off", condition_on_history=False
    )
    ((_, info),) = choose(selector, [orthogonal_context()])
    np.testing.assert_allclose(
        info.scores, [1.6**2 / 2.6 / 2, 0.4**2 / 1.4 / 2], rtol=1e-6
    )


def test_entropy_of_a_standard_gaussian():
    # 1/2 log(2 pi e) = 1.4189385; the floor stands in for a variance of zero
    np.testing.assert_allclose(
        criteria.entropy_of(jnp.array([1.0, 4.0, 0.0]), 1.0),
        [1.4189385, 1.4189385 + np.log(2.0), 1.4189385],
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_microbatch_change_nothing(name):
    rng = np.random.default_rng(0)
    blocks = jnp.asarray(rng.normal(size=(5, 2, 3)), jnp.float32)
    mask = jnp.asarray([[True, True], [True, False]] * 2 + [[True, True]])
    occupancy = criteria.Occupancy(
        jnp.asarray(rng.normal(size=(4, 3)), jnp.float32), jnp.full(4, 0.25)
    )
    held = posterior.empty(blocks[0], 2, 0.5)

    def score(size):
        rule = functools.partial(
            criteria.CRITERIA[name].score, TASK_POINTS, microbatch=size
        )
        return jax.jit(rule)(held, blocks, mask, occupancy)

    # five blocks: two pairs and one
    np.testing.assert_allclose(score(2), score(None), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["entropy", "prior_entropy"])
def test_an_entropy_needs_the_variance_of_each_point(name):
    points = jnp.ones((2, 3))
    occupancy = criteria.Occupancy(points, jnp.full(2, 0.5))
    embedding = TASK_POINTS._replace(diagonal=None)
    rule = criteria.CRITERIA[name]
    held = posterior.empty(points, 1, 0.5)
    with pytest.raises(errors.InvalidArgumentError, match="embedding.diagonal"):
        rule.score(embedding, held, points[None], jnp.ones((1, 2), bool), occupancy)
    assert rule.needs_diagonal


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_masked_steps_of_a_block_change_nothing(name):
    rng = np.random.default_rng(1)
    points = jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)
    padded = jnp.concatenate([points, jnp.full((2, 3), 1e3)])[None]
    occupancy = criteria.Occupancy(
        jnp.asarray(rng.normal(size=(4, 3)), jnp.float32), jnp.full(4, 0.25)
    )
    held = posterior.empty(points, 1, 0.5)
    score = jax.jit(functools.partial(criteria.CRITERIA[name].score, TASK_POINTS))
    np.testing.assert_allclose(
        score(held, padded, jnp.array([[True] * 2 + [False] * 2]), occupancy),
        score(held, points[None], jnp.ones((1, 2), bool), occupancy),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_masked_points_far_away_change_no_bit(name):
    rng = np.random.default_rng(2)
    near = jnp.asarray(rng.normal(size=(2, 3, 3)), jnp.float32)
    near = near.at[:, 1:].set(near[:, :1])  # next to nothing of a variance is left
    mask = jnp.ones((2, 3), bool).at[:, 2].set(False)
    rule = criteria.CRITERIA[name]

    def scores(blocks):
        occupancy = criteria.Occupancy(
            blocks.reshape(6, 3), jnp.where(mask, 0.25, 0.0).ravel()
        )
        held = posterior.empty(near[0], 1, 1e-9)
        given = TASK_POINTS, held, blocks, mask, occupancy
        return [score(*given) for score in (rule.score, rule.score_own) if score]

    run = jax.jit(scores)
    np.testing.assert_array_equal(run(near.at[:, 2].set(1e6)), run(near))


@pytest.mark.parametrize("name", criteria.CRITERIA)
def test_degenerate_embeddings_give_finite_scores(name):
    """Duplicate states, then zero gradients, in single precision."""
    context = problems.tiny_context(task_ids=(0, 0, 0, 0), num_tasks=2)
    repeated = jax.tree.map(lambda x: x.at[1:4].set(x[0]), context.demos)
    duplicates = context._replace(demos=repeated)
    # nothing to do and nothing done: every error is zero, and every embedding with it
    still = context._replace(
        demos=repeated._replace(actions=jnp.zeros_like(repeated.actions)),
        embedding_params=jax.tree.map(jnp.zeros_like, context.embedding_params),
    )
    selector = selectors.amf(
        EMBEDDING, POLICY.log_likelihood, criterion=name, noise_variance=1e-4
    )
    init, select = jax.jit(selector.init), jax.jit(selector.select)
    for problem in (duplicates, still):
        ((choice, info),) = choose_from(init(problem), select, [problem])
        assert np.isfinite(info.scores).all()
        assert choice.task_id in (0, 1)
