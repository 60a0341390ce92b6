"""PyTorch's own operator samples (its OpInfo database): values and gradients agree, or the call is refused for a reason
listed here.

A sample is given to fastnet as it is, torch tensors and all, in PyTorch's order of arguments.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

import fastnet as fn
from fastnet import functional, losses

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's operator samples need it")
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

pytestmark = pytest.mark.peers


class Differs(Exception):
    """fastnet has no call of this meaning."""


# ---------------------------------------------------------------- PyTorch's calls as fastnet's


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    running = {"running_mean": mean, "running_var": var}
    running = {name: value.numpy() for name, value in running.items() if value is not None}
    given = {"gamma": weight, "beta": bias, **running}
    return functional.batch_norm(x, **given, training=training, momentum=momentum, eps=eps)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    given = {"stride": stride, "padding": padding, "dilation": dilation}
    columns = functional.im2col(x, kernel_size, **given)
    return columns, lambda dy: functional.col2im(dy, x.shape, kernel_size, **given)


def adaptive_max_pool2d(x, output_size, return_indices=False):
    if return_indices:
        raise Differs("indices are not returned")
    return functional.adaptive_max_pool2d(x, output_size)


def upsample_nearest(x, size=None, scale_factor=None):
    return functional.interpolate(x, size, scale_factor)


def upsample_bilinear(x, size=None, scale_factor=None):
    return functional.interpolate(x, size, scale_factor, "bilinear", align_corners=True)


def dropout(x, p=0.5, training=True, inplace=False):
    if training and p > 0:
        raise Differs("other random numbers")
    if inplace:
        raise Differs("nothing is done in place")
    return functional.dropout(x, p, training)


def gelu(x, *, approximate="none"):
    return functional.gelu_tanh(x) if approximate == "tanh" else functional.gelu(x)


def prelu(x, *given, weight=None):
    """A weight given by name has no gradient in the samples."""
    y, backward = functional.prelu(x, *(given or (weight,)))
    return y, backward if given else lambda dy: backward(dy)[0]


def cross_entropy(scores, labels, reduction="mean", **options):
    check_options({"reduction": reduction}, reduction="mean")
    if labels.is_floating_point():
        options.pop("ignore_index", None)  # PyTorch passes over it
    loss, dscores = losses.softmax_cross_entropy(scores, labels, **options)
    return np.asarray(loss), lambda dy: dscores * float(dy)


def multi_margin_loss(scores, labels, **options):
    """PyTorch divides by the number of classes."""
    check_options(options, p=1, weight=None, reduction="mean", margin=1.0)
    loss, dscores = losses.svm(scores, labels, options.get("margin", 1.0))
    return np.asarray(loss / scores.shape[-1]), lambda dy: dscores * float(dy) / scores.shape[-1]


def check_options(options, **known):
    for name, value in options.items():
        if name != "margin" and (isinstance(value, torch.Tensor) or value != known[name]):
            raise Differs(f"the loss has no {name}")


OURS = {
    "log_softmax": functional.log_softmax,
    "nn.functional.adaptive_avg_pool2d": functional.adaptive_avg_pool2d,
    "nn.functional.adaptive_max_pool2d": adaptive_max_pool2d,
    "nn.functional.avg_pool2d": functional.avg_pool2d,
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.conv2d": functional.conv2d,
    "nn.functional.conv_transpose2d": functional.conv_transpose2d,
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.dropout": dropout,
    "nn.functional.elu": functional.elu,
    "nn.functional.gelu": gelu,
    "nn.functional.hardsigmoid": functional.hardsigmoid,
    "nn.functional.hardswish": functional.hardswish,
    "nn.functional.interpolate": functional.interpolate,
    "nn.functional.leaky_relu": functional.leaky_relu,
    "nn.functional.linear": functional.linear,
    "nn.functional.max_pool2d": functional.max_pool2d,
    "nn.functional.multi_margin_loss": multi_margin_loss,
    "nn.functional.pad": functional.pad,
    "nn.functional.pixel_shuffle": functional.pixel_shuffle,
    "nn.functional.pixel_unshuffle": functional.pixel_unshuffle,
    "nn.functional.prelu": prelu,
    "nn.functional.relu": functional.relu,
    "nn.functional.relu6": functional.relu6,
    "nn.functional.selu": functional.selu,
    "nn.functional.silu": functional.silu,
    "nn.functional.softplus": functional.softplus,
    "nn.functional.unfold": unfold,
    "nn.functional.upsample_bilinear": upsample_bilinear,
    "nn.functional.upsample_nearest": upsample_nearest,
    "matmul": functional.matmul,
    "mm": functional.matmul,
    "sigmoid": functional.sigmoid,
    "softmax": functional.softmax,
    "tanh": functional.tanh,
}

CONSTANT = {"nn.functional.batch_norm": (1, 2)}  # arguments without a gradient: the running statistics

# ---------------------------------------------------------------- what is refused, and why

_RESAMPLING = (
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "conv_transpose2d", "interpolate", "pad", "pixel_shuffle"),
    *("pixel_unshuffle", "upsample_nearest"),
)
_SCORES, _LOSS = "scores must have shape (N, C)", "the loss has no "
_IMAGES = r"x must have shape \(N, C, H, W\)"
REFUSED = [  # (op, what the error says, why)
    *((op, r"unexpected keyword argument .dtype", "arrays are cast before") for op in ("softmax", "log_softmax")),
    *((op, r"is empty|has no axis", "no elements to sum over") for op in ("softmax", "log_softmax")),
    *((f"nn.functional.{op}", _IMAGES, "one image, or other than two dimensions") for op in _RESAMPLING),
    *((f"nn.functional.{op}", r"output_size must be", "sizes are given") for op in _RESAMPLING[:2]),
    ("nn.functional.adaptive_max_pool2d", r"indices", "indices are not returned"),
    ("nn.functional.interpolate", r"mode must be one of", "nearest and bilinear"),
    ("nn.functional.pad", r"pad must be an int or", "two dimensions"),
    ("matmul", r"matmul: shapes .* do not fit", "matrices only: products of stacks and vectors are reshapes"),
    ("nn.functional.batch_norm", r"momentum.* must be in \[0, 1\]", "a negative momentum is a mistake"),
    ("nn.functional.batch_norm", r"x must have shape \(N, C\).* got \(0,\)", "an array without channels"),
    ("nn.functional.cross_entropy", _LOSS + "reduction", "the loss is a mean"),
    ("nn.functional.cross_entropy", re.escape(_SCORES), "scores of maps and volumes"),
    (
        "nn.functional.cross_entropy",
        r"sum to 1|not negative|must be >= 0|probabilities",
        "numbers that are no probabilities",
    ),
    ("nn.functional.dropout", r"other random numbers", "Philox streams, the same on every backend"),
    ("nn.functional.max_pool2d", r"return_indices=True is not supported", "indices are not returned"),
    ("nn.functional.prelu", r"arrays must have shape", "slopes belong to channels"),
    ("nn.functional.multi_margin_loss", _LOSS + "p", "hinges are not squared"),
    ("nn.functional.multi_margin_loss", _LOSS + "reduction", "the loss is a mean"),
    ("nn.functional.multi_margin_loss", _LOSS + "weight", "no weights of classes"),
    ("nn.functional.multi_margin_loss", re.escape(_SCORES), "a batch has a batch axis"),
]

# ---------------------------------------------------------------- the comparison


def compare(ours, theirs, sample, tolerance, constant=()):
    """Values, and the gradients of every array but the arguments at the positions `constant`."""
    given = [sample.input, *sample.args]
    tensors = [
        t.detach().requires_grad_(t.is_floating_point() and n not in constant) if isinstance(t, torch.Tensor) else t
        for n, t in enumerate(given)
    ]
    named = {name: t.detach() if isinstance(t, torch.Tensor) else t for name, t in sample.kwargs.items()}
    y, backward = ours(*(t.clone().detach() if isinstance(t, torch.Tensor) else t for t in given), **named)
    leaves = [t for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
    expected = theirs(*tensors, **named)
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(y, expected.detach().numpy(), **tolerance)
    if not expected.requires_grad:
        return
    dy = torch.rand_like(expected)
    wanted = torch.autograd.grad(expected, leaves, dy, allow_unused=True)
    gradients = backward(dy)
    gradients = [g for g in (gradients if isinstance(gradients, tuple) else (gradients,)) if g is not None]
    wanted = [g for g in wanted if g is not None]
    assert len(gradients) == len(wanted)
    for got, gradient in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(got, gradient.numpy(), **tolerance)


@pytest.fixture(scope="module", params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OURS)
def test_samples(backend, name, dtype):
    ops = [op for op in op_db if op.name == name]
    assert ops, f"PyTorch's database has no {name}"
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-10}
    if name == "nn.functional.hardsigmoid":
        tolerance = {"rtol": 1e-6, "atol": 1e-6}  # PyTorch's 1/6 is float32's in float64, too
    torch.manual_seed(0)
    counts, refused = Counter(), {why: pattern for op, pattern, why in REFUSED if op == name}
    for op in ops:
        for sample in op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False):
            try:
                compare(OURS[name], op.op, sample, tolerance, CONSTANT.get(name, ()))
            except (TypeError, ValueError, Differs) as error:
                reasons = [why for why, pattern in refused.items() if re.search(pattern, str(error))]
                assert reasons, f"{name} refuses {sample.summary()}: {error}"
                counts[reasons[0]] += 1
            else:
                counts["agree"] += 1
    print(name, dtype, dict(counts))
    assert counts["agree"], "no sample is computed"
    assert not set(refused) - set(counts), "these reasons no longer occur"
