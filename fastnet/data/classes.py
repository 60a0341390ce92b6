"""Matches classes by name, since another data set may have them in another order, or only some of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from fastnet.wording import name_some

__all__ = ["match_names"]


def match_names(given: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """The position in `known` of each name in `given`.

    ``match_names(given, known)[y]`` renumbers labels `y` of `given` as labels of `known`.
    Letters match however a file system encodes them: macOS decomposes accents, and without a locale for UTF-8 Python
    reads the bytes of folders' names as surrogates.

    Raises
    ------
    ValueError
        Names that `known` does not have; the message lists them.
    """
    if tuple(given) == tuple(known):
        return np.arange(len(known))
    positions = {_normal(name): number for number, name in enumerate(known)}
    names = [_normal(name) for name in given]
    unknown = [name for name, normal in zip(given, names, strict=True) if normal not in positions]
    if not unknown and len(positions) == len(known) and len(set(names)) == len(names):
        return np.array([positions[name] for name in names], np.int64)
    problem = f"has {_listed(unknown)}, which are not among them" if unknown else f"has {_listed(given)}, with repeats"
    numbers = all(name.isdecimal() for name in unknown) and not all(name.isdecimal() for name in known)
    hint = "; if numbers stand for these, name them in their order with classes=[...]" if unknown and numbers else ""
    raise ValueError(f"the model's classes are {_listed(known)}; the data set {problem}{hint}")


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))


def _listed(names: Sequence[str]) -> str:
    return name_some([repr(name) for name in names], 12)
