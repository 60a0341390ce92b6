"""MixUp and CutMix: values, labels, and training with them."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet import augment as A
from fastnet.data import Loader

X = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 14), dtype=np.uint8)
Y = np.array([0, 1, 2, 3, 0, 2])
SOFT = np.eye(4, dtype=np.float64)[Y]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_is_the_formula(alpha):
    for seed in range(5):
        share = rng(seed).beta(alpha, alpha)
        x, y = A.MixUp(alpha)(X, SOFT, rng(seed))
        partner = np.roll(np.arange(6), 1)
        exact = share * X.astype(float) + (1 - share) * X[partner]
        assert x.dtype == np.uint8 and np.abs(x - exact).max() <= 0.5 + 255 / 2**16
        np.testing.assert_allclose(y, share * SOFT + (1 - share) * SOFT[partner], atol=2**-16)
        floats, _ = A.MixUp(alpha)(X.astype(np.float64), SOFT, rng(seed))
        np.testing.assert_allclose(floats, exact, rtol=1e-12)


def test_cutmix_pastes_a_box_and_labels_by_its_area():
    sizes = set()
    for seed in range(30):
        x, y = A.CutMix(num_classes=4)(X, Y, rng(seed))
        partner = np.roll(np.arange(6), 1)
        pasted = np.all((x == X[partner]) & (x != X) | (X == X[partner]), axis=(0, 1))
        own = np.all(x == X, axis=(0, 1))
        assert np.all(pasted | own)
        rows, columns = np.flatnonzero(~own.all(axis=1)), np.flatnonzero(~own.all(axis=0))
        area = len(rows) * len(columns)
        assert not area or np.array_equal(~own, np.outer(~own.all(axis=1), ~own.all(axis=0)))
        np.testing.assert_allclose(y, (1 - area / 126) * SOFT + area / 126 * SOFT[partner], atol=1e-6)
        sizes.add(area)
    assert len(sizes) > 10


def test_a_batch_of_one_is_mixed_with_itself():
    for kind in (A.MixUp, A.CutMix):
        x, y = kind(num_classes=4)(X[:1], Y[:1], rng())
        np.testing.assert_array_equal(x, X[:1])
        np.testing.assert_allclose(y, SOFT[:1], atol=1e-6)


def test_the_arguments_are_not_changed():
    x, y = X.copy(), SOFT.copy()
    for kind in (A.MixUp, A.CutMix):
        kind()(x, y, rng())
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, SOFT)


def test_one_of_both_for_each_batch():
    both = A.RandomChoice([A.MixUp(num_classes=4), A.CutMix(num_classes=4)])
    kinds = set()
    for seed in range(20):
        x, y = both(X, Y, rng(seed))
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
        kinds.add(bool(np.all((x == X) | (x == np.roll(X, 1, axis=0)))))
    assert kinds == {True, False}


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: A.MixUp(0), ValueError, "alpha must be above 0"),
        (lambda: A.MixUp()(X, Y, rng()), ValueError, "need num_classes"),
        (lambda: A.MixUp(num_classes=3)(X, Y, rng()), ValueError, "labels must be integers from 0 to 2, got 0 to 3"),
        (lambda: A.CutMix()(X, SOFT[:3], rng()), ValueError, "y must be classes"),
        (lambda: A.CutMix()(list(X), SOFT, rng()), TypeError, "images of one size"),
        (lambda: A.CutMix()(X.astype(int), SOFT, rng()), TypeError, "uint8 or floats, got int64"),
        (lambda: A.Compose([A.MixUp()]), TypeError, "mixes labels, too; let it follow on its own"),
        (lambda: A.RandomApply([A.MixUp()]), TypeError, "mixes labels"),
        (lambda: A.RandomChoice([A.MixUp(), A.RandomInvert()]), TypeError, "all or none"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_loaders_mix_labels_in_sequence_for_any_number_of_workers():
    changes = [A.RandomHorizontalFlip(), A.MixUp(0.4), A.CutMix()]
    loader = Loader(X, Y, 4, augment=changes, classes=5)
    plain = list(loader.batches(1))
    for (x, y), (other, labels) in zip(plain, loader.batches(1, 0, 2), strict=True):
        assert y.shape == (len(x), 5) and y.dtype == np.float32
        np.testing.assert_array_equal(x, other)
        np.testing.assert_array_equal(y, labels)
        np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-5)
    assert any(((y > 0).sum(axis=1) > 2).any() for _, y in plain)


def test_training_with_mixed_labels():
    """The classes are the model's, the step is recorded, and the network learns."""
    data = fn.data.digits(0.3)
    X, y = data.X_train, data.y_train
    model = fn.Sequential(fn.Conv2d(16, 3), fn.ReLU(), fn.Flatten(), fn.Linear(10))
    keep = y != 9  # the largest label is not the last class
    solver = fn.Solver(
        model, (X[keep], y[keep]), epochs=6, batch_size=64, augment=[A.RandomChoice([A.MixUp(0.2), A.CutMix()])],
        preprocess="standardize", optimizer="adam", verbose=False,
    )  # fmt: skip
    history = solver.train()
    assert not (fn.backends.NativeOps and solver._step.plan.reason) and 0 < history.history["accuracy"][-1] <= 1
    rest = data.y_test != 9
    assert model.evaluate(data.X_test[rest], data.y_test[rest]).accuracy > 0.9


def test_losses_that_take_classes_only():
    model = fn.Sequential(fn.Flatten(), fn.Linear(4))
    with pytest.raises(ValueError, match="the loss must take probabilities"):
        fn.Solver(model, (X, Y), loss="svm", augment=[A.MixUp()])
    with pytest.raises(ValueError, match="mixes labels needs class numbers"):
        Loader(X, np.zeros((6, 9, 14), int), augment=[A.MixUp()])
