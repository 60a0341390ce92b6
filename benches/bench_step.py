"""Whole training steps (forward, loss, backward, SGD with momentum): naive against fast."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import losses, models, optim

BATCHES = {"lenet5": 16, "three_layer_convnet": 8, "resnet20": 4}


@pytest.mark.parametrize("name", BATCHES)
def bench_step(compare, name):
    def prepare(ops):
        model, sgd = models.create(name, 10), optim.SGD(1e-3, momentum=0.9)
        rng, N = np.random.default_rng(0), BATCHES[name]
        x, labels = ops.asarray(rng.standard_normal((N, *model.input_shape), np.float32)), rng.integers(0, 10, N)
        parameters = model.parameters(requires_grad=True)

        def call():
            model.zero_grad()
            scores, backward = model.forward(x, training=True)
            loss, dscores = losses.softmax_cross_entropy(scores, labels)
            backward(dscores, input_gradient=False)
            sgd.step(parameters)
            return [loss, *(parameter.grad for parameter in parameters)]

        return call

    # sums near ReLU's kink may round to either side, and batch norm over few images amplifies that
    compare(f"step of {name}, {BATCHES[name]} images", prepare, tolerance=2e-2)
