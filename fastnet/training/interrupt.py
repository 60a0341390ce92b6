"""Defers Ctrl-C to the end of an iteration."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["Interrupt"]


class Interrupt:
    """Within ``with``, the first Ctrl-C only sets `requested`; a second one raises KeyboardInterrupt at once.

    Does nothing outside the main thread, or if the program handles SIGINT itself.

    Attributes
    ----------
    requested : bool
        Ctrl-C was pressed.
    answered : bool
        `check` raised KeyboardInterrupt, between two iterations.
    """

    def __init__(self) -> None:
        self.requested = self.answered = self._installed = False

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.requested:
            self.answered = True
            raise KeyboardInterrupt
