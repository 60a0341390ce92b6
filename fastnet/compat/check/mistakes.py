"""Typical mistakes: for each output of each task, descriptions, and the results that such mistakes produce.

A wrong answer is compared with these results; the description of the matching one is the likely cause.  Each function
takes the example `g` (:mod:`fastnet.compat.check.tasks`).  The mistakes in convolution and pooling are in
:mod:`fastnet.compat.check.image_mistakes`, those in normalisations in :mod:`fastnet.compat.check.norm_mistakes`, those
in losses and update rules in :mod:`fastnet.compat.check.loss_mistakes`.
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
    "it is the mask alone: dout is missing": lambda g: (g.x > 0).astype(float),
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
