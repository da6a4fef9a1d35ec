"""Active multi-task fine-tuning: ask for what would leave the least uncertainty."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from amf_jax import criteria, errors, history, importance
from amf_jax import demonstrations as demonstrations_lib
from amf_jax.candidates import Candidates, Optimiser, enumerate_tasks
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding, embed_demonstration, embed_relabelled
from amf_jax.posterior import Posterior
from amf_jax.selectors import options
from amf_jax.selectors.base import Context, Selector, SelectorInfo, pick
from amf_jax.selectors.pairs import Pairs, pair, per_task


class AmfState(NamedTuple):
    """What carries from round to round.

    Attributes:
      posterior: conditioned on the history and on earlier rounds' demonstrations.
      num_conditioned: rows of `context.demos` that the posterior already holds.
      scaled: whether the kernel's scale has been set.
    """

    posterior: Posterior
    num_conditioned: Int[Array, ""]
    scaled: Bool[Array, ""]


def amf(
    embedding: Embedding,
    log_likelihood: Callable | None,
    *,
    criterion: str = "variance",
    weights: str = "self_normalised",
    condition_on_history: bool = True,
    frozen_embeddings: bool = True,
    normalise_kernel: bool = True,
    noise_variance: float = 1.0,
    likelihood_clip: tuple[float, float] | None = None,
    trajectory_samples: int | None = None,
    weight_tolerance: float | None = 0.0,
    optimiser: Optimiser | None = None,
    blocks_at_a_time: int | None = None,
) -> Selector:
    """Active multi-task fine-tuning (eqs. 1-4 and appendix C).

    For every candidate task c', the demonstrations at hand are relabelled with c' and
    weighted by how likely their actions are under c'. Each of these blocks is scored by
    the uncertainty that it would leave over the weighted occupancy of the evaluation
    tasks:

        score(c') = sum_i W[c',i] sum_{c,j,t} mu(c) W[c,j] U(s_t^j, c | block(c',i))

    Args:
      embedding: how (state, task) pairs become points; see `amf_jax.embeddings`.
      log_likelihood: as in `Policy.log_likelihood`; None only with weights that need no
        likelihood ("deterministic", "off").
      criterion: "variance" (eq. 4), "entropy" (eq. 2) or "prior_entropy".
      weights: a key of `importance.MODES`.
      condition_on_history: whether the posterior also holds the demonstrations at hand.
        False leaves that to fine-tuning, as in the paper's neural experiments.
      frozen_embeddings: whether `context.embedding_params` stay the same over the
        rounds; then a round appends its rows to the posterior instead of rebuilding it,
        and a random embedding draws the same numbers in every round.
      normalise_kernel: divide the kernel by its weighted mean diagonal over the
        occupancy, so that `noise_variance` means the same for every policy. With frozen
        embeddings this is set once, at the first selection.
      noise_variance: of the expert, relative to the kernel; positive. It only sets the
        initial state: replacing `state.posterior.noise_variance` recompiles nothing.
      likelihood_clip: bounds of trajectory log-likelihoods, or None.
      trajectory_samples: at most this many demonstrations enter the sums, drawn anew
        each round (appendix C), so that the cost does not grow with their number. None
        is all.
      weight_tolerance: pairs of a task and a demonstration whose importance weight is
        at most this share of the task's largest are skipped, as candidate blocks and as
        parts of the occupancy: with the sharp weights of neural policies, most are. 0
        skips those without any weight, which changes no score; None skips nothing. With
        the variance criterion, H steps and prior variances of at most v in units of the
        scaled kernel, a score is off by at most
        `(pruned[c'] + sum_c mu(c) pruned[c]) H v`, where `pruned` is the weight that is
        skipped; `info.pruned_weight` holds that of the evaluation tasks.
      optimiser: how candidates are searched. None enumerates the evaluation tasks, and
        takes every demonstration to be of one of them.
      blocks_at_a_time: candidate blocks scored at once; None fits the cache. The scores
        are the same for every value.

    Returns:
      A selector. A selection whose scores are not all finite is marked invalid (see
      `check_choice`) rather than resolved by an arg max over NaN.

    Raises:
      UnknownNameError: for an unknown criterion or weight mode.
      InvalidArgumentError: for arguments out of range or that contradict each other.
    """
    finite_tasks = optimiser is None
    options.check_choices(
        criterion, weights, log_likelihood, finite_tasks, trajectory_samples
    )
    options.check_ranges(
        noise_variance, trajectory_samples, weight_tolerance, blocks_at_a_time
    )
    options.check_diagonal(embedding, criterion, normalise_kernel)
    rule = criteria.CRITERIA[criterion]
    embedding = _with_shared_key(embedding)
    search = enumerate_tasks() if optimiser is None else optimiser

    def init(context: Context, history_demos: Demonstrations | None = None) -> AmfState:
        demos, params = context.demos, context.embedding_params
        known = 0 if history_demos is None else history_demos.step_mask.size
        held = demos.step_mask.size if condition_on_history else 0
        posterior = history.prior(
            embedding, params, demos, known + held, noise_variance
        )
        scaled = jnp.asarray(not normalise_kernel)
        if history_demos is None:
            return AmfState(posterior, jnp.int32(0), scaled)
        if not frozen_embeddings:
            raise errors.InvalidArgumentError(
                "history needs frozen_embeddings=True: its rows are embedded once"
            )
        key = _frozen_key()
        rows = history_demos.demo_mask.shape[0]
        if normalise_kernel:
            points = jax.vmap(
                lambda row: embed_demonstration(
                    embedding, params, key, history_demos, row
                )
            )(jnp.arange(rows))
            flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), points)
            mass = demonstrations_lib.valid_steps(history_demos).ravel()
            scale = history.mean_diagonal(
                embedding, flat, mass.astype(posterior.scale.dtype)
            )
            posterior = posterior._replace(scale=scale)
        posterior = history.absorb(
            embedding, posterior, params, key, history_demos, 0, rows
        )
        return AmfState(posterior, jnp.int32(0), jnp.asarray(True))

    def absorb(state: AmfState, context: Context, key) -> AmfState:
        """Brings the posterior up to date with the demonstrations at hand."""
        count = demonstrations_lib.count(context.demos)
        offset = state.posterior.mask.shape[0] - context.demos.step_mask.size
        posterior = history.absorb(
            embedding,
            state.posterior,
            context.embedding_params,
            key,
            context.demos,
            state.num_conditioned,
            count,
            offset,
        )
        return state._replace(posterior=posterior, num_conditioned=count)

    def weigh(context: Context, sample: Demonstrations, candidates: Candidates):
        """Importance weights of the sampled demonstrations for some tasks."""
        if weights == "deterministic":
            own = importance.deterministic(
                candidates.task_ids, sample.task_ids, sample.demo_mask
            )
            return own.astype(context.tasks.dtype)
        if weights == "off":
            same = importance.uniform(candidates.tasks.shape[0], sample.demo_mask)
            return same.astype(context.tasks.dtype)

        assert log_likelihood is not None  # checked when the selector was built

        def likelihoods(tasks):
            return importance.trajectory_log_likelihoods(
                log_likelihood, context.params, sample, tasks, likelihood_clip
            )

        total = likelihoods(candidates.tasks)
        if finite_tasks:  # the demonstrations' tasks are among the candidates
            own = total[context.demos.task_ids]
        else:
            own = likelihoods(context.demos.tasks)
        log_weights = importance.log_importance_weights(
            total, own, context.demos.demo_mask
        )
        estimate = importance.ESTIMATORS[weights]
        return estimate(log_weights, sample.demo_mask)

    def select(key, state: AmfState, context: Context):
        sample_key, embed_key, search_key = jax.random.split(key, 3)
        if frozen_embeddings:  # what earlier rounds solved stays comparable
            embed_key = _frozen_key()
        params = context.embedding_params
        demos = demonstrations_lib.without_padding(context.demos)
        context = context._replace(demos=demos)
        sample, rows = demonstrations_lib.subsample(
            sample_key, context.demos, trajectory_samples
        )
        steps = demonstrations_lib.valid_steps(sample)
        num_tasks = context.tasks.shape[0]

        def paired(candidates: Candidates, candidate_weights) -> Pairs:
            points = embed_relabelled(
                embedding, params, embed_key, sample, candidates.tasks
            )
            return pair(points, steps, candidate_weights, weight_tolerance)

        evaluated = Candidates(jnp.arange(num_tasks, dtype=jnp.int32), context.tasks)
        evaluation_weights = weigh(context, sample, evaluated)
        visited = paired(evaluated, evaluation_weights)
        occupancy = _occupancy(visited, context.task_weights)
        if not frozen_embeddings:  # what was solved belongs to other embeddings
            noise = state.posterior.noise_variance
            state = init(context)
            posterior = state.posterior._replace(noise_variance=noise)
            state = state._replace(posterior=posterior)
        if normalise_kernel:
            state = _set_scale(embedding, state, occupancy)
        if condition_on_history:
            state = absorb(state, context, embed_key)

        def objective(candidates: Candidates) -> Float[Array, " K"]:
            blocks = paired(candidates, weigh(context, sample, candidates))
            values = rule.score(
                embedding,
                state.posterior,
                blocks.points,
                blocks.steps,
                occupancy,
                count=blocks.num_kept,
                blocks_at_a_time=blocks_at_a_time,
            )
            recorded = blocks.steps.any(axis=-1)
            weighted = jnp.where(recorded, blocks.weights * values, 0.0)
            return rule.sign * per_task(blocks, weighted, candidates.tasks.shape[0])

        candidates, scores = search(search_key, objective, context.tasks)
        scores = jnp.where(sample.demo_mask.any(), scores, jnp.nan)
        capacity = context.demos.demo_mask.shape[0]
        spread = jnp.zeros((num_tasks, capacity), evaluation_weights.dtype)
        info = SelectorInfo(
            scores=scores,
            candidates=candidates.tasks,
            effective_sample_size=importance.effective_sample_size(evaluation_weights),
            importance_weights=spread.at[:, rows].set(evaluation_weights),
            jitter=state.posterior.jitter,
            pruned_weight=(
                evaluation_weights.sum(axis=-1)
                - per_task(visited, visited.weights, num_tasks)
            ),
        )
        return pick(scores, candidates.task_ids, candidates.tasks), state, info

    return Selector(init, select)


def _occupancy(visited: Pairs, task_weights: Float[Array, " C"]) -> criteria.Occupancy:
    """The pairs of the evaluation tasks as weighted points, step by step."""
    num_demos, horizon = visited.order.size // task_weights.size, visited.steps.shape[1]
    mass = task_weights[visited.order // num_demos] * visited.weights
    return criteria.Occupancy(
        points=jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), visited.points),
        weights=jnp.where(visited.steps, mass[:, None], 0.0).ravel(),
        num_weighted=None if visited.num_kept is None else visited.num_kept * horizon,
    )


def _with_shared_key(embedding: Embedding) -> Embedding:
    """Lets one key serve several calls: points to compare draw the same numbers."""

    def embed(params, key, *inputs):
        return embedding.embed(params, jax.random.clone(key), *inputs)

    return embedding._replace(embed=embed)


def _frozen_key():
    """Of all embeddings that are compared with those of other rounds."""
    return jax.random.key(0)


def _set_scale(
    embedding: Embedding, state: AmfState, occupancy: criteria.Occupancy
) -> AmfState:
    """Sets the kernel's scale from the occupancy, unless it is set already."""
    scale = history.mean_diagonal(embedding, occupancy.points, occupancy.weights)
    posterior = state.posterior._replace(
        scale=jnp.where(state.scaled, state.posterior.scale, scale)
    )
    return state._replace(posterior=posterior, scaled=jnp.asarray(True))
