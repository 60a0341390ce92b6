"""Random streams, composition, crops and resizing, against Pillow and plain slices."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import augment as A
from fastnet.augment import Streams
from fastnet.ops import philox

X = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 40), dtype=np.uint8)


def rng(seed=1):
    return np.random.default_rng(seed)


EVERY = [
    A.RandomHorizontalFlip(),
    A.RandomVerticalFlip(0.3),
    A.RandomCrop(32, padding=4),
    A.RandomCrop(32, padding=(1, 4), padding_mode="reflect"),
    A.CenterCrop(21),
    A.Resize((20, 30)),
    A.RandomResizedCrop(24),
    A.Compose([A.RandomShortestSize(range(26, 48)), A.RandomCrop(24)]),
    A.RandomApply([A.RandomVerticalFlip(1.0)]),
    A.RandomChoice([A.Resize((16, 16)), A.RandomResizedCrop(16)], p=[1, 3]),
]


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_the_generator_decides(transform):
    before = X.copy()
    once = transform(X, rng())
    assert once.dtype == np.uint8 and len(once) == len(X) and np.array_equal(X, before)
    assert np.array_equal(once, transform(X, rng()))
    listed = transform(list(X), rng())
    assert np.array_equal(once, listed), "a list of images of one size"
    shorter = transform(X[:2], rng())
    assert np.array_equal(once[:2], shorter), "an image depends on the others"
    assert repr(transform).startswith(type(transform).__name__ + "(")


def test_images_of_different_sizes():
    images = [X[0], X[1, :, :20], X[2]]
    kept = A.RandomHorizontalFlip(1.0)(images, rng())
    assert [image.shape for image in kept] == [image.shape for image in images]
    assert np.array_equal(kept[1], images[1][..., ::-1])
    assert A.Resize((8, 9))(images, rng()).shape == (3, 3, 8, 9)


def test_streams_are_philox_s():
    streams = Streams((5, 2**64 - 3), 3)
    first = streams.words(4)
    assert np.array_equal(Streams((5, 0), 3).words(8)[0], philox.words(5, 0, 8))
    assert len(np.unique(first)) == 12
    part = Streams((5, 2**64 - 3), 3).take([2])
    assert np.array_equal(part.words(4), first[2:])
    many = Streams((1, 2), 20000)
    assert abs(many.happens(0.25).mean() - 0.25) < 0.01
    assert set(np.unique(many.integers(-1, 2))) == {-1, 0, 1}
    normal = many.normal(2)
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02


def test_arrays_of_others():
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)

    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return x

    flip, rng = A.RandomHorizontalFlip(1.0), np.random.default_rng
    assert np.array_equal(flip(Tensor(), rng(0)), x[..., ::-1])
    assert np.array_equal(flip(fn.data.Rows(x), rng(0)), x[..., ::-1])
    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(TypeError, match="image 0 is an image of Pillow; give fastnet.data.read_picture"):
        flip([pillow.fromarray(x[0].transpose(1, 2, 0))], rng(0))


def test_flips_after_a_window_are_one_pass():
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 12, 9), dtype=np.uint8)
    for first in (A.RandomCrop(10, padding=3), A.RandomCrop(8, 2, padding_mode="reflect"), A.RandomVerticalFlip()):
        parts = [first, A.RandomHorizontalFlip(), A.RandomVerticalFlip(0.3), A.RandomInvert()]
        expected, streams = x, Streams.of(np.random.default_rng(1), len(x))
        for part in parts:
            expected = part.run(expected, streams)
        assert np.array_equal(A.Compose(parts)(x, np.random.default_rng(1)), expected)


def test_windows():
    padded = np.pad(X, ((0, 0), (0, 0), (4, 4), (4, 4)), constant_values=7)
    crops = A.RandomCrop(32, padding=4, fill=7)(X, rng())
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), axis=(2, 3))
    for image, places in zip(crops, windows, strict=True):
        assert (places.transpose(1, 2, 0, 3, 4) == image).all(axis=(2, 3, 4)).sum() == 1
    ten = A.TenCrop(20)(X, rng()).reshape(6, 10, 3, 20, 20)
    assert np.array_equal(ten[:, 1], X[..., :20, 20:]) and np.array_equal(ten[:, 4], X[..., 6:26, 10:30])
    assert np.array_equal(ten[:, 5], X[..., ::-1][..., :20, :20])
    assert np.array_equal(ten[:, :5].reshape(30, 3, 20, 20), A.FiveCrop(20)(X, rng()))


@pytest.mark.parametrize("name, number", [("bilinear", 2), ("bicubic", 3), ("box", 4)])
@pytest.mark.parametrize("size", [(20, 20), (64, 90), (32, 13), (45, 40)])
def test_resize_is_pillow_s(name, number, size):
    pil = pytest.importorskip("PIL.Image")
    ours = A.Resize(size, name)(X, rng())
    for image, result in zip(X, ours, strict=True):
        theirs = pil.fromarray(image.transpose(1, 2, 0)).resize(size[::-1], number)
        assert np.array_equal(result, np.asarray(theirs).transpose(2, 0, 1))


def test_nearest_pixels_are_those_at_the_centres():
    near = A.Resize((7, 90), "nearest")(X, rng())
    rows, columns = (np.arange(7) * 2 + 1) * 32 // 14, (np.arange(90) * 2 + 1) * 40 // 180
    assert np.array_equal(near, X[:, :, rows][..., columns])


def test_names_of_torchvision_s_resizing():
    for ours, theirs in (
        (A.Resize((9, 7), "nearest"), A.Resize((9, 7), "nearest-exact", antialias=True)),
        (A.RandomResizedCrop(9), A.RandomResizedCrop(9, antialias=True)),
        (A.RandomShortestSize(9), A.RandomShortestSize(9, antialias=True)),
    ):
        assert np.array_equal(ours(X, rng()), theirs(X, rng()))


@pytest.mark.parametrize("crop", [A.FiveCrop(8), A.TenCrop(8)])
def test_no_images_have_no_crops(crop):
    assert len(crop(X[:0], rng())) == len(crop([], rng())) == 0


def test_sizes_are_torchvision_s():
    tall = np.zeros((2, 3, 60, 37), np.uint8)
    assert A.Resize(20)(tall, rng()).shape[2:] == (32, 20)
    assert A.Resize(20, max_size=25)(tall, rng()).shape[2:] == (25, 15)
    boxes = A.RandomResizedCrop(8).boxes(np.zeros((500, 3, 60, 37), np.uint8), Streams((1, 2), 500))
    top, left, height, width = boxes.T
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 60).all() and (left + width <= 37).all()
    share, ratio = height * width / (60 * 37), width / height
    assert 0.07 < share.min() < 0.12 and share.max() > 0.75 and 0.7 < ratio.min() < 0.8 and 1.2 < ratio.max() < 1.42


def test_a_solver_takes_them():
    y = np.arange(6) % 2
    augment = [A.RandomCrop(32, padding=4), A.RandomHorizontalFlip()]
    batches = [list(fn.data.Loader(X, y, 4, seed=3, augment=augment)) for _ in range(2)]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(*batches, strict=True))


@pytest.mark.parametrize(
    "moving", [A.RandomHorizontalFlip(), A.RandomApply([A.RandomRotation(5)]), A.RandomPerspective()]
)
def test_pixels_with_classes_do_not_move(moving):
    for y, targets in ((np.zeros((6, 32, 40), int), False), (X / 255, True)):
        with pytest.raises(ValueError, match=r"moves pixels, and those of y, .* would stay where they are"):
            fn.data.Loader(X, y, augment=[A.ColorJitter(0.3), moving], targets=targets)
        fn.data.Loader(X, y, augment=[A.ColorJitter(0.3), A.Cutout(3)], targets=targets)


def test_sizes_that_are_no_batch_or_no_input():
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    model.build(X.shape[1:])
    for augment, words in (
        ([A.RandomShortestSize([20, 30])], r"images of 2 sizes, such as \(20, 25\), and a batch is one array"),
        ([A.CenterCrop(20)], r"\(3, 20, 20\), as augment makes them, do not fit the model, .* for \(3, 32, 40\)"),
    ):
        with pytest.raises(ValueError, match=words):
            fn.Solver(model, (X, np.arange(6) % 2), augment=augment, verbose=False)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: A.RandomHorizontalFlip(1.5), ValueError, "between 0 and 1, got 1.5"),
        (lambda: A.RandomCrop(50)(X, rng()), ValueError, r"window \(50, 50\) is larger than the image"),
        (lambda: A.FiveCrop(50)(X, rng()), ValueError, "larger than the image"),
        (lambda: A.RandomCrop(8, padding=-1), ValueError, "padding"),
        (lambda: A.RandomCrop(8, padding_mode="wrap"), ValueError, "padding_mode must be one of"),
        (lambda: A.RandomCrop(8, fill=300)(X, rng()), ValueError, "between 0 and 255, got 300"),
        (lambda: A.CenterCrop(8)(X.astype(np.float32), rng()), TypeError, "uint8 .* before they are preprocessed"),
        (lambda: A.CenterCrop(8)(X[0], rng()), ValueError, "must have shape"),
        (lambda: A.RandomResizedCrop(8, scale=(1, 0.5)), ValueError, "exchange them"),
        (lambda: A.RandomResizedCrop(8, scale=(-1, 0.5)), ValueError, "must be > 0"),
        (lambda: A.Resize(8, "cubic"), ValueError, "must be one of nearest, bilinear"),
        (lambda: A.Resize(8, max_size=8), ValueError, "must be more than size"),
        (lambda: A.Resize(8, antialias=False), ValueError, "antialias must be True, got False"),
        (lambda: A.Compose([]), ValueError, "at least one transform"),
        (lambda: A.RandomApply([np.flip]), TypeError, "transforms of fastnet.augment"),
        (lambda: A.RandomChoice([A.Resize(8)], p=[1, 2]), ValueError, "must be 1 weights"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("fill", [-1, 256, "red", [[1, 2]], [], [1, [2, 3]]])
@pytest.mark.parametrize(
    "make",
    [
        lambda f: A.RandomCrop(4, 1, fill=f),
        lambda f: A.RandomRotation(5, fill=f),
        lambda f: A.Cutout(3, value=f),
        lambda f: A.RandomErasing(value=300 if f == "red" else f),
    ],
)
def test_colours_outside_are_checked_at_once(make, fill):
    with pytest.raises(ValueError, match="(RandomCrop|RandomRotation|Cutout|RandomErasing): (fill|value) must be"):
        make(fill)
