"""Active multi-task fine-tuning: ask for what would leave the least uncertainty."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from amf_jax import criteria, devices, errors, importance
from amf_jax import demonstrations as demonstrations_lib
from amf_jax import history as history_lib
from amf_jax import posterior as gp
from amf_jax.candidates import Candidates, Optimiser, enumerate_tasks
from amf_jax.demonstrations import Demonstrations
from amf_jax.embeddings import Embedding
from amf_jax.features import FeaturePosterior
from amf_jax.posterior import Posterior
from amf_jax.selectors import memory_budget, options, pending, sharded, weighting
from amf_jax.selectors.base import (
    Context,
    Pending,
    Selector,
    carry_over,
    pick,
)
from amf_jax.selectors.feature_path import feature_path
from amf_jax.selectors.gram_path import gram_path
from amf_jax.selectors.info import AmfInfo
from amf_jax.selectors.pairs import Pairs, pair, per_task
from amf_jax.selectors.plans import Planner


class AmfState(NamedTuple):
    """What carries from round to round.

    Attributes:
      posterior: conditioned on the history and on earlier rounds' demonstrations; a
        `Posterior` on the path by kernels, a `FeaturePosterior` on that by features.
      num_conditioned: rows of `context.demos` that the posterior already holds.
      num_history: steps that `history` has room for; those at hand come behind.
      scaled: whether the kernel's scale has been set.
    """

    posterior: Posterior | FeaturePosterior
    num_conditioned: Int[Array, ""]
    num_history: Int[Array, ""]
    scaled: Bool[Array, ""]

    def carry_over(self, larger: "AmfState") -> "AmfState":
        """See `selectors.carry_over`.

        Where a larger buffer is summed on the other path, its posterior takes the scale
        alone and is conditioned on the demonstrations at hand anew.
        """
        held, fresh = self.posterior, larger.posterior
        if type(held) is type(fresh):
            return AmfState(*map(carry_over, self, larger))
        noise, scale = held.noise_variance, held.scale
        posterior = fresh._replace(noise_variance=noise, scale=scale)
        return larger._replace(posterior=posterior, scaled=self.scaled)


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
    path: str | None = None,
    blocks_at_a_time: int | None = None,
    mesh: Mesh | None = None,
    memory_limit: int | None = None,
) -> Selector:
    """Active multi-task fine-tuning (eqs. 1-4 and appendix C).

    For every candidate task c', the demonstrations at hand are relabelled with c' and
    weighted by how likely their actions are under c'. Each of these blocks is scored by
    the uncertainty that it would leave over the weighted occupancy of the evaluation
    tasks:

        score(c') = sum_i W[c',i] sum_{c,j,t} mu(c) W[c,j] U(s_t^j, c | block(c',i))

    Pending demonstrations count as if their modal blocks (`pending.stand_ins`) were at
    hand, also with `condition_on_history=False`: nothing else can know of them.

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
        takes every demonstration, pending or not, to be of one of them.
      path: how the sums are computed: "gram" by kernels between all points that count,
        or "feature" by second moments of explicit embeddings, linear in their number
        (variance criterion, embeddings with `features`). None takes the one that is
        predicted to cost less, see `amf_jax.cost`. The scores are the same.
      blocks_at_a_time: candidate blocks scored at once; None fits the cache. The scores
        are the same for every value.
      mesh: devices that share the work, all axes taken as one line of them; None is one
        device. The scores are the same. `docs/devices.md` says what is split.
      memory_limit: bytes that a selection may take on each device, as predicted by
        `amf_jax.memory`; None is what is left there when `init` is called.

    Returns:
      A selector. A selection whose scores are not all finite is marked invalid (see
      `check_choice`) rather than resolved by an arg max over NaN.

    Raises:
      UnknownNameError: for an unknown criterion or weight mode.
      InvalidArgumentError: for arguments out of range or that contradict each other.
      MemoryBudgetError: from `init`, before it allocates anything, also when it is only
        traced; the message names options that would fit.
    """
    finite_tasks = optimiser is None
    options.check_choices(
        criterion, weights, log_likelihood, finite_tasks, trajectory_samples
    )
    options.check_ranges(
        noise_variance,
        likelihood_clip,
        trajectory_samples,
        weight_tolerance,
        blocks_at_a_time,
        memory_limit,
    )
    options.check_flags(
        condition_on_history=condition_on_history,
        frozen_embeddings=frozen_embeddings,
        normalise_kernel=normalise_kernel,
    )
    options.check_diagonal(embedding, criterion, normalise_kernel)
    options.check_path(path, embedding, criterion)
    devices.check(mesh)
    rule = criteria.CRITERIA[criterion]
    embedding = _with_shared_key(embedding)
    search = enumerate_tasks() if optimiser is None else optimiser
    plan = Planner(
        embedding,
        search,
        own=finite_tasks,
        criterion=criterion,
        weights=weights,
        skips=weight_tolerance is not None and weights != "off",
        condition_on_history=condition_on_history,
        trajectory_samples=trajectory_samples,
        path=path,
        blocks_at_a_time=blocks_at_a_time,
        mesh=mesh,
    )
    routes = {"gram": gram_path(embedding, rule, blocks_at_a_time)}
    if plan.by_features:
        routes["feature"] = feature_path(embedding, blocks_at_a_time)
    if mesh is not None:
        routes = {name: sharded.SPLIT[name](mesh, routes[name]) for name in routes}

    def init(context: Context, history: Demonstrations | None = None) -> AmfState:
        memory_budget.check(plan, context, _num_steps(history), memory_limit)
        return start(context, history)

    def start(context: Context, history: Demonstrations | None) -> AmfState:
        known = _num_steps(history)
        route, rows = routes[plan(context, known).path], known + plan.at_hand(context)
        posterior = route.empty(context, rows, noise_variance)
        state = AmfState(
            posterior,
            num_conditioned=jnp.int32(0),
            num_history=jnp.int32(known),
            scaled=jnp.asarray(not normalise_kernel),
        )
        if history is None:
            return state
        history = demonstrations_lib.fill_padding(history)
        if not frozen_embeddings:
            raise errors.InvalidArgumentError(
                "history needs frozen_embeddings=True: its rows are embedded once"
            )
        params, key = context.embedding_params, _frozen_key()
        if normalise_kernel:
            scale = history_lib.own_scale(embedding, params, key, history)
            posterior = posterior._replace(scale=scale)
        rows = history.demo_mask.shape[0]
        posterior = route.absorb(posterior, params, key, history, 0, rows)
        return state._replace(posterior=posterior, scaled=jnp.asarray(True))

    def select(key, state: AmfState, context: Context):
        held, known = state.posterior, 0
        if isinstance(held, Posterior):
            known = held.mask.size - plan.at_hand(context)
        planned = plan(context, known)
        route = routes[planned.path]
        sample_key, search_key, embed_key = jax.random.split(key, 3)
        if frozen_embeddings:  # what earlier rounds solved stays comparable
            embed_key = _frozen_key()
        params = context.embedding_params
        demos = demonstrations_lib.fill_padding(context.demos)
        context = context._replace(demos=demos)
        sample, rows = demonstrations_lib.subsample(
            sample_key, context.demos, trajectory_samples
        )
        num_tasks = context.tasks.shape[0]

        def weigh(candidates: Candidates):
            return weighting.weigh(
                weights,
                log_likelihood,
                likelihood_clip,
                finite_tasks,
                context,
                sample,
                candidates,
                mesh,
            )

        def paired(tasks, task_weights) -> Pairs:
            return pair(
                embedding,
                params,
                embed_key,
                sample,
                tasks,
                task_weights,
                weight_tolerance,
            )

        evaluated = Candidates(jnp.arange(num_tasks, dtype=jnp.int32), context.tasks)
        evaluation_weights = weigh(evaluated)
        visited = paired(context.tasks, evaluation_weights)
        visited_view = route.view(visited)
        share = context.task_weights[visited.order // rows.shape[0]]
        occupancy = route.occupancy(visited_view, share * visited.weights)

        def weigh_pending(asked: Pending):
            if finite_tasks:
                return evaluation_weights[asked.task_ids]
            return weigh(Candidates(asked.task_ids, asked.tasks))

        if not frozen_embeddings:  # what was solved belongs to other embeddings
            noise = state.posterior.noise_variance
            state = start(context, None)
            posterior = state.posterior._replace(noise_variance=noise)
            state = state._replace(posterior=posterior)
        if normalise_kernel:
            scale = jnp.where(
                state.scaled, state.posterior.scale, route.mean_diagonal(occupancy)
            )
            posterior = state.posterior._replace(scale=scale)
            state = state._replace(posterior=posterior, scaled=jnp.asarray(True))
        if condition_on_history:
            count = demonstrations_lib.count(context.demos)
            posterior = route.absorb(
                state.posterior,
                params,
                embed_key,
                context.demos,
                state.num_conditioned,
                count,
                state.num_history,
            )
            state = state._replace(posterior=posterior, num_conditioned=count)
        posterior = state.posterior
        if context.pending is not None:  # until delivered, no part of the state
            expected = pending.stand_ins(
                context.pending, sample, weigh_pending(context.pending)
            )
            posterior = route.extend(posterior, params, embed_key, expected)
        given, rounding, score, score_own = route.scorer(posterior, occupancy)
        posterior = state.posterior._replace(jitter=given.jitter)
        state = state._replace(posterior=posterior)

        def objective(candidates: Candidates) -> Float[Array, " K"]:
            if finite_tasks:  # the candidates are the evaluation tasks
                blocks, values = visited, score_own(visited_view)
            else:
                blocks = paired(candidates.tasks, weigh(candidates))
                values = score(route.view(blocks))
            recorded = demonstrations_lib.valid_steps(sample).any(axis=-1)
            counts = recorded[blocks.order % rows.shape[0]]
            weighted = jnp.where(counts, blocks.weights * values, 0.0)
            return rule.sign * per_task(blocks, weighted, candidates.tasks.shape[0])

        candidates, scores = search(search_key, objective, context.tasks)
        scores = jnp.where(sample.demo_mask.any(), scores, jnp.nan)
        capacity = context.demos.demo_mask.shape[0]
        spread = jnp.zeros((num_tasks, capacity), evaluation_weights.dtype)
        info = AmfInfo(
            scores=scores,
            candidates=candidates.tasks,
            effective_sample_size=importance.effective_sample_size(evaluation_weights),
            importance_weights=spread.at[:, rows].set(evaluation_weights),
            jitter=state.posterior.jitter,
            pruned_weight=(
                evaluation_weights.sum(axis=-1)
                - per_task(visited, visited.weights, num_tasks)
            ),
            own_demonstrations=importance.task_counts(
                demos.task_ids, demos.demo_mask, num_tasks
            ),
            weighting=jnp.int32(importance.MODES.index(weights)),
            rounding=jnp.maximum(
                rounding, gp.underflow(state.posterior.scale, planned.buffers.width)
            ),
        )
        return pick(key, scores, candidates.task_ids, candidates.tasks), state, info

    def init_everywhere(context: Context, history: Demonstrations | None = None):
        return devices.replicate(mesh, init(context, history))

    return Selector(
        init_everywhere, devices.everywhere(mesh, select), frozen_embeddings
    )


def _num_steps(demos: Demonstrations | None) -> int:
    """Steps that a buffer has room for."""
    return 0 if demos is None else demos.step_mask.size


def _with_shared_key(embedding: Embedding) -> Embedding:
    """Lets one key serve several calls: points to compare draw the same numbers."""

    def embed(params, key, *inputs):
        return embedding.embed(params, jax.random.clone(key), *inputs)

    return embedding._replace(embed=embed)


def _frozen_key():
    """Of all embeddings that are compared with those of other rounds."""
    return jax.random.key(0)
