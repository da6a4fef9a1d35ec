"""Runs that are stopped, and go on: from memory, from a folder, after Ctrl-C."""

import signal
import threading

import pytest

from amf_jax import errors
from tests.runs import assert_same_run
from tests.tuners import ROUNDS, Expert, crash_after, make, uninterrupted


@pytest.fixture
def straight():
    return uninterrupted()


def test_a_second_run_goes_on_from_memory(straight):
    expert = Expert()

    tuner = make(demonstrate=expert)
    with pytest.raises(ZeroDivisionError):
        tuner.run(crash_after(3))
    tuner.run()
    tuner.run()  # it is finished
    assert [index for index, _ in expert.asked] == [1, 2, 3, 4, 5]
    assert_same_run(tuner, straight)


def test_a_resumed_run_equals_a_straight_one(straight, tmp_path):
    first = make(checkpoint_dir=tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        first.run(crash_after(3))
    first.close()

    expert, seen = Expert(), []
    second = make(checkpoint_dir=tmp_path / "run", demonstrate=expert)
    second.run(lambda record: seen.append(record["round"]))
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]
    assert seen == [4, 5]
    assert_same_run(second, straight)

    third = make(checkpoint_dir=tmp_path / "run", demonstrate=expert)
    third.run(lambda record: seen.append(record["round"]))
    third.close()
    assert [index for index, _ in expert.asked] == seen == [4, 5]  # it was finished
    assert_same_run(third, straight)


def test_rounds_since_the_last_checkpoint_are_redone(straight, tmp_path):
    options = dict(checkpoint_dir=tmp_path / "run", checkpoint_every=2)
    first = make(**options)
    with pytest.raises(ZeroDivisionError):
        first.run(crash_after(3))
    first.close()
    expert = Expert()
    second = make(demonstrate=expert, **options)
    second.run()
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]  # 3 is in the journal
    assert [record["round"] for record in second.records] == [0, 1, 2, 3, 4, 5]
    assert_same_run(second, straight)


def test_ctrl_c_finishes_the_round_and_keeps_it(straight, tmp_path):
    def press(round_index):
        if round_index == 3:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    options = dict(checkpoint_dir=tmp_path / "run", checkpoint_every=10)
    first, messages = make(demonstrate=Expert(press), **options), []
    with pytest.raises(
        errors.Interrupted, match=f"after round 3 of {ROUNDS}"
    ) as caught:
        first.run(on_interrupt=messages.append)
    first.close()
    assert str(tmp_path / "run") in str(caught.value)
    assert len(messages) == 1
    assert [record["round"] for record in first.records] == [0, 1, 2, 3]
    assert signal.getsignal(signal.SIGINT) is handler

    expert = Expert()
    second = make(demonstrate=expert, **options)
    second.run()
    second.close()
    assert [index for index, _ in expert.asked] == [4, 5]
    assert_same_run(second, straight)


def test_ctrl_c_without_checkpoints_keeps_the_rounds_in_memory(straight):
    def press(round_index):
        if round_index == 3:
            signal.raise_signal(signal.SIGINT)

    expert = Expert(press)
    tuner = make(demonstrate=expert)
    with pytest.raises(
        errors.Interrupted, match="in memory alone, where run"
    ) as caught:
        tuner.run(on_interrupt=lambda message: None)
    assert f"after round 3 of {ROUNDS}" in str(caught.value)
    tuner.run()
    assert [index for index, _ in expert.asked] == [1, 2, 3, 4, 5]
    assert_same_run(tuner, straight)


def test_a_second_ctrl_c_stops_at_once():
    # A process that was started in the background may be told to ignore Ctrl-C.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(round_index):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")

    tuner = make(demonstrate=Expert(press))
    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            tuner.run(on_interrupt=lambda message: None)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert raised.type is KeyboardInterrupt
    assert len(tuner.records) == 1


def test_runs_outside_the_main_thread():
    tuner = make("uniform", rounds=1, evaluate=None)
    thread = threading.Thread(target=tuner.run)
    thread.start()
    thread.join()
    assert len(tuner.records) == 2


def test_after_close_the_run_is_another_objects(tmp_path):
    options = dict(rounds=1, checkpoint_dir=tmp_path / "run")
    first = make("uniform", **options)
    first.close()
    second = make("uniform", **options)
    with pytest.raises(errors.CheckpointError, match="was closed; a new"):
        first.run()
    assert first.records == []
    second.close()
