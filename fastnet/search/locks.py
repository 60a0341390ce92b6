"""File locks that end with their process, however it ends."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from types import TracebackType

__all__ = ["Lock", "Worker"]


class Lock:
    """An exclusive lock on a file, which is created if it does not exist.

    The system releases it when the process ends, also by SIGKILL: no lock is ever left behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; False if another process has it and `wait` is False."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(handle, wait):
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, wait: bool) -> bool:
        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return True
            except OSError:  # LK_LOCK gives up after ten seconds
                if not wait:
                    return False

else:
    import fcntl

    def _lock(handle: int, wait: bool) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


class Worker:
    """This process, as others see it: a locked file in `folder`, by whose name trials know who runs them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = Lock(folder / self.name)
        self._lock.acquire()

    def alive(self, name: str) -> bool:
        """Whether the worker `name` still runs."""
        if name == self.name:
            return True
        path = self.folder / name
        if not path.exists():
            return False
        lock = Lock(path)
        if not lock.acquire(wait=False):
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Sign off."""
        self._lock.release()
        (self.folder / self.name).unlink(missing_ok=True)
