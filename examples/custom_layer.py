"""Two custom layers: one made of ops, whose gradient is derived, and one on arrays with its own gradient.

A layer implements two methods. `setup` infers shapes and makes parameters. `call` computes y from x by ops: such a
layer is fused and compiled like any other. If no op does what you need, define `run` instead: it computes on arrays,
NumPy's or on a GPU CuPy's, by methods that both have or by `ops.xp`, and returns y and the backward function.
"""

import numpy as np

import fastnet as fn


class Block(fn.Layer):
    """relu(conv(x) + x): a convolution with a shortcut, made of ops and of another layer."""

    def __init__(self, channels):
        self.conv = fn.Conv2d(channels, 3, padding=1)

    def children(self):
        return {"conv": self.conv}

    def setup(self, shape, rng, dtype):
        return self.conv.place(shape, rng, dtype)

    def call(self, x, training, ops):
        return ops.relu(ops.add(ops.layer(self.conv, x, training), x))


class Swish(fn.Layer):
    """x * sigmoid(beta * x) with a trained beta (Ramachandran et al. 2017, arXiv:1710.05941), on arrays."""

    def setup(self, shape, rng, dtype):
        self.parameter("beta", (1,), "ones", rng, dtype, decay=False)
        return shape

    def run(self, x, training, ops):
        beta = self.beta.value[0]
        s, _ = ops.sigmoid(beta * x)

        def backward(dy, input_gradient=True):
            slope = x * s * (1 - s)  # the derivative of sigmoid(beta * x) with respect to beta
            if self.beta.requires_grad:
                self.beta.accumulate((dy * x * slope).sum(dtype=dy.dtype).reshape(1))
            return dy * (s + beta * slope) if input_gradient else None

        return x * s, backward


def check_gradient() -> float:
    """The largest error of the gradients of beta and x, compared with central differences in float64."""
    layer, rng, h = Swish(), np.random.default_rng(0), 1e-5
    x, dy = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((2, 3, 4, 4))
    layer.build(x.shape[1:], dtype="float64")
    _, backward = layer.forward(x, training=True)
    dx = backward(dy)
    found = np.empty_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        found[index] = ((layer(x + step) - layer(x - step)) * dy).sum() / (2 * h)
    beta = layer.beta.value.copy()
    sums = []
    for sign in (1, -1):
        layer.beta.value[...] = beta + sign * h
        sums.append((layer(x) * dy).sum())
    by_beta = abs((sums[0] - sums[1]) / (2 * h) - layer.beta.grad[0])
    return float(max(abs(found - dx).max(), by_beta))


def main() -> None:
    print(f"largest error of the gradients: {check_gradient():.1e}")
    digits = fn.data.digits()
    model = fn.Sequential(
        *(fn.Conv2d(16, 3, padding=1), Swish(), fn.MaxPool2d(2), Block(16), fn.Flatten(), fn.Linear(10)),
    )
    optimizer = fn.optim.Adam(5e-3)
    solver = fn.Solver(
        model, digits, preprocess="standardize", optimizer=optimizer, batch_size=32, epochs=8, verbose=False
    )
    solver.train()
    accuracy = solver.evaluate(digits.X_test, digits.y_test).accuracy
    print(f"test accuracy: {accuracy:.3f}; beta went from 1 to {model[1].beta.value[0]:.2f}")


if __name__ == "__main__":
    main()
