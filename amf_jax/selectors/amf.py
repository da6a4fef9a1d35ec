"""Active multi-task fine-tuning: ask for what would leave the least uncertainty."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from amf_jax import criteria, devices, errors, importance, ranges, windows
from amf_jax import demonstrations as demonstrations_lib
from amf_jax import posterior as gp
from amf_jax.candidates import Candidates, Optimiser, enumerate_tasks
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.posterior import spaces
from amf_jax.posterior.function_space import FunctionSpace
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.posterior.pairs import Pairs, pair, per_task
from amf_jax.posterior.spaces import AUTOMATIC, Execution, Space
from amf_jax.posterior.weight_space import WeightSpace
from amf_jax.selectors import pending, weighting
from amf_jax.selectors.base import Choice, Context, Selector, pick
from amf_jax.selectors.history import AmfState, History, frozen_key
from amf_jax.selectors.info import AmfInfo


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
    optimiser: Optimiser | None = None,
    execution: Execution = AUTOMATIC,
) -> Selector:
    """Active multi-task fine-tuning (eqs. 1-4 and appendix C).

    For every candidate task c', the demonstrations at hand are relabelled with c' and
    weighted by how likely their actions are under c'. Each of these blocks is scored by
    the uncertainty that it would leave over the weighted occupancy of the evaluation
    tasks:

        score(c') = sum_i W[c',i] sum_{c,j,t} mu(c) W[c,j] U(s_t^j, c | block(c',i))

    Pending demonstrations count as if their modal blocks (`pending.stand_ins`) were at
    hand, also with `condition_on_history=False`.

    Args:
      embedding: of (state, task) pairs; see `amf_jax.embeddings`.
      log_likelihood: as in `Policy.log_likelihood`; None only with weights that need no
        likelihood ("deterministic", "off").
      criterion: "variance" (eq. 4), "entropy" (eq. 2) or "prior_entropy".
      weights: a key of `importance.MODES`.
      condition_on_history: whether the posterior also holds the demonstrations at hand.
        False leaves that to fine-tuning, as in the paper's neural experiments.
      frozen_embeddings: whether `context.embedding_params` stay the same over the
        rounds, so that each appends its rows to the posterior; see `check_frozen`.
      normalise_kernel: divide the kernel by its mean diagonal over the occupancy, so
        that `noise_variance` means the same for every policy; with frozen embeddings
        by that of the first selection.
      noise_variance: of the expert, relative to the kernel; positive. Replacing
        `state.posterior.noise_variance` recompiles nothing.
      likelihood_clip: bounds of trajectory log-likelihoods, or None.
      trajectory_samples: at most this many demonstrations enter the sums, drawn anew
        each round (appendix C); None is all.
      optimiser: how candidates are searched. None enumerates the evaluation tasks, and
        takes every demonstration, pending or not, to be of one of them.
      execution: space, microbatch, pruning and devices; see `Execution`.

    Returns:
      A selector with diagnostics `AmfInfo`. Where a score is not finite, the selection
      is invalid (see `check_choice`), not an arg max over NaN.

    Raises:
      UnknownNameError: for an unknown criterion, weight mode or space.
      InvalidArgumentError: for arguments out of range or that contradict each other.
    """
    errors.check_name("criterion", criterion, criteria.CRITERIA)
    weighting.check(weights, log_likelihood, optimiser is None, trajectory_samples)
    windows.check_same(embedding, log_likelihood)
    ranges.check_interval("likelihood_clip", likelihood_clip)
    samples, clip = trajectory_samples, likelihood_clip
    ranges.check("trajectory_samples", samples, ranges.COUNT, optional=True)
    point = _with_shared_key(embedding)
    flags = condition_on_history, frozen_embeddings, normalise_kernel
    history = History(point, *flags, noise_variance)
    criteria.CRITERIA[criterion].check(criterion, embedding)
    history.check()
    execution.check(embedding, criterion)
    how = weights, clip, samples, optimiser, execution
    rule = _Amf(point, log_likelihood, criterion, *how, history)
    select = devices.everywhere(execution.mesh, rule.select)
    listed_tasks = optimiser is None and weights != "off"
    return Selector(rule.init, select, frozen_embeddings, listed_tasks)


_SPACES: dict[str, Callable[..., Space]] = {
    "function": FunctionSpace,
    "weight": WeightSpace,
}


class _Amf(NamedTuple):
    """The options of `amf`, checked."""

    embedding: Embedding
    log_likelihood: Callable | None
    criterion: str
    weights: str
    likelihood_clip: tuple[float, float] | None
    trajectory_samples: int | None
    optimiser: Optimiser | None
    execution: Execution
    history: History

    def init(self, context: Context, history: Demonstrations | None = None) -> AmfState:
        """What is known before the first round."""
        space = self.space(self.cheaper(context))
        if history is None:
            state = self.history.start(space, context)
        else:
            state = self.history.start_from(space, context, history)
        return devices.replicate(self.execution.mesh, state)

    def select(
        self, key: Array, state: AmfState, context: Context
    ) -> tuple[Choice, AmfState, AmfInfo]:
        """One selection, in the order of the paper."""
        sample_key, search_key, embed_key = jax.random.split(key, 3)
        if self.history.frozen_embeddings:  # earlier rounds' points stay comparable
            embed_key = frozen_key()
        demos = demonstrations_lib.fill_padding(context.demos)
        context = context._replace(demos=demos)
        sample, rows = demonstrations_lib.subsample(
            sample_key, demos, self.trajectory_samples
        )
        by_moments = isinstance(state.posterior, MomentPosterior)
        space = self.space("weight" if by_moments else "function")
        look = _Round(self, space, context, sample, embed_key)

        # Eq. 3: how far each demonstration stands for each evaluation task.
        ids = jnp.arange(context.tasks.shape[0], dtype=jnp.int32)
        weights = look.weigh(Candidates(ids, context.tasks))

        # Appendix C: the states that the evaluation tasks visit.
        pairs = look.pair(context.tasks, weights)
        visited = space.visit(pairs)
        shares = context.task_weights[pairs.order // rows.shape[0]]
        occupancy = space.occupancy(visited, shares * pairs.weights)

        # The history, and the uncertainty that a block would leave (eqs. 2 and 4).
        state = self.history.update(
            space, state, context, embed_key, lambda: space.mean_diagonal(occupancy)
        )
        scorer = space.scorer(look.expecting(state.posterior, weights), occupancy)
        posterior = state.posterior._replace(jitter=scorer.jitter)
        state = state._replace(posterior=posterior)

        def objective(candidates: Candidates) -> Float[Array, " K"]:
            if self.optimiser is None:  # the candidates are the evaluation tasks
                return look.score(pairs, scorer.score_own(visited), candidates)
            blocks = look.pair(candidates.tasks, look.weigh(candidates))
            return look.score(blocks, scorer.score(space.visit(blocks)), candidates)

        # Eq. 1: the candidate that would leave the least.
        search = self.optimiser or enumerate_tasks()
        candidates, scores = search(search_key, objective, context.tasks)
        scores = jnp.where(sample.demo_mask.any(), scores, jnp.nan)
        spread = jnp.zeros((ids.size, demos.demo_mask.shape[0]), weights.dtype)
        lost = gp.underflow(posterior.scale, pairs.width)
        info = AmfInfo(
            scores=scores,
            candidates=candidates.tasks,
            effective_sample_size=importance.effective_sample_size(weights),
            importance_weights=spread.at[:, rows].set(weights),
            jitter=posterior.jitter,
            pruned_weight=weights.sum(axis=1)
            - per_task(pairs, pairs.weights, ids.size),
            own_demonstrations=importance.task_counts(
                demos.task_ids, demos.demo_mask, ids.size
            ),
            weighting=jnp.int32(importance.MODES.index(self.weights)),
            rounding=jnp.maximum(scorer.rounding, lost),
        )
        return pick(key, scores, candidates.task_ids, candidates.tasks), state, info

    def cheaper(self, context: Context) -> str:
        """The space that is asked for, or the cheaper one, from shapes alone."""
        if not spaces.has_weight_space(self.embedding, self.criterion):
            return "function"
        if self.execution.space is not None:
            return self.execution.space
        rows = context.demos.demo_mask.shape[0]
        pairs = min(rows, self.trajectory_samples or rows)
        if self.execution.weight_tolerance is None or self.weights == "off":
            pairs *= context.tasks.shape[0]
        return spaces.choose(
            self.embedding,
            context.embedding_params,
            context.demos,
            pairs,
            self.history.steps_at_hand(context),
            own=self.optimiser is None,
        )

    def space(self, name: str) -> Space:
        """The implementation of this name."""
        rule = criteria.CRITERIA[self.criterion]
        return _SPACES[name](self.embedding, rule, self.execution)


class _Round(NamedTuple):
    """What a selection looks at; `key` is that of its embeddings."""

    rule: _Amf
    space: Space
    context: Context
    sample: Demonstrations
    key: Array

    def weigh(self, candidates: Candidates) -> Float[Array, "K M"]:
        """Importance weights of the sampled demonstrations for some tasks (eq. 3)."""
        return weighting.weigh(
            self.rule.weights,
            self.rule.log_likelihood,
            self.rule.likelihood_clip,
            self.rule.optimiser is None,
            self.context,
            self.sample,
            candidates,
            self.rule.execution.mesh,
        )

    def pair(self, tasks: Float[Array, "K D"], weights: Float[Array, "K M"]) -> Pairs:
        """The sampled demonstrations relabelled with tasks; those that count first."""
        params = self.context.embedding_params
        steps = self.rule.embedding, params, self.key, self.sample
        return pair(*steps, tasks, weights, self.rule.execution.weight_tolerance)

    def expecting(self, posterior, weights: Float[Array, "C M"]):
        """The posterior given what is pending as well: until delivered, no state."""
        asked, params = self.context.pending, self.context.embedding_params
        if asked is None:
            return posterior
        if self.rule.optimiser is None:
            likely = weights[asked.task_ids]
        else:
            likely = self.weigh(Candidates(asked.task_ids, asked.tasks))
        expected = pending.stand_ins(asked, self.sample, likely)
        return self.space.extend(posterior, params, self.key, expected)

    def score(
        self, blocks: Pairs, values: Float[Array, " P"], candidates: Candidates
    ) -> Float[Array, " K"]:
        """Weighted mean over each candidate's blocks (eq. 92), higher is better."""
        recorded = demonstrations_lib.valid_steps(self.sample).any(axis=-1)
        counts = recorded[blocks.order % recorded.size]
        weighted = jnp.where(counts, blocks.weights * values, 0.0)
        sign = criteria.CRITERIA[self.rule.criterion].sign
        return sign * per_task(blocks, weighted, candidates.tasks.shape[0])


def _with_shared_key(embedding: Embedding) -> Embedding:
    """Lets one key serve several calls: points to compare draw the same numbers."""

    def embed(params, key, *inputs):
        return embedding.embed(params, jax.random.clone(key), *inputs)

    return embedding._replace(embed=embed)
