"""Fingerprints: hashes of what kernels compute, to compare threads, instruction sets, compilers and machines."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from fastnet import backends, losses, models, optim
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm
from fastnet.backends import Ops
from fastnet.diagnose.examples import labels, numbers, run_example
from fastnet.layers import Model
from fastnet.ops import REGISTRY
from fastnet.types import Array, DType

__all__ = ["Fingerprint", "fingerprint", "variants", "kernels_as"]

THREADS = (1, 2, 3, 7)
TRAINING = "20 training steps of ResNet-20"


@dataclass(frozen=True)
class Fingerprint:
    """What one variant computed: a hash (16 hexadecimal digits) for each group of ops and for a training run."""

    isa: str
    threads: int
    dtype: str
    hashes: dict[str, str]

    @property
    def whole(self) -> str:
        """One hash of all."""
        return _digest([f"{name} {value}".encode() for name, value in self.hashes.items()])


def variants() -> list[tuple[str, int]]:
    """(instruction set, threads) that must give the same bits on this machine, the instruction set in use first.

    All but "portable" fuse multiplications and additions and round alike; "portable" is compared with itself only.
    """
    _native = _kernels()
    current = _native.isa()
    alike = [isa for isa in _native.isas() if (isa == "portable") == (current == "portable")]
    return [(isa, threads) for isa in sorted(alike, key=lambda isa: isa != current) for threads in THREADS]


def fingerprint(isa: str | None = None, threads: int | None = None, dtype: str = "float32") -> Fingerprint:
    """Hash what all ops and a training run compute.

    Parameters
    ----------
    isa : str, optional
        An instruction set that this CPU has; default: the one in use.
    threads : int, optional
        Default: the number in use.
    dtype : "float32" or "float64"

    Raises
    ------
    RuntimeError
        If there are no compiled kernels.
    ValueError
        If the instruction set is not available.
    """
    with kernels_as(isa, threads) as ops:
        hashes = {TRAINING: _of_training(dtype)}
        for name, arrays in _results(ops, np.dtype(dtype)):
            hashes[name] = _of_arrays(arrays)
        return Fingerprint(_kernels().isa(), ops.threads, dtype, hashes)


@contextlib.contextmanager
def kernels_as(isa: str | None = None, threads: int | None = None) -> Iterator[Ops]:
    """The native backend with this instruction set and number of threads, inside the block."""
    _native = _kernels()
    before = _native.isa(), _native.threads()
    if isa is not None and not _native.set_isa(isa):
        raise ValueError(f"the instruction set {isa!r} is not available here")
    try:
        _native.set_threads(threads or before[1])
        with backends.use_backend("native") as ops:
            yield ops
    finally:
        _native.set_isa(before[0])
        _native.set_threads(before[1])


def _kernels() -> ModuleType:
    if not backends.NativeOps:
        raise RuntimeError(f"there are no compiled kernels here ({backends.why_not_native})")
    from fastnet.backends import _native

    return _native


# ---------------------------------------------------------------- hashes and numbers


def _digest(pieces: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for piece in pieces:
        sha.update(piece)
    return sha.hexdigest()[:16]


def _of_arrays(arrays: Iterable[Any]) -> str:
    """The hash of the elements in C order, regardless of their layout."""
    return _digest(np.ascontiguousarray(array).tobytes() for array in arrays)


# ---------------------------------------------------------------- what is computed


def _known(model: Model) -> Model:
    """The model with weights that do not depend on NumPy's generators: uniform, of variance 2 / fan-in."""
    state = model.state_dict()
    for stream, value in enumerate(state.values()):
        if value.ndim > 1:
            limit = value.dtype.type(math.sqrt(6 / math.prod(value.shape[1:])))
            value[...] = numbers(value.shape, value.dtype, stream) * limit
    model.load_state_dict(state)
    return model


def _of_training(dtype: str, steps: int = 20, images: int = 16) -> str:
    """The hash of the weights, statistics and losses of a training run."""
    model = _known(models.create("resnet20", 10, dtype=dtype))
    sgd = optim.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    found = []
    for step in range(steps):
        x = numbers((images, *model.input_shape), np.dtype(dtype), 1000 + step)
        model.zero_grad()
        scores, backward = model.forward(x, training=True)
        loss, dscores = losses.softmax_cross_entropy(scores, labels(images, 10, 2000 + step))
        backward(dscores, input_gradient=False)
        sgd.step(model.parameters())
        found.append(np.float64(loss))
    return _of_arrays([*found, *model.state_dict().values()])


def _results(ops: Ops, dtype: DType) -> Iterator[tuple[str, list[Array]]]:
    """(name, arrays) of every op of the registry, and of networks in one call."""
    for op in REGISTRY.values():
        yield op.name, [array for example in op.examples for array in run_example(ops, op, example, dtype)]
    before = get_conv_algorithm()
    try:
        for algorithm in ("direct", "winograd"):
            set_conv_algorithm(algorithm)
            op = REGISTRY["conv2d"]
            yield f"conv2d, {algorithm}", [array for e in op.examples for array in run_example(ops, op, e, dtype)]
    finally:
        set_conv_algorithm(before)
    yield "networks in one call", list(_plans(dtype))


def _plans(dtype: DType) -> Iterator[Array]:
    for name in ("lenet5", "resnet20"):
        model = _known(models.create(name, 10, dtype=dtype.name))
        plan = model.compile(4)
        x = numbers((7, *model.input_shape), dtype, 1)
        yield from (plan(x), model(x))
