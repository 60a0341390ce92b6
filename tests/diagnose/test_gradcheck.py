"""Gradient checks: right gradients pass, planted errors are found and named, kinks and noise are dealt with."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import losses
from fastnet.diagnose.gradient_report import verdict

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((6, 3, 8, 8)).astype(np.float32), np.arange(6) % 5


def net(dtype="float32"):
    model = fn.Sequential(
        *(fn.Conv2d(4, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2), fn.Flatten()),
        *(fn.Dropout(0.5), fn.Linear(20), fn.Tanh(), fn.Linear(5)),
    )
    model.build((3, 8, 8), dtype=dtype)
    return model


@pytest.mark.parametrize("loss", ["softmax", "svm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_passes_and_does_not_change(loss, dtype):
    model = net(dtype)
    before, streams = model.state_dict(), model.rng_state()
    check = fn.gradcheck(model, X, LABELS, loss=loss)
    assert check.ok and check.error < 1e-6
    assert [entry.name for entry in check.entries] == ["x", *(p.name for p in model.parameters())]
    assert {c.kink for entry in check.entries for c in entry.coordinates if entry.name.startswith("8.")} == {False}
    assert model.rng_state() == streams and model.dtype == dtype
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


class Scale(fn.Layer):
    """weight * x, in NumPy; the gradient of one weight is wrong by a factor."""

    factor = 1.0

    def setup(self, shape, rng, dtype):
        self.parameter("weight", shape, "ones", rng, dtype)
        return shape

    def run(self, x, training, ops):
        def backward(dy, input_gradient=True):
            gradient = (dy * x).sum(axis=0)
            gradient[3] *= self.factor
            self.weight.accumulate(gradient)
            return dy * self.weight.value if input_gradient else None

        return x * self.weight.value, backward


@pytest.mark.parametrize(("factor", "word"), [(1.0, ""), (1.001, "uncomfortable"), (1.1, "wrong")])
def test_a_planted_error_is_named(factor, word):
    layer = Scale()
    layer.factor = factor
    model = fn.Sequential(fn.Flatten(), fn.Linear(7), layer, fn.Linear(5))
    model.build((3, 8, 8))
    check = fn.gradcheck(model, X, LABELS, samples=None)
    assert check.ok == (not word)
    if word:
        name, at = check.worst
        assert (name, at.index) == ("2.weight", (3,)) and verdict(at.error) == word
        assert f"{word.upper()}: the gradient of 2.weight[3] is" in str(check)
        assert [verdict(entry.worst.error) for entry in check.entries].count("happy") == 5


def test_layers_without_labels():
    for layer in (
        fn.Conv2d(4, 3),
        fn.BatchNorm2d(),
        fn.GELU(),
        fn.MaxPool2d(2),
        fn.Dropout(0.3),
        fn.Residual(fn.ReLU()),
    ):
        check = fn.gradcheck(layer, X)
        assert check.ok, check
    check = fn.gradcheck(fn.BatchNorm2d(), X, training=False)
    assert check.ok and len(check.entries) == 3


def test_functions():
    assert fn.gradcheck(losses.softmax_cross_entropy, X[:, :, 0, 0], np.arange(6) % 3).error < 1e-7
    assert fn.gradcheck(losses.huber, X, X + 0.7).ok
    check = fn.gradcheck(fn.functional.conv2d, X, RNG.standard_normal((4, 3, 3, 3)), np.zeros(4))
    assert check.ok and [entry.name for entry in check.entries] == ["x", "argument 1", "argument 2"]
    assert fn.gradcheck(lambda x: (x**3).sum(), X, gradient=3 * X.astype(float) ** 2).ok
    assert not fn.gradcheck(lambda x: (x**3).sum(), X, gradient=3.1 * X.astype(float) ** 2).ok
    assert fn.gradcheck(lambda x: (x**3).sum(), X, gradient=np.full(X.shape, np.nan)).error == np.inf


@pytest.mark.parametrize(("scheme", "slope"), [("centred", 2), ("one-sided", 1)])
def test_the_error_falls_with_the_right_power_of_h(scheme, slope):
    """Of exp, the centred difference's relative error is h**2 / 6, the one-sided one's h / 2."""
    x = np.array([0.3])
    steps = (1e-2, 1e-3)
    errors = [fn.gradcheck(lambda x: np.exp(x).sum(), x, gradient=np.exp(x), h=h, scheme=scheme).error for h in steps]
    for h, error in zip(steps, errors, strict=True):
        assert error == pytest.approx(h**2 / 6 if scheme == "centred" else h / 2, rel=0.02)
    assert np.log10(errors[0] / errors[1]) == pytest.approx(slope, abs=0.02)


KINKED = {
    "ReLU": (fn.ReLU(), [0.0]),
    "LeakyReLU": (fn.LeakyReLU(0.1), [0.0]),
    "ReLU6": (fn.ReLU6(), [0.0, 6.0]),
    "Hardswish": (fn.Hardswish(), [-3.0, 3.0]),
    "Hardsigmoid": (fn.Hardsigmoid(), [-3.0, 3.0]),
    "ELU": (fn.ELU(0.5), [0.0]),
    "smooth ELU": (fn.ELU(), []),
    "SELU": (fn.SELU(), [0.0]),
    "PReLU": (fn.PReLU(), [0.0]),
    "SiLU": (fn.SiLU(), []),
    "Tanh": (fn.Tanh(), []),
}


@pytest.mark.parametrize("name", KINKED)
def test_kinks_of_activations(name):
    layer, kinks = KINKED[name]
    x = np.array([[-3.0, -1.0, 0.0, 1.0, 3.0, 6.0]]) + 0.00003
    check = fn.gradcheck(layer, x, h=1e-4, samples=None)
    found = [x[c.index] - 0.00003 for c in check.entries[0].coordinates if c.kink]
    assert found == pytest.approx(kinks) and check.ok


def test_kinks_of_maxima_and_margins():
    x = np.array([[[[1.0, 1.0005], [0.0, 0.5]]]])
    check = fn.gradcheck(fn.MaxPool2d(2), x, h=1e-3, samples=None)
    assert [c.kink for c in check.entries[0].coordinates] == [True, True, False, False]
    assert "2 of 4 coordinates were left out" in str(check) and check.ok
    scores = np.array([[0.0, -0.9997, 5.0, -5.0]])
    check = fn.gradcheck(losses.svm, scores, np.array([0]), h=1e-3, samples=None)
    assert [c.kink for c in check.entries[0].coordinates] == [True, True, False, False]  # 0.0003 inside the margin
    check = fn.gradcheck(fn.ReLU(), np.zeros((1, 3)))
    assert not check.ok and "nothing could be checked" in str(check)


def test_kinks_of_maxout():
    check = fn.gradcheck(fn.Maxout(2), np.array([[1.0, 1.0005, 3.0, 0.0]]), h=1e-3, samples=None)
    assert [c.kink for c in check.entries[0].coordinates] == [True, True, False, False] and check.ok


def test_the_report_and_its_thresholds():
    assert [verdict(e) for e in (np.inf, np.nan, 0.02, 5e-3, 1e-4, 2e-7, 1e-7, 0)] == [
        *("wrong", "wrong", "wrong", "uncomfortable", "fine with kinks", "fine with kinks", "happy", "happy")
    ]
    check = fn.gradcheck(net(), X, LABELS)
    assert "8.weight" in str(check) and "the gradients agree" in str(check)
    assert check._repr_html_().startswith("<table><caption>the gradients agree")
    assert all(len(entry.coordinates) <= 11 for entry in check.entries)
    largest = fn.gradcheck(lambda x: (x**3).sum(), X, gradient=3 * X.astype(float) ** 2, samples=1)
    assert np.unravel_index(abs(X).argmax(), X.shape) in [c.index for c in largest.entries[0].coordinates]


def test_errors():
    noise = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two calls with the same arguments give .* freeze the noise"):
        fn.gradcheck(lambda x: x.sum() + noise.random(), X, gradient=np.ones(X.shape))
    with pytest.raises(ValueError, match="scheme must be 'centred' or 'one-sided', got 'both'"):
        fn.gradcheck(fn.ReLU(), X, scheme="both")
    with pytest.raises(ValueError, match="h must be positive, got 0"):
        fn.gradcheck(fn.ReLU(), X, h=0)
    with pytest.raises(TypeError, match=r"must return \(loss, gradient\), \(y, backward\), or a number"):
        fn.gradcheck(lambda x: x, X)
    with pytest.raises(TypeError, match="a layer takes x, or x and labels"):
        fn.gradcheck(fn.ReLU(), X, X, X)
    with pytest.raises(TypeError, match="target must be a layer or a function, got 3"):
        fn.gradcheck(3, X)
    with pytest.raises(ValueError, match="the function is nan at x"):
        fn.gradcheck(lambda x: float("nan"), X, gradient=X)
    with pytest.raises(ValueError, match=r"x has shape \(6, 3, 8, 8\), its gradient \(6,\)"):
        fn.gradcheck(lambda x: x.sum(), X, gradient=np.ones(6))
