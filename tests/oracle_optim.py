"""The result of optimisers for a whole history of gradients, in closed form and extended precision.

The backends update a state once per step. These functions have no such recursions: here a momentum is a geometric sum
of past gradients, Adam's corrected moments are weighted means, and decoupled decay shrinks the weight by a power. So
they cannot repeat a mistake in a recursion.

Each function returns the weight after the last gradient, and the state that the backends keep.  `state` is the state
before the first gradient.  L2 decay adds ``weight_decay * w`` to a gradient, so it needs the weight before each step.
"""

from __future__ import annotations

import numpy as np

REAL = np.longdouble


def _powers(base, count):
    """base**0, ..., base**(count - 1)."""
    return REAL(base) ** np.arange(count)


def _weigh(weights, gradients):
    """The sum of weights[i] * gradients[i]."""
    return np.tensordot(weights, np.stack(gradients), 1)


def _walk(w, gradients, displacement, weight_decay, shrink=1.0):
    """(weight, effective gradients): displacement(gradients so far) is how far all steps so far moved the weight."""
    start, effective = np.asarray(w, REAL), []
    for g in gradients:
        effective.append(np.asarray(g, REAL) + REAL(weight_decay) * w)
        w = start * REAL(shrink) ** len(effective) - displacement(effective)
    return w, effective


def sgd(w, gradients, state=None, lr=0.1, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
    """(w, velocity): of gradient i, step s >= i takes the share (1 - dampening) * momentum**(s - i)."""
    if state is None:
        w, _ = _walk(w, gradients, lambda past: REAL(lr) * sum(past), weight_decay)
        return w, None
    mu, keep, velocity = REAL(momentum), 1 - REAL(dampening), np.asarray(state, REAL)

    def displacement(past):
        n = len(past)
        geometric = np.cumsum(_powers(mu, n))  # 1 + mu + ... + mu**k
        if nesterov:  # each step looks ahead by one velocity: its own gradient once more
            shares, old = 1 + mu * keep * geometric[n - 1 :: -1], mu * mu * geometric[n - 1]
        else:
            shares, old = keep * geometric[n - 1 :: -1], mu * geometric[n - 1]
        return REAL(lr) * (_weigh(shares, past) + old * velocity)

    w, past = _walk(w, gradients, displacement, weight_decay)
    return w, mu ** len(past) * velocity + keep * _weigh(_powers(mu, len(past))[::-1], past)


def adagrad(w, gradients, state, lr, eps=1e-10, weight_decay=0.0):
    """(w, squares): each gradient over the length of the vector of all gradients up to it."""

    def displacement(past):
        lengths = np.sqrt(np.asarray(state, REAL) + np.cumsum(np.square(past), axis=0))
        return REAL(lr) * (np.stack(past) / (lengths + REAL(eps))).sum(axis=0)

    w, past = _walk(w, gradients, displacement, weight_decay)
    return w, np.asarray(state, REAL) + np.einsum("i...,i...->...", past, past)


def _moving_average(values, decay, start):
    """The exponential moving averages after each of `values`, by their definition as sums."""
    weights, averages = _powers(decay, len(values) + 1), []
    for n in range(1, len(values) + 1):
        averages.append(weights[n] * start + (1 - weights[1]) * _weigh(weights[n - 1 :: -1], values[:n]))
    return averages


def rmsprop(w, gradients, state, lr, alpha=0.99, eps=1e-8, weight_decay=0.0):
    """(w, mean square): each gradient over the root of the moving average of squares that it belongs to."""

    def displacement(past):
        means = _moving_average(np.square(past), alpha, np.asarray(state, REAL))
        return REAL(lr) * sum(g / (np.sqrt(mean) + REAL(eps)) for g, mean in zip(past, means, strict=True))

    w, past = _walk(w, gradients, displacement, weight_decay)
    return w, _moving_average(np.square(past), alpha, np.asarray(state, REAL))[-1]


def adam(w, gradients, state, lr, t=1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False):
    """(w, m, v); the first of `gradients` is that of step t.

    The corrected moments are weighted means, of all gradients since step 1 and of their squares, with the weights
    beta**age: dividing by the sum of the weights makes them sum to 1.
    """
    m, v = (np.asarray(array, REAL) for array in state)

    def corrected(values, beta, start):
        weights = _powers(beta, t + len(values))
        for n in range(1, len(values) + 1):
            total = weights[n] * start / (1 - REAL(beta)) + _weigh(weights[n - 1 :: -1], values[:n])
            yield total / weights[: t - 1 + n].sum()

    def displacement(past):
        moments = zip(corrected(past, beta1, m), corrected(np.square(past), beta2, v), strict=True)
        steps = [REAL(lr) * mean / (np.sqrt(square) + REAL(eps)) for mean, square in moments]
        return _weigh(_powers(shrink, len(past))[::-1], steps)

    shrink = 1 - REAL(lr) * REAL(weight_decay) if decoupled else REAL(1)
    w, past = _walk(w, gradients, displacement, 0.0 if decoupled else weight_decay, shrink)
    return w, _moving_average(past, beta1, m)[-1], _moving_average(np.square(past), beta2, v)[-1]
