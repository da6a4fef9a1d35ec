"""Runs that go on: with a larger budget, elsewhere, after a full disk."""

import functools

import jax
import numpy as np
import pytest

from amf_jax import demonstrations as demonstrations_lib
from amf_jax import embeddings, errors, learners, provenance, selectors
from amf_jax.policies import gp
from amf_jax.posterior import Posterior
from amf_jax.posterior.moments import MomentPosterior
from amf_jax.selectors.registry import SELECTORS
from amf_jax.session.driver import ActiveFineTuner
from tests import problems

TASKS = problems.tiny_tasks()
PRETRAINING = problems.tiny_demos(7, (0, 1, 0), tasks=TASKS)


class Expert:
    """Demonstrates whatever is asked for, and remembers in which rounds."""

    def __init__(self):
        self.rounds = []

    def __call__(self, task, round_index, count):
        self.rounds.append(round_index)
        seed = 100 * round_index + task
        return problems.tiny_demos(seed, (task,) * count, tasks=TASKS)


def evaluate(act, state, round_index):
    observations = np.linspace(-1.0, 1.0, 9, dtype=np.float32).reshape(3, 3)
    actions = act(observations, np.arange(3))
    return {"return": actions.sum(), "success": (actions.sum(axis=1) > 0).astype(float)}


@functools.cache  # what is jitted is compiled once
def by_gradient(name):
    """A selector of that name with a policy that is trained."""
    policy, (learner, _) = problems.tiny_policy(), problems.tiny_parts()
    model = ()
    if SELECTORS[name].needs_model:
        embedding = embeddings.last_layer_gradient(policy.last_layer)
        model = embedding, policy.log_likelihood
    options = {"pretraining_counts": [2, 1, 0]} if name == "rebalancing" else {}
    rule = selectors.make(name, *model, **options)
    return learner, selectors.warm_start(rule, 2)


def by_conditioning(rounds):
    """A Gaussian process, whose parameters are as large as the buffer."""
    blank = demonstrations_lib.empty(rounds, 3, 3, 2, 2)
    learner = learners.conditioning_learner(_condition, gp.policy(), blank)
    rule = selectors.make(
        "amf", gp.embedding(), gp.policy().log_likelihood, criterion="entropy"
    )
    return learner, selectors.warm_start(rule, 2)


def _condition(first, then):
    return gp.condition(gp.Hyperparameters(1.0, 1.0, 1.0, 0.1), first, then)


def tune(parts, rounds, folder=None, **options):
    learner, selector = parts
    expert = Expert()
    arguments = dict(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=PRETRAINING,
        demonstrate=expert,
        evaluate=evaluate,
        rounds=rounds,
        seed=0,
        checkpoint_dir=folder,
    )
    tuner = ActiveFineTuner(**(arguments | options))
    tuner.run()
    tuner.close()
    return tuner, expert


def assert_close(one, other, *, to_the_bit):
    def same(first, second):
        if to_the_bit:
            np.testing.assert_array_equal(first, second)
        else:
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)

    assert len(one.records) == len(other.records)
    for first, second in zip(one.records, other.records, strict=True):
        assert first["task"] == second["task"]
        assert (first["scores"] is None) == (second["scores"] is None)
        for name in ("scores", "return", "success", "mixing"):
            if first[name] is not None:
                same(first[name], second[name])
    kept = [(x.demos, x.learner_state, x.selector_state) for x in (one, other)]
    jax.tree.map(same, *kept)


# amf_paper and prior_entropy are amf with other options.
@pytest.mark.parametrize(
    "name", sorted(SELECTORS.keys() - {"amf_paper", "prior_entropy"})
)
def test_a_finished_run_goes_on_with_a_larger_budget(tmp_path, name):
    parts = by_gradient(name)
    straight, _ = tune(parts, 5)
    tune(parts, 3, tmp_path / "run")
    extended, expert = tune(parts, 5, tmp_path / "run")
    assert expert.rounds == [4, 5]
    assert_close(extended, straight, to_the_bit=False)
    again, expert = tune(parts, 5, tmp_path / "run")
    assert expert.rounds == []
    assert again.records == extended.records


def test_a_process_that_conditions_goes_on_with_a_larger_budget(tmp_path):
    straight, _ = tune(by_conditioning(5), 5)
    tune(by_conditioning(3), 3, tmp_path / "run")
    extended, expert = tune(by_conditioning(5), 5, tmp_path / "run")
    assert expert.rounds == [4, 5]
    assert extended.learner_state.params.targets.shape == (24, 2)
    assert_close(extended, straight, to_the_bit=False)


def test_a_run_whose_sums_take_another_space_goes_on(tmp_path, monkeypatch):
    def costs(pairs, horizon, history, *sizes):
        return {"function": history, "weight": 3 * 3}

    monkeypatch.setattr("amf_jax.posterior.spaces.costs", costs)
    parts = by_gradient.__wrapped__("amf")  # compiled with that choice
    straight, _ = tune(parts, 5)
    shorter, _ = tune(parts, 3, tmp_path / "run")
    extended, _ = tune(parts, 5, tmp_path / "run")
    kinds = [type(one.selector_state.inner.posterior) for one in (shorter, extended)]
    assert kinds == [Posterior, MomentPosterior]
    assert_close(extended, straight, to_the_bit=False)


def test_where_no_buffer_grows_the_extended_run_is_the_same_to_the_bit(tmp_path):
    parts = by_gradient("amf")
    room = demonstrations_lib.empty(5, 3, 3, 2, 2)
    straight, _ = tune(parts, 5, demos=room)
    tune(parts, 3, tmp_path / "run", demos=room)
    extended, _ = tune(parts, 5, tmp_path / "run", demos=room)
    assert_close(extended, straight, to_the_bit=True)


def test_another_run_is_refused_before_the_expert_is_asked(tmp_path):
    changes = {
        "seed: 0, 1": dict(seed=1),
        "tasks: 'float32": dict(
            tasks=problems.tiny_tasks(1),
            pretraining=problems.tiny_demos(7, (0, 1), tasks=problems.tiny_tasks(1)),
        ),
        "pretraining": dict(pretraining=problems.tiny_demos(8, (0, 1), tasks=TASKS)),
        "a budget of 2 rounds, here are 1": dict(rounds=1),
    }
    parts = by_gradient("uniform")
    tune(parts, 2, tmp_path / "run")
    for message, change in changes.items():
        with pytest.raises(errors.CheckpointError, match=message) as caught:
            tune(parts, **({"rounds": 3, "folder": tmp_path / "run"} | change))
        assert "damaged" not in str(caught.value)


def drawing(state, key, observations, tasks, task_ids):
    """Acts at random, so that a key that is used twice shows."""
    return jax.random.normal(key, (observations.shape[0], 2))


def test_actions_between_rounds_share_no_key_with_rounds_to_come(tmp_path):
    seen = []

    def record(act, state, round_index):
        seen.append(act(np.zeros((1, 3), np.float32), [0]))
        return {}

    learner, selector = by_gradient("uniform")
    parts = learner._replace(act=drawing), selector
    for rounds in (1, 2, 3):
        tuner, _ = tune(parts, rounds, tmp_path / "run", evaluate=record)
        for _ in range(3):
            seen.append(tuner.act(np.zeros((1, 3), np.float32), np.array([0])))
    assert len(np.unique(np.concatenate(seen)[:, 0])) == len(seen) == 4 + 3 * 3


def test_sessions_say_what_made_which_rounds(tmp_path, monkeypatch):
    parts = by_gradient("uniform")
    first, _ = tune(parts, 2, tmp_path / "run")
    (session,) = first.sessions
    assert session == provenance.session(first_round=0)
    assert session["versions"]["jax"] == jax.__version__
    assert session["threads"] >= 1
    assert (session["x64"], session["backend"]) == (False, jax.default_backend())
    assert session["prng"].startswith("threefry2x32")

    monkeypatch.setattr(provenance, "threads", lambda: session["threads"] + 1)
    other = session["threads"] + 1
    message = rf"threads: {session['threads']}, {other}\. It need not"
    with pytest.warns(errors.ResumeWarning, match=message):
        second, _ = tune(parts, 3, tmp_path / "run")
    changed = session | {"first_round": 3, "threads": other}
    assert second.sessions == [session, changed]
    done, _ = tune(parts, 3, tmp_path / "run")  # makes nothing, and is no session
    assert done.sessions == [session, changed]


def test_threads_are_those_that_xla_is_told(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    assert provenance.threads() == 3


def test_versions_are_those_installed_and_skip_what_is_not(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "surely-not-installed"))
    assert provenance.versions().keys() == {"python", "numpy"}
    assert provenance.versions()["numpy"] == np.__version__


def test_after_a_full_disk_the_expert_is_not_asked_again(tmp_path, monkeypatch):
    parts = by_gradient("uniform")
    straight, _ = tune(parts, 3)
    learner, selector = parts
    expert, full = Expert(), []
    tuner = ActiveFineTuner(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=PRETRAINING,
        demonstrate=expert,
        evaluate=evaluate,
        rounds=3,
        seed=0,
        checkpoint_dir=tmp_path / "run",
    )
    manager = tuner._run._checkpointer._manager
    save = manager.save

    def limited(step, **options):
        if full:
            raise OSError(28, "No space left on device")
        return save(step, **options)

    monkeypatch.setattr(manager, "save", limited)

    def fill(record):
        if record["round"] == 1:
            full.append(True)

    with pytest.raises(errors.CheckpointError, match="round 2 .*No space left"):
        tuner.run(fill)
    full.clear()
    tuner.run()
    tuner.close()
    assert expert.rounds == [1, 2, 3]
    assert_close(tuner, straight, to_the_bit=True)
    again, _ = tune(parts, 3, tmp_path / "run")
    assert_close(again, straight, to_the_bit=True)


def test_one_run_at_a_time(tmp_path):
    parts = by_gradient("uniform")
    learner, selector = parts
    options = dict(
        learner=learner,
        selector=selector,
        tasks=TASKS,
        pretraining=PRETRAINING,
        demonstrate=Expert(),
        rounds=1,
        seed=0,
        checkpoint_dir=tmp_path / "run",
    )
    first = ActiveFineTuner(**options)
    with pytest.raises(errors.RunInUseError, match="close"):
        ActiveFineTuner(**options)
    first.close()
    ActiveFineTuner(**options).close()
