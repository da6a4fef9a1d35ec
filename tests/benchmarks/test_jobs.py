"""Every registered job keeps the contract, on inputs so small that compiling is all."""

import jax
import numpy as np
import pytest

from amf_jax import selectors
from benchmarks import problems, timing
from benchmarks.jobs import (
    JOBS,
    base,
    gaussian_process,
    greedy,
    growth,
    large_pool,
    startup,
)
from benchmarks.jobs import selection as selection_jobs
from benchmarks.limits import Limits, Measured
from benchmarks.peers import literal
from benchmarks.problems import Sizes
from benchmarks.rows import Row, to_json

TINY = Sizes(tasks=2, demonstrations=3, horizon=4, task=5, action=9, hidden=6)
BENCH = base.Bench(
    Limits(Measured(1.0, (1.0, 1.0), 1e9), Measured(1.0, (1.0, 1.0), 1e9)), quick=True
)


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(base.Bench, "seconds", 1e-9)
    monkeypatch.setattr(problems, "SMALL", TINY)
    monkeypatch.setattr(problems, "PAPER", TINY)
    monkeypatch.setattr(gaussian_process, "_round", lambda folder: 1.0)
    monkeypatch.setattr(startup, "run_python", lambda *arguments: "")


def compile_nothing(sizes, options):
    return timing.Program(None, lambda: None, 1.0, 100 * sizes.tasks, None)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_yields_rows_of_its_own_without_errors(name, hurry, monkeypatch):
    job = JOBS[name]
    if name.startswith("growth_") and name != "growth_demonstrations":  # the same code
        monkeypatch.setattr(growth, "first_round", compile_nothing)
    assert job.title and "\n" not in job.title
    with jax.debug_key_reuse(False):  # the same call is timed again and again
        found = list(job.run(BENCH))
    assert found
    cases = [(row.case, row.peer) for row in found]
    assert len(set(cases)) == len(cases)
    for row in found:
        assert row.job == name and row.error is None
        assert row.seconds or row.value is not None or row.note
        entry = to_json(row)
        assert entry["seconds"] is None or entry["seconds"] > 0


def test_every_row_of_the_targets_has_a_job():
    wanted = {name for name, job in JOBS.items() if job.target}
    assert wanted == {
        *("selection_dense", "selection_pruned", "selection_history", "greedy"),
        *("growth_features", "finetuning", "evaluation", "gaussian_process"),
        *("compilations", "startup", "devices", "ranking"),
    }


def test_the_literal_loops_give_the_scores_of_the_library():
    problem = problems.selection(TINY)
    selector = selectors.amf(
        problem.embedding,
        problem.policy.log_likelihood,
        condition_on_history=False,
        noise_variance=0.3,
        execution=selectors.Execution(weight_tolerance=None),
    )
    _, _, info = jax.jit(selector.select)(*selection_jobs.start(selector, problem))
    expected = literal.selection(problem, 0.3, np.float64)()
    np.testing.assert_allclose(info.scores, expected, rtol=2e-5)
    assert expected.std() > 1e-3 * expected.mean()  # or any constant would do


def test_a_greedy_batch_is_that_of_conditioning_anew_each_time():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(12, 4)), rng.normal(size=(7, 4))
    noise, chosen = 0.2, []

    def remaining(rows):
        """Summed variance of the targets after noisy values at these points."""
        known = points[rows]
        across = targets @ known.T
        gram = known @ known.T + noise * np.eye(len(rows))
        return (targets**2).sum() - np.sum(across.T * np.linalg.solve(gram, across.T))

    for _ in range(5):
        free = [row for row in range(12) if row not in chosen]
        chosen.append(min(free, key=lambda row: remaining([*chosen, row])))
    found = jax.jit(greedy.choose, static_argnums=2)(
        points.astype(np.float32), targets.astype(np.float32), 5, noise
    )
    assert found.tolist() == chosen


def test_points_of_a_greedy_batch_have_unit_size():
    points = problems.explicit_points(TINY, 10)
    assert points.shape == (10, TINY.embedding) == (10, 63)  # (6 + 1) * 9
    assert np.mean(np.sum(points**2, axis=1)) == pytest.approx(1.0, rel=1e-5)


def test_a_curve_stops_where_a_call_would_take_too_long(monkeypatch):
    seconds = {1: 0.001, 2: 0.004, 4: 0.016, 64: None}
    asked = []

    def program(sizes, options):
        asked.append(sizes.tasks)
        return compile_nothing(sizes, options)

    def in_turns(calls, budget):
        return [timing.Times(*(3 * [seconds[asked[-1]]]))]

    monkeypatch.setattr(growth, "first_round", program)
    monkeypatch.setattr(growth, "in_turns", in_turns)
    curve = growth.Growth(
        "growth_tasks",
        "C",
        tuple(seconds),
        lambda base, count: Sizes(tasks=count),
        (),
        "a note",
    )
    *timed, last = growth._grow(BENCH, curve)
    assert [row.case for row in timed] == ["C = 1", "C = 2", "C = 4"]
    assert last.value == pytest.approx(2.0)  # four times the time for twice the size
    # 0.016 s * 16^2 = 4.1 s
    assert "buffers grow 4.0 times" in last.note and "64 would take about 4 s" in (
        last.note
    )


def test_a_large_pool_delivers_all_demonstrations_in_batches(monkeypatch):
    read = []

    def choose(pool, *arguments, **options):
        read.extend(pool())
        return None, None

    monkeypatch.setattr(large_pool.streaming, "select", choose)
    monkeypatch.setattr(large_pool, "_BATCH", 2)
    problem = problems.selection(TINY)
    large_pool.select(problem, problem.embedding, 3)
    assert [len(batch.task_ids) for batch in read] == [2, 1]
    for leaf, *parts in zip(problem.context.demos, *read, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), leaf)


def test_figure_7_is_the_whole_sweep_with_nothing_compiled_before(monkeypatch):
    called = []

    def run_python(*arguments, environment):
        called.append((arguments, environment))

    monkeypatch.setattr(gaussian_process, "run_python", run_python)
    (row,) = gaussian_process.run(BENCH._replace(quick=False))
    ((arguments, environment),) = called
    assert "--config=experiments/configs/sweeps.py:figure7" in arguments
    assert not [each for each in arguments if "settings" in each or "seeds" in each]
    (folder,) = [each.partition("=")[2] for each in arguments if "results_dir" in each]
    assert environment["JAX_COMPILATION_CACHE_DIR"].startswith(folder)
    assert isinstance(row, Row) and row.peer_seconds == 600.0
