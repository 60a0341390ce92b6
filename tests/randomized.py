"""The number of random cases that hypothesis draws: a few fixed ones, or FASTNET_EXAMPLES."""

from __future__ import annotations

import os

from hypothesis import settings

EXAMPLES = int(os.environ.get("FASTNET_EXAMPLES", 0))


def examples(count):
    """The same cases in each run, so that a suite that passed passes again; with FASTNET_EXAMPLES, that many others."""
    return settings(max_examples=EXAMPLES or count, derandomize=not EXAMPLES, deadline=None, database=None)
