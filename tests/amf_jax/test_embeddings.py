"""Embeddings against `jax.grad`, finite differences and explicit products."""

import functools

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import embeddings, errors
from tests import problems
from tests.embedding_problems import EXAMPLES, examples, small_mlp


def in_head(path):
    return "'head'" in path


def explicit_from_leaves(leaves):
    """`[n, (d + 1) A]` as `FactoredGradient.explicit` has it: kernel, then bias."""
    return np.concatenate([leaves["kernel"].ravel(), leaves["bias"].ravel()])


def head_gradients(policy, params):
    """Gradients for the head, one example after the other."""

    def loss(head, example):
        whole = {"params": {**params["params"], "head": head}}
        return policy.loss(whole, jax.random.key(0), *example)

    gradient = jax.jit(jax.grad(loss))
    head = params["params"]["head"]
    return np.stack(
        [
            explicit_from_leaves(jax.tree.map(np.asarray, gradient(head, example)))
            for example in zip(*examples(), strict=True)
        ]
    )


def test_last_layer_gradient_is_the_gradient_of_each_example():
    policy, params = small_mlp()
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    points = jax.jit(embedding.embed)(params, jax.random.key(0), *examples())
    np.testing.assert_allclose(
        points.explicit(),
        head_gradients(policy, params),
        rtol=1e-5,
        atol=1e-5,
    )


def test_loss_gradient_of_the_head_is_the_gradient_of_each_example():
    policy, params = small_mlp()
    embedding = embeddings.loss_gradient(policy.loss, parameter_filter=in_head)
    points = jax.jit(embedding.embed)(params, jax.random.key(0), *examples())
    expected = head_gradients(policy, params)
    # leaves come in the order of their names: bias before kernel
    size = problems.ACTION_SIZE
    expected = np.concatenate([expected[:, -size:], expected[:, :-size]], axis=1)
    np.testing.assert_allclose(points, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("everything", [False, True])
def test_gradients_match_finite_differences(everything):
    with jax.enable_x64(True):
        policy, params = small_mlp(jnp.float64)
        arrays = examples(dtype=jnp.float64)
        if everything:
            embedding = embeddings.loss_gradient(policy.loss)
            points = jax.jit(embedding.embed)(params, jax.random.key(0), *arrays)
            moved, rebuild = jax.flatten_util.ravel_pytree(params)
        else:
            embedding = embeddings.last_layer_gradient(policy.last_layer)
            factors = jax.jit(embedding.embed)(params, jax.random.key(0), *arrays)
            points = factors.explicit()
            head = params["params"]["head"]
            shape = head["kernel"].shape
            moved = jnp.concatenate([head["kernel"].ravel(), head["bias"]])

            def rebuild(flat):
                kernel, bias = flat[: -shape[1]].reshape(shape), flat[-shape[1] :]
                head = {"kernel": kernel, "bias": bias}
                return {"params": {**params["params"], "head": head}}

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None))
        def losses(flat, _):
            each = jax.vmap(policy.loss, in_axes=(None, None, 0, 0, 0))
            return each(rebuild(flat), jax.random.key(0), *arrays)

        steps = 1e-6 * jnp.eye(moved.size)
        rise = losses(moved[None, :] + steps, 0) - losses(moved[None, :] - steps, 0)
        np.testing.assert_allclose(points, rise.T / 2e-6, rtol=1e-6, atol=1e-7)


def test_factored_kernel_is_the_explicit_kernel():
    policy, params = small_mlp()
    embedding = embeddings.last_layer_gradient(policy.last_layer)
    x = jax.jit(embedding.embed)(params, jax.random.key(0), *examples(0))
    y = jax.jit(embedding.embed)(params, jax.random.key(0), *examples(1))
    y = jax.tree.map(lambda leaf: leaf[:4], y)
    left = np.asarray(x.explicit(), float)
    right = np.asarray(y.explicit(), float)
    np.testing.assert_allclose(embedding.kernel(x, y), left @ right.T, rtol=1e-4)
    np.testing.assert_allclose(
        embedding.diagonal(x), np.sum(left**2, axis=1), rtol=1e-5
    )


def test_factored_kernel_by_hand():
    # phi = outer([h, 1], e): [1, 2, 1] x [3] and [0, 1, 1] x [-1]
    x = embeddings.FactoredGradient(jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]))
    y = embeddings.FactoredGradient(jnp.array([[0.0, 1.0]]), jnp.array([[-1.0]]))
    np.testing.assert_allclose(x.explicit(), [[3.0, 6.0, 3.0]])
    np.testing.assert_allclose(x.kernel(y), [[-9.0]])
    np.testing.assert_allclose(x.diagonal(), [54.0])


def test_last_layer_feature_is_what_enters_the_head():
    policy, params = small_mlp()
    embedding = embeddings.last_layer_feature(policy.last_layer)
    points = jax.jit(embedding.embed)(params, jax.random.key(0), *examples())
    head = params["params"]["head"]
    observations, _, tasks = examples()
    np.testing.assert_allclose(
        np.asarray(points) @ np.asarray(head["kernel"]) + np.asarray(head["bias"]),
        policy.act(params, None, observations, tasks),
        rtol=1e-5,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        embedding.kernel(points, points),
        np.asarray(points) @ np.asarray(points).T,  # nothing for the bias
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", ["last_layer_gradient", "last_layer_feature"])
def test_a_policy_without_a_dense_last_layer_is_an_error(name):
    with pytest.raises(errors.InvalidArgumentError, match=r"None.*use loss_gradient"):
        getattr(embeddings, name)(None)


def test_linear_kernel_by_hand():
    x = jnp.array([[1.0, 2.0], [0.0, 3.0]])
    y = jnp.array([[2.0, -1.0]])
    np.testing.assert_allclose(embeddings.linear_kernel(x, y), [[0.0], [-3.0]])
    np.testing.assert_allclose(embeddings.linear_diagonal(x), [5.0, 9.0])


@pytest.mark.parametrize("size", [1, 2, 3, EXAMPLES, EXAMPLES + 3])
@pytest.mark.parametrize("kind", ["last_layer", "loss"])
def test_every_microbatch_size_gives_the_same_answer(kind, size):
    policy = problems.tiny_policy()
    params = jax.jit(policy.init)(jax.random.key(0))

    def embed(microbatch_size):
        if kind == "last_layer":
            embedding = embeddings.last_layer_gradient(
                policy.last_layer, microbatch_size=microbatch_size
            )
        else:
            embedding = embeddings.loss_gradient(
                policy.loss, microbatch_size=microbatch_size
            )
        return jax.jit(embedding.embed)(params, jax.random.key(0), *examples())

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
        embed(size),
        embed(None),
    )


def test_loss_gradients_chosen_by_name_are_embedded_in_microbatches():
    policy, params = small_mlp()
    rng = np.random.default_rng(0)
    sizes = problems.OBSERVATION_SIZE, problems.ACTION_SIZE, problems.TASK_SIZE
    many = [jnp.asarray(rng.normal(size=(75, size)), jnp.float32) for size in sizes]

    def embed(embedding):
        call = jax.jit(embedding.embed).lower(params, jax.random.key(0), *many)
        program = call.compile()
        points = program(params, jax.random.key(0), *many)
        return points, program.memory_analysis().temp_size_in_bytes

    points, memory = embed(embeddings.make("loss_gradient", policy))
    at_once, more_memory = embed(embeddings.loss_gradient(policy.loss))
    np.testing.assert_allclose(points, at_once, rtol=1e-4, atol=1e-5)
    assert memory < 0.75 * more_memory


def test_a_filter_that_selects_nothing_is_an_error():
    policy, params = small_mlp()
    embedding = embeddings.loss_gradient(
        policy.loss, parameter_filter=lambda path: "haed" in path
    )
    # the paths that would have matched are named
    with pytest.raises(
        errors.InvalidArgumentError, match=r"parameter_filter .*'head'.*'kernel'"
    ):
        jax.jit(embedding.embed)(params, jax.random.key(0), *examples())


def test_bare_function_by_hand():
    # pi = w s, loss = (w s - a)^2, so d loss / d w = 2 s (w s - a)
    embedding = embeddings.loss_gradient(
        lambda w, key, s, a, c: jnp.sum((w * s - a) ** 2)
    )
    points = embedding.embed(
        jnp.float32(3.0),
        jax.random.key(0),
        jnp.array([[2.0], [-1.0]]),
        jnp.array([[5.0], [0.0]]),
        jnp.zeros((2, 1)),
    )
    np.testing.assert_allclose(points, [[4.0], [6.0]])


def test_flax_nnx_model_embeds_like_the_same_bare_function():
    policy = problems.tiny_policy()
    params = jax.jit(policy.init)(jax.random.key(0))
    sizes = params["kernel"].shape
    model = nnx.Linear(*sizes, rngs=nnx.Rngs(0))
    model.kernel.set_value(params["kernel"])
    model.bias.set_value(params["bias"])
    graph, state = nnx.split(model)

    def loss(state, key, observation, action, task):
        outputs = nnx.merge(graph, state)(jnp.concatenate([observation, task]))
        return jnp.sum((outputs - action) ** 2)

    def gram(embedding, params):
        points = jax.jit(embedding.embed)(params, jax.random.key(0), *examples())
        return embedding.kernel(points, points)

    np.testing.assert_allclose(
        gram(embeddings.loss_gradient(loss), state),
        gram(embeddings.last_layer_gradient(policy.last_layer), params),
        rtol=1e-5,
        atol=1e-5,
    )
    only_kernel = embeddings.loss_gradient(
        loss, parameter_filter=lambda path: "kernel" in path
    )
    points = jax.jit(only_kernel.embed)(state, jax.random.key(0), *examples())
    assert points.shape == (EXAMPLES, params["kernel"].size)


def test_relabelling_pairs_every_state_with_every_task():
    embedding = embeddings.Embedding(lambda params, key, *arrays: arrays, None, None)
    demos = problems.tiny_demos()
    tasks = problems.tiny_tasks(0, 3)
    observations, actions, relabelled = embeddings.embed_relabelled(
        embedding, None, None, demos, tasks
    )
    rows, horizon = demos.step_mask.shape
    index = 0
    for k in range(3):
        for n in range(rows):
            for h in range(horizon):
                np.testing.assert_array_equal(
                    observations[index], demos.observations[n, h]
                )
                np.testing.assert_array_equal(actions[index], demos.actions[n, h])
                np.testing.assert_array_equal(relabelled[index], tasks[k])
                index += 1
    assert index == observations.shape[0]


def test_a_demonstration_is_embedded_under_its_own_task():
    embedding = embeddings.Embedding(lambda params, key, *arrays: arrays, None, None)
    demos = problems.tiny_demos()
    observations, actions, tasks = embeddings.embed_demonstration(
        embedding, None, None, demos, 2
    )
    np.testing.assert_array_equal(observations, demos.observations[2])
    np.testing.assert_array_equal(actions, demos.actions[2])
    np.testing.assert_array_equal(tasks, np.tile(demos.tasks[2], (3, 1)))
