"""Results before times: what agrees is timed, what does not is an error."""

import numpy as np
import pytest

from benchmarks import limits, peers, timing
from benchmarks.jobs import base
from benchmarks.limits import Limits, Measured
from benchmarks.peers import Peer
from benchmarks.rows import Row

BENCH = base.Bench(
    Limits(Measured(2.0, (1.0, 3.0), 8.0), Measured(4.0, (4.0, 4.0), 2.0)), quick=True
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Three turns of one call each."""
    monkeypatch.setattr(base.Bench, "seconds", 1e-9)
    monkeypatch.setattr(base, "_PATIENCE", float("inf"))


def answer(*values):
    return lambda: np.array(values)


def fail():
    raise OSError("no disk")


def test_a_peer_with_the_same_result_is_timed():
    row = Row("greedy", limit_seconds=0.1)
    peer = Peer("they", answer(1.0, 2.0))
    (found,) = base.compare(
        BENCH, row, answer(1.0, 2.0), [peer], base.close(1e-6), factor=1e6
    )
    assert found.peer == "they" and found.error is None
    assert found.ratio is not None and found.limit_ratio is not None
    low, high = found.spread
    assert 0 < low <= found.seconds <= high


def test_a_very_slow_peer_is_called_once(monkeypatch):
    monkeypatch.setattr(base, "_PATIENCE", 0.0)
    calls = []

    def slow():
        calls.append(1)
        return np.array([1.0])

    (found,) = base.compare(
        BENCH, Row("greedy"), answer(1.0), [Peer("they", slow)], base.close(1e-6)
    )
    assert calls == [1]
    assert found.peer_seconds > 0 and found.note == "they: a single call"


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (answer(1.0, 2.1), "results differ by 4.8e-02"),  # 0.1 of 2.1
        (answer(1.0, np.nan), "results differ by nan"),
        (answer(1.0), "shapes"),
        (fail, "OSError: no disk"),
    ],
)
def test_a_peer_with_another_result_gets_an_error_and_no_time(call, complaint):
    wrong, ours = base.compare(
        BENCH, Row("greedy"), answer(1.0, 2.0), [Peer("they", call)], base.close(1e-3)
    )
    assert complaint in wrong.error and wrong.peer == "they"
    assert wrong.seconds is None and wrong.peer_seconds is None
    assert ours.peer is None and ours.seconds > 0


def test_a_peer_that_is_not_installed_leaves_its_row_empty():
    absent = Peer("they", None, "they: torch is not installed")
    present = Peer("others", answer(1.0))
    row = Row("greedy", note="small")
    first, second = base.compare(
        BENCH, row, answer(1.0), [absent, present], base.close(1e-3)
    )
    assert first.peer == "others" and first.note == "small" and first.peer_seconds > 0
    assert second.peer == "they" and second.seconds > 0
    assert second.peer_seconds is None and second.ratio is None
    assert second.note == "small; they: torch is not installed"


def test_choices_are_compared_as_sets():
    assert base.same_choices([3, 1], [1, 3]) is None
    assert base.same_choices([3, 1], [1, 2]) == "1 of 2 choices differ"


def test_a_peer_needs_to_be_asked_for_and_installed(monkeypatch):
    def load(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(peers.importlib, "import_module", load)
    missing = "torch"
    asked = peers.peer("they", "torch_selection", lambda module: fail)
    assert asked == Peer("they", None, "they: torch is not installed")
    unasked = peers.peer("they", "torch_selection", lambda module: fail, asked=False)
    assert unasked.call is None and "--peers" in unasked.note
    missing = "benchmarks.peers.misspelt"
    with pytest.raises(ModuleNotFoundError):
        peers.peer("they", "misspelt", lambda module: fail)


def test_calls_are_timed_in_turns():
    order = []
    calls = [lambda: order.append("a"), lambda: order.append("b")]
    ours, theirs = timing.in_turns(calls, seconds=1e-9)
    assert order == ["a", "b"] * 3
    for times in (ours, theirs):
        assert 0 < times.low <= times.median <= times.high


def test_limits_add_up_arithmetic_and_traffic():
    # 8 FLOPs in 2 s and 2 bytes in 4 s
    assert BENCH.limits.seconds(flops=12.0) == pytest.approx(3.0)
    assert BENCH.limits.seconds(flops=4.0, bytes_moved=1.0) == pytest.approx(3.0)


def test_the_machine_has_limits():
    found = limits.measure(1e-9, quick=True)
    assert found.flops_per_second > 0 and found.bytes_per_second > 0
    for measured in found:
        low, high = measured.spread
        assert 0 < low <= measured.seconds <= high
    assert limits.matmuls([(4, 3, 2), (2, 3, 4)], 1e-9) > 0


def test_a_python_that_fails_says_why():
    assert base.run_python("-c", "print(6 * 7)").strip() == "42"
    with pytest.raises(RuntimeError, match="ValueError: why"):
        base.run_python("-c", "raise ValueError('why')")
