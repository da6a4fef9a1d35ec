"""A learner may not move the embeddings that a selector takes to be frozen."""

import jax
import jax.numpy as jnp
import pytest

from amf_jax import embeddings, errors, finetune, learners, loop, selectors
from amf_jax.session.driver import ActiveFineTuner
from tests import problems

POLICY = problems.tiny_policy()
TASKS = problems.tiny_tasks()
SHOWN = problems.tiny_demos(7, (0, 1, 0), tasks=TASKS)


def parts(embedding_policy, name, **options):
    """What the driver and the loop share."""
    training = learners.Training(2, finetune.cosine(0.05), batch_size=4)
    copied = embedding_policy == "validation_copy"
    learner = learners.gradient_learner(
        POLICY,
        finetune.adamw_direction(),
        training,
        training,
        embedding_policy=embedding_policy,
        validation_copy_after=1 if copied else None,
    )
    embedding = embeddings.last_layer_gradient(POLICY.last_layer)
    selector = selectors.make(name, embedding, POLICY.log_likelihood, **options)
    return learner, selectors.warm_start(selector, 1)


class WasAsked(Exception):
    """The expert was asked to demonstrate."""


def driven(learner, selector):
    """The driver asks for the first demonstration, if it gets so far."""

    def demonstrate(task, index, count):
        raise WasAsked

    tuner = ActiveFineTuner(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=SHOWN,
        demonstrate=demonstrate,
        rounds=2,
        seed=0,
    )
    tuner.run()


def scanned(learner, selector):
    """The loop, traced."""

    def demonstrate(choice, index, demos):
        return jax.tree.map(lambda leaf: leaf[:1], SHOWN)

    blank = jax.tree.map(jnp.zeros_like, problems.tiny_demos(0, (0, 1), tasks=TASKS))
    jax.eval_shape(
        lambda key: loop.run(
            key,
            lambda demos: learner,
            selector,
            loop.Environment(demonstrate),
            TASKS,
            blank,
            rounds=2,
            pretraining=SHOWN,
        ),
        jax.random.key(0),
    )


@pytest.mark.parametrize("embedding_policy", ["current", "validation_copy"])
def test_embeddings_that_move_are_refused_before_the_expert_is_asked(embedding_policy):
    for run in (driven, scanned):
        with pytest.raises(errors.InvalidArgumentError, match="frozen_embeddings=F"):
            run(*parts(embedding_policy, "amf"))


@pytest.mark.parametrize(
    ("embedding_policy", "name", "options"),
    [
        ("current", "amf", dict(frozen_embeddings=False)),
        ("validation_copy", "amf_paper", {}),
        ("pretrained", "amf", {}),
    ],
)
def test_those_that_agree_run(embedding_policy, name, options):
    scanned(*parts(embedding_policy, name, **options))
    with pytest.raises(WasAsked):
        driven(*parts(embedding_policy, name, **options))
