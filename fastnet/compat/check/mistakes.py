"""Typical mistakes: for each output of each task, descriptions, and the results that such mistakes produce.

A wrong answer is compared with these results; the description of the matching one is the likely cause.  Each function
takes the example `g` (:mod:`fastnet.compat.check.tasks`).  The mistakes in normalisations are in
:mod:`fastnet.compat.check.norm_mistakes`, those in losses and update rules in
:mod:`fastnet.compat.check.loss_mistakes`.
"""

from __future__ import annotations

import numpy as np

from fastnet.compat.check import oracle as o

# ---------------------------------------------------------------- any output: functions of the right answer and g


def _count(g) -> int:
    return len(g.X if hasattr(g, "X") else g.x if hasattr(g, "x") else g.w)


ANY = {
    "it is all zeros: not written yet?": lambda right, g: np.zeros_like(right),
    "it has the wrong sign": lambda right, g: -right,
    "it is divided by the number of examples once too often": lambda right, g: right / _count(g),
    "it is the sum over examples, not the mean": lambda right, g: right * _count(g),
    "it is twice as large as it should be": lambda right, g: 2 * right,
    "it is half as large as it should be": lambda right, g: right / 2,
    "it is transposed": lambda right, g: right.T,
    "it has an extra axis of length 1": lambda right, g: right.reshape((*right.shape, 1)),
    "it is one row: summed with keepdims": lambda right, g: right.reshape((1, *right.shape)),
}

# ---------------------------------------------------------------- convolution and pooling


def _conv(g, **changes):
    given = {"x": g.x, "w": g.w, "b": g.b, **g.conv_param, **changes}
    return o.conv(given["x"], given["w"], given["b"], given["stride"], given["pad"])


def _conv_back(g, which, w=None):
    pad = g.conv_param["pad"]
    gradients = o.conv_backward(g.dout, g.x, g.w if w is None else w, g.conv_param["stride"], pad)
    return o.cut(gradients[0], pad) if which == 0 else gradients[which]


def _flip(w):
    return w[:, :, ::-1, ::-1]


def _overwritten_dx(g):
    """dx where each window overwrites the contributions of earlier ones."""
    stride, pad = g.conv_param["stride"], g.conv_param["pad"]
    wide = np.zeros(o.padded(g.x, pad).shape)
    for n, k, p, q in np.ndindex(g.dout.shape):
        h, v = p * stride, q * stride
        wide[n, :, h : h + g.w.shape[2], v : v + g.w.shape[3]] = g.dout[n, k, p, q] * g.w[k]
    return o.cut(wide, pad)


def _dw_of(g, images):
    """dw of only some of the images."""
    return o.conv_backward(g.dout[images], g.x[images], g.w, g.conv_param["stride"], g.conv_param["pad"])[1]


def _last_dw(g):
    """dw of only the last window of the last image."""
    alone = np.zeros(g.dout.shape)
    alone[-1, :, -1, -1] = g.dout[-1, :, -1, -1]
    return o.conv_backward(alone, g.x, g.w, g.conv_param["stride"], g.conv_param["pad"])[1]


CONV_FORWARD = {
    "the padding is missing": lambda g: _conv(g, pad=0),
    "the stride is ignored": lambda g: _conv(g, stride=1),
    "the bias is missing": lambda g: _conv(g, b=np.zeros(len(g.b))),
    "the bias is subtracted": lambda g: _conv(g, b=-g.b),
    "the bias is added to each product before the sum": lambda g: _conv(g, b=g.b * g.w[0].size),
    "the kernel is flipped; the course's convolution is a cross-correlation": lambda g: _conv(g, w=_flip(g.w)),
    "rows and columns of the kernel are exchanged": lambda g: _conv(g, w=g.w.swapaxes(2, 3)),
    "only the first channel is used": lambda g: _conv(g, x=g.x[:, :1], w=g.w[:, :1]),
}
CONV_DX = {
    "the padding is not cut off": lambda g: o.conv_backward(g.dout, g.x, g.w, **g.conv_param)[0],
    "overlapping windows must accumulate: += instead of =": _overwritten_dx,
    "the kernel is flipped (forgot to flip it, or flipped it once too often)": lambda g: _conv_back(g, 0, _flip(g.w)),
}
CONV_DW = {
    "the kernel is flipped (forgot to flip it, or flipped it once too often)": lambda g: _flip(_conv_back(g, 1)),
    "only the last image counts: += instead of =": lambda g: _dw_of(g, slice(-1, None)),
    "only the last window counts: += instead of =": _last_dw,
}
CONV_DB = {
    "only the last image counts: += instead of =": lambda g: g.dout[-1].sum(axis=(1, 2)),
    "it is not summed over the images": lambda g: g.dout.sum(axis=(2, 3)),
    "it is not summed over the pixels": lambda g: g.dout.sum(axis=0),
    "it is the mean over images and pixels, not the sum": lambda g: g.dout.mean(axis=(0, 2, 3)),
}


def _kernel(g):
    return g.pool_param["pool_height"], g.pool_param["pool_width"]


def _pooled(g, choose, **changes):
    return o.pool(g.x, changes.get("kernel", _kernel(g)), changes.get("stride", g.pool_param["stride"]), choose)


def _pool_back(g, share, add=True):
    """The gradient if each window's pixels receive ``share(window)`` of it."""
    (R, S), stride, dx = _kernel(g), g.pool_param["stride"], np.zeros(g.x.shape)
    for n, c, p, q in np.ndindex(g.dout.shape):
        at = n, c, slice(p * stride, p * stride + R), slice(q * stride, q * stride + S)
        dx[at] = (dx[at] if add else 0) + g.dout[n, c, p, q] * share(g.x[at])
    return dx


def _pool_overwritten(g):
    """dx where the largest pixel of each window is set; a later window that has the same one overwrites it."""
    (R, S), stride, dx = _kernel(g), g.pool_param["stride"], np.zeros(g.x.shape)
    for n, c, p, q in np.ndindex(g.dout.shape):
        h, v = p * stride, q * stride
        i, j = np.unravel_index(g.x[n, c, h : h + R, v : v + S].argmax(), (R, S))
        dx[n, c, h + i, v + j] = g.dout[n, c, p, q]
    return dx


_OVERLAP = "overlapping windows must accumulate: += instead of ="

POOL_FORWARD = {
    "it is the mean of each window, not the largest value": lambda g: _pooled(g, np.mean),
    "it is the smallest value of each window": lambda g: _pooled(g, np.min),
    "the stride is ignored": lambda g: _pooled(g, np.max, stride=1),
    "pool_height and pool_width are exchanged": lambda g: _pooled(g, np.max, kernel=_kernel(g)[::-1]),
}
POOL_BACKWARD = {
    _OVERLAP: lambda g: _pool_back(g, lambda w: w == w.max(), add=False),
    f"{_OVERLAP} (where windows share their largest pixel)": _pool_overwritten,
    "every pixel of a window gets the gradient, not only the largest": lambda g: _pool_back(g, np.ones_like),
    "it is the gradient of mean pooling": lambda g: _pool_back(g, lambda w: np.full(w.shape, 1 / w.size)),
    "the gradient is multiplied by the largest value": lambda g: _pool_back(g, lambda w: w * (w == w.max())),
}

# ---------------------------------------------------------------- affine, ReLU

AFFINE_FORWARD = {"the bias is missing": lambda g: o.affine(g.x, g.w, np.zeros_like(g.b))}
AFFINE_DX = {"it must have x's shape: reshape it": lambda g: g.dout @ g.w.T}
AFFINE_DB = {"it is the mean over examples, not the sum": lambda g: g.dout.mean(axis=0)}
RELU_FORWARD = {
    "it is the absolute value": lambda g: abs(g.x),
    "it is min(x, 0)": lambda g: np.minimum(g.x, 0),
    "it is 0 and 1: the mask, not x times the mask": lambda g: (g.x > 0).astype(float),
}
RELU_BACKWARD = {
    "the gradient passes where x < 0 too": lambda g: g.dout,
    "it passes where x < 0, not where x > 0": lambda g: np.where(g.x < 0, g.dout, 0),
    "the mask looks at dout; it must look at x": lambda g: np.where(g.dout > 0, g.dout, 0),
    "the gradient is multiplied by x": lambda g: g.dout * np.maximum(g.x, 0),
}

# ---------------------------------------------------------------- dropout


def _rates(g, keep, scale):
    return (1 - keep, scale) if g.dropout_param["mode"] == "train" else (0.0, 1.0)


DROPOUT_ZEROS = {
    "p is taken for the other probability: see which one your year means, to keep or to drop": lambda g: _rates(
        g, 1 - g.keep, 1
    )[0],
    "nothing is dropped": lambda g: 0.0,
    "test mode must not drop anything": lambda g: 1 - g.keep,
}
DROPOUT_SCALE = {
    "what is kept is not divided by its probability (inverted dropout)": lambda g: 1.0,
    "it is divided by the probability to drop": lambda g: _rates(g, g.keep, 1 / (1 - g.keep))[1],
    "it is multiplied by the probability, not divided": lambda g: g.keep,
    "test mode must not scale": lambda g: 1 / g.keep,
}
