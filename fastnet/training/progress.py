"""The output of a training run: a progress bar for each epoch and a table of epochs."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnet.bars import SECONDS_BETWEEN_LINES, tqdm_class
from fastnet.training.history import COLUMNS

__all__ = ["Progress"]


class Progress:
    """The table of epochs on stdout; within an epoch a tqdm bar on stderr if that is a terminal, else an occasional
    line.  Silent without `verbose`.
    """

    def __init__(self, verbose: bool, epochs: int) -> None:
        self.verbose, self.epochs = verbose, epochs
        self._bar, self._headed, self._last = None, False, time.monotonic()
        self._tqdm = tqdm_class() if verbose else None

    def start_epoch(self, epoch: int, batches: int, done: int) -> None:
        """Start epoch `epoch` (from 0) with `done` batches already done."""
        self._epoch, self._batches = epoch, batches
        self._last = time.monotonic()
        if self._tqdm:
            title = f"epoch {epoch + 1}/{self.epochs}"
            self._bar = self._tqdm(total=batches, initial=done, desc=title, unit="batch", leave=False)

    def step(self, batch: int, loss: float, waiting: float) -> None:
        """Show that `batch` batches of the epoch are done, and the share of the time that they were waited for."""
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}", data=f"{waiting:.0%}", refresh=False)
            self._bar.update()
        elif self.verbose and time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            place = f"epoch {self._epoch + 1}/{self.epochs}: batch {batch}/{self._batches}"
            line = f"{place}, loss {loss:.4f}, data wait {waiting:.0%}"
            print(line, file=sys.stderr, flush=True)

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Print the epoch's row of the table."""
        self.close()
        columns = {name: form for name, form in COLUMNS.items() if name in record}
        if self.verbose and not self._headed:
            print("  ".join(f"{title:>9}" for title, _ in columns.values()), flush=True)
            self._headed = True
        if self.verbose:
            print("  ".join(f"{record[name]:>9{form}}" for name, (_, form) in columns.items()), flush=True)

    def message(self, text: str) -> None:
        """Print a line between the rows of the table."""
        self.close()
        if self.verbose:
            print(text, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
