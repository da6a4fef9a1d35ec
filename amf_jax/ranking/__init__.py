"""Which task to demonstrate next, from arrays of a policy in any framework."""

from amf_jax.ranking.tasks import Ranking, rank_tasks, rank_tasks_by_gradients

__all__ = ["Ranking", "rank_tasks", "rank_tasks_by_gradients"]
