"""Initial values of weights: for layers, by name or as functions of (rng, shape), and for whole models.

>>> fn.Conv2d(32, 3, initializer="orthogonal")
>>> fn.Linear(10, initializer=functools.partial(fn.initializers.xavier_normal, gain=5 / 3))
>>> fn.initializers.initialize(model, "kaiming_normal", bias=0.01)
>>> fn.initializers.lsuv(model, x)

Values are drawn in float32 by NumPy for every dtype and backend, so that one seed always gives the same model.
"""

from fastnet.initializers.data_driven import data_dependent, lsuv
from fastnet.initializers.distributions import (
    constant,
    fans,
    gain,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from fastnet.initializers.fixup import fixup
from fastnet.initializers.matrices import orthogonal, random_walk, sparse, sparse_columns
from fastnet.initializers.named import draw, float_dtype, generator, resolve
from fastnet.initializers.whole import initialize

__all__ = [
    "kaiming_normal",
    "kaiming_uniform",
    "xavier_normal",
    "xavier_uniform",
    "lecun_normal",
    "lecun_uniform",
    "variance_scaling",
    "normal",
    "uniform",
    "orthogonal",
    "random_walk",
    "sparse",
    "sparse_columns",
    "constant",
    "zeros",
    "ones",
    "fans",
    "gain",
    "generator",
    "resolve",
    "draw",
    "float_dtype",
    "initialize",
    "lsuv",
    "data_dependent",
    "fixup",
]
