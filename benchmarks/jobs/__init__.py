"""The registry of benchmarks: one entry each, in the order of the table."""

from benchmarks import problems
from benchmarks.jobs import (
    compilations,
    devices,
    evaluation,
    finetuning,
    gaussian_process,
    greedy,
    growth,
    large_pool,
    machine_limits,
    ranking,
    selection,
    startup,
)
from benchmarks.jobs.base import Bench, Job

__all__ = ["JOBS", "Bench", "Job"]

JOBS = {
    "limits": Job(
        "what the machine can do: a large float32 matmul, a large copy",
        machine_limits.run,
    ),
    "selection_dense": Job(
        "one selection at paper scale, every pair scored",
        selection.dense,
        "≥ 40 times batched PyTorch, ≤ 1.5 times the limit",
    ),
    "selection_pruned": Job(
        "the same with the sharp weights of a fitted policy, pruned at 1e-6",
        selection.pruned,
        "≥ 300 times batched PyTorch, same choice",
    ),
    "selection_history": Job(
        "one round's selection with a history and frozen embeddings",
        selection.with_history,
        "≥ 10 times rebuilding everything, same scores to 1e-5",
    ),
    "devices": Job(
        "one selection, every pair scored, on several devices",
        devices.run,
        "the same choice, pairs split evenly",
    ),
    "greedy": Job(
        "a greedy batch by posterior variance",
        greedy.run,
        "≥ 10 times activeft's VTL, same choices",
    ),
    "growth_demonstrations": Job(
        "one selection as demonstrations are added", growth.demonstrations
    ),
    "growth_features": Job(
        "the same by the path that is linear in them",
        growth.features,
        "time ∝ n^e with e ≤ 1.05 up to n = 2000, memory flat",
    ),
    "growth_tasks": Job("one selection as tasks are added", growth.tasks),
    "growth_embedding": Job("one selection as the embedding grows", growth.embedding),
    "large_pool": Job(
        "one selection from a pool that is read in batches, in weight space",
        large_pool.run,
    ),
    "ranking": Job(
        "tasks ranked from the arrays of 10⁵ steps",
        ranking.run,
        "seconds; episodes of any lengths ≤ 1.5 times equal ones",
    ),
    "finetuning": Job(
        f"a fine-tuning round: {finetuning.ROUND_STEPS} steps of {problems.BATCH_SIZE}",
        finetuning.run,
        "≥ 3 times PyTorch, ≤ 1.5 times the limit",
    ),
    "evaluation": Job(
        "evaluation on Metaworld: 4 tasks, 50 attempts, 50 steps",
        evaluation.run,
        "≥ 4 times a gymnasium loop on 2 cores",
    ),
    "gaussian_process": Job(
        "all of figure 7 of AMF-GP",
        gaussian_process.run,
        "≤ 2 minutes on 2 cores; the paper's account is 10",
    ),
    "compilations": Job(
        "programs that later rounds of a run compile", compilations.run, "none"
    ),
    "startup": Job(
        "import amf_jax in a fresh process",
        startup.run,
        "≤ 1.5 times importing jax, flax and optax: a ratio ≥ 0.67",
    ),
}
