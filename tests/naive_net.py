"""A small network in plain NumPy, with the backward passes of pictures: what fastnet.visualize is compared with."""

import functools

import numpy as np

import fastnet as fn


@functools.cache
def trained_digits(seed=0):
    """A network that knows the digits of scikit-learn, and test images with their classes."""
    data = fn.data.digits()
    X, y = data.X_train, data.y_train
    model = fn.Sequential(
        *(fn.Conv2d(8, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(16, 3, padding=1), fn.ReLU()),
        *(fn.Flatten(), fn.Linear(10)),
    )
    model.build(X.shape[1:], seed=seed)
    model.fit(X, y, 4, batch_size=32, optimizer=fn.optim.Adam(4e-3), preprocess="standardize", verbose=False)
    return model, data.X_test, data.y_test


def small_model(dtype="float64", seed=0):
    """conv, ReLU, max pooling, conv, ReLU, linear: images of 2 channels and 8 x 8 pixels, 5 classes."""
    model = fn.Sequential(
        *(fn.Conv2d(4, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(6, 3, padding=1), fn.ReLU()),
        *(fn.Flatten(), fn.Linear(5)),
    )
    model.build((2, 8, 8), seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.value[...] = rng.standard_normal(p.shape) * 0.5
    return model


class Naive:
    """`small_model` in float64: forward by definition, backward with a rule for ReLU."""

    def __init__(self, model):
        self.w1, self.b1, self.w2, self.b2, self.w3, self.b3 = (np.float64(p.value) for p in model.parameters())

    def forward(self, x):
        self.z1 = conv(x, self.w1, self.b1)
        self.a1 = np.maximum(self.z1, 0)
        self.p = self.a1.reshape(len(x), 4, 4, 2, 4, 2).max(axis=(3, 5))
        self.z2 = conv(self.p, self.w2, self.b2)
        self.a2 = np.maximum(self.z2, 0)
        return self.a2.reshape(len(x), -1) @ self.w3.T + self.b3

    def backward(self, x, targets, rule=None):
        """The gradient of each image's target score; `rule` as in fastnet.visualize."""
        self.forward(x)
        self.da2 = self.w3[targets].reshape(self.a2.shape)
        return self.from_second(x, self.da2, rule)

    def from_second(self, x, da2, rule=None):
        """From the gradient of the second ReLU's output."""
        dp = conv_gradient(relu_gradient(da2, self.z2, rule), self.w2)
        da1 = np.zeros_like(self.a1)
        for n, c, i, j in np.ndindex(self.p.shape):
            window = self.a1[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            down, right = np.unravel_index(window.argmax(), (2, 2))  # the switch
            da1[n, c, 2 * i + down, 2 * j + right] = dp[n, c, i, j]
        return conv_gradient(relu_gradient(da1, self.z1, rule), self.w1)


def relu_gradient(dy, z, rule):
    if rule == "deconvnet":
        return np.maximum(dy, 0)
    return (np.maximum(dy, 0) if rule == "guided" else dy) * (z > 0)


def conv(x, w, b):
    """3 x 3, padding 1."""
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3), axis=(2, 3))
    return np.einsum("nchwrs,kcrs->nkhw", windows, w) + b[:, None, None]


def conv_gradient(dy, w):
    return conv(dy, w[:, :, ::-1, ::-1].swapaxes(0, 1), np.zeros(w.shape[1]))
