"""The selection of appendix C, transcribed sum by sum: what `amf` must equal."""

import jax
import numpy as np


def transcription(
    context, candidate_tasks, candidate_ids, criterion, weights, history, pending=()
):
    """Scores of appendix C, sum by sum, in NumPy with explicit embeddings.

    Args:
      context: of the round, for `problems.tiny_policy` and its last-layer gradient.
      candidate_tasks: to be scored, `[K, D]`.
      candidate_ids: their ids, for deterministic weights.
      criterion: a key of `criteria.CRITERIA`.
      weights: a key of `importance.MODES`.
      history: whether the posterior holds the demonstrations at hand.
      pending: `(task, id)` of each that was asked for, which counts as the
        demonstration of the largest weight relabelled.

    Returns:
      Scores `[K]`, and weights of the evaluation tasks.
    """
    context = jax.tree.map(np.asarray, context)
    demos, mu = context.demos, context.task_weights
    held = np.flatnonzero(demos.demo_mask)
    steps = [np.flatnonzero(demos.step_mask[i]) for i in held]

    def act(params, s, c):
        return np.concatenate([s, c]) @ params["kernel"] + params["bias"]

    def embed(i, t, c):
        """d |W'[s, c] + b - a|^2 / d (W, b), written out."""
        s, a = demos.observations[i, t], demos.actions[i, t]
        residual = 2.0 * (act(context.embedding_params, s, c) - a)
        return np.outer(np.concatenate([s, c, [1.0]]), residual).ravel()

    def block(i, c):
        return np.array([embed(i, t, c) for t in steps[list(held).index(i)]])

    def log_likelihood(i, c):
        return sum(
            -0.5 * ((a - act(context.params, s, c)) ** 2 + np.log(2 * np.pi)).sum()
            for s, a in zip(
                demos.observations[i][demos.step_mask[i]],
                demos.actions[i][demos.step_mask[i]],
                strict=True,
            )
        )

    def weigh(tasks, ids):
        if weights == "off":
            return np.full((len(tasks), held.size), 1.0 / held.size)
        if weights == "deterministic":
            own = np.array([demos.task_ids[held] == k for k in ids], float)
            return own / own.sum(axis=1, keepdims=True)
        w = np.zeros((len(tasks), held.size))
        for k, c in enumerate(tasks):
            for n, i in enumerate(held):
                mixture = np.mean(
                    [np.exp(log_likelihood(i, demos.tasks[j])) for j in held]
                )
                w[k, n] = np.exp(log_likelihood(i, c)) / mixture
        if weights == "plain":
            return w / held.size
        return w / w.sum(axis=1, keepdims=True)

    evaluation = weigh(context.tasks, range(len(mu)))
    points = [
        (mu[k] * evaluation[k, n], phi)
        for k, c in enumerate(context.tasks)
        for n, i in enumerate(held)
        for phi in block(i, c)
    ]
    mass = np.array([w for w, _ in points])
    occupancy = np.array([phi for _, phi in points])
    scale = (mass * (occupancy**2).sum(axis=1)).sum() / mass.sum()

    def variance(at, given):
        prior = (at**2).sum(axis=1) / scale
        if not len(given):
            return prior
        gram = given @ given.T / scale + np.eye(len(given))
        cross = given @ at.T / scale
        return prior - (cross * np.linalg.solve(gram, cross)).sum(axis=0)

    known = [np.zeros((0, occupancy.shape[1]))]
    known += [block(i, demos.tasks[i]) for i in held] if history else []
    for task, task_id in pending:
        known.append(block(held[np.argmax(weigh([task], [task_id])[0])], task))
    known = np.concatenate(known)
    scores = np.zeros(len(candidate_tasks))
    blocks = weigh(candidate_tasks, candidate_ids)
    for k, c in enumerate(candidate_tasks):
        for n, i in enumerate(held):
            candidate = block(i, c)
            both = np.concatenate([known, candidate])
            if criterion == "prior_entropy":
                left = variance(candidate, known)
                value = 0.5 * np.log(2 * np.pi * np.e * left).sum()
            elif criterion == "entropy":
                left = variance(occupancy, both)
                value = -(mass * 0.5 * np.log(2 * np.pi * np.e * left)).sum()
            else:
                reduction = variance(occupancy, known) - variance(occupancy, both)
                value = (mass * reduction).sum()
            scores[k] += blocks[k, n] * value
    return scores, evaluation
