"""Several devices against one, as a program: one process of several, or the only one.

    python -m tests.on_devices PROCESS PROCESSES DEVICES_OF_EACH PORT

checks everything on a mesh of all devices and prints as JSON, check by check, what was
chosen or computed. It fails at the first thing that differs from one device.
"""

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import tests.conftest  # noqa: F401  as strict as the tests, before anything is traced
from amf_jax import candidates, devices, embeddings, finetune, learners, selectors
from amf_jax.driver import ActiveFineTuner
from amf_jax.selectors import sharded
from amf_jax.selectors.pairs import Pairs
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
ROWS, TASKS, STEPS = 7, 3, 3  # 21 pairs, which no number of devices here divides
AT_HAND = (3, 5)  # demonstrations, round by round
CALLS = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|collective-\w+|reduce-scatter)"
    r"(?:-start)?\("
)


def uphill(key, objective, tasks):
    """The evaluation tasks, each moved along the slope of the criterion."""

    def value(tasks):
        ids = jnp.arange(tasks.shape[0], dtype=jnp.int32)
        return objective(candidates.Candidates(ids, tasks))

    _, slope = jax.jvp(value, (tasks,), (jnp.ones_like(tasks),))
    moved = tasks + 0.1 * slope[:, None]
    return candidates.Candidates(jnp.full(tasks.shape[:1], -1), moved), value(moved)


#: Options of `amf`. Two processes run the first three.
SELECTIONS = {
    "gram": dict(path="gram", weight_tolerance=0.3),
    "feature": dict(path="feature", weight_tolerance=None),
    "entropy": dict(path="gram", criterion="entropy", weight_tolerance=0.3),
    "gram, all pairs": dict(
        path="gram", weight_tolerance=None, condition_on_history=False
    ),
    "feature, pruned": dict(path="feature", weight_tolerance=0.3),
    "other candidates": dict(path="gram", optimiser=uphill, trajectory_samples=4),
}


def context(count):
    found = problems.tiny_context(
        0, (0, 1, 2, 0, 1), num_tasks=TASKS, capacity=ROWS, horizon=STEPS
    )
    mask = jnp.arange(ROWS) < count
    return found._replace(demos=found.demos._replace(demo_mask=mask))


def rounds(mesh, options):
    """A program and what it chooses, round by round, with a known history."""
    selector = selectors.amf(EMBEDDING, POLICY.log_likelihood, mesh=mesh, **options)
    known = problems.tiny_demos(5, (1, 2), tasks=problems.tiny_tasks(0, TASKS))
    select = jax.jit(selector.select)
    state, found = jax.jit(selector.init)(context(0), known), []
    for index, count in enumerate(AT_HAND):
        choice, state, info = select(jax.random.key(index), state, context(count))
        found.append(jax.device_get((choice, info)))
    assert select._cache_size() == 1, "a later round compiled anew"
    return select, state, found


def check_selection(mesh, name):
    _, _, alone = rounds(None, SELECTIONS[name])
    _, _, together = rounds(mesh, SELECTIONS[name])
    for (choice, info), (expected, expected_info) in zip(together, alone, strict=True):
        assert choice.task_id == expected.task_id
        close((choice, info), (expected, expected_info))
        assert np.ptp(info.scores) > 1e-3 * np.abs(info.scores).max()
    return [choice.task_id.tolist() for choice, _ in together]


def check_communication(mesh):
    """What the docs say is sent, of which size; and nothing else."""
    rows = -(-ROWS // mesh.size) * mesh.size
    pairs = -(-TASKS * ROWS // mesh.size) * mesh.size
    width = problems.OBSERVATION_SIZE + problems.TASK_SIZE
    actions, likelihoods = problems.ACTION_SIZE, TASKS * rows
    points = [pairs * STEPS * part for part in (width, actions, 1)]  # and what counts
    moment = ((width + 1) * actions) ** 2
    sent = {
        "gram": [("all-gather", n) for n in (likelihoods, *points, pairs)],
        "feature": [
            *(("all-gather", n) for n in (likelihoods, pairs)),
            ("all-reduce", moment + 1),  # and the mass
        ],
    }
    for name, expected in sent.items():
        select, state, _ = rounds(mesh, SELECTIONS[name])
        found = calls(select.lower(jax.random.key(0), state, context(3)))
        assert sorted(found) == sorted(expected), f"{name}: {found}, not {expected}"
    return sent


def check_even_split(mesh):
    """All pairs that count are somebody's, and nobody has two more than another."""
    total, counts = TASKS * ROWS, []
    order = jnp.asarray(np.random.default_rng(0).permutation(total), jnp.int32)

    @jax.jit
    def split(kept):
        def share():
            pairs = Pairs(1.0 + order, order, kept, lambda order: (order, order))
            own = sharded.deal(mesh, pairs)
            held = (own.weights, own.order, own.num_kept)
            return jax.lax.all_gather(held, mesh.axis_names)

        return devices.everywhere(mesh, share)()

    for kept in (0, 1, mesh.size, 13, total):
        weights, own, held = jax.device_get(split(jnp.int32(kept)))
        first = np.arange(own.shape[1]) < held[:, None]
        assert sorted(own[first]) == sorted(np.asarray(order[:kept]))
        np.testing.assert_array_equal(weights[first], 1 + own[first])
        assert held.max() - held.min() <= 1
        counts.append(held.tolist())
    return counts


def noisy_loss(params, key, observation, action, task):
    """Depends on which key an example gets."""
    noise = 0.1 * jax.random.normal(key, action.shape)
    return POLICY.loss(params, None, observation, action + noise, task)


def batch_loss(params, key, observations, actions, tasks, rows):
    each = jax.vmap(POLICY.loss, in_axes=(None, None, 0, 0, 0))
    return each(params, None, observations, actions, tasks[rows]).mean()


def trainer(mesh=None, **options):
    """`(key, params) -> FineTuned` by a few steps on minibatches of 16."""
    optimizer = finetune.adamw_direction()
    demos = options["demos"] if "demos" in options else context(5).demos

    def train(key, params):
        return finetune.finetune(
            options.get("loss", noisy_loss),
            optimizer,
            finetune.cosine(0.05),
            key,
            params,
            optimizer.init(params),
            demos,
            12,
            batch_size=16,
            penalty=lambda params: jax.tree.map(lambda leaf: 0.1 * leaf, params),
            batch_loss=options.get("batch_loss"),
            mesh=mesh,
        )

    return train


def check_finetuning(mesh):
    found = []
    for options in ({}, {"batch_loss": batch_loss}):
        arguments = jax.random.key(0), POLICY.init(jax.random.key(1))
        train = jax.jit(trainer(mesh, **options))
        sent = calls(train.lower(*arguments))
        alone, together = jax.jit(trainer(**options))(*arguments), train(*arguments)
        close(together, alone)
        size = 1 + sum(leaf.size for leaf in jax.tree.leaves(alone.params))
        assert sent == [("all-reduce", size)], sent  # once, in the loop over steps
        found.append(np.asarray(together.losses[:3]).tolist())
    return found


def check_one_program(mesh):
    """A selection whose choice is trained on, without a word to the host."""

    def program(mesh):
        selector = selectors.amf(EMBEDDING, POLICY.log_likelihood, mesh=mesh)

        @jax.jit
        def run(key, now):
            choice, _, _ = selector.select(key, selector.init(now), now)
            demos = now.demos._replace(tasks=now.demos.tasks.at[0].set(choice.task))
            return choice, trainer(mesh, demos=demos)(jax.random.key(3), now.params)

        return run(jax.random.key(0), context(4))

    together, alone = program(mesh), program(None)
    close(together, alone)
    return together[0].task_id.tolist()


def check_seeds(mesh):
    """Seeds dealt out to the devices are as if alone, and send nothing."""
    number = 2 * mesh.size
    line = Mesh(mesh.devices.ravel(), ("seed",))
    params = jax.vmap(POLICY.init)(jax.random.split(jax.random.key(1), number))
    train = jax.jit(jax.vmap(trainer()))
    arguments = jax.device_put(
        (jax.random.split(jax.random.key(2), number), params),
        NamedSharding(line, PartitionSpec("seed")),
    )
    assert calls(train.lower(*arguments)) == []
    together = jax.device_get(train(*arguments))
    for seed in (0, number - 1):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], (params, together))
        key = jax.random.split(jax.random.key(2), number)[seed]
        close(own[1], jax.jit(trainer())(key, own[0]))
    return together.losses[:, 0].tolist()


def check_driver(mesh):
    """A whole run with all its parts on the mesh; later rounds compile nothing."""

    def records(mesh):
        compiled, counts = [], []

        def listen(name, seconds, **kwargs):
            if name == "/jax/core/compile/backend_compile_duration":
                compiled.append(name)

        training = learners.Training(10, finetune.cosine(0.05), batch_size=16)
        tuner = ActiveFineTuner(
            learner=learners.gradient_learner(
                POLICY, finetune.adamw_direction(), training, training, mesh=mesh
            ),
            selector=selectors.amf(EMBEDDING, POLICY.log_likelihood, mesh=mesh),
            tasks=problems.tiny_tasks(),
            pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=problems.tiny_tasks()),
            demos=problems.tiny_demos(0, (0, 1, 2), capacity=8),
            demonstrate=lambda task, index, count: problems.tiny_demos(
                10 * index + task, (task,) * count, tasks=problems.tiny_tasks()
            ),
            rounds=4,
            seed=0,
        )
        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            tuner.run(lambda record: counts.append(len(compiled)))
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        assert counts[1] > counts[0] and counts[1:] == [counts[1]] * 4, counts
        return tuner.records

    alone, together = records(None), records(mesh)
    for record, expected in zip(together[1:], alone[1:], strict=True):
        assert record["task"] == expected["task"]
        np.testing.assert_allclose(record["scores"], expected["scores"], 1e-3, 1e-5)
    return [record["task"] for record in together[1:]]


def calls(lowered):
    """Collective operations of a program and how many numbers each one sends."""
    found = []
    for shapes, name in CALLS.findall(lowered.compile().as_text()):
        sizes = [
            int(np.prod([int(size) for size in dims.split(",") if size]))
            for dims in re.findall(r"\[([\d,]*)\]", shapes)
        ]
        found.append((name, sum(sizes)))
    return found


def close(found, expected):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
        jax.device_get(found),
        jax.device_get(expected),
    )


def main(process, processes, each, port):
    jax.config.update("jax_num_cpu_devices", each)
    jax.config.update("jax_disable_most_optimizations", True)
    selections = list(SELECTIONS)
    checks = {"finetuning": check_finetuning}
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            f"localhost:{port}", processes, process, initialization_timeout=120
        )
        selections = selections[:3]
    else:
        checks |= {
            "communication": check_communication,
            "even split": check_even_split,
            "one program": check_one_program,
            "seeds": check_seeds,
            "driver": check_driver,
        }
    assert jax.device_count() == processes * each
    # Of two axes, explicit as jax.make_mesh has them: taken as one line all the same.
    mesh = jax.make_mesh((2, processes * each // 2), ("host", "chip"))
    found = {name: check_selection(mesh, name) for name in selections}
    found |= {name: check(mesh) for name, check in checks.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
