"""The recurrent layers of assignment 3 (2016 to 2024): vanilla RNN, LSTM, word embedding, and layers over time.

Sequences have shape (N, T, D): N sequences of T steps with D elements each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "lstm_backward",
    "lstm_forward",
    "lstm_step_backward",
    "lstm_step_forward",
    "rnn_backward",
    "rnn_forward",
    "rnn_step_backward",
    "rnn_step_forward",
    "sigmoid",
    "temporal_affine_backward",
    "temporal_affine_forward",
    "temporal_softmax_loss",
    "word_embedding_backward",
    "word_embedding_forward",
]


# ---------------------------------------------------------------- vanilla RNN


def rnn_step_forward(
    x: np.ndarray, prev_h: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, Any]:
    """``next_h = tanh(x @ Wx + prev_h @ Wh + b)``.

    Parameters
    ----------
    x : array, (N, D)
    prev_h : array, (N, H)
    Wx, Wh, b : arrays, (D, H), (H, H), (H,)

    Returns
    -------
    next_h : array, (N, H)
    cache : tuple
    """
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx, dprev_h, dWx, dWh, db of :func:`rnn_step_forward`."""
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def rnn_forward(x: np.ndarray, h0: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """Apply :func:`rnn_step_forward` to each step of x (N, T, D), from h0 (N, H); ``(h (N, T, H), cache)``."""
    states, caches, h = [], [], h0
    for t in range(x.shape[1]):
        h, cache = rnn_step_forward(x[:, t], h, Wx, Wh, b)
        states.append(h)
        caches.append(cache)
    return np.stack(states, axis=1), caches


def rnn_backward(dh: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, T, D), dh0 (N, H), dWx, dWh, db of :func:`rnn_forward`.

    dh (N, T, H) is the upstream gradient of each state, without the contributions of later states, which are added.
    """
    steps: list[np.ndarray] = []
    dprev_h: Any = 0
    dweights: list[Any] = [0, 0, 0]
    for t in reversed(range(len(cache))):
        dx, dprev_h, *gradients = rnn_step_backward(dh[:, t] + dprev_h, cache[t])
        steps.insert(0, dx)
        dweights = [total + gradient for total, gradient in zip(dweights, gradients, strict=True)]
    return np.stack(steps, axis=1), dprev_h, *dweights


# ---------------------------------------------------------------- LSTM


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def lstm_step_forward(
    x: np.ndarray, prev_h: np.ndarray, prev_c: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Any]:
    """One step of a long short-term memory (Hochreiter & Schmidhuber 1997).

    ``i, f, o, g`` are the quarters of ``x @ Wx + prev_h @ Wh + b``, the first three through a sigmoid, g through tanh;
    ``next_c = f * prev_c + i * g; next_h = o * tanh(next_c)``.

    Parameters
    ----------
    x : array, (N, D)
    prev_h, prev_c : arrays, (N, H)
    Wx, Wh, b : arrays, (D, 4*H), (H, 4*H), (4*H,)

    Returns
    -------
    next_h, next_c : arrays, (N, H)
    cache : tuple
    """
    *gates, g = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    (i, f, o), g = map(sigmoid, gates), np.tanh(g)
    next_c = f * prev_c + i * g
    tanh_c = np.tanh(next_c)
    return o * tanh_c, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c)


def lstm_step_backward(dnext_h: np.ndarray, dnext_c: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx, dprev_h, dprev_c, dWx, dWh, db of :func:`lstm_step_forward`."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c = cache
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    di, df, do, dg = dc * g, dc * prev_c, dnext_h * tanh_c, dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_forward(
    x: np.ndarray, h0: np.ndarray, Wx: np.ndarray, Wh: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, Any]:
    """Apply :func:`lstm_step_forward` to each step of x (N, T, D), from h0 (N, H) and a zero cell; ``(h, cache)``."""
    states, caches, h, c = [], [], h0, np.zeros_like(h0)
    for t in range(x.shape[1]):
        h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        states.append(h)
        caches.append(cache)
    return np.stack(states, axis=1), caches


def lstm_backward(dh: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, T, D), dh0 (N, H), dWx, dWh, db of :func:`lstm_forward`; dh is (N, T, H)."""
    steps: list[np.ndarray] = []
    dprev_h: Any = 0
    dprev_c: Any = 0
    dweights: list[Any] = [0, 0, 0]
    for t in reversed(range(len(cache))):
        dx, dprev_h, dprev_c, *gradients = lstm_step_backward(dh[:, t] + dprev_h, dprev_c, cache[t])
        steps.insert(0, dx)
        dweights = [total + gradient for total, gradient in zip(dweights, gradients, strict=True)]
    return np.stack(steps, axis=1), dprev_h, *dweights


# ---------------------------------------------------------------- words


def word_embedding_forward(x: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, Any]:
    """The vector of each word, ``W[x]``: indices x (N, T) into W (V, D) give (N, T, D)."""
    return W[x], (x, W)


def word_embedding_backward(dout: np.ndarray, cache: Any) -> np.ndarray:
    """The gradient dW (V, D): a word's row is the sum of dout (N, T, D) over its occurrences."""
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x, dout)
    return dW


# ---------------------------------------------------------------- applied at each step


def temporal_affine_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
    """``out = x @ w + b`` at each step: x (N, T, D), w (D, M), b (M,), out (N, T, M)."""
    return x @ w + b, (x, w)


def temporal_affine_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, ...]:
    """Gradients dx (N, T, D), dw (D, M), db (M,) of :func:`temporal_affine_forward`."""
    x, w = cache
    dw = x.reshape(-1, x.shape[2]).T @ dout.reshape(-1, dout.shape[2])
    return dout @ w.T, dw, dout.sum(axis=(0, 1))


def temporal_softmax_loss(
    x: np.ndarray, y: np.ndarray, mask: np.ndarray, verbose: bool = False
) -> tuple[float, np.ndarray]:
    """Cross-entropy over a vocabulary, summed over the steps in the mask, averaged over the sequences.

    Parameters
    ----------
    x : array, (N, T, V)
        Scores.
    y : array of int, (N, T)
        The correct words.
    mask : array of bool, (N, T)
        True for the steps that count.
    verbose : bool
        Print the shape of the flattened gradient, (N*T, V).

    Returns
    -------
    loss : float
    dx : array, (N, T, V)
    """
    N, T, V = x.shape
    counts = mask.reshape(N * T)
    flat, words = x.reshape(N * T, V), y.reshape(N * T)
    shifted = flat - flat.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    loss = -np.sum(counts * log_p[np.arange(N * T), words]) / N
    dx = np.exp(log_p)
    dx[np.arange(N * T), words] -= 1
    dx *= counts[:, None] / N
    if verbose:
        print("dx_flat: ", dx.shape)
    return loss, dx.reshape(N, T, V)
