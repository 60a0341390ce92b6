"""The course's layers and losses against PyTorch's, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.compat.cs231n import layers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(13)
normal = RNG.standard_normal


def test_layers_agree_with_pytorch():
    F, channels = torch.nn.functional, (normal(6), normal(6))
    images, rows = normal((3, 6, 5, 4)), normal((8, 6))
    conv_param, pool_param = {"stride": 2, "pad": 1}, {"pool_height": 3, "pool_width": 2, "stride": 2}
    train, w, b = {"mode": "train"}, normal((4, 6, 3, 3)), normal(4)
    cases = {
        "affine": ([rows, normal((6, 5)), normal(5)], (), lambda x, w, b: F.linear(x, w.T, b)),
        "batchnorm": ([rows, *channels], (train,), lambda x, g, b: F.batch_norm(x, None, None, g, b, True)),
        "spatial_batchnorm": ([images, *channels], (train,), lambda x, g, b: F.batch_norm(x, None, None, g, b, True)),
        "layernorm": ([rows, *channels], ({},), lambda x, g, b: F.layer_norm(x, (6,), g, b)),
        "spatial_groupnorm": ([images, *channels], (2, {}), lambda x, g, b: F.group_norm(x, 2, g, b)),
        "conv": ([images, w, b], (conv_param,), lambda x, w, b: F.conv2d(x, w, b, 2, 1)),
        "max_pool": ([images], (pool_param,), lambda x: F.max_pool2d(x, (3, 2), 2)),
    }
    for name, (arrays, others, theirs) in cases.items():
        naive = "_naive" if name in ("conv", "max_pool") else ""
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        expected = theirs(*tensors)
        dout = normal(tuple(expected.shape))
        expected.backward(torch.from_numpy(dout))
        out, cache = getattr(layers, f"{name}_forward{naive}")(*arrays, *others)
        gradients = getattr(layers, f"{name}_backward{naive}")(dout, cache)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        np.testing.assert_allclose(out, expected.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
        for got, tensor in zip(gradients, tensors, strict=True):
            np.testing.assert_allclose(got, tensor.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


def test_losses_agree_with_pytorch():
    x, y = normal((7, 5)), RNG.integers(5, size=7)
    for ours, theirs, factor in (
        (layers.softmax_loss, torch.nn.functional.cross_entropy, 1),
        (layers.svm_loss, torch.nn.functional.multi_margin_loss, 5),  # PyTorch divides by the number of classes
    ):
        tensor = torch.tensor(x, requires_grad=True)
        expected = factor * theirs(tensor, torch.from_numpy(y))
        expected.backward()
        loss, dx = ours(x, y)
        assert np.isclose(loss, expected.item(), rtol=1e-12)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=1e-10, atol=1e-14)
