"""k nearest neighbours: against all distances in float64, scikit-learn, ties, blocks, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import backends, data
from fastnet.classical import KNearestNeighbors, choose_k
from fastnet.classical.nearest import Neighbors

METRICS = ["l1", "l2"]


def distances(Q, X, metric):
    difference = Q.astype(np.float64)[:, None] - X
    return np.abs(difference).sum(axis=2) if metric == "l1" else np.sqrt((difference**2).sum(axis=2))


def examples(dtype, N=300, M=71, D=33):
    rng = np.random.default_rng(0)
    X, Q = ((rng.normal(size=(rows, D)) * 40 + 120).astype(dtype) for rows in (N, M))
    X[5] = X[7] = X[N - 1]  # ties, in several blocks
    Q[3] = X[5]
    return X, Q, rng.integers(0, 4, N)


@pytest.mark.parametrize("backend", backends.available_backends())
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("megabytes", [0.002, 64])
def test_neighbors_are_those_of_all_distances_in_float64(dtype, metric, megabytes, backend):
    X, Q, y = examples(dtype)
    with backends.use_backend(backend):
        found, positions = KNearestNeighbors(9, metric, megabytes).fit(X, y).neighbors(Q)
    every = distances(Q, X, metric)
    np.testing.assert_array_equal(positions, np.argsort(every, axis=1, kind="stable")[:, :9])
    np.testing.assert_allclose(found, np.sort(every, axis=1)[:, :9], rtol=1e-12)
    assert list(positions[3, :3]) == [5, 7, len(X) - 1] and (found[3, :3] == 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_float32_is_searched_again_where_rounding_could_decide(metric):
    """Two crowds far from each other: in float32, squared distances within one are nothing but rounding."""
    rng = np.random.default_rng(0)
    X = (1e4 * np.repeat([[-1], [1]], 200, axis=0) + rng.normal(size=(400, 60)) * 1e-2).astype(np.float32)
    Q = X[:20] + rng.normal(size=(20, 60)).astype(np.float32) * 1e-2
    search = Neighbors(X, metric, 1)
    _, _, certain = search._pass(Q, 5, np.dtype(np.float32))
    assert metric == "l1" or not certain.any()
    _, positions = search.search(Q, 5)
    np.testing.assert_array_equal(positions, np.argsort(distances(Q, X, metric), axis=1, kind="stable")[:, :5])


def test_most_queries_need_one_pass():
    X, Q, _ = examples("float32", D=200)
    for metric in METRICS:
        assert Neighbors(X, metric, 1)._pass(Q, 5, np.dtype(np.float32))[2].mean() > 0.9


@pytest.mark.parametrize("metric", METRICS)
def test_many_equal_distances_of_whole_numbers(metric):
    rng = np.random.default_rng(0)
    X, Q = (rng.integers(0, 2, (rows, 12)).astype(np.float32) for rows in (500, 40))
    _, positions = Neighbors(X, metric, 0.01).search(Q, 20)
    np.testing.assert_array_equal(positions, np.argsort(distances(Q, X, metric), axis=1, kind="stable")[:, :20])


@pytest.mark.parametrize(("metric", "name"), [("l1", "manhattan"), ("l2", "euclidean")])
def test_predictions_are_scikit_learn_s(metric, name):
    sklearn = pytest.importorskip("sklearn.neighbors")
    digits = data.digits()
    X, Q = digits.X_train, digits.X_test
    ours = KNearestNeighbors(7, metric).fit(X, digits.y_train)
    theirs = sklearn.KNeighborsClassifier(7, metric=name, algorithm="brute").fit(X.reshape(len(X), -1), digits.y_train)
    flat = Q.reshape(len(Q), -1).astype(np.float64)
    found = ours.neighbors(Q, 8)[0]
    clear = found[:, 6] < found[:, 7]  # where the seventh and eighth tie, scikit-learn takes either
    assert clear.mean() > 0.7
    np.testing.assert_array_equal(ours.predict(Q)[clear], theirs.predict(flat)[clear])
    np.testing.assert_allclose(ours.predict_proba(Q)[clear], theirs.predict_proba(flat)[clear], atol=1e-12)
    np.testing.assert_allclose(found[:, :7], theirs.kneighbors(flat)[0], rtol=1e-6)
    assert ours.score(Q, digits.y_test) > 0.97


def test_ties_of_votes_go_to_the_first_class():
    model = KNearestNeighbors(4).fit([[0.0], [1.0], [2.0], [3.0]], ["b", "b", "a", "a"])
    assert list(model.predict([[0.0]])) == ["a"]
    np.testing.assert_array_equal(model.predict_proba([[0.0]]), [[0.5, 0.5]])


def test_one_class_is_predicted():
    assert list(KNearestNeighbors(1).fit([[0.0], [1.0]], [3, 3]).predict([[9.0]])) == [3]


def test_the_choice_of_k():
    digits = data.digits()
    choice = choose_k(digits.X_train, digits.y_train, ks=(1, 3, 200), folds=3)
    assert choice.k in (1, 3) and list(choice.accuracies) == [1, 3, 200]
    order = np.random.default_rng(0).permutation(len(digits.X_train))
    fold = np.array_split(order, 3)[1]
    others = np.setdiff1d(order, fold)
    single = KNearestNeighbors(3).fit(digits.X_train[others], digits.y_train[others])
    assert choice.accuracies[3][1] == single.score(digits.X_train[fold], digits.y_train[fold])
    assert choice.accuracies[200].mean() < choice.accuracies[3].mean()
    assert "<- best" in str(choice)


def test_the_choice_of_k_as_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    X, _, y = examples("float32")
    figure = choose_k(X, y, ks=(1, 5)).plot(tmp_path / "k.png")
    assert figure.axes[0].get_xlabel().startswith("k,") and (tmp_path / "k.png").is_file()


def test_what_cannot_be_is_refused():
    X, Q, y = examples("float32")
    with pytest.raises(ValueError, match="k=301 neighbours are asked for, X has 300"):
        KNearestNeighbors(301).fit(X, y)
    model = KNearestNeighbors(3).fit(X, y)
    with pytest.raises(ValueError, match="k=301 neighbours are asked for, fit was given 300"):
        model.neighbors(Q, 301)
    with pytest.raises(ValueError, match="32 numbers in each example, but fit was given 33"):
        model.predict(Q[:, 1:])
    with pytest.raises(ValueError, match="single example needs a leading axis"):
        model.predict(Q[0])
    Q[4, 2] = np.nan
    with pytest.raises(ValueError, match="holds NaN or infinity in 1 of 71 examples"):
        model.predict(Q)
    with pytest.raises(ValueError, match="at least one example"):
        KNearestNeighbors(1).fit(X[:0], y[:0])
    with pytest.raises(ValueError, match=r"y must have shape \(300,\)"):
        KNearestNeighbors(1).fit(X, y[:-1])
    with pytest.raises(ValueError, match="metric must be one of"):
        KNearestNeighbors(metric="cosine")
    with pytest.raises(ValueError, match="megabytes must be > 0"):
        KNearestNeighbors(megabytes=0)
    with pytest.raises(RuntimeError, match=r"call fit\(X, y\) first"):
        KNearestNeighbors().predict(X)
    with pytest.raises(ValueError, match="k=241 is more than the 240 examples"):
        choose_k(X, y, ks=(1, 241))
    with pytest.raises(ValueError, match="ks is empty"):
        choose_k(X, y, ks=())
