"""Frozen backbones: the part of a policy that is computed once and never trained.

A policy is a frozen part and a trainable one. The frozen part is an `Encoder`: it makes
features of what is observed, and where it reads an instruction, of the task as well.
The trainable part is a `Policy` that takes features for what it observes, and all that
is known of parameters (training, optimisers, the frozen prior, embeddings, checkpoints)
is known of these alone.

Demonstrations hold the features of their steps in place of what was observed: the
buffer is the cache. `ActiveFineTuner(encoder=…)` and `loop.run(encoder=…)` encode
whatever comes in, and what a rollout observes, before the policy sees it.
"""

from amf_jax.encoders.base import Encoder, encode, feature_spec
from amf_jax.encoders.demonstrations import (
    check_tasks,
    encode_demonstrations,
    encoded,
    traced,
)
from amf_jax.encoders.policy import on_features

__all__ = [
    "Encoder",
    "check_tasks",
    "encode",
    "encode_demonstrations",
    "encoded",
    "feature_spec",
    "on_features",
    "traced",
]
