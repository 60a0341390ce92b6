"""Ensembles: the mean of probabilities, files, and what cannot be one."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Standardize
from fastnet.training import saved

CARD = {"model": "lenet5", "options": {}, "classes": list("abcd"), "input_shape": [1, 28, 28], "dtype": "float32"}


def net(seed=0, classes=4, size=6, names=None, dtype="float64"):
    model = fn.Sequential(fn.Conv2d(3, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Linear(classes))
    model.build((2, size, size), seed=seed, dtype=dtype)
    model.class_names = names
    return model


def data(N=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 2, 6, 6)), rng.integers(0, 4, N)


def softmax(scores):
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def test_the_mean_of_probabilities():
    members, (X, y) = [net(seed) for seed in range(3)], data()
    ensemble = fn.Ensemble(members)
    each = np.stack([softmax(model.predict(X)) for model in members])
    mean = each.mean(axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X), mean, rtol=1e-12)
    np.testing.assert_allclose(softmax(ensemble.predict(X, batch_size=7)), mean, rtol=1e-12)
    np.testing.assert_allclose(ensemble.spread(X), each.std(axis=0), rtol=1e-9)
    assert np.array_equal(ensemble.predict_classes(X), mean.argmax(axis=1))
    found = ensemble.evaluate(X, y)
    assert found.loss == pytest.approx(-np.log(mean[np.arange(50), y]).mean(), rel=1e-12)
    assert found.accuracy == (mean.argmax(axis=1) == y).mean()
    alone = ensemble.evaluate_each(X, y)
    assert alone == [model.evaluate(X, y) for model in members]
    assert found.loss <= np.mean([one.loss for one in alone])  # Jensen
    assert len(ensemble) == 3 and repr(ensemble) == "Ensemble(3 models, (2, 6, 6) to (4,))"


def test_one_member_is_itself():
    (X, y), model = data(), net(dtype="float32")
    X = X.astype(np.float32)
    ensemble = fn.Ensemble([model])
    assert ensemble.predict_proba(X).dtype == np.float32
    np.testing.assert_allclose(ensemble.predict_proba(X), model.predict_proba(X), rtol=1e-6)
    assert ensemble.evaluate(X, y).accuracy == model.evaluate(X, y).accuracy


def test_a_class_that_no_member_believes_in_has_a_finite_loss():
    model = net()
    model.load_state_dict({**model.state_dict(), "4.bias": np.array([0.0, -1e4, 0, 0])})
    ensemble = fn.Ensemble([model])
    loss = ensemble.evaluate(data()[0], np.ones(50, int)).loss
    assert np.isfinite(loss) and loss > 500


def test_members_prepare_their_own_images():
    X = (50 * data()[0] + 100).astype(np.uint8)
    members = [net(seed) for seed in range(2)]
    members[0].preprocessing = Standardize.fit(X)
    expected = (members[0].predict_proba(X) + members[1].predict_proba(X)) / 2
    np.testing.assert_allclose(fn.Ensemble(members).predict_proba(X), expected, rtol=1e-12)


def test_maps():
    members = []
    for seed in range(2):
        members.append(fn.Sequential(fn.Conv2d(4, 1)))
        members[-1].build((2, 6, 6), seed=seed)
    X = data()[0].astype(np.float32)
    ensemble = fn.Ensemble(members)
    assert ensemble.predict_proba(X).shape == (50, 4, 6, 6) and ensemble.predict_classes(X).shape == (50, 6, 6)
    labels = ensemble.predict_classes(X)
    assert ensemble.evaluate(X, labels).accuracy == 1


def run(folder, seed, names="abcd"):
    card = {**CARD, "classes": list(names)}
    model = saved.create(card, seed)
    folder.mkdir()
    X = np.random.default_rng(seed).integers(0, 256, (9, 1, 28, 28)).astype(np.uint8)
    model.preprocessing = Standardize.fit(X)
    saved.save(folder, model, card)
    return model, X


def test_runs_saved_and_loaded(tmp_path):
    runs = [run(tmp_path / name, seed) for seed, name in enumerate("xyz")]
    X = runs[0][1]
    ensemble = fn.Ensemble([tmp_path / "x", str(tmp_path / "y"), runs[2][0]])
    assert ensemble.class_names == tuple("abcd")
    expected = np.mean([model.predict_proba(X) for model, _ in runs], axis=0)
    np.testing.assert_allclose(ensemble.predict_proba(X), expected, rtol=1e-5)
    fn.Ensemble([tmp_path / name for name in "xyz"]).save(tmp_path / "all")
    again = fn.Ensemble.load(tmp_path / "all")
    assert np.array_equal(again.predict(X), ensemble.predict(X)) and again.card["model"] == "lenet5"


def test_models_of_your_own_saved_and_loaded(tmp_path):
    ensemble, (X, _) = fn.Ensemble([net(seed, names=tuple("abcd")) for seed in range(2)]), data()
    ensemble.save(tmp_path)
    with pytest.raises(ValueError, match="does not say how its model is built: give make"):
        fn.Ensemble.load(tmp_path)
    again = fn.Ensemble.load(tmp_path, make=net)
    assert np.array_equal(again.predict(X), ensemble.predict(X)) and again.class_names == tuple("abcd")


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: fn.Ensemble([]), ValueError, "there are no members: give at least one model"),
        (lambda: fn.Ensemble(net()), TypeError, "members must be a list of models"),
        (lambda: fn.Ensemble("runs/a"), TypeError, "members must be a list of models"),
        (lambda: fn.Ensemble(None), TypeError, "members must be a list of models"),
        (lambda: fn.Ensemble([net(), 3]), TypeError, "member 1 must be a Model or the path of one, got 3"),
        (lambda: fn.Ensemble([net(), fn.Sequential(fn.Linear(2))]), ValueError, "member 1 is not built"),
        (lambda: fn.Ensemble([net(), net(classes=5)]), ValueError, r"output shape: member 0 has \(4,\), member 1"),
        (lambda: fn.Ensemble([net(), net(size=7)]), ValueError, r"input shape: member 0 has \(2, 6, 6\)"),
        (
            lambda: fn.Ensemble([net(names=("a", "b", "c", "d")), net(names=("b", "a", "c", "d"))]),
            ValueError,
            "same class names",
        ),
        (lambda: fn.Ensemble([net(classes=1)]), ValueError, "a score for each class"),
        (lambda: fn.Ensemble(["no/such/run"]), FileNotFoundError, "no/such/run"),
        (lambda: fn.Ensemble([net()]).evaluate(data()[0], [1, 2]), ValueError, "same length, at least 1, got 50 and 2"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_damaged_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no ensemble.json"):
        fn.Ensemble.load(tmp_path)
    (tmp_path / "ensemble.json").write_text('{"members": 3}')
    with pytest.raises(ValueError, match="ensemble.json is damaged"):
        fn.Ensemble.load(tmp_path)
    model = net()
    model.preprocessing = lambda x, dtype: x
    with pytest.raises(TypeError, match="preprocessing"):
        fn.Ensemble([model]).save(tmp_path)
    assert not (tmp_path / "ensemble.json").exists()
