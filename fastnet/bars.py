"""Progress on stderr: a bar of tqdm on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["SECONDS_BETWEEN_LINES", "counted", "tqdm_class"]

SECONDS_BETWEEN_LINES = 10.0
Item = TypeVar("Item")


def tqdm_class() -> Any:
    """The class tqdm; None if stderr is not a terminal, or without the library."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def counted(items: Iterable[Item], total: int, title: str, unit: str) -> Iterator[Item]:
    """`items`, of which there are `total`; what takes more than a second or two shows its progress."""
    tqdm = tqdm_class()
    if tqdm is not None:
        yield from tqdm(items, desc=title, total=total, unit=unit, leave=False, delay=1)
        return
    last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > SECONDS_BETWEEN_LINES and sys.stderr is not None:
            last = time.monotonic()
            print(f"{title}: {done:,} of {total:,} {unit}s", file=sys.stderr, flush=True)
