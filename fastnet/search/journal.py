"""The search's memory: Optuna's studies in one journal file, which many processes append to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastnet.search.locks import Lock
from fastnet.search.space import Dimension

__all__ = ["FILE", "ask", "create_study", "find_studies", "open_storage", "optuna", "quiet"]

FILE = "journal.log"
_STARTUP = 5  # random trials before TPE has enough to learn from


def optuna() -> Any:
    """The library.

    Raises
    ------
    ImportError
        It is not installed; the message names the extra.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError('searching needs Optuna: pip install "fastnet-cnn[search]"') from error
    return optuna


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's own lines of progress."""
    logging = optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.set_verbosity(before)


class _JournalLock:
    """Optuna's lock of a journal: ours, which ends with its process, and which cuts off what a killed process left.

    A line that was written in part would damage the file for good as soon as another is appended to it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock(path.with_suffix(".lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        with open(self._path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.truncate(_end_of_lines(file, size))
        return True

    def release(self) -> None:
        self._lock.release()


def _end_of_lines(file: Any, size: int) -> int:
    """The size of the file without its last, unfinished line."""
    block = 1 << 16
    while size:
        start = max(size - block, 0)
        file.seek(start)
        found: int = file.read(size - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def open_storage(folder: Path) -> Any:
    """The storage of the search in `folder`, whose journal file is created if it does not exist."""
    library, path = optuna(), folder / FILE
    path.touch()
    backend = library.storages.journal.JournalFileBackend(str(path), lock_obj=_JournalLock(path))
    return library.storages.JournalStorage(backend)


def create_study(storage: Any, name: str, maximize: bool, median: bool) -> Any:
    """The study `name`, new or from the journal; with `median` its trials may be pruned by the median rule."""
    library = optuna()
    pruner = library.pruners.MedianPruner() if median else library.pruners.NopPruner()
    direction = "maximize" if maximize else "minimize"
    return library.create_study(
        storage=storage, study_name=name, direction=direction, load_if_exists=True, pruner=pruner
    )


def find_studies(storage: Any) -> dict[str, Any]:
    """The studies of a journal, by name."""
    library = optuna()
    names = [study.study_name for study in storage.get_all_studies()]
    return {name: library.load_study(study_name=name, storage=storage) for name in names}


def ask(study: Any, space: Mapping[str, Dimension], method: str, seed: int, fixed: Mapping[str, Any] | None) -> Any:
    """A new trial with its values: `fixed`, or what the method draws.

    Each trial has a sampler and a seed of its own, so that an interrupted search goes on with the values that it would
    have drawn without the interruption.
    """
    samplers = optuna().samplers
    if fixed is not None:
        study.sampler = samplers.RandomSampler()
        study.sampler.sample_independent = lambda study, trial, name, distribution: fixed[name]
    elif method == "tpe":
        study.sampler = samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    else:
        study.sampler = samplers.RandomSampler(seed=seed)
    return study.ask({name: dimension.distribution() for name, dimension in space.items()})
