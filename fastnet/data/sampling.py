"""Sampling: the order in which an epoch visits the samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnet.types import Array, Generator

__all__ = ["SAMPLING"]


def uniform(y: Array, rng: Generator) -> Array:
    """Every sample once, shuffled."""
    return rng.permutation(len(y))


def balanced(y: Array, rng: Generator) -> Array:
    """As many draws as samples, an equal share of each class that occurs; the remainder goes to classes drawn.

    Of a class, all samples are drawn before one is drawn again.
    """
    classes = np.unique(y)
    share, rest = divmod(len(y), len(classes))
    more = set(rng.permutation(classes)[:rest].tolist())
    drawn = []
    for k in classes.tolist():
        members = np.flatnonzero(y == k)
        count = share + (k in more)
        rounds = [rng.permutation(members) for _ in range(-(-count // len(members)))]
        drawn += [np.concatenate(rounds)[:count]] if rounds else []
    return rng.permutation(np.concatenate(drawn))


SAMPLING: dict[str, Callable[[Array, Generator], Array]] = {"uniform": uniform, "balanced": balanced}
"""``SAMPLING[name](y, rng)``: the numbers of the samples, one for each of y."""
