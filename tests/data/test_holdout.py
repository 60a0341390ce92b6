"""Holding out: counts, fractions, NumPy's numbers, classes with few images."""

import warnings

import numpy as np
import pytest

from fastnet.data import Dataset, hold_out


def data(y):
    y = np.asarray(y)
    return np.arange(len(y), dtype=np.float32).reshape(-1, 1, 1, 1), y


@pytest.mark.parametrize("part", [0.25, np.float32(0.25), np.float64(0.25), 5, np.int64(5), np.uint8(5)])
def test_numbers_of_python_and_numpy(part):
    X, y = data(np.arange(20) % 4)
    rest, y_rest, held, y_held = hold_out(X, y, part)
    assert len(held) == len(y_held) == 5 and sorted([*rest.ravel(), *held.ravel()]) == list(range(20))
    np.testing.assert_array_equal(y_held, y[held.ravel().astype(int)])


@pytest.mark.parametrize("part", [0, 20, -3, 1.0, 0.0, -0.1, True, "0.2", None, np.nan])
def test_no_part(part):
    with pytest.raises(ValueError, match=r"part must be a fraction in \(0, 1\) or a number in 1..19, got"):
        hold_out(*data(np.arange(20) % 4), part)


@pytest.mark.parametrize(
    "N, part, message",
    [
        (5, 0.1, "part=0.1 of 5 images is 0 after rounding; use part=0.2$"),
        (7, 0.01, "use part=0.15$"),
        (200, 0.0001, "use part=0.01$"),
        (2, 0.9, "part=0.9 of 2 images is 2 after rounding; more images are needed"),
        (1, 0.5, "part=0.5 of 1 images is 0 after rounding; more images are needed"),
    ],
)
def test_a_fraction_that_rounds_to_nothing_or_everything(N, part, message):
    with pytest.raises(ValueError, match=message):
        hold_out(*data(np.zeros(N, int)), part)


@pytest.mark.parametrize("N, part", [(5, 0.1), (7, 0.01), (200, 0.0001)])
def test_the_advice_works(N, part):
    with pytest.raises(ValueError) as caught:
        hold_out(*data(np.zeros(N, int)), part)
    assert len(hold_out(*data(np.zeros(N, int)), float(str(caught.value).rpartition("=")[2]))[2]) >= 1


@pytest.mark.parametrize("seed", range(20))
def test_the_only_image_of_a_class_stays(seed):
    y = [0] * 30 + [1] + [2] * 30 + [3] + [4, 4] + [10**9]
    _, rest, _, held = hold_out(*data(y), 0.4, seed)
    assert set(rest) == set(y) and len(held) == round(0.4 * len(y))


def test_too_few_images_for_every_class_are_still_divided():
    _, rest, _, held = hold_out(*data(range(5)), 2)
    assert len(rest) == 3 and len(held) == 2


def test_split_names_its_argument_and_tells_of_absent_classes():
    X, y = data([0] * 20 + [1] * 20 + [2])
    three = Dataset(X, y, X, y, ("cat", "dog", "emu"), "zoo")
    with pytest.warns(UserWarning, match="zoo: the validation part has no image of 1 of 3 classes: emu"):
        cut = three.split(0.2)
    assert set(cut.y_train) == {0, 1, 2}
    with pytest.raises(ValueError, match="zoo: validation=0.01 of 41 images is 0 after rounding; use validation=0.03"):
        three.split(0.01)
    X, y = data(range(4))
    with pytest.warns(UserWarning, match="zoo: the training part has no image of 2 of 4 classes"):
        Dataset(X, y, X, y, tuple("abcd"), "zoo").split(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, y = data(np.arange(40) % 4)
        Dataset(X, y, X, y, tuple("abcd"), "zoo").split(0.2)


def test_hold_out_takes_lists_and_refuses_what_does_not_fit():
    X, y = data([0, 1] * 10)
    for taken, expected in zip(hold_out(X.tolist(), y.tolist(), 0.3), hold_out(X, y, 0.3), strict=True):
        np.testing.assert_array_equal(taken, expected)
    for X_, y_ in ((X, y[:5]), (X, np.eye(2)[y]), (X[0, 0], y)):
        with pytest.raises(ValueError, match=r"hold_out: X must be \(N, ...\) and y \(N,\), got"):
            hold_out(X_, y_, 0.3)
    with pytest.raises(TypeError, match="hold_out: y"):
        hold_out(X, "cat", 0.3)
