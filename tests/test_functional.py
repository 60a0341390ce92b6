"""The one-call ops: values against plain NumPy, gradients against central differences, hostile arrays, errors."""

import numpy as np
import pytest

import fastnet
from fastnet import functional as F

RANDOM = np.random.default_rng(0)
X = (RANDOM.permutation(240).reshape(2, 4, 5, 6) - 119.5) * 0.02
W, B = RANDOM.normal(size=(6, 2, 3, 3)), RANDOM.normal(size=6)
U = RANDOM.normal(size=(4, 2, 3, 3))
V, C = RANDOM.normal(size=(3, 7)), RANDOM.normal(size=3)
Z = RANDOM.normal(size=(5, 7))
GAMMA, BETA = RANDOM.normal(size=4), RANDOM.normal(size=4)

OPS = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, stride=(1, 2), padding=1, dilation=1, groups=2), (X, W, B)),
    "conv2d same": (lambda x, w: F.conv2d(x, w, None, 2, "same", 2, 2), (X, W)),
    "conv2d flipped": (lambda x, w, b: F.conv2d(x, w, b, (1, 2), 1, groups=2, flip=True), (X, W, B)),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, (1, 2), 1, (0, 1), 2), (X, U, B[:4])),
    "linear": (F.linear, (Z, V, C)),
    "matmul": (F.matmul, (Z, RANDOM.normal(size=(7, 4)))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), (X,)),
    "max_pool2d first": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True, ties="first"), (X,)),
    "max_pool2d split": (lambda x: F.max_pool2d(x, (2, 3), 1, ties="split"), (X,)),
    "max_pool2d all": (lambda x: F.max_pool2d(x, 2, ties="all"), (X,)),
    "max_pool2d dilated": (lambda x: F.max_pool2d(x, 2, (1, 2), 1, (3, 2), True), (X,)),
    "max_pool2d dilated all": (lambda x: F.max_pool2d(x, 2, dilation=2, ties="all"), (X,)),
    "max_pool2d of an image": (lambda x: F.max_pool2d(x, 2), (X[0],)),
    "max_pool2d of an image split": (lambda x: F.max_pool2d(x, 2, ties="split"), (X[0],)),
    "avg_pool2d of an image": (lambda x: F.avg_pool2d(x, 7, 6, ceil_mode=True), (X[0],)),
    "avg_pool2d divisor": (lambda x: F.avg_pool2d(x, 3, (), 1, divisor_override=2), (X,)),
    "global_avg_pool2d of an image": (F.global_avg_pool2d, (X[0],)),
    "conv2d of an image": (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2), (X[0], W, B)),
    "linear of a vector": (F.linear, (Z[0], V, C)),
    "linear of maps": (F.linear, (RANDOM.normal(size=(2, 3, 2, 7)), V, C)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, (2, 3), 2, 1, count_include_pad=False), (X,)),
    "global_avg_pool2d": (F.global_avg_pool2d, (X,)),
    "batch_norm": (lambda x, g, b: F.batch_norm(x, gamma=g, beta=b, training=True), (X, GAMMA, BETA)),
    "batch_norm inference": (
        lambda x, g, b: F.batch_norm(
            x, gamma=g, beta=b, running_mean=[0.1, 0.2, 0.3, 0.4], running_var=[1.0, 2.0, 3.0, 0.5]
        ),
        (X, GAMMA, BETA),
    ),
    "layer_norm": (lambda x, g, b: F.layer_norm(x, (5, 6), gamma=g, beta=b), (X, X[0, 0] + 1, X[1, 1])),
    "layer_norm of images": (lambda x, g: F.layer_norm(x, X.shape[1:], gamma=g), (X, X[0] + 2)),
    "layer_norm of everything": (lambda x: F.layer_norm(x, X.shape), (X,)),
    "layer_norm of five axes": (lambda x, g: F.layer_norm(x, 6, gamma=g), (X[None], X[0, 0, 0])),
    "layer_norm of a vector": (lambda x: F.layer_norm(x, 6, eps=0.1), (X[0, 0, 0],)),
    "group_norm": (lambda x, g, b: F.group_norm(x, 2, gamma=g, beta=b), (X, GAMMA, BETA)),
    "group_norm of volumes": (lambda x, g, b: F.group_norm(x, 2, gamma=g, beta=b), (X[..., None], GAMMA, BETA)),
    "instance_norm": (lambda x, g: F.instance_norm(x, gamma=g), (X, GAMMA)),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3, 0.5, 0.6, 2.0), (X,)),
    "relu": (F.relu, (X,)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), (X,)),
    "sigmoid": (F.sigmoid, (X,)),
    **{name: (getattr(F, name), (X,)) for name in ("selu", "silu", "gelu", "gelu_tanh", "elu", "softplus")},
    "prelu": (F.prelu, (X, RANDOM.normal(size=1))),
    "prelu of channels": (F.prelu, (X, RANDOM.normal(size=4))),
    "maxout": (F.maxout, (X,)),
    "tanh": (F.tanh, (Z,)),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 3), value=2.0), (X,)),
    "pad columns": (lambda x: F.pad(x, (3, -1), "reflect"), (X,)),
    "interpolate": (lambda x: F.interpolate(x, (7, 4)), (X,)),
    "interpolate bilinear": (lambda x: F.interpolate(x, None, (1.7, 2), "bilinear"), (X,)),
    "interpolate corners": (lambda x: F.interpolate(x, 9, mode="bilinear", align_corners=True), (X,)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), (X,)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (3, 4)), (X,)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (X,)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (X[:, :, :4],)),
    "softmax": (lambda x: F.softmax(x, 1), (X,)),
    "softmax of rows": (lambda x: F.softmax(x, -1), (Z,)),
    "softmax of columns": (lambda x: F.softmax(x, 0), (Z,)),
    "log_softmax": (lambda x: F.log_softmax(x, 2), (X,)),
    "dropout": (lambda x: F.dropout(x, 0.3, seed=5, offset=8), (X,)),
    "dropout off": (lambda x: F.dropout(x, 0.3, training=False), (X,)),
    "flatten": (F.flatten, (X,)),
}


def run(name, arrays):
    """y and a tuple of gradients for dy = 1, 2, 3, ..."""
    y, backward = OPS[name][0](*arrays)
    gradients = backward(np.arange(1, y.size + 1).reshape(y.shape) / y.size)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return y, gradients[: len(arrays)]


@pytest.mark.parametrize("name", OPS)
def test_gradients(name):
    """Along random directions, in float64."""
    random = np.random.default_rng(1)
    function, arrays = OPS[name]
    y, backward = function(*arrays)
    assert y.dtype == np.float64
    dy = random.normal(size=y.shape)
    gradients = backward(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for position, array in enumerate(arrays):
        assert gradients[position].shape == array.shape and gradients[position].dtype == np.float64
        for _ in range(3):
            v = random.normal(size=array.shape)
            moved = [[*arrays[:position], array + sign * 1e-6 * v, *arrays[position + 1 :]] for sign in (1, -1)]
            high, low = (function(*new)[0] for new in moved)
            expected = ((high - low) * dy).sum() / 2e-6
            np.testing.assert_allclose((gradients[position] * v).sum(), expected, rtol=1e-5, atol=1e-6)


def hostile(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    return {
        "strided": wide[..., ::2],
        "reversed": array[::-1].copy()[::-1],
        "fortran": np.asfortranarray(array),
        "byte-swapped": array.astype(array.dtype.newbyteorder(">")),
        "read-only": frozen,
        "unaligned": unaligned,
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_hostile_arrays(name, dtype):
    arrays = [array.astype(dtype) for array in OPS[name][1]]
    y, gradients = run(name, arrays)
    for kind in hostile(arrays[0]):
        bad = [hostile(array)[kind] for array in arrays]
        kept = [array.copy() for array in bad]
        other, other_gradients = run(name, bad)
        assert other.dtype == dtype
        np.testing.assert_array_equal(other, y, err_msg=kind)
        for one, two in zip(gradients, other_gradients, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=kind)
        for array, before in zip(bad, kept, strict=True):
            np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("name", OPS)
def test_integers_and_lists(name):
    arrays = [np.rint(array * 3).astype(np.int32) for array in OPS[name][1]]
    y, _ = run(name, [array.astype(np.float32) for array in arrays])
    lists = [array.tolist() for array in arrays], [array.astype(float).tolist() for array in arrays]
    for given in (arrays, *lists, [array.astype(np.float16) for array in arrays]):
        other, _ = run(name, given)
        assert other.dtype == np.float32
        np.testing.assert_array_equal(other, y)
    mixed = [arrays[0].astype(np.float64), *arrays[1:]]
    assert run(name, mixed)[0].dtype == np.float64


def test_im2col_makes_a_convolution():
    x, w = X, RANDOM.normal(size=(3, 4, 3, 2))
    options = {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2)}
    columns = F.im2col(x, (3, 2), **options)
    y, _ = F.conv2d(x, w, **options)
    assert columns.shape == (2, 4 * 3 * 2, y.shape[2] * y.shape[3])
    np.testing.assert_allclose((w.reshape(3, -1) @ columns).reshape(y.shape), y, rtol=1e-12, atol=1e-12)
    other = RANDOM.normal(size=columns.shape)
    back = F.col2im(other, x.shape, (3, 2), **options)
    np.testing.assert_allclose((columns * other).sum(), (x * back).sum(), rtol=1e-12)


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_ceil_mode_takes_windows_larger_than_the_input(pool):
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    y, backward = pool(x, 3, 2, ceil_mode=True)
    assert y.item() == {F.max_pool2d: 3, F.avg_pool2d: 1.5}[pool]
    expected = np.eye(4)[3] if pool is F.max_pool2d else np.full(4, 0.25)
    np.testing.assert_array_equal(backward(np.ones_like(y)).ravel(), expected)
    with pytest.raises(ValueError, match="kernel 3x3 is larger than the padded input's 2x2"):
        pool(x, 3, 1, ceil_mode=True)


def test_same_average_pooling_does_not_count_padding():
    """As in TensorFlow, where the word comes from; PyTorch counts its numbers' padding."""
    ones = np.ones((1, 1, 3, 3))
    np.testing.assert_array_equal(F.avg_pool2d(ones, 3, 1, "same")[0], ones)
    for counted in (F.avg_pool2d(ones, 3, 1, 1), F.avg_pool2d(ones, 3, 1, "same", count_include_pad=True)):
        np.testing.assert_allclose(counted[0][0, 0], np.outer([2, 3, 2], [2, 3, 2]) / 9)
    layer = fastnet.AvgPool2d(3, stride=1, padding="same")
    np.testing.assert_array_equal(layer(ones.astype(np.float32)), ones)
    assert fastnet.AvgPool2d(3, 1, 1)(ones.astype(np.float32)).min() < 0.5


def test_an_image_is_a_batch_of_one():
    for name in ("conv2d of an image", "max_pool2d of an image", "avg_pool2d of an image"):
        function, (x, *weights) = OPS[name]
        (y, backward), (whole, whole_backward) = function(x, *weights), function(x[None], *weights)
        np.testing.assert_array_equal(y, whole[0])
        one, two = backward(y), whole_backward(whole)
        one, two = (one if isinstance(one, tuple) else (one,)), (two if isinstance(two, tuple) else (two,))
        np.testing.assert_array_equal(one[0], two[0][0])
        for a, b in zip(one[1:], two[1:], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("lead", [(), (3,), (0,), (2, 0, 3), (2, 3, 2, 2)], ids=str)
def test_linear_takes_any_leading_axes(lead):
    x = RANDOM.normal(size=(*lead, 7))
    y, backward = F.linear(x, V, C)
    np.testing.assert_allclose(y, x @ V.T + C, rtol=1e-12, atol=1e-12)
    dy = RANDOM.normal(size=y.shape)
    dx, dw, db = backward(dy)
    np.testing.assert_allclose(dx, dy @ V, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dw, dy.reshape(-1, 3).T @ x.reshape(-1, 7), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(db, dy.reshape(-1, 3).sum(0), rtol=1e-12, atol=1e-12)


def test_known_values():
    np.testing.assert_allclose(F.sigmoid([-1000.0, 0.0, 1000.0])[0], [0, 0.5, 1])
    np.testing.assert_array_equal(F.relu([np.nan, -1.0, 2.0])[0], np.array([np.nan, 0, 2], np.float32))
    np.testing.assert_array_equal(F.flatten(X)[0], X.reshape(2, -1))
    np.testing.assert_allclose(F.global_avg_pool2d(X)[0], X.mean((2, 3), keepdims=True))
    np.testing.assert_array_equal(F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0].ravel(), [5, 7, 13, 15])
    np.testing.assert_array_equal(F.dropout(X, training=False)[0], X)


@pytest.mark.parametrize(
    ("ties", "shares"),
    [(None, [1, 0, 0, 0]), ("first", [1, 0, 0, 0]), ("split", [1 / 3, 0, 1 / 3, 1 / 3]), ("all", [1, 0, 1, 1])],
)
def test_equal_maxima_share_a_gradient_by_the_rule_for_ties(ties, shares):
    y, backward = F.max_pool2d(np.array([[[[2.0, 1.0], [2.0, 2.0]]]]), 2, ties=ties)
    assert y.item() == 2
    np.testing.assert_allclose(backward([[[[1.0]]]]).ravel(), shares)


def test_max_pooling_with_a_rule_for_ties_reads_and_writes_c_order():
    for x in (X, fastnet.layout.channels_last(X)):
        y, backward = F.max_pool2d(x, 2, ties="split")
        assert y.flags.c_contiguous and backward(y).flags.c_contiguous
        np.testing.assert_array_equal(y, F.max_pool2d(X, 2)[0])


def test_batch_norm_moves_statistics_in_place():
    mean, var = np.zeros(4), np.ones(4)
    F.batch_norm(X, running_mean=mean, running_var=var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * X.mean((0, 2, 3)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * X.var((0, 2, 3), ddof=1))
    frozen = mean.copy()
    frozen.flags.writeable = False
    for bad in ([0.0] * 4, mean.astype(">f8"), frozen):
        with pytest.raises(TypeError, match="training updates running_mean in place"):
            F.batch_norm(X, running_mean=bad, running_var=var, training=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(X, np.ones((2, 3, 3, 3))), ValueError, "weight expects 3 input channels, x has 4"),
        (lambda: F.conv2d(X[0], W), ValueError, r"leading batch axis: x\[None\]"),
        (lambda: F.conv2d(X, W.astype("f"), groups=2), TypeError, "may not be mixed, got x float64, weight float32"),
        (lambda: F.conv2d(X + 1j, W), TypeError, "x must hold real numbers, got dtype complex128"),
        (lambda: F.relu(np.array(["a"])), TypeError, "relu: x must hold real numbers"),
        (lambda: F.relu(np.array([None])), TypeError, "relu: x must hold real numbers"),
        (lambda: F.conv2d(X, W, B[:2], groups=2), ValueError, r"bias must have shape \(6,\)"),
        (lambda: F.linear(Z, V[:, :3]), ValueError, "linear: "),
        (lambda: F.max_pool2d(X, 9), ValueError, "max_pool2d: kernel 9x9 is larger"),
        (lambda: F.max_pool2d(X, 2, 2, 0, True), TypeError, "max_pool2d: dilation must be an integer, got True"),
        (lambda: F.avg_pool2d(X, 2, 2, 0, 1), TypeError, "avg_pool2d: ceil_mode must be True or False, got 1"),
        (
            lambda: F.avg_pool2d(X, 2, divisor_override=0),
            ValueError,
            "divisor_override must be an integer other than 0",
        ),
        (lambda: F.max_pool2d(np.ones((32, 32, 3)), 2), ValueError, r"channels last, x.transpose\(2, 0, 1\)\[None\]"),
        (lambda: F.conv2d(np.ones((8, 8, 2)), W), ValueError, r"conv2d: x must have shape .* got \(8, 8, 2\)"),
        (lambda: F.conv2d(np.ones((2, 8, 2)), W[:, :, :1]), ValueError, "leading batch axis"),
        (lambda: F.batch_norm(X, BETA, GAMMA), TypeError, "positional argument"),
        (lambda: F.batch_norm(X, training=1), TypeError, "batch_norm: training must be True or False, got 1"),
        (lambda: F.dropout(X, 0.5, 7), TypeError, "dropout: training must be True or False, got 7"),
        (lambda: F.dropout(X, 0.5, True, True), TypeError, "positional argument"),
        (lambda: F.im2col(X, 3, 1, 1), TypeError, "positional argument"),
        (lambda: F.col2im(X[0], 8, 3), TypeError, r"col2im: x_shape must be \(N, C, H, W\), got 8"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=[2]), TypeError, "divisor_override must be an integer, got"),
        (lambda: F.col2im(X, X.shape, 3, 1, 1), TypeError, "positional argument"),
        (lambda: F.leaky_relu(X, "0.1"), TypeError, "leaky_relu: negative_slope must be a finite number, got '0.1'"),
        (lambda: F.elu(X, True), TypeError, "elu: alpha must be a finite number, got True"),
        (lambda: F.relu(X, inplace=True), TypeError, "inplace"),
        (lambda: F.linear(X, V), ValueError, r"linear: x must be \(..., in\) and .* got \(2, 4, 5, 6\)"),
        (lambda: F.max_pool2d(X, 9, ties="all"), ValueError, "max_pool2d: kernel 9x9 is larger"),
        (lambda: F.max_pool2d(X, 2, ties="last"), ValueError, "max_pool2d: ties must be one of .*, got 'last'"),
        (lambda: F.max_pool2d(X, 2, ties="all")[1](X), ValueError, "max_pool2d: dy must have the output's shape"),
        (lambda: F.matmul(Z, V), ValueError, r"matmul: shapes \(5, 7\) and \(3, 7\) do not fit"),
        (lambda: F.matmul(X, Z), ValueError, "matmul: shapes"),
        (lambda: F.matmul(Z, V.astype("f")), TypeError, "may not be mixed, got a float64, b float32"),
        (lambda: F.matmul(Z, None), TypeError, "matmul: b must be an array of real numbers, got None"),
        (lambda: F.matmul(Z, V.T)[1](Z), ValueError, r"matmul: dy must have the output's shape \(5, 3\)"),
        (lambda: F.avg_pool2d(X, 2, 0), ValueError, "avg_pool2d: stride"),
        (lambda: F.im2col(X[0], 3), ValueError, r"im2col: x must have shape \(N, C, H, W\)"),
        (lambda: F.col2im(np.ones((2, 3, 4)), X.shape, 3), ValueError, r"columns must have shape \(2, 36, 12\)"),
        (lambda: F.col2im(np.ones((2, 3, 4)), (3, 3), 3), ValueError, r"x_shape must be \(N, C, H, W\)"),
        (lambda: F.flatten(Z), ValueError, r"flatten: x must have shape \(N, C, H, W\)"),
        (lambda: F.batch_norm(X), ValueError, "running_mean and running_var are needed"),
        (lambda: F.dropout(X, 1.0), ValueError, r"must lie in \[0, 1\)"),
        (lambda: F.softmax(X, 4), ValueError, r"softmax: x of shape .* has no axis dim=4"),
        (lambda: F.softmax(X, 1.0), TypeError, "softmax: dim must be an integer, got 1.0"),
        (lambda: F.log_softmax(np.ones((3, 0)), -1), ValueError, "log_softmax: axis -1 of x is empty"),
        (lambda: F.relu(X)[1](X[:1]), ValueError, "relu: dy must have the output's shape"),
        (lambda: F.conv2d(X, W, groups=2)[1](X), ValueError, "conv2d: dy must have the output's shape"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_empty_batches():
    y, backward = F.conv2d(X[:0], W, B, groups=2)
    dx, dw, db = backward(y)
    assert y.shape == (0, 6, 3, 4) and dx.shape == (0, 4, 5, 6)
    assert not dw.any() and not db.any()
    assert F.max_pool2d(X[:0], 2)[0].shape == (0, 4, 2, 3)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "flatten", "global_avg_pool2d"])
def test_none_is_no_array(name):
    with pytest.raises(TypeError, match=f"{name}: x must be an array of real numbers, got None"):
        getattr(F, name)(None)


@pytest.mark.parametrize("wrong", [{"eps": 0.0}, {"eps": -1.0}, {"eps": float("nan")}, {"momentum": 2.0}])
def test_batch_norm_refuses_what_the_layer_refuses(wrong):
    with pytest.raises(ValueError, match="batch_norm: (eps|momentum)"):
        F.batch_norm(np.ones((4, 3), np.float32), training=True, **wrong)
