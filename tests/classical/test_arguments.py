"""What is not understood is refused: every constructor and function of fastnet.classical, every argument."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from fastnet import classical, models, training
from fastnet.classical import HOG, KNearestNeighbors, LinearSVM

X, Y = np.random.default_rng(0).random((30, 1, 8, 8)), np.arange(30) % 3
GIVEN = {
    "KMeans": {"k": 2},
    "Pipeline": {"features": HOG(cell=2, block=1), "classifier": LinearSVM()},
    "choose_k": {"X": X, "y": Y, "ks": (1, 2)},
    "hue": {"rgb": np.zeros((2, 3))},
    "pattern": {"text": "CONV-FC"},
    "find_ticket": {"model": models.pattern("FC", input_shape=(1, 2, 2)), "train": lambda model, masks: 0.0},
}
ELSEWHERE = {("choose_k", "y"), ("hue", "rgb"), ("find_ticket", "train")}  # labels may be text; of arrays and functions
ELSEWHERE |= {("pattern", word) for word in ("input_shape", "dropout", "seed", "dtype", "initializer")}  # of layers
BASES = {"ChoiceOfK", "Classifier", "Features", "LinearClassifier"}
CALLS = [(name, getattr(classical, name)) for name in classical.__all__ if name not in BASES]
CALLS += [("pattern", models.pattern), ("find_ticket", training.find_ticket)]


@pytest.mark.parametrize("nonsense", ["nonsense", object(), {}, float("nan"), 10**400, b"1", 1j, None], ids=range(8))
@pytest.mark.parametrize(("name", "function"), CALLS, ids=[name for name, _ in CALLS])
def test_nonsense_is_refused_in_every_argument(name, function, nonsense):
    """With a message that is about the argument, not about Python's inside."""
    given = GIVEN.get(name, {})
    function(**given)
    for word, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or (name, word) in ELSEWHERE:
            continue
        if nonsense is None and parameter.default is None:
            continue
        try:
            function(**{**given, word: nonsense})
        except (TypeError, ValueError) as error:
            assert not re.search("object (is not|has no|cannot be)", str(error)), (word, error)
        else:
            raise AssertionError(f"{word}={nonsense!r} is accepted")


FITTED = [
    (name, make)
    for name, make in CALLS
    if inspect.isclass(make) and issubclass(make, classical.Classifier) or name in ("Pipeline",)
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "make"), FITTED, ids=[name for name, _ in FITTED])
def test_every_classifier_keeps_the_contract(name, make):
    model = make(**GIVEN.get(name, {}))
    with pytest.raises(RuntimeError, match=r"call fit\(X, y\) first"):
        model.predict(X)
    assert model.fit(X, np.array(["a", "b", "c"])[Y]) is model
    predicted = model.predict(X)
    assert predicted.shape == (30,) and set(predicted) <= {"a", "b", "c"}
    assert model.score(X, np.array(["a", "b", "c"])[Y]) == (predicted == np.array(["a", "b", "c"])[Y]).mean()
    with pytest.raises(ValueError, match=r"shape \(30,\)"):
        model.fit(X, Y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), Y)
    with pytest.raises(ValueError):
        model.predict(X[:, :, :4])
    with pytest.raises(ValueError):
        model.predict(X[:0])


def test_a_view_that_is_no_copy_is_kept_as_it_is():
    flat = np.random.default_rng(0).random((20, 5), np.float32)
    model = KNearestNeighbors(1).fit(flat, np.arange(20))
    assert np.shares_memory(model._kept, flat)
