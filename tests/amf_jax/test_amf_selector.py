"""The `amf` selector: its formulas transcribed, its options and its errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import candidates, embeddings, errors, posterior, selectors
from tests import problems
from tests.transcription import transcription

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)


@functools.cache
def build(space="function", embedding=EMBEDDING, **options):
    """A selector and its jitted `select`, compiled once for all tests."""
    selector = problems.amf(embedding, POLICY.log_likelihood, space=space, **options)
    return selector, jax.jit(selector.select)


def select_once(context, seed=0, **options):
    selector, select = build(**options)
    return select(jax.random.key(seed), selector.init(context), context)


def run_rounds(context, counts, **options):
    """Selects when the first `counts[r]` demonstrations are at hand, round by round."""
    selector, select = build(**options)
    state = selector.init(context)
    states, infos = [], []
    for count in counts:
        mask = context.demos.demo_mask & (jnp.arange(6) < count)
        now = context._replace(demos=context.demos._replace(demo_mask=mask))
        _, state, info = select(jax.random.key(0), state, now)
        states.append(state)
        infos.append(info)
    return states, infos


def remaining_variance(state, context):
    """Posterior variance of every recorded state under every task."""
    points = embeddings.embed_relabelled(
        EMBEDDING, context.embedding_params, None, context.demos, context.tasks
    )
    return posterior.variance(
        EMBEDDING.kernel, EMBEDDING.diagonal, state.posterior, points
    )


def assert_same_posterior(one, other, context):
    np.testing.assert_allclose(
        one.posterior.cholesky, other.posterior.cholesky, 1e-4, 1e-5
    )
    np.testing.assert_allclose(
        remaining_variance(one, context), remaining_variance(other, context), 1e-3, 1e-4
    )


@pytest.mark.parametrize(
    ("space", "criterion", "weights", "history"),
    [
        ("function", "variance", "self_normalised", True),
        ("function", "variance", "self_normalised", False),
        ("weight", "variance", "self_normalised", True),
        ("weight", "variance", "deterministic", False),
        ("function", "entropy", "self_normalised", True),
        ("function", "entropy", "deterministic", False),
        ("function", "prior_entropy", "off", True),
        ("function", "prior_entropy", "plain", False),
    ],
)
def test_scores_are_those_of_appendix_c(space, criterion, weights, history):
    with jax.enable_x64(True):
        context = problems.tiny_context(dtype=jnp.float64)
        choice, _, info = select_once(
            context,
            space=space,
            criterion=criterion,
            weights=weights,
            condition_on_history=history,
        )
        scores, evaluation = transcription(
            context, context.tasks, range(3), criterion, weights, history
        )
        np.testing.assert_allclose(info.scores, scores, 1e-9)
        np.testing.assert_allclose(info.importance_weights[:, :4], evaluation, 1e-9)
        assert choice.task_id == np.argmax(scores)


def test_amf_paper_has_plain_weights_and_no_history():
    context = problems.tiny_context()
    selector = selectors.amf_paper(EMBEDDING, POLICY.log_likelihood)
    state = selector.init(context)
    _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    scores, _ = transcription(context, context.tasks, None, "variance", "plain", False)
    np.testing.assert_allclose(info.scores, scores, 1e-4)


def test_prior_entropy_is_the_criterion_of_that_name():
    context = problems.tiny_context()
    selector = selectors.prior_entropy(
        EMBEDDING, POLICY.log_likelihood, weights="plain", condition_on_history=False
    )
    state = selector.init(context)
    _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    scores, _ = transcription(
        context, context.tasks, None, "prior_entropy", "plain", False
    )
    np.testing.assert_allclose(info.scores, scores, 1e-4)


def test_prior_entropy_takes_no_other_criterion():
    with pytest.raises(errors.InvalidArgumentError, match="got 'variance'; .* 'amf'"):
        selectors.prior_entropy(EMBEDDING, POLICY.log_likelihood, criterion="variance")


def random_features(params, key, observations, actions, tasks):
    """Other features of the inputs under every key."""
    inputs = jnp.concatenate([observations, actions, tasks], axis=-1)
    return inputs @ jax.random.normal(key, (inputs.shape[-1], 6), inputs.dtype)


def random_selection(contexts, keys, **options):
    """Selects round by round with an embedding that uses its key."""
    embedding = embeddings.Embedding(
        random_features, embeddings.linear_kernel, embeddings.linear_diagonal
    )
    selector = problems.amf(embedding, None, weights="off", **options)
    select, state = jax.jit(selector.select), selector.init(contexts[0])
    scores = []
    for context, key in zip(contexts, keys, strict=True):
        _, state, info = select(jax.random.key(key), state, context)
        scores.append(info.scores)
    return scores


def test_random_embeddings_stay_comparable_over_the_rounds():
    early, late = (problems.tiny_context(task_ids=ids) for ids in ((0, 1), (0, 1, 2)))
    late = late._replace(
        demos=late.demos._replace(
            observations=late.demos.observations.at[:2].set(
                early.demos.observations[:2]
            ),
            actions=late.demos.actions.at[:2].set(early.demos.actions[:2]),
        )
    )
    options = dict(normalise_kernel=False)
    _, appended = random_selection([early, late], (1, 2), **options)
    (at_once,) = random_selection([late], (3,), **options)
    np.testing.assert_allclose(appended, at_once, 1e-4)


def test_random_embeddings_that_move_are_drawn_anew():
    context = problems.tiny_context()
    one, same, other = random_selection(
        3 * [context], (1, 1, 2), frozen_embeddings=False
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_continuous_candidates_are_scored_like_any_task():
    drawn = jax.random.uniform(jax.random.key(8), (5, problems.TASK_SIZE))
    optimiser = candidates.random_shooting(lambda key, count: drawn[:count], 5)
    context = problems.tiny_context()
    choice, _, info = select_once(context, optimiser=optimiser)
    scores, _ = transcription(context, drawn, None, "variance", "self_normalised", True)
    np.testing.assert_allclose(info.scores, scores, 1e-4)
    assert choice.task_id == -1
    np.testing.assert_array_equal(choice.task, drawn[np.argmax(scores)])


def test_rounds_one_by_one_equal_all_at_once():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    states, infos = run_rounds(context, [1, 2, 4, 5], normalise_kernel=False)
    (batch,), (info,) = run_rounds(context, [5], normalise_kernel=False)
    assert_same_posterior(states[-1], batch, context)
    np.testing.assert_allclose(infos[-1].scores, info.scores, 1e-4)


def test_frozen_embeddings_keep_the_scale_of_the_first_selection():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    states, _ = run_rounds(context, [1, 3, 5])
    (first,), _ = run_rounds(context, [1])
    assert [state.posterior.scale for state in states] == 3 * [first.posterior.scale]


def test_moving_embeddings_start_anew_each_round():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    states, infos = run_rounds(context, [1, 3, 5], frozen_embeddings=False)
    (batch,), (info,) = run_rounds(context, [5], frozen_embeddings=False)
    assert len({float(state.posterior.scale) for state in states}) == 3
    assert_same_posterior(states[-1], batch, context)
    np.testing.assert_allclose(infos[-1].scores, info.scores, 1e-4)


def test_uncertainty_never_grows_with_demonstrations():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2, 2))
    states, _ = run_rounds(context, [1, 2, 3, 4, 5])
    left = np.array([remaining_variance(state, context) for state in states])
    assert (left >= 0).all()
    assert (np.diff(left, axis=0) <= 1e-5 * left.max()).all()
    assert left[-1].sum() < 0.8 * left[0].sum()


def test_pretraining_history_counts_like_demonstrations():
    context = problems.tiny_context(task_ids=(0, 1, 0, 2))
    demos = context.demos
    history, rest = (
        jax.tree.map(lambda leaf, part=part: leaf[part], demos)
        for part in (slice(0, 2), slice(2, 4))
    )
    selector, select = build(normalise_kernel=False)
    later = context._replace(demos=rest)
    state = jax.jit(selector.init)(later, history)
    _, after, _ = select(jax.random.key(0), state, later)
    (two, four), _ = run_rounds(context, [2, 4], normalise_kernel=False)
    for one, other in [(state, two), (after, four)]:
        np.testing.assert_allclose(
            remaining_variance(one, context),
            remaining_variance(other, context),
            1e-3,
            1e-4,
        )


@pytest.mark.parametrize("options", [dict(microbatch=1), dict(microbatch=5)])
def test_chunks_of_any_size_give_the_same_scores(options):
    context = problems.tiny_context()
    _, _, info = select_once(context, **options)
    _, _, expected = select_once(context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-4)


@pytest.mark.parametrize("samples", [4, 7])
def test_a_sample_of_all_demonstrations_scores_like_all_of_them(samples):
    context = problems.tiny_context()  # holds 4 of at most 6
    _, _, info = select_once(context, trajectory_samples=samples)
    _, _, expected = select_once(context)
    np.testing.assert_allclose(info.scores, expected.scores, 1e-4)
    np.testing.assert_allclose(
        info.importance_weights, expected.importance_weights, 1e-4
    )


def test_a_sample_is_drawn_anew_from_the_demonstrations_at_hand():
    context = problems.tiny_context()
    used = set()
    for seed in range(8):
        _, _, info = select_once(context, seed, trajectory_samples=2)
        columns = np.flatnonzero((info.importance_weights > 0).any(axis=0))
        assert columns.size <= 2
        assert set(columns) <= {0, 1, 2, 3}
        assert (info.effective_sample_size <= 2 + 1e-5).all()
        np.testing.assert_allclose(info.importance_weights.sum(axis=1), 1, 1e-5)
        used.add(tuple(columns))
    assert len(used) > 1


def test_deterministic_weights_need_a_demonstration_of_every_task():
    context = problems.tiny_context(task_ids=(0, 0, 2))
    choice, _, info = select_once(context, weights="deterministic")
    assert choice.task_id == -1
    with pytest.raises(errors.UndemonstratedTaskError, match="task push;"):
        selectors.check_choice(choice, info, ("reach", "push", "pull"))
    with pytest.raises(errors.UndemonstratedTaskError, match="task 1;"):
        selectors.check_choice(choice, info)


def impossible(params, observations, actions, tasks):
    """The likelihood of a policy that never acts as anyone did, under task 2."""
    found = POLICY.log_likelihood(params, observations, actions, tasks)
    strange = (tasks == problems.tiny_tasks()[2]).all(axis=-1)
    return jnp.where(strange, -jnp.inf, found)


def test_an_impossible_task_is_blamed_on_its_likelihood():
    context = problems.tiny_context(task_ids=(0, 1))

    def select(**options):
        selector = problems.amf(EMBEDDING, impossible, **options)
        return selector.select(jax.random.key(0), selector.init(context), context)

    choice, _, info = select()
    with pytest.raises(errors.SelectionError, match="for task pull: .* -inf") as raised:
        selectors.check_choice(choice, info, ("reach", "push", "pull"))
    assert raised.type is errors.SelectionError
    assert "self_normalised" not in str(raised.value)
    assert "likelihood_clip" in str(raised.value)
    choice, _, info = select(likelihood_clip=(-12.0, 0.0))
    selectors.check_choice(choice, info)


def test_candidates_that_are_no_numbers_are_blamed_on_the_search():
    optimiser = candidates.random_shooting(
        lambda _, count: jnp.full((count, 2), np.nan)
    )
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood, optimiser=optimiser)
    context = problems.tiny_context()
    state = selector.init(context)
    choice, _, info = selector.select(jax.random.key(0), state, context)
    with pytest.raises(errors.SelectionError, match="100 of 100 candidate .* NaN"):
        selectors.check_choice(choice, info)


def smaller_errors(params, *example):
    """The last layer, as of a policy with errors that are smaller by a factor."""
    features, error = POLICY.last_layer(params, *example)
    return features, params["factor"] * error


SMALLER = embeddings.last_layer_gradient(smaller_errors)


def duplicates(factor):
    context = problems.tiny_context(task_ids=(0, 1, 2, 0, 1, 2))
    demos = context.demos
    again = demos.observations.at[3:].set(demos.observations[:3] + 1e-4)
    return context._replace(
        demos=demos._replace(observations=again),
        embedding_params=context.embedding_params | {"factor": jnp.float32(factor)},
    )


@pytest.mark.parametrize(
    ("factor", "options", "sound"),
    [
        (1.0, dict(), True),
        (1.0, dict(noise_variance=1e-7), False),
        (1e-12, dict(), True),
        (1e-19, dict(), False),
        (1e-19, dict(space="weight"), False),
        (1e-30, dict(), False),
        (1e-30, dict(space="weight"), False),
    ],
)
def test_what_rounding_may_have_decided_is_warned_of(factor, options, sound):
    choice, _, info = select_once(duplicates(factor), embedding=SMALLER, **options)
    if sound:
        selectors.check_choice(choice, info)
    else:
        with pytest.warns(UserWarning, match="rounding"):
            selectors.check_choice(choice, info)


def test_deterministic_weights_need_no_likelihood():
    context = problems.tiny_context()
    selector = problems.amf(EMBEDDING, None, weights="deterministic")
    state = selector.init(context)
    choice, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    selectors.check_choice(choice, info)
    np.testing.assert_allclose(info.effective_sample_size, [2.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            dict(criterion="varience"),
            errors.UnknownNameError,
            "Did you mean 'variance'",
        ),
        (dict(weights="plane"), errors.UnknownNameError, "Did you mean 'plain'"),
        (dict(noise_variance=0.0), errors.InvalidArgumentError, "noise_variance"),
        (dict(noise_variance=-1.0), errors.InvalidArgumentError, "noise_variance"),
        (
            dict(noise_variance=float("nan")),
            errors.InvalidArgumentError,
            "noise_variance",
        ),
        (dict(trajectory_samples=0), errors.InvalidArgumentError, "trajectory_samples"),
        (
            dict(trajectory_samples=2, weights="deterministic"),
            errors.InvalidArgumentError,
            "trajectory_samples=None",
        ),
        (dict(microbatch=-1), errors.InvalidArgumentError, "microbatch"),
        (dict(weight_tolerance=1.0), errors.InvalidArgumentError, "weight_tolerance"),
        (dict(log_likelihood=None), errors.InvalidArgumentError, "log_likelihood"),
        (
            dict(log_likelihood=None, weights="plain"),
            errors.InvalidArgumentError,
            "deterministic",
        ),
        (
            dict(
                weights="deterministic",
                optimiser=candidates.random_shooting(lambda key, count: None),
            ),
            errors.InvalidArgumentError,
            "self_normalised",
        ),
    ],
)
def test_bad_options_are_refused(options, error, message):
    arguments = dict(log_likelihood=POLICY.log_likelihood) | options
    with pytest.raises(error, match=message):
        problems.amf(EMBEDDING, **arguments)


WITHOUT_DIAGONAL = EMBEDDING._replace(diagonal=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(criterion="entropy"), "criterion='entropy' .* embedding.diagonal"),
        (
            dict(criterion="prior_entropy", normalise_kernel=False),
            "criterion='prior_entropy' .* criterion='variance'",
        ),
        (dict(), "normalise_kernel=True .* embedding.diagonal, .*=False"),
    ],
)
def test_what_needs_a_diagonal_refuses_an_embedding_without(options, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        problems.amf(WITHOUT_DIAGONAL, POLICY.log_likelihood, **options)


def test_the_variance_form_needs_no_diagonal():
    context = problems.tiny_context()
    selector = problems.amf(
        WITHOUT_DIAGONAL,
        POLICY.log_likelihood,
        normalise_kernel=False,
        space="function",
    )
    state = selector.init(context)
    _, _, info = jax.jit(selector.select)(jax.random.key(0), state, context)
    _, _, expected = select_once(context, normalise_kernel=False)
    np.testing.assert_array_equal(info.scores, expected.scores)


def test_history_and_moving_embeddings_exclude_each_other():
    context = problems.tiny_context()
    selector, _ = build(frozen_embeddings=False)
    with pytest.raises(errors.InvalidArgumentError, match="frozen_embeddings"):
        selector.init(context, context.demos)
