"""Every way to preprocess: against its formula in float64, saved with models, resumed, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.cli.recipes import PREPROCESSING as OPTIONS
from fastnet.data import PCA, PREPROCESSING, Standardize
from fastnet.data.prepared import restore
from fastnet.training import saved


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    mixed = rng.normal(0, 1, (300, 48)) @ rng.normal(0, 1, (48, 48)) + rng.normal(0, 3, 48)
    return mixed.reshape(300, 3, 4, 4)


FORMULAS = {
    "standardize": lambda X: (X - X.mean((0, 2, 3), keepdims=True)) / X.std((0, 2, 3), keepdims=True),
    "center": lambda X: X - X.mean((0, 2, 3), keepdims=True),
    "mean_image": lambda X: X - X.mean(0),
    "unit_variance": lambda X: (X - X.mean(0)) / X.std(0),
    "range": lambda X: (
        2 * (X - X.min((0, 2, 3), keepdims=True)) / (X.max((0, 2, 3), keepdims=True) - X.min((0, 2, 3), keepdims=True))
        - 1
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula(X, name):
    fitted = PREPROCESSING[name](X)
    np.testing.assert_allclose(fitted(X, "float64"), FORMULAS[name](X), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fitted.inverse(fitted(X, "float64")), X, rtol=1e-10, atol=1e-10)
    assert fitted(X).dtype == np.float32
    again = restore(fitted.state_dict())
    np.testing.assert_array_equal(again(X, "float64"), fitted(X, "float64"))


def test_pixels_of_uint8_are_scaled():
    X = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    raw = X / 255
    image = Standardize.fit(X, each="feature", divide=False)
    np.testing.assert_allclose(image(X, "float64"), raw - raw.mean(0), atol=1e-12)
    span = Standardize.to_range(X, each="feature")(X, "float64")
    assert span.min() == -1 and span.max() == 1
    np.testing.assert_allclose(PCA.fit(X).scale, 255)


def test_the_range_of_a_constant_is_its_lower_end():
    X = np.full((5, 2, 2, 2), 7.0)
    assert (Standardize.to_range(X, 0, 1)(X) == 0).all()


def test_pca_is_that_of_scikit_learn(X):
    decomposition = pytest.importorskip("sklearn.decomposition")
    flat = X.reshape(300, -1)
    theirs = decomposition.PCA(10).fit(flat)
    ours = PCA.fit(X, 10)
    np.testing.assert_allclose(ours.values, theirs.explained_variance_ * 299 / 300, rtol=1e-10)  # theirs: N - 1
    np.testing.assert_allclose(np.abs(ours(X, "float64")), np.abs(theirs.transform(flat)), atol=1e-9)
    np.testing.assert_allclose(
        ours.inverse(ours(X, "float64")).reshape(300, -1),
        theirs.inverse_transform(theirs.transform(flat)),
        atol=1e-9,
    )
    assert ours.pictures.shape == (10, 3, 4, 4) and ours.explained.sum() == pytest.approx(1)


@pytest.mark.parametrize("whiten", [None, "pca", "zca"])
def test_covariance_after_pca(X, whiten):
    fitted = PCA.fit(X, whiten=whiten, eps=0)
    Z = fitted(X, "float64")
    assert Z.shape == (X.shape if whiten == "zca" else (300, 48))
    covariance = np.cov(Z.reshape(300, -1).T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(48) if whiten else np.diag(fitted.values), atol=1e-8)
    np.testing.assert_allclose(fitted.inverse(Z), X, atol=1e-8)
    again = restore(fitted.state_dict())
    assert again.whiten == whiten
    np.testing.assert_array_equal(again(X), fitted(X))


def test_few_examples_of_many_features_need_no_covariance(X, monkeypatch):
    few = X[:20].astype(np.float64)
    flat = few.reshape(20, -1) - few.reshape(20, -1).mean(axis=0)
    values, vectors = np.linalg.eigh(flat.T @ flat / 20)
    monkeypatch.setattr(np.linalg, "eigh", None)  # of 48 x 48; of CIFAR's 3,072 it takes a minute
    fitted = PCA.fit(few)
    np.testing.assert_allclose(fitted.values[:19], values[::-1][:19], rtol=1e-9)
    np.testing.assert_allclose(np.abs(fitted.vectors[:, :19].T @ vectors[:, ::-1][:, :19]), np.eye(19), atol=1e-6)
    np.testing.assert_allclose(fitted.vectors.T @ fitted.vectors, np.eye(20), atol=1e-9)
    np.testing.assert_allclose(fitted.inverse(fitted(few, "float64")), few, atol=1e-9)


def test_eps_bounds_what_whitening_multiplies_by():
    X = np.zeros((20, 4))
    X[:, 0] = np.arange(20)
    assert np.abs(PCA.fit(X, whiten="pca", eps=1e-5)(X)[:, 1:]).max() == 0  # no variance: no noise blown up


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: PCA.fit(X, 49), "49 components of 300 examples with 48 features"),
        (lambda X: PCA.fit(X, 0), "components"),
        (lambda X: PCA.fit(X, whiten="yes"), '"pca" or "zca"'),
        (lambda X: PCA.fit(X, eps=-1), "eps must be >= 0"),
        (lambda X: PCA.fit(np.zeros((2, 3, 64, 64))), "an example has 12,288 features"),
        (lambda X: PCA.fit(X[:0]), "hold data"),
        (lambda X: PCA.fit(np.full_like(X, np.nan)), "NaN"),
        (lambda X: PCA.fit(X)(X[:, :2]), "fitted on examples of shape"),
        (lambda X: PCA.fit(X, 3).inverse(X), r"expects \(N, 3\)"),
        (lambda X: Standardize.fit(X, each="pixel"), '"channel" or "feature"'),
        (lambda X: Standardize.to_range(X, 1, 1), "low must be below high"),
        (lambda X: Standardize.to_range(np.full_like(X, np.inf)), "infinite"),
        (lambda X: Standardize.fit(X, each="feature")(X[:, :, :2]), r"examples \(3, 4, 4\)"),
    ],
)
def test_mistakes(X, call, message):
    with pytest.raises(ValueError, match=message):
        call(X)


@pytest.mark.parametrize("name", [name for name in PREPROCESSING if name != "pca"])
def test_solver_keeps_it_in_checkpoints(X, name, tmp_path):
    y = (X[:, 0, 0, 0] > X[:, 0, 0, 0].mean()).astype(int)

    def solver(epochs):
        model = fn.Sequential(fn.Flatten(), fn.Linear(2))
        options = {"preprocess": name, "checkpoint": tmp_path, "epochs": epochs, "verbose": False, "seed": 1}
        return fn.Solver(model, (X, y), optimizer=fn.optim.SGD(0.01), **options)

    first = solver(1)
    first.train()
    kept = fn.training.load_checkpoint(tmp_path).preprocess
    np.testing.assert_array_equal(kept(X), first.preprocess(X))
    second = solver(2)
    second.train(resume="auto")
    assert len(second.history) == 2


@pytest.mark.parametrize("whiten", [None, "zca"])
def test_a_large_state_has_a_file_of_its_own(tmp_path, whiten):
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (200, 1, 28, 28))
    card = {"model": "lenet5", "options": {}, "classes": ["a", "b"], "input_shape": [1, 28, 28], "dtype": "float64"}
    model = saved.create(card)
    model.preprocessing = PCA.fit(X, whiten="zca") if whiten else Standardize.fit(X, each="feature")
    saved.save(tmp_path, model, card)
    written = json.loads((tmp_path / "model.json").read_text())["preprocess"]
    assert ("file" in written) == bool(whiten)
    np.testing.assert_array_equal(fn.load(tmp_path).predict(X[:3]), model.predict(X[:3]))
    if whiten:
        (tmp_path / "preprocess.npz").unlink()
        with pytest.raises(FileNotFoundError, match="preprocess.npz"):
            fn.load(tmp_path)


def test_the_command_line_offers_what_keeps_the_shape(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert set(OPTIONS) == set(PREPROCESSING) - {"pca"}
    run = str(tmp_path / "run")
    assert main(["train", "--preprocess", "whiten", "--epochs", "1", "--out", run, "--no-plot", "--quiet"]) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 0.7
    assert fn.load(run).preprocessing.whiten == "zca"


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="standardize, center.*got 'centre'"):
        fn.Solver(fn.Sequential(fn.Linear(2)), (np.zeros((4, 3)), [0, 1, 0, 1]), preprocess="centre")
