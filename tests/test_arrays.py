"""Arrays of other libraries: converted in one place, wherever arrays are taken; what is none is refused by name."""

from __future__ import annotations

import array
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet import functional, gradients, losses
from fastnet.arrays import as_array

VALUES = np.random.default_rng(0).integers(-8, 8, (3, 1, 4, 4)).astype(np.float32) / 4


class Tensor:
    """What a PyTorch tensor is to NumPy: its dtype is not NumPy's."""

    def __init__(self, values):
        values = np.asarray(values)
        self.values, self.dtype, self.shape, self.ndim = values, object(), values.shape, values.ndim

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        return Tensor(self.values[key])


class Exchanged:
    """DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Tracked:
    """A tensor that requires a gradient and lies on another device."""

    def __init__(self, values, ready=()):
        self.values, self.ready = np.asarray(values), ready

    def detach(self):
        return Tracked(self.values, (*self.ready, "detached"))

    def cpu(self):
        return Tracked(self.values, (*self.ready, "here"))

    def __array__(self, dtype=None, copy=None):
        if self.ready != ("detached", "here"):
            raise RuntimeError("call detach() and cpu() first")
        return self.values


class Brain(Tracked):
    """bfloat16: NumPy has no such dtype."""

    def detach(self):
        return Brain(self.values, ("detached",))

    def cpu(self):
        return Brain(self.values, (*self.ready, "here"))

    def float(self):
        return Tracked(self.values, self.ready)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


class Interface:
    """The older protocol: a struct of pointer, shape and type, as PIL's images have."""

    def __init__(self, values):
        self.values = values

    @property
    def __array_interface__(self):
        return self.values.__array_interface__


def mapped(values, folder):
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, values)
    return np.load(path, mmap_mode="r")


KINDS = {
    "array": lambda x, _: x,
    "tensor": lambda x, _: Tensor(x),
    "DLPack": lambda x, _: Exchanged(x),
    "requires a gradient": lambda x, _: Tracked(x),
    "bfloat16": lambda x, _: Brain(x),
    "interface": lambda x, _: Interface(x),
    "memoryview": lambda x, _: memoryview(x),
    "memory map": mapped,
    "list": lambda x, _: x.tolist(),
    "list of arrays": lambda x, _: list(x),
    "list of tensors": lambda x, _: [Tensor(row) for row in x],
    "list of tracked tensors": lambda x, _: [Brain(row) for row in x],
    "masked, with nothing masked": lambda x, _: np.ma.array(x),
    "subclass": lambda x, _: x.view(np.recarray) if x.ndim else x,
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    return lambda values: KINDS[request.param](values, tmp_path)


@pytest.fixture(params=fn.available_backends())
def backend(request):
    with fn.use_backend(request.param):
        yield request.param


def test_every_kind_is_an_array(kind):
    np.testing.assert_array_equal(as_array(kind(VALUES)), VALUES)
    assert type(as_array(kind(VALUES))) in (np.ndarray, np.memmap, np.recarray, np.ma.MaskedArray)


def test_buffers_of_numbers():
    np.testing.assert_array_equal(as_array(array.array("d", [1, 2.5])), [1, 2.5])
    np.testing.assert_array_equal(as_array(bytearray(b"\1\2")), [1, 2])
    assert as_array(array.array("d", [1])).dtype == np.float64 and as_array(3).shape == ()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_dtypes_that_other_libraries_register(name):
    """JAX's arrays have these."""
    small = getattr(pytest.importorskip("ml_dtypes"), name)
    got = as_array(np.array([1, 2, -3]).astype(small))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [1, 2, -3])
    assert functional.relu(np.array([1, 2, -3]).astype(small))[0].dtype == np.float32


def test_where_arrays_are_taken(backend, kind):
    x, w, b = VALUES, VALUES[:, :, :3, :3], VALUES[:, 0, 0, 0].copy()
    w = np.ascontiguousarray(w)
    for function, arrays in (
        (functional.relu, [x]),
        (lambda x: functional.max_pool2d(x, 2), [x]),
        (lambda x: functional.max_pool2d(x, 2, ties="all"), [x]),
        (functional.conv2d, [x, w, b]),
        (functional.linear, [x, VALUES[0, 0]]),
        (functional.flatten, [x]),
    ):
        (y, backward), (expected, expected_backward) = function(*map(kind, arrays)), function(*arrays)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, expected)
        got, gradients_ = backward(kind(np.ascontiguousarray(y))), expected_backward(y)
        for one, other in zip(*(g if isinstance(g, tuple) else (g,) for g in (got, gradients_)), strict=True):
            np.testing.assert_array_equal(one, other)
    dx = gradients.max_pool2d(kind(x[:, :, :2, :2].copy()), kind(x), 2)
    np.testing.assert_array_equal(dx, gradients.max_pool2d(x[:, :, :2, :2], x, 2))


def test_models_take_every_kind(backend, kind):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = model(kind(VALUES))  # builds it
        np.testing.assert_array_equal(y, model(VALUES))
        np.testing.assert_array_equal(model.predict(kind(VALUES), 2), model.predict(VALUES, 2))
        labels = np.arange(3)
        given = kind(labels)
        if type(given).__name__ not in ("Brain",):
            assert model.evaluate(kind(VALUES), given) == model.evaluate(VALUES, labels)
        y, backward = model.forward(kind(VALUES), training=True)
        np.testing.assert_array_equal(
            backward(kind(np.ascontiguousarray(y))), model.forward(VALUES, training=True)[1](y)
        )


def test_state_dicts_of_every_kind(kind, request):
    one, other = (fn.Sequential(fn.Conv2d(4, 3), fn.Flatten(), fn.Linear(3)) for _ in range(2))
    one.build((1, 4, 4), seed=1)
    other.build((1, 4, 4), seed=2)
    state = {name: kind(value) for name, value in one.state_dict().items()}
    if isinstance(next(iter(state.values())), list):
        with pytest.raises(TypeError, match="0.weight must be a floating-point array, got list"):
            other.load_state_dict(state)
        return
    other.load_state_dict(state)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], value)


def test_solver_trains_on_every_kind(kind):
    """On the same numbers: the same losses, with and without standardising."""
    labels = np.arange(3)
    for preprocess in (None, "standardize"):
        losses_ = []
        for X, y in ((VALUES, labels), (kind(VALUES), kind(labels) if type(kind(labels)) is not Brain else labels)):
            model = fn.Sequential(fn.Flatten(), fn.Linear(3))
            solver = fn.Solver(model, (X, y), (X, y), batch_size=2, epochs=2, preprocess=preprocess, verbose=False)
            losses_.append(solver.train().history["val_loss"])
        np.testing.assert_allclose(losses_[0], losses_[1], rtol=1e-6)  # lists are float64


def test_standardize_and_datasets_take_every_kind(kind):
    expected = fn.data.Standardize.fit(VALUES)
    standardize = fn.data.Standardize.fit(kind(VALUES))
    np.testing.assert_array_equal(standardize.mean, expected.mean)
    np.testing.assert_allclose(standardize(kind(VALUES)), expected(VALUES), rtol=1e-6)  # lists are float64
    labels = np.arange(3)
    dataset = fn.data.Dataset(kind(VALUES), labels, kind(VALUES), labels, ("a", "b", "c"))
    np.testing.assert_array_equal(dataset.X_train, VALUES)
    np.testing.assert_array_equal(dataset.X_test, VALUES)


class Sparse:
    def toarray(self):
        return np.eye(2)


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no memory on the device")


class Palette(Interface):
    mode = "P"

    def getpalette(self):
        return [0, 0, 0]


class Frame:
    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, "a"]], object)

    def to_numpy(self):
        return self.__array__()


REFUSED = {
    "None": (None, "must be an array of real numbers, got None"),
    "text": ("abc", "must be an array of real numbers, got str"),
    "bytes": (b"abc", r"must hold real numbers, got dtype \|S3"),
    "dict": ({"x": 1}, "must be an array of real numbers, got dict"),
    "set": ({1.0}, "must be an array of real numbers, got set"),
    "object": (Sparse(), r"got .*test_arrays.Sparse; its .toarray\(\) is one"),
    "generator": ((i for i in range(3)), "must be an array of real numbers, got generator"),
    "type": (int, "must be an array of real numbers, got type"),
    "complex": (np.ones(3, complex), "must hold real numbers, got dtype complex128"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), r"must hold real numbers, got dtype datetime64"),
    "Python objects": (np.array([None, 1]), "must hold real numbers, got dtype object"),
    "records": (np.zeros(2, [("a", "f4")]), "must hold real numbers, got dtype"),
    "frame with text": (Frame(), r"got dtype object; .to_numpy\(.float32.\) of the columns"),
    "masked": (
        np.ma.array(np.ones((2, 3), np.float32), mask=np.eye(2, 3)),
        r"is a masked array with masked elements; .*filled",
    ),
    "list of masked": ([np.ma.array([1.0, 2.0], mask=[0, 1])], r"\[0\] is a masked array"),
    "palette": (Palette(np.zeros((2, 2), np.uint8)), r"image of palette numbers \(mode P\).*convert"),
    "broken": (Broken(), ".*test_arrays.Broken cannot be converted to a NumPy array: no memory on the device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_is_refused_by_name(name):
    given, message = REFUSED[name]
    model = fn.Sequential(fn.Linear(2))
    model.build((3,))
    for where, call in (
        ("relu: x", lambda: functional.relu(given)),
        ("Sequential: x", lambda: model(given)),
        ("predict: X|Sequential: x", lambda: model.predict(given)),
        ("load_state_dict: 0.bias", lambda: model.load_state_dict(model.state_dict() | {"0.bias": given})),
    ):
        if where.startswith("load") and isinstance(given, list):
            continue
        with pytest.raises(TypeError, match=f"({where}|the array).*{message}"):
            call()


@pytest.mark.parametrize("ragged", [[[1.0, 2.0], [3.0]], [np.ones(2), np.ones(3)], [Tensor(np.ones(2)), [1.0]]])
def test_ragged_lists_are_refused(ragged):
    with pytest.raises(ValueError, match="relu: x"):
        functional.relu(ragged)


def test_losses_take_arrays_of_others():
    scores, labels = VALUES[:, 0, 0], np.arange(3)
    for loss in (losses.softmax_cross_entropy, losses.svm):
        (got, dgot), (expected, dexpected) = loss(Tracked(scores), Tensor(labels)), loss(scores, labels)
        assert got == expected
        np.testing.assert_array_equal(dgot, dexpected)
