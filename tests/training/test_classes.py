"""Classes are names: another order or a subset of them is matched, other names are refused."""

import unicodedata

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Dataset, Loader
from fastnet.data.classes import match_names
from fastnet.optim import SGD
from fastnet.training import CheckpointError

NAMES = ("bird", "cat", "Hündin")


def dataset(names=NAMES, N=48, seed=0):
    """Images whose class is their brightest row; the names' rows are always the same."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % len(names)
    X = rng.normal(0, 0.3, (N, 1, 4, 4)).astype(np.float32)
    for i, label in enumerate(y):
        X[i, 0, sorted(NAMES).index(names[label])] += 2
    return Dataset(X, y, X, y, names)


def solver_of(data, model=None, **options):
    model = model or fn.Sequential(fn.Flatten(), fn.Linear(len(data.classes)))
    return fn.Solver(model, data, **{"batch_size": 12, "epochs": 4, "verbose": False, "optimizer": SGD(0.5), **options})


@pytest.fixture
def trained():
    solver = solver_of(dataset())
    solver.train()
    assert solver.evaluate(dataset().X_test, dataset().y_test).accuracy == 1
    return solver


# ---------------------------------------------------------------- names to numbers


def test_numbers_of_names():
    assert list(match_names(["a", "b"], ("a", "b"))) == [0, 1]
    assert list(match_names(["c", "a"], ["a", "b", "c"])) == [2, 0]
    assert list(match_names(["x", "x"], ["x", "x"])) == [0, 1]  # identical lists need no matching
    decomposed = [unicodedata.normalize("NFD", name) for name in NAMES]
    assert decomposed != list(NAMES) and list(match_names(decomposed[::-1], NAMES)) == [2, 1, 0]
    bare = [name.encode().decode("ascii", "surrogateescape") for name in NAMES]  # as os.listdir has them in LC_ALL=C
    assert bare != list(NAMES) and list(match_names(bare[::-1], NAMES)) == [2, 1, 0]
    latin = "caf\udce9"  # no UTF-8 at all
    assert list(match_names([latin], ["bar", latin])) == [1]


@pytest.mark.parametrize(
    "given, known, message",
    [
        (
            ["cat", "fox"],
            ["cat", "dog"],
            r"classes are 'cat', 'dog'; the data set has 'fox', which are not among them$",
        ),
        (["0", "1"], ["cat", "dog"], r"has '0', '1', which .*classes=\[\.\.\.\]"),
        (["0", "7"], ["0", "1"], r"has '7', which are not among them$"),
        (["Cat"], ["cat"], "has 'Cat'"),
        (["a", "a"], ["a", "b"], "has 'a', 'a', with repeats"),
        (["a"], ["a", "a"], "with repeats"),
        ([str(i) for i in range(40)], ["a"], "'11' and 28 more"),
    ],
)
def test_other_names_are_listed(given, known, message):
    with pytest.raises(ValueError, match=message):
        match_names(given, known)


@pytest.mark.parametrize("names", [NAMES[::-1], ("Hündin", "bird")])
def test_a_dataset_with_the_classes_of_a_model(trained, names):
    data = dataset(names, seed=1).split(0.25)
    matched = data.with_classes(trained.model.class_names)
    assert matched.classes == NAMES and matched.X_test is data.X_test
    for part in ("train", "test", "val"):
        before, after = getattr(data, f"y_{part}"), getattr(matched, f"y_{part}")
        assert [NAMES[k] for k in after] == [names[k] for k in before]
    assert trained.model.evaluate(matched.X_test, matched.y_test).accuracy == 1
    assert trained.model.evaluate(data.X_test, data.y_test).accuracy < 0.5
    with pytest.raises(ValueError, match="has 'bird', which are not among them"):
        data.with_classes(["cat", "Hündin"])


# ---------------------------------------------------------------- finetuning


@pytest.mark.parametrize("names", [NAMES[::-1], ("cat", "Hündin", "bird"), ("Hündin", "bird"), ("cat",)])
def test_another_order_or_a_subset_is_matched(trained, names):
    data, model = dataset(names, seed=1), trained.model
    before, size = model.state_dict(), len(data.y_test)
    solver = solver_of(data, model, validation=(data.X_test, data.y_test), epochs=1, optimizer=SGD(0))
    history = solver.train().history
    assert history["accuracy"] == history["val_accuracy"] == [1.0]
    assert solver.evaluate(data.X_test, data.y_test).accuracy == 1  # labels as the data set has them
    assert model.class_names == NAMES
    assert [NAMES[k] for k in model.predict_classes(data.X_test)] == [names[k] for k in data.y_test]
    loader = Loader(data.X_test, data.y_test, size)
    for other in ({"data": data.split(0.25)}, {"data": data, "validation": loader}):
        history = solver_of(model=model, epochs=1, optimizer=SGD(0), **other).train().history
        assert history["val_accuracy"] == [1.0]
    np.testing.assert_array_equal(loader.y, data.y_test)  # the user's Loader stays as it is
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_other_names_and_other_heads_are_refused(trained):
    data = dataset()
    other = Dataset(data.X_train, data.y_train, data.X_test, data.y_test, ("bird", "cat", "fox"))
    with pytest.raises(ValueError, match="has 'fox', which are not among them; set model.class_names = None"):
        solver_of(other, trained.model)
    with pytest.raises(ValueError, match="validation has label 2, but the Dataset has 2 classes"):
        solver_of(dataset(("Hündin", "bird")), trained.model, validation=(data.X_test, data.y_test))
    head = fn.Sequential(fn.Flatten(), fn.Linear(4))
    head.class_names = NAMES
    with pytest.raises(ValueError, match="class_names has 3 names, but the model gives 4 scores"):
        solver_of(data, head)
    trained.model.class_names = None
    assert solver_of(other, trained.model).model.class_names == other.classes


def test_arrays_have_no_names(trained):
    data = dataset(NAMES[::-1])
    solver = solver_of(data, trained.model)
    plain = fn.Solver(trained.model, (data.X_train, 2 - data.y_train), verbose=False)
    np.testing.assert_array_equal(plain.loader.y, solver.loader.y)
    fresh = fn.Sequential(fn.Flatten(), fn.Linear(7))
    assert solver_of(data, fresh).model.class_names is None  # three names for seven scores


# ---------------------------------------------------------------- resuming


def test_a_run_goes_on_with_the_classes_in_another_order(tmp_path):
    whole = solver_of(dataset(), optimizer=SGD(0.1), validation=None)
    whole.train()
    solver_of(dataset(), optimizer=SGD(0.1), epochs=2, checkpoint=tmp_path).train()
    data, numbers = dataset(), np.array([2, 0, 1])  # number k becomes numbers[k]
    names = tuple(np.array(NAMES)[np.argsort(numbers)])
    other = Dataset(data.X_train, numbers[data.y_train], data.X_test, numbers[data.y_test], names)
    resumed = solver_of(other, optimizer=SGD(0.1), validation=(other.X_test, other.y_test))
    resumed.train(resume=tmp_path)
    assert resumed.history.losses == whole.history.losses and resumed.model.class_names == NAMES
    assert resumed.history.history["val_accuracy"][-1] == resumed.evaluate(other.X_test, other.y_test).accuracy > 0.9
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])


def test_a_run_does_not_go_on_with_other_classes(tmp_path):
    solver_of(dataset(), epochs=1, checkpoint=tmp_path).train()
    data = dataset()
    fox = Dataset(data.X_train, data.y_train, data.X_test, data.y_test, ("bird", "cat", "fox"))
    with pytest.raises(CheckpointError, match="saved with other classes: .* has 'fox', which are not among them"):
        solver_of(fox).train(resume=tmp_path)
    with pytest.raises(CheckpointError, match="saved with other classes"):
        solver_of(dataset(NAMES[:2])).train(resume=tmp_path)
    arrays = fn.Solver(
        fn.Sequential(fn.Flatten(), fn.Linear(3)), (data.X_train, data.y_train), batch_size=12, verbose=False
    )
    arrays.optimizer = SGD(0.5)
    arrays.train(resume=tmp_path)
    assert arrays.model.class_names == NAMES
