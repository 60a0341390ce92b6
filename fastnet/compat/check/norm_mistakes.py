"""Typical mistakes in normalisations, as in :mod:`fastnet.compat.check.mistakes`.

Layer, group and spatial batch normalisation are the same arithmetic on different views of x: `view(g, array)` is a
matrix, `axis` the axis of its means, and `back(g, matrix)` has x's shape again.
"""

from __future__ import annotations

import numpy as np

from fastnet.compat.check import oracle as o


def _channels(g, gamma):
    """gamma or beta in a shape that broadcasts with x."""
    return gamma[:, None, None] if g.x.ndim == 4 and np.ndim(gamma) == 1 else gamma


def _eps(g):
    return g.bn_param.get("eps", 1e-5) if hasattr(g, "bn_param") else 1e-5


def _hat(x, axis, eps, ddof=0, root=True, outside=False, centred=True, twice=False):
    """x normalised over `axis`, with the mistakes that the other arguments select."""
    var = x.var(axis=axis, keepdims=True, ddof=ddof)
    var = np.sqrt(var) if twice else var
    std = np.sqrt(var) + eps if outside else np.sqrt(var + eps) if root else var + eps
    return (x - x.mean(axis=axis, keepdims=True) * centred) / std


def _forward(view, axis, back, right):
    """Mistakes in `out`; `right(g, gamma, beta)` is the right result."""

    def wrong(**how):
        def out(g):
            return _channels(g, g.gamma) * back(g, _hat(view(g, g.x), axis, _eps(g), **how)) + _channels(g, g.beta)

        return out

    def one(g):
        return np.ones_like(g.gamma)

    def zero(g):
        return np.zeros_like(g.beta)

    return {
        "the variance must be the biased one: divided by N, not by N - 1": wrong(ddof=1),
        "eps belongs under the square root: sqrt(var + eps)": wrong(outside=True),
        "it is divided by the variance, not by its square root": wrong(root=False),
        "np.std is the square root already: take np.var": wrong(twice=True),
        "the mean is not subtracted": wrong(centred=False),
        "x is subtracted from the mean": lambda g: right(g, -g.gamma, g.beta),
        "beta is subtracted": lambda g: right(g, g.gamma, -g.beta),
        "gamma and beta are missing": lambda g: right(g, one(g), zero(g)),
        "beta is missing": lambda g: right(g, g.gamma, zero(g)),
        "gamma is missing": lambda g: right(g, one(g), g.beta),
    }


def _other_axis(sentence, hat):
    """The mistake that `out` is computed from `hat(g)`, which is x normalised over other axes."""
    return {sentence: lambda g: _channels(g, g.gamma) * hat(g) + _channels(g, g.beta)}


def _dx(view, axis, back):
    """Mistakes in `dx`."""

    def mean(array):
        return array.mean(axis=axis, keepdims=True)

    def wrong(by_mean=True, by_var=True, gamma=True):
        def dx(g):
            hat, std = o.normalized(view(g, g.x), axis, _eps(g))
            dhat = view(g, g.dout * (_channels(g, g.gamma) if gamma else 1))
            return back(g, (dhat - by_mean * mean(dhat) - by_var * hat * mean(dhat * hat)) / std)

        return dx

    return {
        "mean and variance depend on x too: their gradients are missing": wrong(by_mean=False, by_var=False),
        "the variance's gradient is missing": wrong(by_var=False),
        "the mean's gradient is missing": wrong(by_mean=False),
        "gamma is missing": wrong(gamma=False),
    }


def _sums(g, array):
    """Sum over the same axes as the gradients of gamma and beta."""
    return array.sum(axis=0) if g.x.ndim == 2 else array.sum(axis=(0, 2, 3), keepdims=g.gamma.ndim == 4)


DGAMMA = {
    "it must be multiplied by the normalised x, not by x": lambda g: _sums(g, g.dout * g.x),
    "it is dbeta: the normalised x is missing": lambda g: _sums(g, g.dout),
}

# ---------------------------------------------------------------- batch


def _batchnorm(g):
    return o.spatial_batchnorm if g.x.ndim == 4 else o.batchnorm


def _bn(g, which=0, gamma=None, beta=None, **changes):
    """The right result for other parameters."""
    scale, shift = g.gamma if gamma is None else gamma, g.beta if beta is None else beta
    return _batchnorm(g)(g.x, scale, shift, {**g.bn_param, **changes})[which]


_MATRIX = lambda g, x: x, 0, lambda g, matrix: matrix  # noqa: E731
_PIXELS = lambda g, x: o.rows(x), 0, lambda g, matrix: o.images(matrix, g.x.shape)  # noqa: E731


def _in_test(g, divide):
    """Test mode with another denominator than sqrt(running_var + eps)."""
    mean, var = (_channels(g, g.bn_param.get(name, np.zeros(g.x.shape[1]))) for name in ("running_mean", "running_var"))
    return _channels(g, g.gamma) * (g.x - mean) / divide(var, _eps(g)) + _channels(g, g.beta)


_IN_TEST = {
    "test mode must use the running mean and variance, not the batch's": lambda g: _bn(g, mode="train"),
    "test mode must divide by sqrt(running_var + eps), not by running_var": lambda g: _in_test(g, lambda v, e: v),
    "test mode must divide by the square root of running_var + eps": lambda g: _in_test(g, lambda v, e: v + e),
    "eps is missing in test mode": lambda g: _in_test(g, lambda v, e: np.sqrt(v)),
}

BATCHNORM_FORWARD = {
    **_IN_TEST,
    **_forward(*_MATRIX, lambda g, gamma, beta: _bn(g, gamma=gamma, beta=beta)),
    **_other_axis("means are over the batch, axis 0, not over the features", lambda g: _hat(g.x, 1, _eps(g))),
}
SPATIAL_BATCHNORM_FORWARD = {
    **_IN_TEST,
    **_forward(*_PIXELS, lambda g, gamma, beta: _bn(g, gamma=gamma, beta=beta)),
    **_other_axis("means are over images and pixels, not over images alone", lambda g: _hat(g.x, 0, _eps(g))),
}
BATCHNORM_DX, SPATIAL_BATCHNORM_DX = _dx(*_MATRIX), _dx(*_PIXELS)


def _running(which):
    name = ("running_mean", "running_var")[which - 1]
    return {
        "momentum is the weight of the old value: momentum * running + (1 - momentum) * sample": lambda g: _bn(
            g, which, momentum=1 - g.bn_param.get("momentum", 0.9)
        ),
        "it is not written back into bn_param": lambda g: g.bn_param.get(name, np.zeros(g.x.shape[1])),
        "it must not change in test mode": lambda g: _bn(g, which, mode="train"),
    }


def _running_std(g):
    """running_var with the standard deviation in the variance's place."""
    momentum, old = g.bn_param.get("momentum", 0.9), g.bn_param.get("running_var", np.zeros(g.x.shape[1]))
    std = (o.rows(g.x) if g.x.ndim == 4 else g.x).std(axis=0)
    return momentum * old + (1 - momentum) * std if g.bn_param["mode"] == "train" else old


RUNNING_MEAN = _running(1)
RUNNING_VAR = _running(2) | {"it takes the standard deviation, not the variance": _running_std}

# ---------------------------------------------------------------- layer and group

_LAYER = lambda g, x: x, 1, lambda g, matrix: matrix  # noqa: E731
_GROUPS = lambda g, x: o.groups(x, g.G), 1, lambda g, matrix: matrix.reshape(g.x.shape)  # noqa: E731


def _interleaved(g):
    return _hat(g.x.reshape(len(g.x), -1, g.G, *g.x.shape[2:]), (1, 3, 4), 1e-5).reshape(g.x.shape)


def _whole_batch(g):
    return _hat(g.x.reshape(len(g.x), g.G, -1), (0, 2), 1e-5).reshape(g.x.shape)


LAYERNORM_FORWARD = {
    **_forward(*_LAYER, lambda g, gamma, beta: o.layernorm(g.x, gamma, beta)),
    **_other_axis("means are over the features, axis 1, not over the batch", lambda g: _hat(g.x, 0, 1e-5)),
}
GROUPNORM_FORWARD = {
    **_forward(*_GROUPS, lambda g, gamma, beta: o.groupnorm(g.x, gamma, beta, g.G)),
    **_other_axis("a group is neighbouring channels, not every G-th one", _interleaved),
    **_other_axis("means are over one image, not over the batch too", _whole_batch),
}
LAYERNORM_DX, GROUPNORM_DX = _dx(*_LAYER), _dx(*_GROUPS)
