"""Update rules: ``next_w, config = rule(w, dw, config)``.

`config` is a dict of a rule's settings and state; missing entries are set to their defaults, and None means empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["adam", "rmsprop", "sgd", "sgd_momentum"]


def _settings(config, **defaults) -> dict:
    config = {} if config is None else config
    for name, value in defaults.items():
        config.setdefault(name, value)
    return config


def sgd(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """``w -= learning_rate * dw``, in place; learning_rate is 1e-2 by default."""
    config = _settings(config, learning_rate=1e-2)
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """``velocity = momentum * velocity - learning_rate * dw; next_w = w + velocity``.

    learning_rate 1e-2, momentum 0.9, velocity zeros.
    """
    config = _settings(config, learning_rate=1e-2, momentum=0.9)
    velocity = config.get("velocity", np.zeros_like(w))
    config["velocity"] = config["momentum"] * velocity - config["learning_rate"] * dw
    return w + config["velocity"], config


def rmsprop(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Divide the gradient by a running root mean square (Tieleman & Hinton 2012).

    ``cache = decay_rate * cache + (1 - decay_rate) * dw**2``
    ``next_w = w - learning_rate * dw / (sqrt(cache) + epsilon)``
    learning_rate 1e-2, decay_rate 0.99, epsilon 1e-8, cache zeros.
    """
    config = _settings(config, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    decay, cache = config["decay_rate"], config.get("cache", np.zeros_like(w))
    config["cache"] = decay * cache + (1 - decay) * dw**2
    return w - config["learning_rate"] * dw / (np.sqrt(config["cache"]) + config["epsilon"]), config


def adam(w: np.ndarray, dw: np.ndarray, config: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Adam with bias correction; t is incremented before it is used (Kingma & Ba 2015, arXiv:1412.6980).

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2; t = t + 1``
    ``next_w = w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)``
    learning_rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8, m and v zeros, t 0.
    """
    config = _settings(config, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, t=0)
    beta1, beta2 = config["beta1"], config["beta2"]
    config["m"] = beta1 * config.get("m", np.zeros_like(w)) + (1 - beta1) * dw
    config["v"] = beta2 * config.get("v", np.zeros_like(w)) + (1 - beta2) * dw**2
    config["t"] += 1
    m = config["m"] / (1 - beta1 ** config["t"])
    v = config["v"] / (1 - beta2 ** config["t"])
    return w - config["learning_rate"] * m / (np.sqrt(v) + config["epsilon"]), config
