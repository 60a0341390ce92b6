"""Reads pickles of plain containers and numeric arrays, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from fastnet.pickles.machine import Opaque, read_pickle
from fastnet.pickles.meanings import Data, PickledArray

__all__ = ["load_plain_pickle"]


def load_plain_pickle(data: bytes, where: str) -> Any:
    """Unpickle `data`, from any version of Python, if it holds only dicts, lists, text, numbers and numeric arrays.

    Tuples are returned as lists, keys of dicts as str, other text from Python 2 as bytes.  Nothing is ever called.

    Parameters
    ----------
    data : bytes
    where : str
        The file's name, for the message.

    Raises
    ------
    ValueError
        The pickle is damaged, or holds anything else.
    """
    try:
        return _plain(read_pickle(io.BytesIO(data), Data(), strings=bytes), {})
    except Exception as error:  # a hostile pickle can raise nearly anything
        raise ValueError(f"{where}: not accepted as a pickle of plain arrays: {error}") from error


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Replace stand-ins by their contents, and keys that are byte strings by text.

    `done` maps the ids of containers to their results, so that one with many references is converted once.
    """
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.ndarray)):
        return value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, PickledArray):
        return _plain(value.value, done)
    if type(value) is dict:
        result: Any = {}
        done[id(value)] = result
        result.update((_key(key), _plain(item, done)) for key, item in value.items())
        return result
    if type(value) in (list, tuple):
        result = []
        done[id(value)] = result
        result.extend(_plain(item, done) for item in value)
        return result
    raise ValueError(f"it holds a {value.name[:100] if isinstance(value, Opaque) else type(value).__name__}")


def _key(key: Any) -> str:
    if isinstance(key, Opaque):
        raise ValueError(f"it holds a dict with a key of type {key.name}")
    return key.decode("ascii") if isinstance(key, bytes) else str(key)
