"""Initializers that draw a weight as a matrix, one row for each output: orthogonal, random walk, sparse."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from fastnet.arguments import integer, real
from fastnet.initializers.distributions import Mode, fan, fans, normal
from fastnet.types import Array, Generator, Shape

__all__ = ["orthogonal", "random_walk", "sparse", "sparse_columns"]


def _as_matrix(shape: Shape) -> tuple[int, int]:
    """(outputs, inputs to one output)."""
    return shape[0], fans(shape)[0]


def orthogonal(rng: Generator, shape: Shape, gain: float = 1.0) -> Array:
    """A random orthogonal matrix times `gain`, uniformly distributed.

    The weight as a matrix, (out, in) or (K, C//groups * R * S), has orthonormal columns if it has more rows than
    columns, else orthonormal rows: a linear layer then keeps lengths, forward or backward, at any depth.  The matrix
    is the Q of a QR factorization in float64 (LAPACK's), with the signs that make its distribution uniform.

    Saxe, McClelland & Ganguli 2013, arXiv:1312.6120.

    Returns
    -------
    float64 array
    """
    rows, columns = _as_matrix(shape)
    drawn = rng.standard_normal((max(rows, columns), min(rows, columns)), dtype=np.float32)
    q, r = np.linalg.qr(drawn.astype(np.float64))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (gain * (q if rows >= columns else q.T)).reshape(shape)


def random_walk(
    rng: Generator, shape: Shape, nonlinearity: Literal["relu", "linear"] = "relu", mode: Mode = "fan_in"
) -> Array:
    """Normal, std g / sqrt(N), with the g for which the *logarithm* of a signal's length does not drift with depth.

    N is the fan.  A layer multiplies the length of activations and gradients by a random factor, so its logarithm is
    a random walk over the layers, and a factor whose square is 1 on average (He et al. 2015) lets it drift downward,
    the more the narrower the layers are.  It has no drift for

    - linear layers: g = exp(1 / (2 N)),
    - ReLU: g = sqrt(2) exp(1.2 / (max(N, 6) - 2.4)), the authors' fit.

    Sussillo & Abbott 2014, "Random walk initialization for training very deep feedforward networks", arXiv:1412.6558.
    """
    n = fan(shape, mode, "random_walk")
    if nonlinearity == "linear":
        g = math.exp(1 / (2 * n))
    elif nonlinearity == "relu":
        g = math.sqrt(2) * math.exp(1.2 / (max(n, 6) - 2.4))
    else:
        raise ValueError(f"random_walk: nonlinearity must be 'relu' or 'linear', got {nonlinearity!r}")
    return normal(rng, shape, g / math.sqrt(n))


def sparse(rng: Generator, shape: Shape, connections: int = 10, std: float = 0.01) -> Array:
    """Each output is connected with `connections` random inputs, by normal weights; all other weights are 0.

    All inputs where there are not more than `connections`.  CS231n's readings, after Martens 2010, "Deep learning via
    Hessian-free optimization".
    """
    connections, std = integer(connections, "sparse: connections"), real(std, "sparse: std")
    rows, columns = _as_matrix(shape)
    values = np.zeros((rows, columns), np.float32)
    chosen = rng.random((rows, columns)).argsort(axis=1)[:, :connections]
    np.put_along_axis(values, chosen, normal(rng, chosen.shape, std), axis=1)
    return values.reshape(shape)


def sparse_columns(rng: Generator, shape: Shape, sparsity: float = 0.9, std: float = 0.01) -> Array:
    """Normal, with ceil(sparsity * rows) zeros in each column, at random places (PyTorch's ``sparse_``).

    It bounds the outputs that an input reaches, where `sparse` bounds the inputs of an output.
    """
    sparsity, std = real(sparsity, "sparse_columns: sparsity"), real(std, "sparse_columns: std")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_columns: sparsity must be in [0, 1], got {sparsity!r}")
    rows, columns = _as_matrix(shape)
    values = normal(rng, (rows, columns), std)
    zeros = rng.random((rows, columns)).argsort(axis=0)[: math.ceil(sparsity * rows)]
    np.put_along_axis(values, zeros, np.float32(0), axis=0)
    return values.reshape(shape)
