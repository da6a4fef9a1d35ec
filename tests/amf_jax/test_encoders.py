"""Frozen backbones: computed once, never trained, in no state and no checkpoint."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from amf_jax import (
    ActiveFineTuner,
    embeddings,
    encoders,
    errors,
    finetune,
    learners,
    loop,
    losses,
    selectors,
)
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.policies import mlp
from tests import problems

TASKS = problems.tiny_tasks()
IMAGE = jax.ShapeDtypeStruct((4, 4, 1), jnp.uint8)
FEATURES = 3
#: How often each image was encoded since the last `counted()`, by its bytes.
ENCODED: collections.Counter[bytes] = collections.Counter()


def convolve(params, images):
    """A random convolution and a projection of its mean."""
    jax.debug.callback(lambda x: ENCODED.update(i.tobytes() for i in x), images)
    maps = jax.lax.conv_general_dilated(
        images / 255.0,
        params["kernel"],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(maps).mean(axis=(1, 2)) @ params["out"]


def convolve_under(params, images, tasks):
    """The same, modulated by the task: it reads the instruction."""
    return convolve(params, images) * jnp.tanh(tasks @ params["task"])


def backbone(width=4, per_task=False, seed=0, **options):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {
        "kernel": jax.random.normal(keys[0], (3, 3, 1, width)),
        "out": jax.random.normal(keys[1], (width, FEATURES)) / width**0.5,
    }
    if per_task:
        params["task"] = jax.random.normal(keys[2], (2, FEATURES))
        options |= {"tasks": TASKS}
    encode = convolve_under if per_task else convolve
    return encoders.Encoder(encode=encode, params=params, observed=IMAGE, **options)


def counted():
    """How often the images were encoded, each of them."""
    jax.effects_barrier()
    found = sorted(ENCODED.values())
    ENCODED.clear()
    return found


def images(seed, *shape):
    rng = np.random.default_rng((seed, 3))
    return rng.integers(0, 256, (*shape, *IMAGE.shape), np.uint8)


def filmed(seed, task_ids, **options):
    """Demonstrations of images, none of which are the same."""
    demos = problems.tiny_demos(seed, task_ids, tasks=TASKS, **options)
    return demos._replace(observations=images(seed, *demos.step_mask.shape))


def head(width=4, **options):
    zeros, ones = jnp.zeros(FEATURES), jnp.ones(FEATURES)
    return mlp.policy(zeros, ones, 2, 2, features=(width,), **options)


def split(per_task):
    """The trainable part of a policy."""
    return encoders.on_features(backbone(per_task=per_task), head())


def trained(policy):
    training = learners.Training(5, finetune.constant(0.02), batch_size=8)
    return learners.gradient_learner(policy, optax.scale_by_adam(), training, training)


@functools.cache  # what is jitted is compiled once
def parts(make, *arguments):
    """Learner and selector of a policy."""
    policy = make(*arguments)
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    rule = selectors.make("amf", embedding, policy.log_likelihood)
    return trained(policy), selectors.warm_start(rule, 1)


def run(learner, selector, **options):
    arguments = dict(
        pretraining=filmed(7, (0, 1, 0, 2)),
        demonstrate=lambda task, index, count: filmed(100 + index, (task,) * count),
        evaluate=watch,
        rounds=2,
        seed=0,
    )
    return ActiveFineTuner(
        learner=learner, selector=selector, tasks=TASKS, **(arguments | options)
    )


def watch(act, state, index):
    """A rollout of two episodes of two steps."""
    done = [act(images(1000 + 2 * index + t, 2), np.array([0, 2])) for t in range(2)]
    return {"done": np.stack(done).tolist()}


def size(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def test_states_and_checkpoints_grow_with_the_trainable_part_alone(tmp_path):
    found = {}
    for name, width, hidden in [("", 4, 4), ("body", 4000, 4), ("head", 4, 4000)]:
        encoder = backbone(width)
        folder = tmp_path / f"run{name}"
        options = dict(encoder=encoder, checkpoint_dir=folder)
        tuner = run(trained(head(hidden)), selectors.round_robin(), **options)
        tuner.ask()
        tuner.close()
        files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        states = tuner.learner_state, tuner.selector_state, tuner.demos
        found[name] = size(states), sum(files), size(encoder.params)
    assert found["body"][0] == found[""][0]
    frozen = 3996 * (9 + FEATURES) * 4
    assert found["body"][2] - found[""][2] == frozen
    # Files differ by how orbax happens to arrange and compress them.
    assert abs(found["body"][1] - found[""][1]) < frozen / 10
    # Three copies of the parameters, two moments: of kernels, biases and scales.
    more = 5 * 3996 * (FEATURES + 2 + 3 + 2) * 4
    assert found["head"][0] - found[""][0] == more
    assert found["head"][1] - found[""][1] > more / 4  # equal copies compress


def test_every_step_is_encoded_once_also_over_a_restart(tmp_path):
    encoder = backbone(per_task=True, microbatch_size=1)
    counted()
    straight = run(*parts(split, True), encoder=encoder)
    assert not counted()  # nothing is encoded before it is needed
    straight.run()
    # Recorded steps: ten of pre-training, three of each round, each under all tasks;
    # those of rollouts under the one that is done.
    assert counted() == [1] * (3 * 4) + [3] * (10 + 2 * 3)

    first = run(*parts(split, True), encoder=encoder, checkpoint_dir=tmp_path)
    first.tell(filmed(101, first.ask()))
    first.close()
    counted()
    second = run(*parts(split, True), encoder=encoder, checkpoint_dir=tmp_path)
    asked = second.ask()
    assert not counted()  # what it goes on with has been encoded
    second.tell(filmed(102, asked))
    assert counted() == [1] * 4 + [3] * 3
    second.close()
    for one, other in zip(straight.records, second.records, strict=True):
        assert one["done"] == other["done"]

    encoder = backbone(per_task=True, seed=1)
    changed = run(*parts(split, True), encoder=encoder, checkpoint_dir=tmp_path)
    with pytest.raises(errors.CheckpointError, match=r"encoder\.params\.sha256"):
        changed.ask()
    changed.close()


@pytest.mark.parametrize("per_task", [False, True])
def test_the_run_is_that_of_the_policy_in_one_piece(per_task):
    encoder = backbone(per_task=per_task, microbatch_size=4)
    blank = demonstrations_lib.empty_like(filmed(0, (0,)), 2)
    in_two = run(*parts(split, per_task), encoder=encoder)
    whole = run(*parts(problems.unsplit, encoder, head()), demos=blank)
    for one, other in zip(in_two.run(), whole.run(), strict=True):
        assert one["task"] == other["task"]
        done = one["done"], other["done"]
        np.testing.assert_allclose(*done, rtol=1e-3, atol=1e-5)
    ranked = in_two.records[2], whole.records[2]
    for name in ("scores", "importance_weights"):
        values = [record[name] for record in ranked]
        np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-6)
        assert np.ptp(values[0]) > 0
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5),
        in_two.learner_state.params,
        whole.learner_state.params["head"],
    )
    # What the other one carries three times, as it was given.
    jax.tree.map(
        np.testing.assert_array_equal,
        whole.learner_state.params["frozen"],
        encoder.params,
    )


def by_hand(encoder, demos):
    """Features step by step, `[N, H, F]` or `[N, H, K, F]`; zero where nothing is."""
    valid = np.asarray(demonstrations_lib.valid_steps(demos))
    tasks = [()] if encoder.tasks is None else [(task[None],) for task in TASKS]
    found = np.zeros((*valid.shape, len(tasks), FEATURES), np.float32)
    for row, time in np.argwhere(valid):
        image = jnp.asarray(demos.observations[row, time])[None]
        for k, task in enumerate(tasks):
            found[row, time, k] = encoder.encode(encoder.params, image, *task)[0]
    return found[:, :, 0] if encoder.tasks is None else found


@pytest.mark.parametrize("per_task", [False, True])
@pytest.mark.parametrize("microbatch_size", [1, 4, 100])
def test_features_are_those_of_each_step(microbatch_size, per_task):
    encoder = backbone(per_task=per_task, microbatch_size=microbatch_size)
    demos = filmed(3, (0, 1, 2), capacity=4)
    wanted = by_hand(encoder, demos)
    found = encoders.encode_demonstrations(encoder, demos)
    np.testing.assert_allclose(found.observations, wanted, rtol=1e-4, atol=1e-6)
    assert demonstrations_lib.observation_spec(found) == encoders.feature_spec(encoder)
    for name in ("actions", "step_mask", "tasks", "task_ids", "demo_mask"):
        np.testing.assert_array_equal(getattr(found, name), getattr(demos, name))
    # As part of a program, and where a program holds what is known.
    in_program = jax.jit(encoders.encode_demonstrations)(encoder, demos)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
        jax.jit(lambda: (encoders.encode_demonstrations(encoder, demos), in_program))(),
        (found, found),
    )


def test_other_parameters_compile_nothing():
    traces = []

    def encode(params, states):
        traces.append(params)
        return states @ params

    observed = jax.ShapeDtypeStruct((3,), jnp.float32)
    demos = problems.tiny_demos(0, (0, 1))
    for scale in (1.0, 2.0):
        encoder = encoders.Encoder(
            encode=encode, params=scale * jnp.eye(3), observed=observed
        )
        found = encoders.encode_demonstrations(encoder, demos)
        np.testing.assert_allclose(found.observations, scale * demos.observations)
    assert len(traces) == 2  # one look at the shapes, and one program


def test_features_are_of_the_task_that_is_asked_about():
    tasks = jnp.eye(3, 8)  # so wide that training encodes each of them once
    encoder = encoders.Encoder(
        encode=lambda params, states, tasks: states * (1 + tasks @ params),
        params=jnp.arange(24.0).reshape(8, 3),
        observed=jax.ShapeDtypeStruct((3,), jnp.float32),
        tasks=tasks,
    )
    options = dict(features=(4,), observation_horizon=2)
    trainable = mlp.policy(jnp.zeros(3), jnp.ones(3), 8, 2, **options)
    policy = encoders.on_features(encoder, trainable)
    demos = problems.tiny_demos(0, (0, 1, 2, 0), tasks=tasks, ragged=False)
    asked = jnp.array([2, 0, 1, 1])  # by relabelling: none of these is shown

    @jax.jit
    def both(params):
        features = encoders.encode_demonstrations(encoder, demos).observations
        seen, actions = features[:, :2], demos.actions[:, 0]  # [N, To, K, F]
        encoded = losses.tasks_of(policy.encode_task, params, tasks, asked)
        keys = jax.random.split(jax.random.key(0), 4)
        states = demos.observations[:, :2]
        own = states * (1 + tasks[asked] @ encoder.params)[:, None]
        unknown = policy.act(params, None, seen, tasks[asked] + 0.1)
        return unknown, [
            (
                one.act(params, None, given, tasks[asked]),
                losses.behaviour_cloning(one.loss, params, keys, given, actions, task),
            )
            for one, given, task in [
                (policy, seen, encoded),
                (trainable, own, tasks[asked]),
            ]
        ]

    unknown, (found, wanted) = both(trainable.init(jax.random.key(1)))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), found, wanted
    )
    assert np.isnan(unknown).all()


def test_the_scanned_loop_encodes_what_comes_in():
    encoder, learner = backbone(per_task=True), trained(split(True))
    shown = [[filmed(10 * r + c, (c,)) for c in range(3)] for r in range(2)]
    known = jax.tree.map(
        lambda *leaves: jnp.stack(leaves).reshape(2, 3, *leaves[0].shape),
        *(one for row in shown for one in row),
    )
    encoded, rollout = encoders.encode_demonstrations, jnp.asarray(images(5, 3))

    @functools.partial(jax.jit, static_argnums=1)
    def scanned(encoder, inside):
        def demonstrate(choice, index, demos):
            new = jax.tree.map(lambda leaf: leaf[index - 1, choice.task_id], known)
            return new if inside else encoded(encoder, new)

        def evaluate(act, state, index):
            seen = rollout
            if not inside:
                seen = encoders.encode(encoder, rollout, TASKS)
            return {"done": act(0, seen, jnp.arange(3))}

        pretraining = filmed(7, (0, 1, 0, 2))
        blank = demonstrations_lib.empty_like(encoded(encoder, filmed(0, (0,))), 2)
        return loop.run(
            jax.random.key(0),
            lambda demos: learner,
            selectors.round_robin(),
            loop.Environment(demonstrate, evaluate),
            TASKS,
            blank,
            rounds=2,
            pretraining=pretraining if inside else encoded(encoder, pretraining),
            encoder=encoder if inside else None,
        )

    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
        scanned(encoder, True),
        scanned(encoder, False),
    )


STATES = dict(observed=jax.ShapeDtypeStruct((3,), jnp.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(observed=(4, 4)), "pytree of jax.ShapeDtypeStruct"),
        (dict(STATES, microbatch_size=0), "microbatch_size must be"),
        (dict(STATES, tasks=np.zeros(3)), "task vectors as"),
        (dict(STATES, tasks=[[np.nan]]), "which are finite"),
    ],
)
def test_what_is_no_encoder_is_refused(arguments, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        encoders.Encoder(encode=lambda params, x: x, params=(), **arguments)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda params, states: states.mean(), "lead with the axis"),
        (lambda params, states: states / 0.0, "NaN or infinite, of demonstration 0"),
    ],
)
def test_what_does_not_encode_is_named(encode, message):
    encoder = encoders.Encoder(encode=encode, params=(), **STATES)
    with pytest.raises(errors.InvalidArgumentError, match=message):
        encoders.encode_demonstrations(encoder, problems.tiny_demos())


def test_what_cannot_be_encoded_is_refused():
    encoder, demos = backbone(per_task=True), filmed(0, (0, 1))
    small = demos._replace(observations=demos.observations[:, :, :2])
    with pytest.raises(errors.DemonstrationError, match="expected"):
        encoders.encode_demonstrations(encoder, small)
    floats = demos._replace(observations=demos.observations / 255.0)
    with pytest.raises(errors.InvalidArgumentError, match="uint8 of shape"):
        encoders.encode_demonstrations(encoder, floats)
    with pytest.raises(
        errors.InvalidArgumentError, match="observations of shape|takes"
    ):
        encoders.encode(encoder, {"image": images(0, 1)}, TASKS[:1])
    two = jax.ShapeDtypeStruct((1,), jnp.float32)
    uneven = dataclasses.replace(encoder, observed={"a": two, "b": two})
    with pytest.raises(errors.InvalidArgumentError, match=r"got \[\(2,\), \(3,\)\]"):
        encoders.encode(uneven, {"a": np.ones((2, 1)), "b": np.ones((3, 1))}, TASKS[:2])
    alien = demos._replace(
        tasks=demos.tasks.at[1].add(1.0), task_ids=-1 + 0 * demos.task_ids
    )
    with pytest.raises(errors.DemonstrationError, match="demonstration 1 is of a task"):
        encoders.encode_demonstrations(encoder, alien)


def test_a_run_that_does_not_fit_its_encoder_is_refused():
    parts = trained(head()), selectors.round_robin()
    with pytest.raises(errors.DemonstrationError, match="feature_spec"):
        run(*parts, encoder=backbone(), demos=filmed(0, (0,)))
    other = dataclasses.replace(backbone(per_task=True), tasks=TASKS[:2])
    with pytest.raises(errors.InvalidArgumentError, match="task 2 is none of"):
        run(*parts, encoder=other)
    with pytest.raises(errors.DemonstrationError, match="expected"):
        small = problems.tiny_demos(7, (0, 1), tasks=TASKS)
        run(*parts, encoder=backbone(), pretraining=small)
