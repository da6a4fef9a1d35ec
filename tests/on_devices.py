"""Several devices against one, as a program: one process of several, or the only one.

    python -m tests.on_devices PROCESS PROCESSES DEVICES_OF_EACH PORT CHECK...

checks some of `CHECKS` on a mesh of all devices and prints as JSON what was chosen or
computed in each. It fails at the first thing that differs from one device.
"""

import functools
import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import tests.conftest  # noqa: F401  as strict as the tests, before anything is traced
from amf_jax import (
    candidates,
    devices,
    embeddings,
    finetune,
    learners,
    loop,
    selectors,
)
from amf_jax.posterior.pairs import Pairs
from amf_jax.session.driver import ActiveFineTuner
from tests import problems

POLICY = problems.tiny_policy()
EMBEDDING = embeddings.last_layer_gradient(POLICY.last_layer)
ROWS, TASKS, STEPS = 7, 3, 3  # 21 pairs, which no number of devices here divides
AT_HAND = (3, 5)  # demonstrations, round by round
ROUNDS = 3  # of whole runs
COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|all-to-all|collective-\w+|reduce-scatter)"
    r"(?:-start)?\("
)


def slopes(key, objective, tasks):
    """Scores candidates by the slope of the criterion, as a gradient step would."""
    found = candidates.Candidates(jnp.arange(tasks.shape[0], dtype=jnp.int32), tasks)

    def value(tasks):
        return objective(found._replace(tasks=tasks))

    return found, jax.jvp(value, (tasks,), (jnp.ones_like(tasks),))[1]


#: Options of `amf`: both paths, pruned and with all pairs, with and without history.
SELECTIONS = {
    "function": dict(space="function", weight_tolerance=0.3),
    "function, all pairs": dict(
        space="function", weight_tolerance=None, condition_on_history=False
    ),
    "weight": dict(space="weight", weight_tolerance=0.3),
    "weight, all pairs": dict(space="weight", weight_tolerance=None),
    "entropy": dict(space="function", criterion="entropy", weight_tolerance=0.3),
    "slopes": dict(space="function", optimiser=slopes, trajectory_samples=4),
}


def context(count):
    found = problems.tiny_context(
        0, (0, 1, 2, 0, 1), num_tasks=TASKS, capacity=ROWS, horizon=STEPS
    )
    mask = jnp.arange(ROWS) < count
    return found._replace(demos=found.demos._replace(demo_mask=mask))


def rounds(mesh, options):
    """What is sent in a round, and what is chosen in all; history included.

    The program of the first round is the only one: it would refuse a state that lies
    elsewhere than the first.
    """
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood, mesh=mesh, **options)
    known = problems.tiny_demos(5, (1, 2), tasks=problems.tiny_tasks(0, TASKS))
    state = jax.jit(selector.init)(context(0), known)
    lowered = jax.jit(selector.select).lower(jax.random.key(0), state, context(0))
    select, found = lowered.compile(), []
    for index, count in enumerate(AT_HAND):
        choice, state, info = select(jax.random.key(index), state, context(count))
        found.append(jax.device_get((choice, info)))
    return sent(select), found


def check_selection(options, mesh):
    _, alone = rounds(None, options)
    communicated, together = rounds(mesh, options)
    for (choice, info), (expected, expected_info) in zip(together, alone, strict=True):
        assert choice.task_id == expected.task_id
        close((choice, info), (expected, expected_info))
        assert np.ptp(info.scores) > 1e-3 * np.abs(info.scores).max()
    if "optimiser" not in options:
        assert sorted(communicated) == sorted(announced(mesh, options["space"]))
    return [choice.task_id.tolist() for choice, _ in together]


def announced(mesh, space):
    """What the documentation says is sent, and how many numbers: nothing else is."""

    def whole(rows):  # all devices send as many
        return -(-rows // mesh.size) * mesh.size

    likelihoods = "all-gather", TASKS * whole(ROWS)
    scores = "all-gather", whole(TASKS * ROWS)
    width = problems.OBSERVATION_SIZE + problems.TASK_SIZE
    if space == "weight":  # the second moment, and the mass with it
        moment = ((width + 1) * problems.ACTION_SIZE) ** 2
        return [likelihoods, ("all-reduce", moment + 1), scores]
    steps = whole(TASKS * ROWS) * STEPS
    points = [("all-gather", steps * n) for n in (width, problems.ACTION_SIZE)]
    recorded = "all-gather", steps
    return [likelihoods, *points, recorded, scores]


def check_even_split(mesh):
    """All pairs that count are somebody's, and nobody has two more than another."""
    total, counts = TASKS * ROWS, []
    order = jnp.asarray(np.random.default_rng(0).permutation(total), jnp.int32)

    @jax.jit
    def split(kept):
        def share():
            pairs = Pairs(1.0 + order, order, kept, lambda order: (order, order))
            own = pairs.shard(mesh)
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


def trainer(demos, mesh=None):
    """`(key, params) -> FineTuned` by a few steps on minibatches of 16."""
    optimizer = finetune.adamw_direction()

    def train(key, params):
        return finetune.finetune(
            noisy_loss,
            optimizer,
            finetune.cosine(0.05),
            key,
            params,
            optimizer.init(params),
            demos,
            12,
            batch_size=16,
            penalty=lambda params: jax.tree.map(lambda leaf: 0.1 * leaf, params),
            mesh=mesh,
        )

    return train


def check_finetuning(mesh):
    demos = context(5).demos
    arguments = jax.random.key(0), POLICY.init(jax.random.key(1))
    size = 1 + sum(leaf.size for leaf in jax.tree.leaves(arguments[1]))
    train = jax.jit(trainer(demos, mesh)).lower(*arguments).compile()
    alone = jax.jit(trainer(demos))(*arguments)
    together = train(*arguments)
    close(together, alone)
    # The loss and its gradient, once a step: the loop has the program's only one.
    assert sent(train) == [("all-reduce", size)]
    return together.losses[:1].tolist()


def check_seeds(mesh):
    """Seeds split over the devices are as if alone, and send nothing."""
    number, demos = 2 * mesh.size, context(5).demos

    def seeds():
        keys = jax.random.split(jax.random.key(2), number)
        return keys, jax.random.normal(jax.random.key(1), (number, *shape))

    line = NamedSharding(Mesh(mesh.devices.ravel(), ("seed",)), PartitionSpec("seed"))
    shape = (problems.OBSERVATION_SIZE + problems.TASK_SIZE, problems.ACTION_SIZE)

    def train(key, kernel):
        bias = jnp.zeros(problems.ACTION_SIZE)
        return trainer(demos)(key, {"kernel": kernel, "bias": bias})

    arguments = jax.device_put(seeds(), line)
    mapped = jax.jit(jax.vmap(train)).lower(*arguments).compile()
    assert sent(mapped) == []
    together, alone = jax.device_get(mapped(*arguments)), jax.jit(train)
    for seed in (0, number - 1):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], together)
        close(own, alone(*(values[seed] for values in seeds())))
    return together.losses[:, 0].tolist()


def parts(mesh):
    """Of a whole run, with two choices in each round."""
    training = learners.Training(10, finetune.cosine(0.05), batch_size=16)
    selector = problems.amf(EMBEDDING, POLICY.log_likelihood, mesh=mesh)
    tasks = problems.tiny_tasks()
    full = problems.tiny_demos(0, (0,), tasks=tasks, capacity=2 * ROUNDS)
    return dict(
        learner=learners.gradient_learner(
            POLICY, finetune.adamw_direction(), training, training, mesh=mesh
        ),
        selector=selectors.warm_start(selector, 2),
        tasks=tasks,
        demos=jax.tree.map(jnp.zeros_like, full),
        rounds=ROUNDS,
        batch=2,
        pretraining=problems.tiny_demos(7, (0, 1, 0), tasks=tasks),
    )


def expert():
    """`(task, round) -> Demonstrations`, for traced numbers as well."""
    tasks = problems.tiny_tasks()
    every = [problems.tiny_demos(i, (0, 1, 2), tasks=tasks) for i in range(ROUNDS + 1)]
    known = jax.tree.map(lambda *leaves: jnp.stack(leaves), *every)
    return lambda task, index: jax.tree.map(lambda leaf: leaf[index, task][None], known)


def program(mesh):
    """Choices and demonstrations of a run that is a single program."""
    options, show = parts(mesh), expert()
    learner = options.pop("learner")
    environment = loop.Environment(lambda choice, index, _: show(choice.task_id, index))
    run = functools.partial(
        loop.run, learner=lambda _: learner, environment=environment, **options
    )
    found = jax.jit(run)(jax.random.key(0))
    return found.choices.task_id, found.demos


def check_program(mesh):
    (choices, demos), alone = program(mesh), program(None)
    close((choices, demos), alone)
    return choices.tolist()


def check_driver(mesh):
    """The driver makes the run of one device; its later rounds compile nothing."""
    compiled, counts, show = [], [], expert()

    def listen(name, seconds, **kwargs):
        if name == "/jax/core/compile/backend_compile_duration":
            compiled.append(name)

    tuner = ActiveFineTuner(
        **parts(mesh), demonstrate=lambda task, index, count: show(task, index), seed=0
    )
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        tuner.run(lambda record: counts.append(len(compiled)))
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert counts[1] > counts[0] and counts[1:] == [counts[1]] * ROUNDS, counts
    choices, demos = program(None)
    close(tuner.demos, demos)
    return choices.tolist()


def sent(program):
    """Collective operations of a program, and how many numbers each one returns."""
    found = []
    for shapes, name in COLLECTIVE.findall(program.as_text()):
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


#: `(mesh) -> JSON`, each a few programs to compile.
CHECKS = {
    **{
        name: functools.partial(check_selection, options)
        for name, options in SELECTIONS.items()
    },
    "finetuning": check_finetuning,
    "even split": check_even_split,
    "seeds": check_seeds,
    "driver": check_driver,
    "program": check_program,
}


def main(process, processes, each, port, names):
    jax.config.update("jax_num_cpu_devices", each)
    jax.config.update("jax_disable_most_optimizations", True)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            f"localhost:{port}", processes, process, initialization_timeout=120
        )
    assert jax.device_count() == processes * each
    # Explicit axes, as jax.make_mesh has them, and two: taken as one line all the same.
    mesh = jax.make_mesh((2, processes * each // 2), ("host", "chip"))
    print(json.dumps({name: CHECKS[name](mesh) for name in names}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), sys.argv[5:])
