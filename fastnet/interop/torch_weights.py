"""Reads PyTorch's weight files (.pt, .pth, .th, .ckpt) of any version, without PyTorch.

Only tensors and plain containers are read; objects of other classes beside them are passed over.  Nothing is executed.
"""

from __future__ import annotations

import errno
import os
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.foreign import explain
from fastnet.interop.tensors import Arrays, Tensor
from fastnet.interop.torch_files import read_torch
from fastnet.layers.names import is_counter, unwrapped
from fastnet.pickles import Opaque, PickledArray

__all__ = ["load_torch"]

_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
# raised for a damaged file by zipfile, tarfile and this package
_DAMAGE: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, EOFError, KeyError, OverflowError, NotImplementedError, RuntimeError, OSError),
    *(struct.error, tarfile.TarError, zipfile.BadZipFile, zipfile.LargeZipFile),
)


def load_torch(
    path: str | os.PathLike[str], key: str | None = None, strip_module: bool = True
) -> dict[str, np.ndarray]:
    """The tensors of a file that ``torch.save`` wrote, for ``model.load_state_dict(load_torch(path))``.

    All formats since PyTorch 0.1 are read, and dicts that ``pickle.dump`` wrote.

    Parameters
    ----------
    path : str or path
        A state dict, or a checkpoint (a dict) with one inside.
    key : str, optional
        Which entry of a checkpoint, or of a dict in it ("ema.state_dict"); by default "state_dict",
        "model_state_dict", "model_state", "model", "net", "network", "weights" or "params".
    strip_module : bool
        Remove what wrappers add to the names: "module." of ``DataParallel`` and ``AveragedModel`` from the beginning
        of all of them, "_orig_mod." of ``torch.compile`` and the like wherever they are.

    Returns
    -------
    dict of str to array
        Read-only; bfloat16 and 8-bit floating point become float32.  Entries that are not tensors (an epoch number) are
        left out; NumPy arrays count if there is no tensor.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is damaged, declares wrong sizes, holds no state dict (but a whole module, for example), calls
        functions, or is something else, such as a TorchScript program or an ONNX model, which the message names.
        Nothing in it has been executed.
    """
    if not isinstance(key, (str, type(None))):
        raise TypeError(f"load_torch: key must be the name of an entry, got {key!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}{f'; {explain(path)}' if path.exists() else ''}")
    try:
        with open(path, "rb") as file:
            root, records = read_torch(path, file)
            arrays, state = Arrays(records), _entry(root, key)
            found = {name: _array(arrays, name, value) for name, value in _weights(state).items()}
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a seek to nowhere in the file
            raise
        raise ValueError(f"{path}: {str(error) or 'damaged file (it ends too early)'}") from error
    return _stripped(found) if strip_module else found


def _array(arrays: Arrays, name: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Opaque):
        raise ValueError(f"{name[:100]!r} is not a dense tensor ({value.name}): convert it before it is saved")
    return arrays.array(name, value)


def _entry(root: Any, key: str | None) -> dict[Any, Any]:
    """The state dict that `key` names, or that is found under one of the usual names."""
    given = _dict(root)
    if given is None:
        if isinstance(root, Opaque):
            raise ValueError(f"refused: the file holds {_described(root)}")
        raise ValueError("expected a state dict (names and tensors), found another kind of object")
    if key is not None:
        return _named(given, key)
    nests = {name: nest for name in _NESTS if (nest := _dict(given.get(name))) is not None}
    holders = {name: nest for name, nest in nests.items() if _weights(nest)}
    if len({id(nest) for nest in holders.values()}) > 1:
        raise ValueError(f"the file has weights in {', '.join(holders)}; give key=... to choose one")
    if holders:
        return next(iter(holders.values()))
    if _weights(given):
        return given
    if len(nests) == 1:  # a checkpoint inside another
        return _entry(next(iter(nests.values())), None)
    raise ValueError(f"found no state dict; {_contents(given)}; give key=... to choose one")


def _named(given: dict[Any, Any], key: str) -> dict[Any, Any]:
    value: Any = given
    for part in [key] if key in given else key.split("."):
        inside = _dict(value)
        if inside is None or part not in inside:
            raise ValueError(f"no entry {key!r}; {_contents(given)}")
        value = inside[part]
    state = _dict(value)
    if state is None or not _weights(state):
        raise ValueError(f"found no state dict in {key!r}; {_contents(given if state is None else state)}")
    return state


def _dict(value: Any) -> dict[Any, Any] | None:
    """A dict's items, also those of a subclass; None if `value` is no dict."""
    if type(value) is dict:
        return value
    return value.items if isinstance(value, Opaque) and value.items else None


def _weights(state: dict[Any, Any]) -> dict[str, Any]:
    """The entries that are tensors, or NumPy arrays if none is; empty if there are none, or not all have names."""
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if tensors:
        rebuilt = {
            name: value for name, value in state.items() if isinstance(value, Opaque) and "_rebuild_" in value.name
        }
        found: dict[Any, Any] = {name: state[name] for name in state if name in tensors or name in rebuilt}
    else:
        values = {name: value.value for name, value in state.items() if isinstance(value, PickledArray)}
        found = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return found if all(type(name) is str for name in found) else {}


def _contents(root: dict[Any, Any]) -> str:
    """The names in a dict, in words, and which of them stand for objects."""
    names = [str(name)[:40] for name in list(root)[:8] if isinstance(name, (str, int))]
    words = f"the file has {', '.join(names) + (', ...' if len(root) > 8 else '') if names else 'no entries'}"
    if {"state", "param_groups"} <= root.keys():
        words += " (an optimiser's state, without weights)"
    whole = next((name for name, value in root.items() if isinstance(value, Opaque) and type(name) is str), None)
    return words if whole is None else f"{words}; {whole[:40]} is {_described(root[whole])}"


def _described(value: Opaque) -> str:
    return f"a whole object ({value.name[:100]}), which is code; save model.state_dict() instead"


def _stripped(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = {name: unwrapped(name) for name in state}
    while any("." in name for name in names.values()) and all(
        new.startswith("module.") or ("." not in new and is_counter(new)) for new in names.values()
    ):
        names = {name: new.removeprefix("module.") for name, new in names.items()}
    if len(set(names.values())) < len(state):  # the same weights twice, with and without a wrapper
        return state
    return {names[name]: array for name, array in state.items()}
