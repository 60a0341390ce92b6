"""Loader: order, positions, casting, last batches; Standardize; Dataset.split."""

import json
import re
import warnings

import numpy as np
import pytest

from fastnet.data import Dataset, Loader, Standardize


def data(N=10):
    return np.arange(N * 12, dtype=np.uint8).reshape(N, 3, 2, 2), np.arange(N)


def run(loader, epoch=0, start=0):
    return [y.tolist() for _, y in loader.batches(epoch, start)]


def test_every_sample_once_in_a_new_order_each_epoch():
    X, y = data()
    loader = Loader(X, y, 4, seed=1)
    first, second = run(loader, 0), run(loader, 1)
    assert sorted(sum(first, [])) == list(range(10)) == sorted(sum(second, []))
    assert [len(b) for b in first] == [4, 4, 2] and len(loader) == 3
    assert first != second and first == run(Loader(X, y, 4, seed=1), 0) != run(Loader(X, y, 4, seed=2), 0)
    for x, labels in loader.batches(0):
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, X[labels])


def test_any_position():
    loader = Loader(*data(), 3, seed=5)
    assert run(loader, 7, 2) == run(loader, 7)[2:]
    assert run(loader, 7, 4) == []


def test_iteration_moves_the_position_and_state_resumes():
    X, y = data()
    loader, other = Loader(X, y, 3, seed=5), Loader(X, y, 3, seed=5)
    seen = []
    for _ in range(3):
        for _, labels in loader:
            seen.append(labels.tolist())
            if len(seen) == 5:
                break
    assert seen == run(other, 0) + run(other, 1)[:1] + run(other, 1)[1:] and loader.epoch == 2
    for _, _labels in loader:
        break
    other.load_state_dict(loader.state_dict())
    assert [labels.tolist() for _, labels in other] == run(loader, 2, 1)
    with pytest.raises(ValueError, match=r"batch_size 3 \(here 4\)"):
        Loader(X, y, 4, seed=5).load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match=r"seed 5 \(here 0\)"):
        Loader(X, y, 3).load_state_dict(loader.state_dict())


@pytest.mark.parametrize(
    "N, drop_last, sizes",
    [
        (9, False, [4, 4, 1]),
        (9, "single", [4, 4]),
        (9, True, [4, 4]),
        (10, "single", [4, 4, 2]),
        (10, True, [4, 4]),
        (8, True, [4, 4]),
        (1, "single", [1]),
    ],
)
def test_last_batch(N, drop_last, sizes):
    loader = Loader(*data(N), 4, drop_last=drop_last)
    assert [len(b) for b in run(loader)] == sizes and len(loader) == len(sizes)


def test_numbers_and_flags_of_numpy():
    got = Loader(*data(9), np.int64(4), np.uint8(3), np.bool_(True), np.True_)
    assert run(got) == run(Loader(*data(9), 4, 3, True, True)) and len(run(got)) == 2
    assert len(run(Loader(*data(9), np.int32(4), shuffle=np.False_, drop_last=np.False_))) == 3
    assert json.loads(json.dumps(got.state_dict())) == got.state_dict()


def test_batch_size_one_drops_nothing():
    assert len(Loader(*data(3), 1, drop_last="single")) == 3


def test_augmentation_depends_on_the_position_only():
    X, y = data()
    loader = Loader(X, y, 3, augment=[lambda x, rng: x + rng.random(x.shape), lambda x, rng: x * rng.random()])
    all_of_it = [x for x, _ in loader.batches(2)]
    for x, again in zip(all_of_it[1:], [x for x, _ in loader.batches(2, 1)], strict=True):
        np.testing.assert_array_equal(x, again)
    assert not np.array_equal(all_of_it[0], next(loader.batches(3))[0])


def test_a_big_array_is_read_by_batches(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (6, 1, 2, 2))
    X[:] = np.arange(6)[:, None, None, None]
    loader = Loader(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(6), 4)
    assert isinstance(loader.X, np.memmap)
    for x, y in loader.batches(0):
        np.testing.assert_array_equal(x[:, 0, 0, 0], y)


@pytest.mark.parametrize(
    "X, y, options, message",
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), {}, "argmax"),
        (np.zeros((3, 2)), np.zeros((3, 1)), {}, "ravel"),
        (np.zeros((3, 2)), np.zeros(3), {}, r"integers .*got float64; cast with .astype\(int\)"),
        (np.zeros((3, 2)), np.arange(3) > 1, {}, r"integers .*got bool; cast with"),
        (
            np.zeros((3, 2)),
            np.array([0, 0.5, 1]),
            {},
            "integers .*got float64 such as 0.5, which are not class numbers",
        ),
        (np.zeros((3, 2)), np.array([0, np.nan, 1]), {}, "got float64 such as nan"),
        (
            np.zeros((3, 2)),
            np.array(["a", "b", "a"]),
            {},
            r"got <U1; names, y = np.unique\(y, return_inverse",
        ),
        (np.zeros((3, 2)), np.array(["a", "b", "a"], object), {}, r"got object; names, y = np.unique"),
        (np.zeros((3, 2)), np.zeros(4, int), {}, "3 images but 4 labels"),
        (np.zeros((3, 2)), np.array([0, -1, 0]), {}, ">= 0, got -1"),
        (np.zeros(3), np.zeros(3, int), {}, r"\(N, ...\)"),
        (np.zeros((0, 2)), np.zeros(0, int), {}, "no samples"),
        (np.zeros((3, 2)), np.zeros(3, int), {"batch_size": 0}, "batch_size"),
        (np.zeros((3, 2)), np.zeros(3, int), {"batch_size": "8"}, "batch_size must be an integer, got '8'"),
        (np.zeros((3, 2)), np.zeros(3, int), {"batch_size": 2.0}, "batch_size"),
        (np.zeros((3, 2)), np.zeros(3, int), {"batch_size": True}, "batch_size"),
        (np.zeros((3, 2)), np.zeros(3, int), {"seed": -1}, "seed"),
        (np.zeros((3, 2)), np.zeros(3, int), {"seed": None}, "seed"),
        (np.zeros((3, 2)), np.zeros(3, int), {"shuffle": "no"}, "shuffle must be True or False, got 'no'"),
        (np.zeros((3, 2)), np.zeros(3, int), {"targets": "mse"}, "targets must be True or False, got 'mse'"),
        (np.zeros((3, 2)), np.zeros(3, int), {"drop_last": 1}, "drop_last"),
        (
            np.zeros((3, 2)),
            np.zeros(3, int),
            {"drop_last": "no"},
            "drop_last, if not 'single', must be True or False, got 'no'",
        ),
        (np.zeros((3, 2)), np.zeros(3, int), {"drop_last": True}, "leaves nothing"),
        (np.array([["a"], ["b"]]), np.zeros(2, int), {}, "numbers"),
    ],
)
def test_errors(X, y, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Loader(X, y, **options)


@pytest.mark.parametrize("shape", [(2500, 3, 4, 5), (2500, 3)])
def test_standardize(shape):
    X = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    prep = Standardize.fit(X)
    axes = (0, 2, 3) if len(shape) == 4 else 0
    np.testing.assert_allclose(prep.mean, (X / 255).mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(prep.std, (X / 255).std(axis=axes), rtol=1e-12)
    Y = prep(X)
    assert Y.dtype == np.float32
    np.testing.assert_allclose(Y.mean(axis=axes), 0, atol=1e-4)
    np.testing.assert_allclose(Y.std(axis=axes), 1, rtol=1e-4)
    again = Standardize.from_state_dict(prep.state_dict())
    np.testing.assert_array_equal(again(X), Y)


def test_standardize_keeps_what_float32_has_of_a_large_mean():
    X = (1e4 + 1e-2 * np.random.default_rng(0).standard_normal((4000, 1))).astype(np.float32)
    prep = Standardize.fit(X)
    assert prep.std[0] == pytest.approx(X.astype(np.float64).std(), rel=1e-9)
    assert prep(X).std() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.int64, np.uint32, ">f8"])
@pytest.mark.parametrize("mean", [1e5, 2**25, 1e9])
def test_standardize_subtracts_in_a_dtype_that_holds_the_data(kind, mean):
    X = (mean + np.random.default_rng(0).integers(0, 1000, (500, 2, 3, 3))).astype(kind)
    X[:, 1] += X.dtype.type(64)
    prep, exact = Standardize.fit(X), X.astype(np.float64)
    expected = (exact - exact.mean((0, 2, 3), keepdims=True)) / exact.std((0, 2, 3), keepdims=True)
    for dtype in (np.float32, np.float64):
        Y = prep(X, dtype)
        assert Y.dtype == dtype
        np.testing.assert_allclose(Y, expected, atol=1e-5)


def test_standardize_computes_in_float32_where_that_is_enough():
    X = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8)
    prep = Standardize.fit(X)
    mean, factor = ((prep.mean * 255).astype(np.float32), (1 / (prep.std * 255)).astype(np.float32))
    np.testing.assert_array_equal(prep(X), (X - mean.reshape(3, 1, 1)) * factor.reshape(3, 1, 1))


def test_standardize_constant_channel_and_errors():
    Y = Standardize.fit(np.full((5, 2, 3, 3), 7, np.uint8))(np.full((1, 2, 3, 3), 7, np.uint8))
    np.testing.assert_array_equal(Y, 0)
    with pytest.raises(ValueError, match="fitted on 2 channels"):
        Standardize([0, 0], [1, 1])(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="> 0"):
        Standardize([0.0], [0.0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_standardize_counts_images_that_are_not_finite(value):
    X = np.zeros((2000, 1, 2, 2), np.float32)
    X[[3, 3, 1500], 0, 1, [0, 1, 0]] = value
    with pytest.raises(ValueError, match="2 of 2000 images hold NaN or infinite values"):
        Standardize.fit(X)


@pytest.mark.parametrize(
    "fitted, other, message", [(1, 255, "from 0 to 1, .* 0 to 255; mul"), (255, 1, "0 to 255, .* 0 to 1; div")]
)
def test_standardize_tells_of_images_that_are_scaled_otherwise(fitted, other, message):
    """Bytes and fractions of 1 are taken for each other most often."""
    X = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8)
    scaled = {1: X, 255: (X / 255).astype(np.float32)}
    for prep in (Standardize.fit(scaled[fitted]), Standardize.fit(scaled[fitted].astype(np.float64))):
        with pytest.warns(UserWarning, match=message):
            prep(scaled[other])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prep(scaled[fitted])
            prep(scaled[other][:0])
            prep(np.zeros((1, 3, 4, 4), np.uint8))  # a black image


def test_split_takes_every_class_in_its_share():
    y = np.repeat(np.arange(4), 50)  # sorted by class
    X = np.arange(200, dtype=np.float32).reshape(200, 1, 1, 1)
    whole = Dataset(X, y, X, y, tuple("abcd"), "four")
    cut = whole.split(0.2, seed=3)
    assert np.bincount(cut.y_val).tolist() == [10] * 4 and len(cut.y_train) == 160
    assert sorted(np.concatenate([cut.X_train, cut.X_val]).ravel()) == list(range(200))
    np.testing.assert_array_equal(cut.X_val.ravel() // 50, cut.y_val)
    np.testing.assert_array_equal(cut.X_val, whole.split(0.2, seed=3).X_val)
    assert not np.array_equal(cut.X_val, whole.split(0.2, seed=4).X_val)
    assert len(whole.split(7).y_val) == 7 and whole.X_val is None
    assert repr(cut) == "Dataset('four': 160 train, 40 val, 200 test; images (1, 1, 1) float32; 4 classes)"
    with pytest.raises(ValueError, match="already"):
        cut.split()


def test_dataset_errors():
    X, y = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    with pytest.raises(ValueError, match="labels reach 1, but there are 1 classes"):
        Dataset(X, y, X, y, ("a",))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\).*\(2, 1, 5, 4\)"):
        Dataset(X, y, np.zeros((2, 1, 5, 4)), y, ("a", "b"))


def test_standardize_takes_arrays_of_others():
    class Tensor:
        """As PyTorch's: its __array__ has no argument copy."""

        def __array__(self, dtype=None):
            return np.array([0.25, 0.5, 2], dtype)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prep = Standardize(Tensor(), Tensor())
    assert prep.mean.dtype == np.float64 and prep.std.tolist() == [0.25, 0.5, 2]
    with pytest.raises(TypeError, match="Standardize: mean must"):
        Standardize("0.5", 1.0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"augment": print}, "Loader: augment must be a list of callables"),
        ({"augment": ["flip"]}, "Loader: augment must be a list of callables"),
        ({"dtype": "float16"}, "Loader: dtype must be 'float32' or 'float64', got 'float16'"),
        ({"dtype": np.uint8}, "Loader: dtype must be 'float32' or 'float64'"),
    ],
)
def test_loader_refuses(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Loader(*data(), **options)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, "255", True])
def test_standardize_fit_refuses_a_scale(scale):
    with warnings.catch_warnings(), pytest.raises((TypeError, ValueError), match="Standardize.fit: scale must be"):
        warnings.simplefilter("error")
        Standardize.fit(data()[0], scale)


@pytest.mark.parametrize("result, message", [(lambda x: None, "None; it must return"), (lambda x: x[1:], "9 of 10")])
@pytest.mark.parametrize("name", ["preprocess", "augment[0]"])
def test_what_a_users_function_returns_is_a_batch(result, message, name):
    options = {"augment": [lambda x, rng: result(x)]} if "aug" in name else {"preprocess": lambda x, dtype: result(x)}
    with pytest.raises((TypeError, ValueError), match=rf"Loader: {re.escape(name)} returned {message}"):
        next(Loader(*data(), batch_size=10, **options).batches(0))
