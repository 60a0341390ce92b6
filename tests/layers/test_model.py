"""Model: predictions as probabilities and classes, its own preprocessing, fit."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Loader, OneSize, Standardize
from fastnet.ops import REGISTRY
from fastnet.optim import SGD
from fastnet.training import History


def classifier(outputs=4, dtype="float32"):
    model = fn.Sequential(fn.Conv2d(3, 3), fn.ReLU(), fn.Flatten(), fn.Linear(outputs))
    model.build((2, 5, 5), seed=1, dtype=dtype)
    return model


def images(N=11, scale=1.0):
    return (np.random.default_rng(0).standard_normal((N, 2, 5, 5)) * scale).astype(np.float32)


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_probabilities_are_the_softmax(dtype, rtol, scale):
    model, X = classifier(dtype=dtype), images(scale=scale).astype(dtype)
    scores = model.predict(X).astype(np.float64)
    expected = np.exp(scores - scores.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    probabilities = model.predict_proba(X, batch_size=3)
    assert probabilities.dtype == dtype and np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities, expected, rtol=rtol * 10, atol=rtol)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=rtol)
    np.testing.assert_array_equal(probabilities, fn.functional.softmax(model.predict(X, batch_size=3), 1)[0])
    classes = model.predict_classes(X, 4)
    assert classes.dtype.kind == "i" and classes.shape == (11,)
    np.testing.assert_array_equal(classes, scores.argmax(1))


def test_probabilities_of_maps_and_of_nothing():
    model = fn.Sequential(fn.Conv2d(3, 1))
    X = images(3)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (3, 3, 5, 5) and model.predict_classes(X).shape == (3, 5, 5)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    model, nothing = classifier(), images(0)
    assert model.predict_proba(nothing).shape == (0, 4) and model.predict_classes(nothing).shape == (0,)


@pytest.mark.parametrize("last", [fn.Sigmoid, fn.Softmax])
def test_outputs_that_are_probabilities_already(last):
    model = fn.Sequential(fn.Flatten(), fn.Linear(3), last())
    np.testing.assert_array_equal(model.predict_proba(images()), model.predict(images()))

    class Ends(fn.Model):  # in an op rather than in a layer
        def __init__(self, op):
            self.op, self.linear = op, fn.Sequential(fn.Flatten(), fn.Linear(3))

        def children(self):
            return {"linear": self.linear}

        def setup(self, shape, rng, dtype):
            return self.linear.place(shape, rng, dtype)

        def call(self, x, training, ops):
            return getattr(ops, self.op)(ops.layer(self.linear, x, training))

    for op in {"sigmoid", "softmax"} & REGISTRY.keys():
        np.testing.assert_array_equal(Ends(op).predict_proba(images()), Ends(op).predict(images()))
    assert not np.array_equal(Ends("tanh").predict_proba(images()), Ends("tanh").predict(images()))


def test_probabilities_of_a_layer_in_numpy():
    class Twice(fn.Layer):
        def run(self, x, training, ops):
            return 2 * x, lambda dy, input_gradient=True: 2 * dy

    model = fn.Sequential(fn.Flatten(), fn.Linear(3), Twice())
    np.testing.assert_allclose(model.predict_proba(images()).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("method", ["predict_proba", "predict_classes"])
def test_a_single_output_has_no_classes(method):
    with pytest.raises(ValueError, match=rf"{method}: the model's outputs are \(1,\) for each image"):
        getattr(classifier(1), method)(images())


# ---------------------------------------------------------------- preprocessing


def test_preprocessing_is_applied_and_cannot_change_the_images():
    def halve(x, dtype):
        x *= 0.5
        return x.astype(dtype)

    model, X = classifier(), images()
    plain, original = model.predict(X), X.copy()
    expected = model.evaluate(X / 2, np.arange(11) % 4)
    half = model.predict(X / 2)
    model.preprocessing = halve
    np.testing.assert_array_equal(model.predict(X, 4), half)
    np.testing.assert_array_equal(model.predict_classes(X), half.argmax(1))
    assert model.evaluate(X, np.arange(11) % 4, 3) == pytest.approx(tuple(expected), rel=1e-6)
    np.testing.assert_array_equal(X, original)
    np.testing.assert_allclose(model(X), plain, rtol=1e-5, atol=1e-6)  # a call is the network alone


def test_solver_takes_the_preprocessing_of_the_model():
    X, y = (images(40) * 40 + 128).astype(np.uint8), np.arange(40) % 4
    model = classifier()
    model.preprocessing = own = Standardize.fit(X)
    solver = fn.Solver(model, (X, y), epochs=1, verbose=False)
    assert solver.preprocess is own
    np.testing.assert_array_equal(solver.predict(X), model.predict(X))
    assert solver.evaluate(X, y) == pytest.approx(tuple(model.evaluate(X, y)), rel=1e-6)
    fn.Solver(model, (X, y), preprocess="standardize", verbose=False)  # the same numbers
    for wrong in ({"preprocess": Standardize([0, 0], [1, 1])}, {"preprocess": lambda x, dtype: x.astype(dtype)}):
        with pytest.raises(ValueError, match="the model has its own preprocessing, Standardize.*= None first"):
            fn.Solver(model, (X, y), verbose=False, **wrong)
    with pytest.raises(ValueError, match="own preprocessing"):
        fn.Solver(model, Loader(X, y), verbose=False)
    size = X.shape[2:]
    for first, second in ((OneSize(size), OneSize(size, own)), (OneSize(size, own), OneSize(size))):
        model.preprocessing = first
        with pytest.raises(ValueError, match="own preprocessing, OneSize.*and preprocess is OneSize"):
            fn.Solver(model, (X, y), preprocess=second, verbose=False)
    model.preprocessing = own
    fn.Solver(model, Loader(X, y, preprocess=own), verbose=False)


# ---------------------------------------------------------------- fit


def test_fit_is_solver():
    X, y = images(40), np.arange(40) % 4
    options = {"batch_size": 8, "seed": 3, "verbose": False}
    model, twin = classifier(), classifier()
    history = model.fit(X, y, epochs=2, validation=(X, y), optimizer=SGD(0.1), **options)
    solver = fn.Solver(twin, (X, y), (X, y), epochs=2, optimizer=SGD(0.1), **options)
    assert isinstance(history, History) and history.losses == solver.train().losses
    assert list(history.history["val_loss"]) == solver.history.history["val_loss"] and len(history) == 2
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, twin.state_dict()[name])
    assert len(model.fit(X, y, verbose=False)) == 10


def test_fit_builds_and_remembers_its_preprocessing():
    X, y = (images(40) * 40 + 128).astype(np.uint8), np.arange(40) % 4
    model = fn.Sequential(fn.Flatten(), fn.Linear(4))
    for _ in range(2):  # a notebook's cell may be run again
        history = model.fit(X, y, 2, (X, y), preprocess="standardize", verbose=False)
    assert model.evaluate(X, y).loss == pytest.approx(history.history["val_loss"][-1], rel=1e-6)
    assert len(model.fit(X, y, 1, verbose=False)) == 1 and isinstance(model.preprocessing, Standardize)
    other = X // 2
    with pytest.raises(ValueError, match="own preprocessing"):
        model.fit(other, y, 1, preprocess="standardize", verbose=False)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation_data": 1}, "fit: Solver has no option validation_data; .*it has validation, .*batch_size"),
        ({"lr": 0.1}, "fit: Solver has no option lr; .*optimizer"),
        ({"metrics": ["accuracy"], "callback": []}, "has no option callback, metrics"),
        ({"validation": 0.1}, r"validation must be \(X, y\) or a Loader, got float"),
        ({"data": 1}, "no option data"),
        ({"epochs": 0}, "epochs must be an integer between 1"),
    ],
)
def test_fit_refuses_what_it_does_not_know(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        classifier().fit(images(8), np.arange(8) % 4, **options)


@pytest.mark.parametrize("begin", [[], [fn.Conv2d(4, 3)], [fn.Identity()]])
@pytest.mark.parametrize("preprocess", [None, "standardize", lambda x, dtype: x.astype(dtype)])
def test_examples_of_another_shape_are_refused_with_advice(begin, preprocess):
    """A model that begins with Flatten would take (N, H, W, C) and give wrong answers."""
    X, y = np.random.default_rng(0).standard_normal((12, 3, 8, 8)).astype(np.float32), np.arange(12) % 3
    model = fn.Sequential(*begin, fn.Flatten(), fn.Linear(3))
    model.fit(X, y, epochs=1, preprocess=preprocess, verbose=False)
    for other, advice in (
        (X.transpose(0, 2, 3, 1), r"\(12, 8, 8, 3\); .*X.transpose\(0, 3, 1, 2\)"),
        (X[0], r"\(3, 8, 8\); .*X\[None\]"),
        (X[0].transpose(1, 2, 0), r"\(8, 8, 3\); .*X.transpose\(2, 0, 1\)\[None\]"),
        (X[:, :2], r"\(12, 2, 8, 8\)$"),
    ):
        for call in (model.predict_classes, model.predict_proba, lambda x: model.evaluate(x, y[: len(x)])):
            with pytest.raises(ValueError, match="got (an array of )?shape " + advice):
                call(other)
    with pytest.raises(ValueError, match=r"X.transpose\(0, 3, 1, 2\)"):
        model.fit(X.transpose(0, 2, 3, 1), y, verbose=False, preprocess=model.preprocessing)
    assert model.predict_classes(X[:0]).shape == (0,)


def test_a_preprocessing_may_change_the_shape():
    X, y = np.random.default_rng(0).standard_normal((12, 8, 8, 3)).astype(np.float32), np.arange(12) % 3
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    for _ in range(2):
        model.fit(X, y, epochs=1, verbose=False, preprocess=channels_first)
    assert model.input_shape == (3, 8, 8)
    np.testing.assert_allclose(model.predict(X), model(channels_first(X, "float32")), atol=1e-4)


def channels_first(x, dtype):
    return x.transpose(0, 3, 1, 2).astype(dtype)


def test_examples_of_another_size_are_a_matter_of_the_layers():
    X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    pooled = fn.Sequential(fn.Conv2d(4, 3), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(3))
    pooled.build((3, 8, 8))
    assert pooled.predict(X.reshape(2, 3, 4, 16)).shape == pooled.predict(X).shape == (2, 3)
    flat = fn.Sequential(fn.Flatten(), fn.Linear(3))
    flat.build((3, 8, 8))
    np.testing.assert_allclose(flat.predict(X.reshape(2, -1)), flat.predict(X), atol=1e-4)
    with pytest.raises(ValueError, match=r"got shape \(2, 3, 4, 16\)$"):
        flat.predict(X.reshape(2, 3, 4, 16))


@pytest.mark.parametrize(
    "option, hint",
    [
        ({"validation_data": 0}, r"no option validation_data; give validation=\(X, y\); it has"),
        (
            {"validation_split": 0.1, "lr": 0.1},
            r"option lr, validation_split; give optimizer=optim.Adam\(lr\) and val",
        ),
        ({"shuffle": False}, "no option shuffle; it has"),
    ],
)
def test_fit_knows_other_libraries_options(option, hint):
    with pytest.raises(TypeError, match=hint):
        fn.Sequential(fn.Flatten(), fn.Linear(3)).fit(np.zeros((4, 1, 2, 2)), [0, 1, 2, 0], **option)


@pytest.mark.parametrize("method", ["predict_proba", "predict_classes"])
def test_classes_of_scores_that_are_not_finite(method):
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    model.build((1, 2, 2))
    X = np.zeros((5, 1, 2, 2), np.float32)
    X[[1, 3], 0, 0, 0] = np.nan
    with pytest.warns(UserWarning, match=f"{method}: the scores of 2 of 5 images are not finite"):
        getattr(model, method)(X)


@pytest.mark.parametrize("labels", [np.eye(3, dtype=int)[[0, 1, 2, 0]], np.zeros((4, 1), int)])
def test_evaluate_names_labels_of_another_shape(labels):
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    model.build((1, 2, 2))
    with pytest.raises((ValueError, TypeError), match="softmax_cross_entropy: labels must"):
        model.evaluate(np.zeros((4, 1, 2, 2), np.float32), labels)


def test_evaluate_takes_probabilities():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    model.build((1, 2, 2), seed=0)
    X = np.random.default_rng(0).standard_normal((4, 1, 2, 2)).astype(np.float32)
    assert model.evaluate(X, np.eye(3)[[0, 1, 2, 0]]) == model.evaluate(X, np.array([0, 1, 2, 0]))


def test_asking_for_the_shape_of_other_images_changes_nothing():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.Residual([fn.Conv2d(4, 3, padding=1)]), fn.MaxPool2d(2))
    model.build((2, 8, 8))
    before = str(model.summary())
    assert model.shape_of((2, 12, 10)) == (4, 5, 4)
    with pytest.raises(ValueError, match="input shape"):
        model.shape_of((3, 12, 10))
    assert str(model.summary()) == before and model[1].input_shape == (4, 6, 6)
