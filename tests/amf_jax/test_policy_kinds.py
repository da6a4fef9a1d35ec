"""The contract of policies of every kind, through every selector and learner.

What sees a dict or several observations is a policy of flat vectors if demonstrations
hold the same numbers side by side, and so is one with a frozen backbone as a whole:
whatever is computed of the one is what is computed of the other. What gives chunks has
no such twin; nothing of it may depend on padding.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import (
    ActiveFineTuner,
    embeddings,
    encoders,
    errors,
    finetune,
    learners,
    mixing,
    regularisers,
    selectors,
    streaming,
)
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.policies import mlp
from tests import problems

KINDS = {
    "dict, window": dict(observation_horizon=2),
    "chunk": dict(action_chunk=3, executed_steps=2),
    "dict, window, chunk": dict(observation_horizon=2, action_chunk=2),
    "frozen backbone, window": dict(observation_horizon=2),
}
#: Kinds that have a twin of flat vectors.
TWINS = "dict, window", "frozen backbone, window"
MIXED = np.float32([[1, 2, 0], [0, -1, 1], [2, 0, 1], [1, 1, 0], [0, 1, -1]]) / 2
#: Looks at the task as well: what is trained sees features of both.
BACKBONE = encoders.Encoder(
    encode=lambda params, *given: jnp.tanh(jnp.concatenate(given, axis=-1) @ MIXED),
    params=None,
    observed=jax.ShapeDtypeStruct((3,), jnp.float32),
    tasks=problems.tiny_tasks(),
)
RULES = [
    mixing.descent(3, steps=5),
    mixing.closed_form(3),
    mixing.gate(3),
    mixing.prequential(3),
    mixing.network(problems.tiny_tasks(), features=(3,), steps=5),
]


MEAN, STD = jnp.array([0.5, -1.0, 0.0]), jnp.array([2.0, 0.5, 1.0])
#: A vector of two numbers and an "image" of one.
PARTS = {"a": lambda x: x[..., :2], "b": lambda x: x[..., 2:, None]}


def demos(kind):
    flat = problems.tiny_demos(0, (0, 1, 0, 2), capacity=5)
    if "backbone" in kind:
        return encoders.encode_demonstrations(BACKBONE, flat)
    return flat._replace(observations=parts(kind, flat.observations))


def parts(kind, values):
    if "dict" not in kind:
        return values
    return {name: part(values) for name, part in PARTS.items()}


def make_policy(kind):
    normaliser = parts(kind, MEAN), parts(kind, STD)
    policy = mlp.policy(*normaliser, 2, 2, features=(4,), **KINDS[kind])
    return encoders.on_features(BACKBONE, policy) if "backbone" in kind else policy


def twin(kind):
    """The same policy as one of flat vectors, its demonstrations and parameters."""
    flat = problems.tiny_demos(0, (0, 1, 0, 2), capacity=5)
    if "backbone" in kind:
        head = mlp.policy(MEAN, STD, 2, 2, features=(4,), **KINDS[kind])
        params = [{"frozen": None, "head": held} for held in parameters(kind)]
        return problems.unsplit(BACKBONE, head), flat, params
    states = np.asarray(flat.observations)
    before = np.concatenate([states[:, :1], states[:, :-1]], axis=1)

    def side_by_side(before, now):
        columns = before[..., :2], now[..., :2], before[..., 2:], now[..., 2:]
        return jnp.concatenate(columns, axis=-1)

    policy = mlp.policy(
        side_by_side(MEAN, MEAN), side_by_side(STD, STD), 2, 2, features=(4,)
    )
    flat = flat._replace(observations=side_by_side(before, states))
    return policy, flat, parameters(kind)


def spoiled(given):
    """The same with NaN wherever nothing was recorded."""
    valid = demonstrations_lib.valid_steps(given)

    def one(leaf):
        kept = jnp.expand_dims(valid, range(2, leaf.ndim))
        return jnp.where(kept, leaf, jnp.nan)

    return given._replace(
        observations=jax.tree.map(one, given.observations), actions=one(given.actions)
    )


@functools.cache
def parameters(kind):
    policy = make_policy(kind)
    init = jax.jit(policy.init)
    return [init(jax.random.key(seed)) for seed in range(2)]


def close(one, other):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-6), one, other
    )


def scores(name, embedding, policy, given, params):
    tasks = problems.tiny_tasks()
    context = selectors.Context(given, tasks, jnp.array([0.2, 0.3, 0.5]), *params)
    selector = selectors.make(
        name, embeddings.make(embedding, policy), policy.log_likelihood
    )

    @jax.jit
    def run(context):
        state = selector.init(context)
        return selector.select(jax.random.key(0), state, context)

    choice, _, info = run(context)
    selectors.check_choice(choice, info)
    return info.scores


@pytest.mark.parametrize("kind", [*TWINS, "chunk"])
@pytest.mark.parametrize(
    "name", [name for name, entry in selectors.SELECTORS.items() if entry.needs_model]
)
def test_every_selector_takes_every_kind_of_policy(name, kind):
    embedding = "last_layer_gradient"
    given = make_policy(kind), spoiled(demos(kind)), parameters(kind)
    found = scores(name, embedding, *given)
    assert np.ptp(found) > 0
    if kind in TWINS:
        close(found, scores(name, embedding, *twin(kind)))


@pytest.mark.parametrize(
    "kind", ["chunk", "dict, window, chunk", "frozen backbone, window"]
)
@pytest.mark.parametrize("embedding", sorted(embeddings.EMBEDDINGS))
def test_every_embedding_takes_every_kind_of_policy(embedding, kind):
    policy, (params, _) = make_policy(kind), parameters(kind)
    made = embeddings.make(embedding, policy)
    given = demonstrations_lib.fill_padding(spoiled(demos(kind)))
    rows = jnp.arange(4)

    @jax.jit
    def gram(params):
        points = embeddings.embed_pairs(
            made, params, jax.random.key(0), given, rows, given.tasks[rows]
        )
        flat = jax.tree.map(lambda leaf: leaf.reshape(12, *leaf.shape[2:]), points)
        return made.kernel(flat, flat), made.diagonal(flat)

    kernel, diagonal = gram(params)
    recorded = demonstrations_lib.valid_steps(given)[:4].ravel()
    assert np.isfinite(kernel).all() and diagonal[recorded].min() > 0
    close(jnp.diagonal(kernel), diagonal)
    if embedding != "network_gradient":
        return
    # The factors of all layers, against the gradient of the masked loss of the chunk.
    gradients = embeddings.make("loss_gradient", policy)
    points = embeddings.embed_pairs(
        gradients, params, jax.random.key(0), given, rows, given.tasks[rows]
    ).reshape(12, -1)
    close(kernel, points @ points.T)


@pytest.mark.parametrize("kind", [*TWINS, "chunk"])
def test_every_learner_takes_every_kind_of_policy(kind):
    given = demos(kind)
    found = two_rounds(make_policy(kind), spoiled(given), parameters(kind))
    if kind in TWINS:
        close(found, two_rounds(*twin(kind)))
    else:
        close(found, two_rounds(make_policy(kind), given, parameters(kind)))
    alphas, losses, _ = found
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    for alpha in alphas:
        assert ((alpha >= 0) & (alpha <= 1)).all()


def all_rules():
    """Every mixing rule at once, of which the first one acts."""

    def joined(states):
        return mixing.MixingState(states[0].alpha, states)

    return mixing.Mixing(
        init=lambda key: joined([rule.init(jax.random.clone(key)) for rule in RULES]),
        update=lambda state, comparison: joined(
            [
                rule.update(own, comparison)
                for rule, own in zip(RULES, state.auxiliary, strict=True)
            ]
        ),
        weights=lambda state, tasks, ids: RULES[0].weights(
            state.auxiliary[0], tasks, ids
        ),
    )


def two_rounds(policy, given, params):
    """Alphas and the losses of two rounds, and what the policy then does."""
    training = learners.Training(20, finetune.constant(0.02), batch_size=8)
    learner = learners.gradient_learner(
        policy,
        finetune.adamw_direction(),
        training,
        training,
        mixing=all_rules(),
        regulariser=regularisers.ewc(policy, 0.01, samples=4),
        initial_params=params[0],
    )

    @jax.jit
    def run(given):
        state = learner.init(jax.random.key(0), None)
        keys = jax.random.split(jax.random.key(1), 2)
        state, metrics = jax.lax.scan(
            lambda state, key: learner.update(key, state, given), state, keys
        )
        first = jax.tree.map(
            lambda leaf: (
                jnp.repeat(leaf[:3, :1], learner.window.observation_horizon, 1)
                if learner.window.observation_horizon > 1
                else leaf[:3, 0]
            ),
            given.observations,
        )
        acted = learner.act(
            state, jax.random.key(2), first, given.tasks[:3], given.task_ids[:3]
        )
        alphas = [rule.alpha for rule in state.auxiliary.mixing]
        return alphas, metrics["losses"].ravel(), acted

    return run(given)


@pytest.mark.parametrize("kind", ["dict, window", "chunk"])
def test_a_pool_that_is_streamed_takes_every_kind_of_policy(kind):
    policy, (params, embedding_params) = make_policy(kind), parameters(kind)
    pool = jax.tree.map(np.asarray, spoiled(demos(kind)))
    made = embeddings.make("last_layer_gradient", policy)
    _, info = streaming.select(
        lambda: iter([pool]),
        made,
        policy.log_likelihood,
        problems.tiny_tasks(),
        params=params,
        embedding_params=embedding_params,
        task_weights=jnp.array([0.2, 0.3, 0.5]),
    )
    given = policy, demos(kind), parameters(kind)
    in_memory = scores("amf", "last_layer_gradient", *given)
    np.testing.assert_allclose(info.scores, in_memory, rtol=1e-4)


def test_a_run_of_dicts_and_chunks_is_resumed(tmp_path):
    kind = "dict, window, chunk"
    policy, given = make_policy(kind), jax.tree.map(np.asarray, demos(kind))
    training = learners.Training(3, finetune.constant(0.02), batch_size=8)

    def run():
        tuner = ActiveFineTuner(
            learner=learners.gradient_learner(
                policy,
                finetune.adamw_direction(),
                training,
                training,
                initial_params=parameters(kind)[0],
            ),
            selector=selectors.round_robin(),
            tasks=problems.tiny_tasks(),
            demonstrate=lambda task, index, count: jax.tree.map(
                lambda leaf: leaf[np.flatnonzero(given.task_ids == task)[:1]], given
            ),
            rounds=1,
            seed=0,
            demos=demonstrations_lib.empty_like(given, 1),
            checkpoint_dir=tmp_path,
        )
        tuner.run()
        tuner.close()
        return tuner.demos, tuner.learner_state

    jax.tree.map(np.testing.assert_array_equal, run(), run())


def test_the_driver_evaluates_in_episodes():
    kind = "dict, window, chunk"
    policy, given = make_policy(kind), demos(kind)
    training = learners.Training(3, finetune.constant(0.02), batch_size=8)
    seen, done = [], []

    def evaluate(act, state, round_index):
        for episodes in (2, 3):
            act.reset()
            for step in range(3):
                observations = jax.tree.map(
                    lambda leaf, n=episodes, t=step: np.asarray(leaf[:n, t]),
                    given.observations,
                )
                seen.append(observations)
                done.append(act(observations, np.zeros(episodes, np.int32)))
        one = jax.tree.map(lambda leaf: leaf[:1], seen[-1])
        for others, ids, words in [
            (one, [0], "3 episodes and now for 1, .* act.reset"),
            (seen[-1], [0, 2, 0], "task 0 and now for task 2 in episode 1, .* act.res"),
        ]:
            with pytest.raises(errors.InvalidArgumentError, match=words):
                act(others, ids)
        return {}

    tuner = ActiveFineTuner(
        learner=learners.gradient_learner(
            policy,
            finetune.adamw_direction(),
            training,
            training,
            initial_params=parameters(kind)[0],
        ),
        selector=selectors.round_robin(),
        tasks=problems.tiny_tasks(),
        evaluate=evaluate,
        rounds=1,
        seed=0,
        demos=demonstrations_lib.empty_like(given, 1),
    )
    tuner.ask()  # round 0 is evaluated before
    assert [actions.shape for actions in done] == [(2, 2)] * 3 + [(3, 2)] * 3
    # Asked at the first and the third step, of which it sees the second as well.
    for observations, actions in [
        ((seen[0], seen[0]), done[:2]),
        ((seen[1], seen[2]), done[2:3]),
    ]:
        windows = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *observations)
        tasks = jnp.tile(problems.tiny_tasks()[:1], (2, 1))
        chunk = policy.act(tuner.learner_state.params, None, windows, tasks)
        for step, acted in enumerate(actions):
            np.testing.assert_allclose(acted, chunk[:, step], rtol=1e-5)
    ids = np.zeros(2, np.int32)
    with pytest.raises(errors.InvalidArgumentError, match="call actor"):
        tuner.act(seen[0], ids)
    again = tuner.actor()
    np.testing.assert_allclose(again(seen[0], ids), done[0], rtol=1e-5)
