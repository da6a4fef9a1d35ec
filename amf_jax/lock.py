"""A lock on a run: one process at a time, and free as soon as its process is gone."""

import contextlib
import errno
import json
import os
import socket
import sys
import time
import warnings
import weakref
from pathlib import Path

from amf_jax import errors, files

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: What a file system says that has no locks.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
#: Behind everything that is written into the file: Windows bars what is locked.
_LOCKED_BYTE = 1 << 30


class Lock:
    """Held from its construction until `release`, or until the process ends.

    The system keeps it for the process: one that is killed leaves the file behind, but
    not the lock. Processes that it forked do not hold it either.

    Args:
      path: of the lock's file, in a folder that exists.
      run: what is locked, for the message.

    Raises:
      RunInUseError: another process holds it; the message says which one and since
        when.
      OSError: the file cannot be written.
    """

    def __init__(self, path: Path, run: str | os.PathLike[str]):
        self._descriptor = _acquire(path, run)
        self._finalizer = weakref.finalize(self, _release, path, self._descriptor)
        _HELD.add(self)

    def release(self) -> None:
        """Lets others have it; a second time does nothing."""
        self._finalizer()

    def leave_to_parent(self) -> None:
        """In a forked process: gives up a copy that would outlast the lock's owner."""
        if self._finalizer.detach():
            os.close(self._descriptor)


_HELD: weakref.WeakSet[Lock] = weakref.WeakSet()


def _leave_all() -> None:
    for held in list(_HELD):
        held.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)


def _acquire(path: Path, run: str | os.PathLike[str]) -> int:
    while True:
        descriptor = _open(path)
        try:
            _lock(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            raise errors.RunInUseError(_who(path, os.fspath(run))) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                raise
            warnings.warn(
                f"{path} cannot be locked ({error.strerror}): see to it that no second"
                " process is at this run",
                errors.ResumeWarning,
                stacklevel=4,
            )
        if _is_still_at(path, descriptor):
            break
        os.close(descriptor)  # whoever held it has removed it meanwhile
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.truncate(descriptor, 0)
    os.write(descriptor, json.dumps(holder).encode())
    return descriptor


def _open(path: Path) -> int:
    """Never through a link: what is written would replace its target."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            reason = f"{path.name} is a symbolic link"
            raise OSError(error.errno, reason, os.fspath(path)) from None
        raise


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):  # Windows keeps it; it is free all the same
        path.unlink(missing_ok=True)
    os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _who(path: Path, run: str) -> str:
    holder = "another process"
    try:
        held = files.parse_json(files.read_text(path, most_bytes=1000))
        pid, host, since = held["pid"], held["host"], held["since"]
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        pass
    else:
        if (pid, host) == (os.getpid(), socket.gethostname()):
            return (
                f"this process has had the run {run} open since {since}: go on with the"
                " object that did it, or call its close() first"
            )
        holder = f"process {pid} on {host}, since {since},"
    return (
        f"{holder} is at the run {run}; wait for it, or stop it: what it has finished"
        " is kept, and the lock goes with the process"
    )
