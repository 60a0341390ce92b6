"""Typical mistakes in losses, update rules and nearest neighbours, as in :mod:`fastnet.compat.check.mistakes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fastnet.compat.check import oracle as o

# ---------------------------------------------------------------- losses


def _svm_dx(g, own):
    """The gradient with the entries of the right class replaced."""
    _, dx = o.svm_loss(g.x, g.y)
    dx[np.arange(len(dx)), g.y] = own
    return dx


SVM_LOSS = {
    "the right class is counted too: the loss is larger by the margin 1": lambda g: o.svm_loss(g.x, g.y)[0] + 1,
    "the margin 1 is missing": lambda g: o.svm_loss(g.x, g.y, 0.0)[0],
}
SVM_DX = {
    "the right class gets no gradient: minus the number of classes with a positive margin": lambda g: _svm_dx(g, 0),
    "the right class gets -1; it must get -1 for each class with a positive margin": lambda g: _svm_dx(
        g, -1 / len(g.x)
    ),
    "the margin 1 is missing": lambda g: o.svm_loss(g.x, g.y, 0.0)[1],
}
SOFTMAX_LOSS = {
    "it is the mean probability of the right class; its negative logarithm is needed": lambda g: o.softmax(g.x)[
        np.arange(len(g.x)), g.y
    ].mean(),
    "the logarithm is taken to base 10 or 2": lambda g: o.softmax_loss(g.x, g.y)[0] / np.log(10),
}
SOFTMAX_DX = {
    "the 1 of the right class is not subtracted": lambda g: o.softmax(g.x) / len(g.x),
    "only the right class gets a gradient": lambda g: np.where(
        np.arange(g.x.shape[1]) == g.y[:, None], o.softmax_loss(g.x, g.y)[1], 0
    ),
}


def linear(
    loss: Callable, of_loss: Mapping[str, Callable], of_gradient: Mapping[str, Callable]
) -> tuple[dict[str, Callable], dict[str, Callable]]:
    """The mistakes in loss and dW of a linear classifier: those of its scores' loss, and those of regularisation."""

    def of(g, l2):
        return o.linear_loss(loss, g.W, g.X, g.y, g.reg, l2)

    value = {
        "the regularisation is missing": lambda g: of(g, 0)[0],
        "the regularisation has a factor 0.5, as in 2015 and 2016; if that is your year, check with l2=0.5": lambda g: (
            of(g, 0.5)[0]
        ),
        "the regularisation is divided by the number of examples": lambda g: of(g, g.l2 / len(g.X))[0],
    }
    gradient = {
        "the regularisation is missing": lambda g: of(g, 0)[1],
        "the regularisation's gradient is 2 * reg * W (reg * W belongs to a factor 0.5, check with l2=0.5)": lambda g: (
            of(g, 0.5)[1]
        ),
        "the data's gradient is missing": lambda g: 2 * g.l2 * g.reg * g.W,
        "the data's gradient is not divided by the number of examples": lambda g: (
            of(g, 0)[1] * len(g.X) + 2 * g.l2 * g.reg * g.W
        ),
        "all of it is divided by the number of examples, the regularisation too": lambda g: of(g, g.l2 / len(g.X))[1],
    }

    def value_of(wrong):
        return lambda g: wrong(_Scores(g)) + g.l2 * g.reg * np.sum(g.W**2)

    def gradient_of(wrong):
        return lambda g: g.X.T @ wrong(_Scores(g)) + 2 * g.l2 * g.reg * g.W

    value |= {sentence: value_of(wrong) for sentence, wrong in of_loss.items()}
    gradient |= {sentence: gradient_of(wrong) for sentence, wrong in of_gradient.items()}
    return value, gradient


class _Scores:
    """Turns a linear classifier's example into one for a loss of scores."""

    def __init__(self, g):
        self.x, self.y = g.X @ g.W, g.y


# ---------------------------------------------------------------- update rules


def _rule(rule, which, **changes):
    """The result of a rule with some arguments changed."""
    return lambda g: rule(g.w, g.dw, **{**g.numbers, **{key: change(g) for key, change in changes.items()}})[which]


SGD = {"it steps uphill: w - learning_rate * dw": lambda g: g.w + g.numbers["lr"] * g.dw}
MOMENTUM = {
    "the gradient is added: v = momentum * v - learning_rate * dw": _rule(
        o.sgd_momentum, 0, lr=lambda g: -g.numbers["lr"]
    ),
    "the old velocity is added; it must be the new one": lambda g: g.w + g.numbers["v"],
    "the velocity is subtracted: next_w = w + v": lambda g: 2 * g.w - o.sgd_momentum(g.w, g.dw, **g.numbers)[0],
    "it is Nesterov's momentum": lambda g: (
        g.w + g.numbers["momentum"] * o.sgd_momentum(g.w, g.dw, **g.numbers)[1] - g.numbers["lr"] * g.dw
    ),
    "the momentum is missing": _rule(o.sgd_momentum, 0, momentum=lambda g: 0.0),
}
VELOCITY = {
    "the gradient is added: v = momentum * v - learning_rate * dw": _rule(
        o.sgd_momentum, 1, lr=lambda g: -g.numbers["lr"]
    ),
    "it is not written back into config": lambda g: g.numbers["v"],
    "the momentum is missing": _rule(o.sgd_momentum, 1, momentum=lambda g: 0.0),
}


def _rms(g, **how):
    n = g.numbers
    _, new = o.rmsprop(g.w, g.dw, **n)
    cache = n["cache"] if how.get("old") else new
    root = np.sqrt(cache + n["eps"]) if how.get("inside") else cache + n["eps"] if how.get("plain") else np.sqrt(cache)
    return g.w - n["lr"] * g.dw / (root + (0 if how else n["eps"]))


RMSPROP = {
    "epsilon is added to the square root, not under it": lambda g: _rms(g, inside=True),
    "the old cache is used; it must be the new one": lambda g: _rms(g, old=True),
    "the square root is missing": lambda g: _rms(g, plain=True),
    "decay_rate is the weight of the old value": _rule(o.rmsprop, 0, decay=lambda g: 1 - g.numbers["decay"]),
}
CACHE = {
    "it is not written back into config": lambda g: g.numbers["cache"],
    "decay_rate is the weight of the old value": _rule(o.rmsprop, 1, decay=lambda g: 1 - g.numbers["decay"]),
    "the gradient is not squared": lambda g: g.numbers["decay"] * g.numbers["cache"] + (1 - g.numbers["decay"]) * g.dw,
}


def _uncorrected(g):
    _, m, v, _ = o.adam(g.w, g.dw, **g.numbers)
    return g.w - g.numbers["lr"] * m / (np.sqrt(v) + g.numbers["eps"])


def _swapped_betas(which):
    return _rule(o.adam, which, beta1=lambda g: g.numbers["beta2"], beta2=lambda g: g.numbers["beta1"])


def _adam_by(g, divide):
    """With another denominator than sqrt(v) + eps."""
    n = g.numbers
    _, m, v, t = o.adam(g.w, g.dw, **n)
    return g.w - n["lr"] * (m / (1 - n["beta1"] ** t)) / divide(v / (1 - n["beta2"] ** t), n["eps"])


def _adam_same_beta(g):
    """With beta2 in the correction of m."""
    n = g.numbers
    _, m, v, t = o.adam(g.w, g.dw, **n)
    return g.w - n["lr"] * (m / (1 - n["beta2"] ** t)) / (np.sqrt(v / (1 - n["beta2"] ** t)) + n["eps"])


def _adam_late(g):
    """With the old t in the corrections."""
    return o.adam(g.w, g.dw, **{**g.numbers, "t": g.numbers["t"] - 1})[0]


ADAM = {
    "the bias correction is missing": _uncorrected,
    "t must be incremented before it is used": _adam_late,
    "epsilon is added to the square root, not under it": lambda g: _adam_by(g, lambda v, eps: np.sqrt(v + eps)),
    "beta1 and beta2 are exchanged": _swapped_betas(0),
    "both bias corrections use beta2": _adam_same_beta,
    "the square root of v is missing": lambda g: _adam_by(g, lambda v, eps: v + eps),
    "it steps uphill: w - learning_rate * ...": _rule(o.adam, 0, lr=lambda g: -g.numbers["lr"]),
}
ADAM_M = {
    "it is not written back into config": lambda g: g.numbers["m"],
    "beta1 and beta2 are exchanged": _swapped_betas(1),
}
ADAM_V = {
    "it is not written back into config": lambda g: g.numbers["v"],
    "the gradient is not squared": lambda g: g.numbers["beta2"] * g.numbers["v"] + (1 - g.numbers["beta2"]) * g.dw,
    "beta1 and beta2 are exchanged": _swapped_betas(2),
}
ADAM_T = {"it is not incremented in config": lambda g: g.numbers["t"]}

# ---------------------------------------------------------------- nearest neighbours

DISTANCES = {
    "the square root is missing": lambda g: o.distances(g.X, g.tests) ** 2,
    "it is the L1 distance": lambda g: abs(g.tests[:, None] - g.X).sum(axis=2),
    "tests and training examples are exchanged": lambda g: o.distances(g.tests, g.X),
}
LABELS = {
    "it is the nearest neighbour's label whatever k": lambda g: o.vote(g.dists, g.y, 1),
    "it is the farthest neighbours' label": lambda g: o.vote(-g.dists, g.y, g.k),
    "of equally common labels the smallest wins": lambda g: _largest_vote(g),
}


def _largest_vote(g):
    return g.y.max() - o.vote(g.dists, g.y.max() - g.y, g.k)
