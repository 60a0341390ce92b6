"""Distillation: the loss in float64, its gradient, and students in Solver."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Loader, Standardize
from fastnet.optim import SGD
from fastnet.training import Distillation, DistillationLoader


def softmax(z):
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def given(N=6, C=4, seed=0):
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((N, C)), 3 * rng.standard_normal((N, C)), rng.integers(0, C, N)


def packed(teacher, classes):
    return np.concatenate([teacher, classes[:, None]], axis=1)


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_the_formula(T, alpha):
    scores, teacher, classes = given()
    loss, gradient = Distillation(T, alpha)(scores, packed(teacher, classes))
    p, q, hard = softmax(teacher / T), softmax(scores / T), softmax(scores)
    divergence = (p * np.log(p / q)).sum(axis=1).mean()
    cross_entropy = -np.log(hard[np.arange(6), classes]).mean()
    assert loss == pytest.approx(alpha * T * T * divergence + (1 - alpha) * cross_entropy, rel=1e-12)
    for i, j in np.ndindex(*scores.shape):
        up, down = scores.copy(), scores.copy()
        up[i, j] += 1e-6
        down[i, j] -= 1e-6
        labels = packed(teacher, classes)
        slope = (Distillation(T, alpha)(up, labels)[0] - Distillation(T, alpha)(down, labels)[0]) / 2e-6
        assert gradient[i, j] == pytest.approx(slope, abs=1e-8)


def test_a_student_that_agrees_has_no_loss():
    scores, _, classes = given()
    loss, gradient = Distillation(3.0, 1.0)(scores + 7, packed(scores, classes))
    assert loss == pytest.approx(0, abs=1e-12) and np.abs(gradient).max() < 1e-12


def test_class_numbers_alone_are_cross_entropy():
    scores, _, classes = given()
    loss, gradient = Distillation()(scores, classes)
    expected, slope = fn.losses.softmax_cross_entropy(scores, classes)
    assert loss == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)
    assert Distillation()(scores.astype(np.float32), classes)[1].dtype == np.float32


def problem(N=240, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N)
    X = rng.standard_normal((N, 1, 6, 6)) + 1.2 * (np.arange(6) // 2 == y[:, None])[:, None, None, :]
    return X.astype(np.float32), y


def net(width, seed=0):
    model = fn.Sequential(fn.Flatten(), fn.Linear(width), fn.ReLU(), fn.Linear(3))
    model.build((1, 6, 6), seed=seed)
    return model


def train(model, data, loss="softmax", epochs=8):
    options = {"verbose": False, "optimizer": SGD(0.05, 0.9), "epochs": epochs, "loss": loss}
    options |= {} if isinstance(data, Loader) else {"batch_size": 30}
    return fn.Solver(model, data, problem(150, 1), **options)


@pytest.fixture(scope="module")
def teacher():
    members = [net(32, seed) for seed in range(3)]
    for member in members:
        train(member, problem()).train()
    return fn.Ensemble(members)


def test_a_student_learns_from_an_ensemble_without_a_label(teacher):
    """alpha = 1: the labels are all wrong, and the student does not look at them."""
    X, y = problem()
    loader = DistillationLoader(X, (y + 1) % 3, teacher, batch_size=30)
    solver = train(net(16, 7), loader, Distillation(4.0, 1.0))
    history = solver.train()
    assert history.history["val_accuracy"][-1] > 0.9
    assert history.history["accuracy"][-1] < 0.1  # against the wrong labels
    found = solver.evaluate(*problem(150, 1))
    assert found.accuracy == history.history["val_accuracy"][-1]
    assert found.loss == pytest.approx(solver.model.evaluate(*problem(150, 1)).loss, rel=1e-6)


def test_scores_computed_before_or_per_batch(teacher):
    X, y = problem()
    students = []
    for source in (teacher, teacher.predict(X), teacher.members[0], teacher.members[0].predict(X)):
        students.append(net(8))
        train(students[-1], DistillationLoader(X, y, source, batch_size=30), Distillation(2.0, 0.5), epochs=2).train()
    for one, other in (students[:2], students[2:]):
        np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4, atol=1e-5)
    assert abs(students[0].predict(X) - students[2].predict(X)).max() > 1e-3


def test_the_teacher_sees_what_the_student_sees():
    X, y = problem()
    raw = (50 * X + 100).astype(np.uint8)
    model, prepare = net(8), Standardize.fit(raw)
    model.preprocessing = Standardize.fit(raw[:5])  # its own is not applied twice
    loader = DistillationLoader(
        raw, y, model, batch_size=30, preprocess=prepare, augment=[lambda x, rng: x[..., ::-1]], shuffle=False
    )
    x, labels = next(loader.batches(0))
    assert np.array_equal(x, prepare(raw[:30, ..., ::-1]))
    model.preprocessing = None
    np.testing.assert_allclose(labels[:, :3], model.predict(x), rtol=1e-6)
    assert np.array_equal(labels[:, 3], y[:30])
    ensemble = fn.Ensemble([model])
    ensemble.members[0].preprocessing = prepare
    labels = next(DistillationLoader(raw, y, ensemble, batch_size=30, preprocess=prepare, shuffle=False).batches(0))[1]
    np.testing.assert_allclose(labels[:, :3], ensemble.predict(raw[:30]), rtol=1e-5, atol=1e-6)


def test_resumed_with_the_same_bits(tmp_path, teacher):
    def solver(epochs, folder=None):
        loader = DistillationLoader(*problem(), teacher, batch_size=30)
        model, loss = net(8), Distillation(2.0, 0.5)
        return fn.Solver(model, loader, loss=loss, epochs=epochs, checkpoint=folder, verbose=False)

    whole, parts = solver(3), solver(3, tmp_path)
    whole.train()
    solver(1, tmp_path).train()
    parts.train(resume="auto")
    assert parts.history.losses == whole.history.losses


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Distillation(0), ValueError, "temperature must be > 0, got 0"),
        (lambda: Distillation(alpha=1.5), ValueError, r"alpha must be in \[0, 1\], got 1.5"),
        (lambda: Distillation("hot"), TypeError, "temperature must be a finite number"),
        (lambda: Distillation()(np.zeros((2, 3)), np.zeros((2, 3))), ValueError, r"labels must be \(2, 4\)"),
        (lambda: Distillation()(np.zeros((2, 3)), np.array([0, 3])), ValueError, r"integers in 0..2"),
        (lambda: DistillationLoader(*problem(), np.zeros((240,))), ValueError, r"or scores \(240, C\)"),
        (lambda: DistillationLoader(*problem(), np.zeros((239, 3))), ValueError, r"got float64 \(239, 3\)"),
        (lambda: DistillationLoader(*problem(), np.zeros((240, 3), int)), ValueError, "teacher must be a Model"),
        (lambda: DistillationLoader(*problem(), np.full((240, 3), np.nan)), ValueError, "hold NaN or infinities"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
