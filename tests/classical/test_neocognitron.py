"""The Neocognitron: learning without labels, S cells by their formula, shared weights, tolerance of shifts."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import backends, data
from fastnet.classical import KNearestNeighbors, Neocognitron, SoftmaxClassifier


@pytest.fixture(scope="module")
def fitted():
    digits = data.digits()
    return Neocognitron((32,), thresholds=(0.7,)).fit(digits.X_train, digits.y_train), digits


def test_digits(fitted):
    net, digits = fitted
    assert net.score(digits.X_test, digits.y_test) > 0.9
    assert net.transform(digits.X_test[:3]).shape[0] == 3
    assert (net.predict(digits.X_test) == digits.y_test).mean() == net.score(digits.X_test, digits.y_test)


def test_labels_do_not_change_what_cells_learn(fitted):
    net, digits = fitted
    other = Neocognitron((32,), thresholds=(0.7,)).fit(digits.X_train, digits.y_train[::-1])
    np.testing.assert_array_equal(other.stages_[0].weight, net.stages_[0].weight)


@pytest.mark.parametrize("backend", backends.available_backends())
def test_simple_cells_by_their_formula(fitted, backend):
    net, digits = fitted
    stage, image = net.stages_[0], digits.X_test[0, 0].astype(np.float64)
    with backends.use_backend(backend):
        s, _ = net.responses(digits.X_test[:1])[0]
    padded = np.pad(image, 1)
    expected = np.zeros_like(s[0])
    for k, p, q in np.ndindex(expected.shape):
        patch, weight = padded[p : p + 3, q : q + 3], stage.weight[k, 0]
        length = np.sqrt((patch**2).sum())
        if length > 1e-4:
            cosine = (weight * patch).sum() / length
            expected[k, p, q] = max(0, cosine - stage.threshold) / (1 - stage.threshold)
    np.testing.assert_allclose(s[0], expected, atol=1e-6)
    assert 0.9 < s.max() <= 1 + 1e-9


def test_complex_cells_pool_and_saturate(fitted):
    net, digits = fitted
    s, c = net.responses(digits.X_test[:4])[0]
    assert c.shape == (4, s.shape[1], 4, 4) and (c >= 0).all() and (c < 1).all()
    mean = s[1, 5, 1:4, 1:4].mean()  # areas of 3 x 3, every second cell; the second begins at row 1
    np.testing.assert_allclose(c[1, 5, 1, 1], mean / (mean + 0.1))


def test_features_have_length_1_and_new_ones_differ(fitted):
    weight = fitted[0].stages_[0].weight.reshape(-1, 9)
    np.testing.assert_allclose((weight**2).sum(axis=1), 1)
    cosines = weight @ weight.T - np.eye(len(weight))
    assert np.median(cosines) < 0.7


def test_brightness_does_not_matter_to_simple_cells(fitted):
    net, digits = fitted
    X = digits.X_test[:5].astype(np.float64)
    for one, other in zip(net.responses(X)[0], net.responses(X * 0.3)[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_shifts_cost_less_than_on_pixels(fitted):
    net, digits = fitted
    moved = np.zeros_like(digits.X_test)
    moved[:, :, :, 1:] = digits.X_test[:, :, :, :-1]
    pixels = SoftmaxClassifier().fit(digits.X_train, digits.y_train)
    assert net.score(moved, digits.y_test) > pixels.score(moved, digits.y_test) + 0.1


def test_two_stages_and_another_classifier():
    digits = data.digits()
    X = np.kron(digits.X_train[:300], np.ones((1, 1, 2, 2), np.float32))
    net = Neocognitron((8, 20), thresholds=(0.7, 0.85), classifier=KNearestNeighbors(1)).fit(X, digits.y_train[:300])
    assert [len(stage.weight) for stage in net.stages_] == [8, 20]
    assert net.responses(X[:2])[1][1].shape == (2, 20, 4, 4) and net.score(X, digits.y_train[:300]) == 1


def test_what_cannot_be_is_refused():
    X, y = np.random.default_rng(0).random((20, 1, 8, 8)), np.arange(20) % 2
    with pytest.raises(ValueError, match="a threshold for each of the planes"):
        Neocognitron((4, 4), thresholds=(0.5,))
    with pytest.raises(ValueError, match=r"thresholds must lie in \[0, 1\)"):
        Neocognitron((4,), thresholds=(1.0,))
    with pytest.raises(ValueError, match="pixels must be >= 0"):
        Neocognitron().fit(X - 1, y)
    with pytest.raises(ValueError, match="dark everywhere"):
        Neocognitron().fit(X * 0, y)
    with pytest.raises(RuntimeError, match="call fit"):
        Neocognitron().predict(X)
    net = Neocognitron((4,), thresholds=(0.7,)).fit(X, y)
    with pytest.raises(ValueError, match="1 channels, got 3"):
        net.predict(np.repeat(X, 3, axis=1))
