"""Locks: one process at a time, and free as soon as that one is gone."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from amf_jax import errors, lock

HOLDER = """
    import pathlib, sys, time
    from amf_jax import lock

    held = lock.Lock(pathlib.Path(sys.argv[1]), "the run")
    print("held", flush=True)
    time.sleep(600)
"""


FORKER = """
    import os, pathlib, sys, time
    from amf_jax import lock

    held = lock.Lock(pathlib.Path(sys.argv[1]), "the run")
    if not os.fork():  # the child says so itself: then it has given its copy up
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, and the file of the lock that it holds."""
    file = tmp_path / "run.lock"
    script = [sys.executable, "-c", textwrap.dedent(HOLDER), file]
    process = subprocess.Popen(script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process, file
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_process_says_who_is_at_it_and_the_killed_one_leaves(holder):
    process, file = holder
    since = json.loads(file.read_text())["since"]
    message = rf"process {process.pid} on \S+, since {since}, is at the run here; wait"
    with pytest.raises(errors.RunInUseError, match=message) as caught:
        lock.Lock(file, "here")
    assert "delete" not in str(caught.value)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert file.exists()  # what is left of it bars nobody
    mine = lock.Lock(file, "here")
    assert json.loads(file.read_text())["pid"] == os.getpid()
    mine.release()
    assert not file.exists()


def test_a_forked_process_does_not_hold_the_lock_of_a_killed_one(tmp_path):
    file = tmp_path / "run.lock"
    script = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKER), file]
    with subprocess.Popen(script, stdout=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        try:
            with pytest.raises(errors.RunInUseError, match=f"process {process.pid} "):
                lock.Lock(file, "here")
            process.kill()
            process.wait()
            lock.Lock(file, "here").release()
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def test_a_lock_goes_with_its_object(tmp_path):
    file = tmp_path / "run.lock"
    first = lock.Lock(file, "here")
    with pytest.raises(errors.RunInUseError, match=r"since .*call its close\(\) first"):
        lock.Lock(file, "here")
    first.release()
    first.release()
    second = lock.Lock(file, "here")
    first.release()  # is no longer its own
    assert file.exists()
    del second
    lock.Lock(file, "here").release()


def test_who_cannot_be_read_is_another_process(holder):
    _, file = holder
    file.write_text("")
    with pytest.raises(errors.RunInUseError, match="another process is at the run"):
        lock.Lock(file, "here")


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    file, take = tmp_path / "run.lock", lock._lock
    attempts = []

    def removed(descriptor):
        attempts.append(descriptor)
        take(descriptor)
        if len(attempts) == 1:
            file.unlink()

    monkeypatch.setattr(lock, "_lock", removed)
    held = lock.Lock(file, "here")
    assert len(attempts) == 2
    with pytest.raises(errors.RunInUseError):
        lock.Lock(file, "here")
    held.release()


def test_without_locks_a_warning_says_so(tmp_path, monkeypatch):
    def unsupported(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", unsupported)
    with pytest.warns(errors.ResumeWarning, match="cannot be locked"):
        lock.Lock(tmp_path / "run.lock", "here").release()
    with pytest.raises(OSError, match="No such file"):
        lock.Lock(tmp_path / "none" / "run.lock", "here")
