"""Published weights in fastnet's models: names translated, shapes compared, the head kept or left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnet import models, storage
from fastnet.interop.sources import SOURCES, Source, preparation
from fastnet.interop.torch_weights import load_torch
from fastnet.layers import Model
from fastnet.layers.names import match
from fastnet.models.head import class_names, head_of
from fastnet.types import Shape
from fastnet.wording import did_you_mean, name_some

__all__ = ["LoadedWeights", "load_weights", "pretrained"]

_PLAIN = Source("the model", {})
_SHOWN = 6  # names of each kind in a message


class LoadedWeights(NamedTuple):
    """What `load_weights` did.

    Attributes
    ----------
    source : Source
        Whose names the file has.
    loaded, left : list of str
        The model's parameters and buffers: those that were read, and those of the head that were left as they were.
    unused : list of str
        Names in the file that inference does not need, such as those of GoogLeNet's auxiliary heads.
    """

    source: Source
    loaded: list[str]
    left: list[str]
    unused: list[str]


def load_weights(
    model: Model,
    path: str | os.PathLike[str],
    architecture: str | None = None,
    *,
    head: str = "load",
    key: str | None = None,
) -> LoadedWeights:
    """Read published weights into a built model, without the library that wrote them; nothing in a file is executed.

    Parameters
    ----------
    model : Model
        Built.
    path : str or path
        A .safetensors or .npz file, or one of PyTorch's (.pth, .pt, .th, .ckpt, .bin).  A prefix that its names have
        and the model's lack, such as "module." or "backbone.", is passed over.
    architecture : str, optional
        The model's name in `fastnet.models`, whose sources' names are understood: torchvision's, timm's and others'
        (`fastnet.interop.SOURCES`).  By default the names of all sources are tried.
    head : "load", "initial" or "fitting"
        "initial" leaves the model's last linear layer as it is: for other classes than the file's.  "fitting" loads it
        if the file's has the same shape.
    key : str, optional
        The entry of a PyTorch checkpoint; see :func:`load_torch`.

    Returns
    -------
    LoadedWeights

    Raises
    ------
    FileNotFoundError
    KeyError
        Names are missing or not the model's; the message lists them.
    ValueError
        Arrays of other shapes, all of which the message lists; a damaged file, or one that calls functions.  The model
        does not change.
    """
    if head not in ("load", "initial", "fitting"):
        raise ValueError(f'load_weights: head must be "load", "initial" or "fitting", got {head!r}')
    own = {name: tuple(value.shape) for name, value in _own(model)}
    path = Path(path)
    given = _read(path, key)
    source, state = _translated(own, given, _sources(architecture))
    place = head_of(model, "load_weights")[0]
    parts = [name for name in own if name.rpartition(".")[0] == place]
    if head == "fitting":
        fits = all(name in state and _fits(state[name].shape, own[name]) for name in parts)
        head = "load" if fits else "initial"
    wanted = {name: shape for name, shape in own.items() if head == "load" or name not in parts}
    unused = [name for name in state if name.startswith(("aux1.", "aux2.", "AuxLogits.")) and name not in own]
    state = {name: value for name, value in state.items() if name not in unused}
    if head == "initial":
        state = {name: value for name, value in state.items() if name not in parts}
    _compare(path, source, wanted, state, parts)
    fitted = {name: state[name].reshape(shape) for name, shape in wanted.items()}
    model.load_state_dict(fitted, strict=head == "load")
    return LoadedWeights(source, list(fitted), [name for name in own if name not in fitted], unused)


def pretrained(
    architecture: str,
    path: str | os.PathLike[str],
    classes: int | Sequence[str] | None = None,
    input_shape: Shape | None = None,
    *,
    head: str = "load",
    key: str | None = None,
    **options: Any,
) -> Model:
    """A model with published weights, and with the preprocessing that they expect of uint8 images (N, 3, H, W).

    Parameters
    ----------
    architecture : str
        A name in `fastnet.models`.
    path, head, key
        As for :func:`load_weights`.
    classes : int or sequence of str, optional
        How many classes, or their names, which become the model's `class_names`.
    input_shape : (C, H, W), optional
        Default: the model's own.
    **options
        Passed to the model's function.

    Returns
    -------
    Model
        Built, with `preprocessing` and, if names are given, `class_names`.

    Raises
    ------
    FileNotFoundError, KeyError, ValueError
        No model has this name; and what :func:`load_weights` raises.

    Examples
    --------
    >>> model = pretrained("resnet18", "resnet18-f37072fd.pth")
    >>> model.predict_classes(images)  # uint8, (N, 3, 224, 224)
    """
    count, names = (None, None) if classes is None else class_names(classes, "pretrained: classes")
    model = models.create(architecture, count, input_shape, **options)
    loaded = load_weights(model, path, architecture, head=head, key=key)
    model.class_names, model.preprocessing = names, preparation(loaded.source)
    return model


def _own(model: Model) -> list[tuple[str, Any]]:
    if not isinstance(model, Model):
        raise TypeError(f"load_weights: model must be a fastnet.Model, got {model!r}")
    return [*model.named_parameters(), *model.named_buffers()]


def _read(path: Path, key: str | None) -> Mapping[str, np.ndarray]:
    if path.suffix in storage.SUFFIXES and path.is_file():
        return storage.read_arrays(path)
    return load_torch(path, key)


def _sources(architecture: str | None) -> list[Source]:
    if architecture is None:
        return [_PLAIN, *(source for sources in SOURCES.values() for source in sources if source.modules)]
    if architecture not in models.names():
        hint = did_you_mean(architecture, models.names())
        raise ValueError(f"load_weights: no architecture is named {architecture!r}; {hint}see fastnet.models.names()")
    return [*SOURCES.get(architecture, ()), _PLAIN]


def _translated(
    own: Mapping[str, Shape], given: Mapping[str, np.ndarray], sources: Sequence[Source]
) -> tuple[Source, dict[str, np.ndarray]]:
    """The source whose names fit best, and of several the plainest; and the file's arrays under the model's names."""
    found = []
    for source in sources:
        for prefix in ("", _prefix(own, given, source)):
            state = {source.here(name.removeprefix(prefix)): value for name, value in given.items()}
            found.append((source, state, (sum(name in own for name in state), -len(source.modules), -len(prefix))))
    source, state, _ = max(found, key=lambda each: each[2])
    return source, state


def _prefix(own: Mapping[str, Shape], given: Mapping[str, np.ndarray], source: Source) -> str:
    """What precedes most of the model's names in the file; "" if less than half of them are behind one prefix."""
    counts: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        counts.update(
            f"{'.'.join(parts[:n])}." for n in range(1, len(parts)) if source.here(".".join(parts[n:])) in own
        )
    prefix, count = max(counts.items(), key=lambda each: each[1], default=("", 0))
    return prefix if 2 * count >= len(own) else ""


def _compare(
    path: Path, source: Source, wanted: Mapping[str, Shape], state: Mapping[str, np.ndarray], head: Sequence[str]
) -> None:
    """Raise unless the file has exactly the arrays that are wanted."""
    keys = match(wanted, state)
    where = f"{path} (by the names of {source.name})"
    if keys.missing or keys.unexpected:
        fits = len(wanted) - len(keys.missing)
        parts = [f"{where}: {fits} of the model's {len(wanted)} names are in the file"]
        for title, names in (("missing", keys.missing), ("not the model's", keys.unexpected)):
            if names:
                parts.append(f"{len(names)} {title}: {name_some(names, _SHOWN)}")
        raise KeyError("; ".join(parts) + "; are they the weights of another architecture?")
    wrong = {name: state[name].shape for name, shape in wanted.items() if not _fits(state[name].shape, shape)}
    if not wrong:
        return
    shapes = name_some([f"{name} {wanted[name]} there {shape}" for name, shape in wrong.items()], _SHOWN)
    if set(wrong) <= set(head):
        name = min(wrong)
        raise ValueError(
            f"{where}: the weights are for {wrong[name][0]} classes, the model has {wanted[name][0]}; "
            'head="initial" loads all but the head, which keeps its initial values'
        )
    first, there = next(iter(wrong.items()))
    here = wanted[first]
    if len(wrong) == 1 and len(here) == len(there) == 4 and (here[0], *here[2:]) == (there[0], *there[2:]):
        channels = f"images of {there[1]} channels, the model for {here[1]}"
        raise ValueError(f"{where}: the weights are for {channels}: {shapes}")
    count = "1 array has" if len(wrong) == 1 else f"{len(wrong)} arrays have"
    raise ValueError(f"{where}: {count} another shape than the model's: {shapes}")


def _fits(given: Shape, wanted: Shape) -> bool:
    """Whether an array has the shape, or is a convolution over a whole map that stands for a linear layer."""
    if tuple(given) == tuple(wanted):
        return True
    return len(given) == 4 and len(wanted) == 2 and given[0] == wanted[0] and int(np.prod(given[1:])) == wanted[1]
