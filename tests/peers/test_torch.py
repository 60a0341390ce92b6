"""PyTorch's answers in float64: convolutions, pooling, batch norm, activations, losses, fold and unfold.

Optimisers are compared in tests/peers/test_optimizers.py; layers, models and files in
tests/interop/test_torch_peer.py.
"""

from __future__ import annotations

import inspect

import cases
import numpy as np
import pytest

import fastnet as fn
from fastnet import functional
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.peers

CONVS = [case for case in cases.CONV if case.N]
TOLERANCE = {"rtol": 1e-11, "atol": 1e-11}


@pytest.fixture(autouse=True, params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensor(array):
    return torch.tensor(np.ascontiguousarray(array), requires_grad=True)


def close(got, expected, name=""):
    np.testing.assert_allclose(got, expected.detach().numpy(), **TOLERANCE, err_msg=name)


def compare(ours, theirs, arrays, seed=9):
    """The values and the gradients of every array that is given."""
    tensors = [None if array is None else tensor(array) for array in arrays]
    expected = theirs(*tensors)
    dy = cases.normal(tuple(expected.shape), np.float64, seed)
    expected.backward(torch.from_numpy(dy))
    y, backward = ours(*arrays)
    close(y, expected, "y")
    gradients = backward(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for position, (got, source) in enumerate(zip(gradients, tensors, strict=True)):
        if source is None:
            assert got is None
        else:
            close(got, source.grad, f"gradient {position}")


def torch_padding(geometry):
    """F.pad's order: left, right, top, bottom."""
    top, bottom, left, right = geometry.padding
    return left, right, top, bottom


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolutions(case):
    arrays = [cases.normal(s, np.float64, i) for i, s in enumerate((case.x_shape, case.w_shape, (case.K,)))]
    geometry = Conv2dGeometry.make(case.x_shape, case.w_shape, **case.arguments)

    def theirs(x, w, b):
        return F.conv2d(F.pad(x, torch_padding(geometry)), w, b, case.stride, 0, case.dilation, case.groups)

    compare(lambda x, w, b: functional.conv2d(x, w, b, **case.arguments), theirs, arrays)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("kernel, dilation", [(3, 1), (4, 1), ((2, 5), 1), (3, 2), ((4, 2), 3)])
def test_same_at_stride_one(kernel, dilation):
    size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    arrays = [cases.normal(s, np.float64, i) for i, s in enumerate(((2, 3, 9, 8), (4, 3, *size), (4,)))]
    compare(
        lambda x, w, b: functional.conv2d(x, w, b, padding="same", dilation=dilation),
        lambda x, w, b: F.conv2d(x, w, b, padding="same", dilation=dilation),
        arrays,
    )


def symmetric(case):
    """Poolings that PyTorch takes: equal padding on both sides, at most half the kernel."""
    g = Pool2dGeometry.make(case.x_shape, **case.arguments)
    top, bottom, left, right = g.padding
    return top == bottom and left == right and 2 * top <= g.R and 2 * left <= g.S


POOLS = [case for case in cases.POOL if case.N and case.C and symmetric(case)]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_max_pooling(case):
    g = Pool2dGeometry.make(case.x_shape, **case.arguments)
    x = np.round(2 * cases.normal(case.x_shape, np.float64))  # with ties: the first of equals wins in both

    def theirs(x):
        return F.max_pool2d(x, (g.R, g.S), g.stride, (g.padding[0], g.padding[2]), ceil_mode=case.ceil_mode)

    compare(lambda x: functional.max_pool2d(x, case.kernel, case.stride, case.padding, 1, case.ceil_mode), theirs, [x])


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_average_pooling(case, include):
    g = Pool2dGeometry.make(case.x_shape, **case.arguments)
    padding = g.padding[0], g.padding[2]
    compare(
        lambda x: functional.avg_pool2d(x, case.kernel, case.stride, case.padding, case.ceil_mode, include),
        lambda x: F.avg_pool2d(x, (g.R, g.S), g.stride, padding, case.ceil_mode, include),
        [cases.normal(case.x_shape, np.float64)],
    )


def test_nan_in_max_pooling():
    x = cases.normal((2, 3, 6, 6), np.float64)
    x[0, 0, 1, 1] = x[1, 2, 4, ::2] = np.nan  # one a window: of several, fastnet takes the first, PyTorch the last
    x[0, 1] = -np.inf
    compare(lambda x: functional.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), [x])


def test_global_average_pooling():
    compare(
        functional.global_avg_pool2d, lambda x: F.adaptive_avg_pool2d(x, 1), [cases.normal((2, 5, 7, 4), np.float64)]
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", cases.NORM_SHAPES, ids=str)
def test_batch_norm(shape, training):
    C = shape[1]
    arrays = [cases.normal(s, np.float64, i) for i, s in enumerate((shape, (C,), (C,)))]
    mean, var = cases.normal((C,), np.float64, 4), abs(cases.normal((C,), np.float64, 5))
    ours, theirs = (mean.copy(), var.copy()), (torch.from_numpy(mean.copy()), torch.from_numpy(var.copy()))
    compare(
        lambda x, gamma, beta: functional.batch_norm(
            x,
            gamma=gamma,
            beta=beta,
            running_mean=ours[0],
            running_var=ours[1],
            training=training,
            momentum=0.3,
            eps=1e-3,
        ),
        lambda x, gamma, beta: F.batch_norm(x, *theirs, gamma, beta, training, 0.3, 1e-3),
        arrays,
    )
    for got, expected in zip(ours, theirs, strict=True):
        close(got, expected)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (functional.relu, F.relu),
        (lambda x: functional.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
        (functional.sigmoid, torch.sigmoid),
        (functional.tanh, torch.tanh),
        (functional.flatten, lambda x: torch.flatten(x, 1)),
        (lambda x: functional.softmax(x, 0), lambda x: F.softmax(x, 0)),
        (lambda x: functional.softmax(x, 1), lambda x: F.softmax(x, 1)),
        (lambda x: functional.log_softmax(x, -1), lambda x: F.log_softmax(x, -1)),
    ],
    ids=["relu", "leaky_relu", "sigmoid", "tanh", "flatten", "softmax 0", "softmax 1", "log softmax"],
)
def test_elementwise(ours, theirs):
    x = 5 * cases.normal((3, 5, 4, 6), np.float64)
    x[0, 0, 0, :2] = 0, -0.0
    compare(ours, theirs, [x])


@pytest.mark.parametrize("M, K, N", [(1, 5, 1), (7, 33, 10), (64, 10, 70)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(M, K, N, bias):
    x, w, b = (cases.normal(s, np.float64, i) for i, s in enumerate(((M, K), (N, K), (N,))))
    compare(functional.linear, F.linear, [x, w, b if bias else None])


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation", [(3, 1, 0, 1), (2, 2, 1, 1), ((3, 2), (1, 2), (2, 1), (2, 1)), (1, 3, 0, 1)]
)
def test_unfold_and_fold(kernel, stride, padding, dilation):
    x = cases.normal((2, 3, 9, 8), np.float64)
    arguments = {"stride": stride, "padding": padding, "dilation": dilation}
    columns = functional.im2col(x, kernel, **arguments)
    close(columns, F.unfold(torch.from_numpy(x), kernel, **arguments))
    columns = cases.normal(columns.shape, np.float64, 1)
    close(
        functional.col2im(columns, x.shape, kernel, **arguments),
        F.fold(torch.from_numpy(columns), (9, 8), kernel, **arguments),
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (17, 10), (3, 100)])
def test_losses(shape):
    scores = 5 * cases.normal(shape, np.float64)
    labels = np.random.default_rng(0).integers(0, shape[1], shape[0])
    classes = torch.from_numpy(labels)
    for ours, theirs in (
        (fn.losses.softmax_cross_entropy, F.cross_entropy),
        # PyTorch divides by the number of classes
        (fn.losses.svm, lambda scores, labels: F.multi_margin_loss(scores, labels) * shape[1]),
    ):
        given = tensor(scores)
        expected = theirs(given, classes)
        expected.backward()
        loss, gradient = ours(scores, labels)
        np.testing.assert_allclose(loss, expected.item(), **TOLERANCE)
        close(gradient, given.grad)


o, t = fn.optim, torch.optim
LAYERS = ["Conv2d", "Linear", "BatchNorm1d", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "ReLU", "LeakyReLU"]
LAYERS += ["Dropout", "Flatten", "Identity", "Sigmoid", "Tanh"]


@pytest.mark.parametrize("name", [*LAYERS, "SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "NAdam"])
def test_positional_arguments(name):
    """Those that fastnet has come first in PyTorch, in the same order, under the same names, with the same defaults."""
    mine, theirs = (
        (getattr(fn, name), getattr(torch.nn, name)) if name in LAYERS else (getattr(o, name), getattr(t, name))
    )
    mine, theirs = (
        [p for p in inspect.signature(kind).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        for kind in (mine, theirs)
    )
    theirs = theirs if name in LAYERS else theirs[1:]  # without the parameters
    assert [p.name for p in theirs[: len(mine)]] == [p.name for p in mine]
    for p, q in zip(mine, theirs, strict=False):
        free = "num_features", "count_include_pad"  # may be left out; None: True except for "same", which torch lacks
        assert p.default == q.default or p.name in free, p.name


def test_dampening_differs_in_the_first_velocity_only():
    """PyTorch starts the velocity at g, fastnet at (1 - dampening) g: equal from equal velocities on."""
    w, g, v = (cases.normal((9,), np.float64, i) for i in range(3))
    given = tensor(w)
    peer = torch.optim.SGD([given], 0.1, momentum=0.8, dampening=0.3)
    peer.state[given]["momentum_buffer"] = torch.from_numpy(v.copy())
    given.grad = torch.from_numpy(g.copy())
    peer.step()
    fn.backends.current().sgd_step(w, g, v, 0.1, momentum=0.8, dampening=0.3)
    np.testing.assert_allclose(w, given.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(v, peer.state[given]["momentum_buffer"].numpy(), **TOLERANCE)


def test_initial_kaiming_spread_is_he_normal():
    weight = fn.Conv2d(512, 3, padding=1)
    weight.build((64, 8, 8), seed=0, dtype="float64")
    expected = torch.empty(512, 64, 3, 3, dtype=torch.float64)
    torch.manual_seed(0)
    torch.nn.init.kaiming_normal_(expected, nonlinearity="relu")
    assert abs(weight.weight.value.std() / expected.std().item() - 1) < 0.02
