"""Optimiser updates, in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnet.backends import _native
from fastnet.backends.native.arrays import c_order, kernel
from fastnet.types import Array


@kernel
def sgd_step(
    w: Array,
    g: Array,
    velocity: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    _native.sgd_step(w.size, w, g, velocity, lr, momentum, dampening, nesterov, weight_decay)


@kernel
def adagrad_step(w: Array, g: Array, squares: Array, lr: float, eps: float, weight_decay: float) -> None:
    _native.adagrad_step(w.size, w, g, squares, lr, eps, weight_decay)


@kernel
def rmsprop_step(w: Array, g: Array, squares: Array, lr: float, alpha: float, eps: float, weight_decay: float) -> None:
    _native.rmsprop_step(w.size, w, g, squares, lr, alpha, eps, weight_decay)


@kernel
def adam_step(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    _native.adam_step(w.size, w, g, m, v, t, lr, beta1, beta2, eps, weight_decay, decoupled)


@kernel
def accumulate(total: Array, x: Array) -> None:
    _native.add(total.size, total, x, total)


def in_place(
    function: Callable[..., Any], changes: Sequence[bool], arrays: Sequence[Array | None], attributes: Mapping[str, Any]
) -> None:
    """Run an update; arrays that are not in C order are copied, and those that it changes copied back."""
    dense = [None if x is None else c_order(x) for x in arrays]
    function(*dense, **attributes)
    for array, copy, changed in zip(arrays, dense, changes, strict=True):
        if changed and copy is not array and array is not None:
            array[...] = copy
