"""Occlusion maps, and the deletion and insertion tests."""

import numpy as np
import pytest
from naive_net import small_model, trained_digits

import fastnet as fn
from fastnet import visualize as v


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return trained_digits()


@pytest.fixture
def x():
    return np.random.default_rng(5).standard_normal((3, 2, 8, 8))


@pytest.mark.parametrize("of", ["probability", "score"])
def test_occlusion_by_definition(of, x):
    model, targets = small_model(), np.array([3, 0, 1])

    def measured(images, target):
        scores = model(images)
        if of == "probability":
            scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return scores[0, target]

    found = v.occlusion(model, x, targets, window=(3, 4), stride=2, of=of, batch_size=5)
    for n, image in enumerate(x):
        total, count = np.zeros((8, 8)), np.zeros((8, 8))
        for top in (0, 2, 4, 5):
            for left in (0, 2, 4):
                covered = image.copy()
                covered[:, top : top + 3, left : left + 4] = image.mean(axis=(1, 2))[:, None, None]
                drop = measured(image[None], targets[n]) - measured(covered[None], targets[n])
                total[top : top + 3, left : left + 4] += drop
                count[top : top + 3, left : left + 4] += 1
        np.testing.assert_allclose(found[n], total / count, rtol=1e-9, atol=1e-12)


def test_strides_that_leave_gaps_give_zero_there(x):
    found = v.occlusion(small_model(), x, 1, window=2, stride=6, value=0)
    assert (found[:, 2:6] == 0).all() and (found[:, :2, :2] != 0).all()


def test_curves_by_definition(x):
    model, maps = small_model(), np.random.default_rng(0).random((3, 8, 8))
    curves = v.deletion_test(model, x, maps, 2, steps=4, value=0.5)
    back = v.insertion_test(model, x, maps, 2, steps=4, value=0.5)
    np.testing.assert_array_equal(curves.shares, [0, 0.25, 0.5, 0.75, 1])
    for n in range(3):
        order = np.argsort(-maps[n].ravel())
        for step in range(5):
            deleted = x[n].reshape(2, 64).copy()
            deleted[:, order[: 16 * step]] = 0.5
            inserted = np.full((2, 64), 0.5)
            inserted[:, order[: 16 * step]] = x[n].reshape(2, 64)[:, order[: 16 * step]]
            for image, found in ((deleted, curves), (inserted, back)):
                p = fn.functional.softmax(model(image.reshape(1, 2, 8, 8)), 1)[0][0, 2]
                assert found.probabilities[n, step] == pytest.approx(p, rel=1e-9)
    np.testing.assert_allclose(curves.areas, np.trapezoid(curves.probabilities, curves.shares, axis=1))
    np.testing.assert_allclose(back.probabilities[:, -1], curves.probabilities[:, 0])


def test_patches_go_together(x):
    """In squares of 3 x 3, smaller at the edges, by their mean."""
    model, maps = small_model(), np.random.default_rng(0).random((3, 8, 8))
    found = v.deletion_test(model, x, maps, 2, steps=64, patch=3, value=0)
    means = {(i, j): maps[1, i : i + 3, j : j + 3].mean() for i in (0, 3, 6) for j in (0, 3, 6)}
    deleted, count = x[1].copy(), 0
    for i, j in sorted(means, key=means.get, reverse=True):
        deleted[:, i : i + 3, j : j + 3] = 0
        count += deleted[0, i : i + 3, j : j + 3].size
        p = fn.functional.softmax(model(deleted[None]), 1)[0][0, 2]
        assert found.probabilities[1, count] == pytest.approx(p, rel=1e-9)


def test_attributions_beat_chance(digits):
    """On a trained network pixels of high attribution matter more than random ones, by a wide margin."""
    model, X, y = digits
    X, y = X[:40], y[:40]
    chance = np.random.default_rng(0).random((40, 8, 8))
    random = [test(model, X, chance, y).areas.mean() for test in (v.deletion_test, v.insertion_test)]
    maps = {
        "saliency": v.saliency(model, X, y),
        "smoothgrad": v.smoothgrad(model, X, y, samples=20),
        "integrated gradients": v.integrated_gradients(model, X, y, steps=100),
        "guided backpropagation": v.guided_backprop(model, X, y),
        "occlusion": v.occlusion(model, X, y, window=3, stride=1),
    }
    for name, found in maps.items():
        assert v.deletion_test(model, X, found, y).areas.mean() < random[0] - 0.1, name
        assert v.insertion_test(model, X, found, y).areas.mean() > random[1] + 0.1, name


def test_what_covers_is_of_the_images_kind():
    """Rounded for images of integers, and never wrapped around."""
    model, raw = small_model("float32"), np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8)).astype(np.uint8)
    found = [v.occlusion(model, raw, 1, value=value, of="score") for value in (99.7, 100)]
    np.testing.assert_array_equal(*found)
    for value, message in ((-1, "from 0 to 255, as images of uint8 are, got -1"), (np.nan, "holds NaN")):
        with pytest.raises(ValueError, match=message):
            v.occlusion(model, raw, 1, value=value)


def test_probabilities_need_classes(x):
    model = fn.Sequential(fn.Flatten(), fn.Linear(1))
    model.build((2, 8, 8), dtype="float64")
    with pytest.raises(ValueError, match="occlusion: the model's outputs are"):
        v.occlusion(model, x, 0)
    assert (v.occlusion(model, x, 0, of="score") != 0).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: v.occlusion(m, x, 0, window=9), "the window, 9 x 9, is larger than the images, 8 x 8"),
        (lambda m, x: v.occlusion(m, x, 0, window=0), "window must be an integer between 1"),
        (lambda m, x: v.occlusion(m, x, 0, window=3, stride=0), "stride must be an integer between 1"),
        (lambda m, x: v.occlusion(m, x, 0, of="loss"), "got 'loss'"),
        (lambda m, x: v.occlusion(m, x, 0, value=[1, 2, 3]), "value must be a number or an array that broadcasts"),
        (lambda m, x: v.deletion_test(m, x, np.zeros((3, 4, 4))), r"must be \(3, 8, 8\) or \(3, 2, 8, 8\)"),
        (lambda m, x: v.insertion_test(m, x, x, patch=0), "patch must be an integer between 1"),
        (lambda m, x: v.insertion_test(m, x, x, steps=0), "steps must be an integer between 1"),
    ],
)
def test_errors(call, message, x):
    with pytest.raises(ValueError, match=message):
        call(small_model(), x)
