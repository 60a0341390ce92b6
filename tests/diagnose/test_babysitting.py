"""Sanity checks, range tests and live diagnosis: sound networks pass, each fault is named, models are left alone."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import fastnet as fn
from fastnet import diagnose, initializers, optim
from fastnet.diagnose.causes import course
from fastnet.diagnose.symptoms import symptoms
from fastnet.training import Solver

RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((4, 10))


def clusters(n=200, noise=0.3, seed=1):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    return (CENTRES[y] + noise * rng.standard_normal((n, 10))).astype(np.float32), y


def net(weights="kaiming_normal", depth=3, activation=fn.ReLU, width=30, last=0.01):
    hidden = [layer for _ in range(depth) for layer in (fn.Linear(width), activation())]
    model = fn.Sequential(*hidden, fn.Linear(4))
    model.build((10,))
    initializers.initialize(model, weights, seed=2)
    if last is not None:
        model[-1].weight.value *= np.float32(last)
    return model


def scaled(std):
    return lambda rng, shape: initializers.normal(rng, shape, std)


def text_of(check):
    return " ".join(str(check).split())


# ---------------------------------------------------------------- sanity checks


@pytest.mark.parametrize(("loss", "expected"), [("softmax", math.log(4)), ("svm", 3.0)])
def test_a_sound_network_passes_and_is_restored(loss, expected, tmp_path):
    model = fn.Sequential(fn.Linear(30), fn.BatchNorm1d(), fn.ReLU(), fn.Dropout(0.1), fn.Linear(4))
    model.build((10,))
    model[4].weight.value *= np.float32(0.01)
    before, streams = model.state_dict(), model.rng_state()
    check = diagnose.sanity_check(model, clusters(), loss=loss, batch_size=50)
    assert check.ok and [step.status for step in check.steps] == ["ok"] * 4, check
    assert f"with equal scores it is {expected:.4g}" in text_of(check) and "accuracy 100 %" in text_of(check)
    assert check.rate in (0.1, 0.01) and "ready to train, with a rate of about" in str(check)
    assert set(check.search) == {1e-1, 1e-2, 1e-3, 1e-4} and len(check.search[0.1].losses) == 100
    assert model.rng_state() == streams and all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    check.plot(tmp_path / "check.png")
    assert (tmp_path / "check.png").stat().st_size > 5000 and "<table>" in check._repr_html_()


def test_the_penalty_is_what_the_loss_rises_by():
    model = net()
    squares = sum(float((p.value.astype(float) ** 2).sum()) for p in model.parameters() if p.value.ndim > 1)
    line = diagnose.sanity_check(model, clusters(), iterations=2, epochs=1).steps[1].lines[0]
    plain = diagnose.sanity_check(model, clusters(), iterations=2, epochs=1).steps[0].lines[0]
    assert float(line.split("the penalty is ")[1]) == pytest.approx(float(plain.split(";")[0]), rel=0.02)
    assert squares > 1


FAULTS = {
    "constant weights": (lambda: net("ones", last=None), ["all rows are equal of 0.weight", "bad initialization"]),
    "zeros": (lambda: net("zeros"), ["no penalty shows", "the gradient is 0 of 0.weight", "rate is too low, or"]),
    "small": (lambda: net(scaled(1e-3), 6, fn.Tanh), ["the activations vanish", "barely changing", "prime suspect"]),
    "large": (lambda: net(scaled(30.0), last=None), ["higher than chance", "the activations explode", "bad"]),
    "saturated": (lambda: net(scaled(9.0), 4, fn.Tanh, last=None), ["are saturated, where gradients vanish"]),
    "one unit": (lambda: net(depth=1, width=1), ["the loss falls, but", "too small"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault):
    make, words = FAULTS[fault]
    check = diagnose.sanity_check(make(), clusters(), batch_size=50, epochs=100, iterations=40)
    assert not check.ok and "not ready to train" in str(check)
    for word in words:
        assert word in text_of(check), f"{word!r} is not in\n{check}"


def test_rates_that_explode_or_do_nothing():
    model = net()
    check = diagnose.sanity_check(model, clusters(), rates=[1e4], epochs=20, iterations=30)
    assert not check.ok and "the learning rate is too high, or the initialization is bad" in text_of(check)
    assert check.rate is None and "explodes at every rate" in text_of(check)
    check = diagnose.sanity_check(model, clusters(), rates=[1e-9], epochs=20, iterations=30)
    assert "the learning rate is too low, or the initialization is bad" in text_of(check) and not check.ok
    check = diagnose.sanity_check(model, clusters(), rates=[1e4, 1e-9], epochs=20, iterations=30)
    assert "no rate between those" in text_of(check)


def test_symptoms_of_dead_units_and_of_data():
    X, y = clusters(40)
    X[1], X[5] = X[0], X[4]  # under labels 1 and 0, 1 and 0
    model = net()
    model[0].bias.value[:20] = -100
    found = symptoms(model, fn.data.Loader(X, y), fn.losses.softmax_cross_entropy)
    assert any("67% of the units of layer 1 (ReLU) are 0 for every example: dead" in line for line in found)
    assert "2 of the images appear again under another label" in found
    X[3, 3] = np.inf
    assert "the preprocessed images hold NaN or infinities" in symptoms(
        net(), fn.data.Loader(X, y, dtype="float32"), fn.losses.softmax_cross_entropy
    )


def test_courses_of_losses():
    falling = np.linspace(2, 1, 100)
    assert course(falling) == "falls" and course(np.full(100, 2.0)) == "flat"
    assert course([2, 3, 7]) == "explodes" and course([2.0, 1.0, math.nan]) == "explodes"
    assert course([2.0] * 50 + list(falling)) == "slow"
    assert course([2.0, 1.0]) == "falls" and course(falling[::-1]) == "explodes"


def test_regression_and_wrong_arguments():
    X, _ = clusters()
    model = fn.Sequential(fn.Linear(20), fn.ReLU(), fn.Linear(1))
    model.build((10,))
    check = diagnose.sanity_check(model, (X, X[:, :1]), loss="mse", iterations=30)
    assert "regression" in check.steps[0].lines[0] and "accuracy" not in str(check) and check.ok
    with pytest.raises(ValueError, match=r"rates must be positive numbers, at least one, got \[\]"):
        diagnose.sanity_check(model, clusters(), rates=[])
    with pytest.raises(TypeError, match="model must be a fastnet.Model"):
        diagnose.sanity_check(fn.ReLU(), clusters())
    with pytest.raises(ValueError, match="needs 0 < low < high, got low=1, high=0.1"):
        diagnose.lr_range_test(model, clusters(), low=1, high=0.1)


# ---------------------------------------------------------------- the range test


def test_the_range_test_finds_a_rate_that_works(tmp_path):
    model = net()
    before = model.state_dict()
    test = diagnose.lr_range_test(model, clusters(), batch_size=50)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    assert test.rates[0] == 1e-6 and np.allclose(np.diff(np.log(test.rates)), np.log(1e7) / 99)
    assert test.low <= test.suggestion <= test.high and 1e-3 < test.suggestion < 1
    assert len(test.losses) == len(test.rates) == len(test.smooth)
    history = model.fit(*clusters(), epochs=10, batch_size=50, optimizer=optim.SGD(test.suggestion, 0.9), verbose=False)
    assert history.history["accuracy"][-1] == 1
    assert f"take about {test.suggestion:.1e}" in str(test)
    test.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 5000


def test_the_range_test_says_when_nothing_falls():
    test = diagnose.lr_range_test(net(scaled(1e-3), 6, fn.Tanh), clusters(), high=1e-2)
    assert test.suggestion is None and "the learning rate is too low, or the initialization is bad" in str(test)


# ---------------------------------------------------------------- callbacks


def train(model, *callbacks, epochs=5, lr=0.1, data=None, validation=None, **options):
    X, y = data or clusters()
    solver = Solver(
        *(model, (X, y), validation),
        optimizer=optim.SGD(lr, 0.9),
        **{"epochs": epochs, "batch_size": 20, "verbose": False, "callbacks": list(callbacks), **options},
    )
    solver.train()
    return solver


def test_update_ratios_are_those_of_the_updates(tmp_path):
    model, ratios = net(), diagnose.UpdateRatios(every=3)
    seen = []

    class Weights(fn.training.Callback):
        def on_iteration_end(self, solver):
            seen.append(solver.model[0].weight.value.copy())

    train(model, Weights(), ratios, epochs=2)
    assert ratios.iterations == [3, 6, 9, 12, 15, 18] and set(ratios.ratios) == {f"{n}.weight" for n in (0, 2, 4, 6)}
    for iteration, ratio in zip(ratios.iterations, ratios.ratios["0.weight"], strict=True):
        old, new = seen[iteration - 2], seen[iteration - 1]
        assert ratio == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(old), rel=1e-5)
    assert "median of the last update ratios" in str(ratios)
    ratios.plot(tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 5000


@pytest.mark.parametrize(("lr", "word"), [(1e-6, "probably too low"), (1e-3, "about 1e-3 is good"), (0.1, "too high")])
def test_update_ratios_judge_the_rate(lr, word):
    ratios = diagnose.UpdateRatios(every=4)
    train(net(last=None), ratios, epochs=1, lr=lr, data=clusters(noise=3.0))
    assert word in ratios.sentence()
    assert "no update was measured" in diagnose.UpdateRatios().sentence()


def kinds(watch):
    return [finding.kind for finding in watch.findings]


def test_live_diagnosis_of_a_sound_run(capsys):
    watch = diagnose.LiveDiagnosis()
    train(net(), watch, validation=clusters(seed=3), verbose=True, epochs=12)
    assert watch.findings == [] and "iteration" not in capsys.readouterr().out


def test_live_diagnosis_of_a_flat_run_and_a_slow_start(capsys):
    watch = diagnose.LiveDiagnosis(patience=40)
    model = net(scaled(0.08), 5, fn.Tanh)
    train(model, watch, epochs=200, lr=0.05, verbose=True)
    assert kinds(watch)[:2] == ["flat", "slow start"], watch.findings
    assert watch.findings[0].iteration == 40
    assert "the learning rate is too low, or the initialization is bad" in watch.findings[0].text
    assert "bad initialization is the prime suspect" in watch.findings[1].text
    printed = capsys.readouterr().out
    assert printed.count("barely changing") == 1 and printed.count("prime suspect") == 1


def test_live_diagnosis_of_dead_units():
    watch = diagnose.LiveDiagnosis()
    train(net(last=None), watch, lr=0.8, epochs=12)
    assert any(kind.startswith("units of") for kind in kinds(watch)), watch.findings
    assert "the learning rate is or was too high, or the initialization is bad" in watch.findings[0].text
    assert len(kinds(watch)) == len(set(kinds(watch)))


@pytest.mark.parametrize(
    ("late", "kind", "text"),
    [
        (9.0, "exploding", "loss 9, at first 2.5: the loss explodes: the learning rate is too high, or the init"),
        (2.6, "relapse", "loss 2.6, at first 2.5: the loss has risen again to where it began: the learning rate is"),
    ],
)
def test_live_diagnosis_of_losses_that_rise(late, kind, text):
    watch, said = diagnose.LiveDiagnosis(), []
    run = SimpleNamespace(iteration=0, history=fn.training.History(), report=said.append)
    for loss in [2.5] * 10 + [1.0] * 90 + [late] * 200:
        run.history.losses.append(loss)
        run.iteration += 1
        watch.on_iteration_end(run)
    assert kinds(watch) == [kind] and watch.findings[0].iteration == 120 and text in watch.findings[0].text
    assert said == [f"iteration 120: {watch.findings[0].text}"]


def test_live_diagnosis_of_overfitting():
    X, y = clusters(60, noise=2.5)
    watch = diagnose.LiveDiagnosis()
    train(net(width=100), watch, data=(X, y), validation=clusters(300, noise=2.5, seed=5), epochs=40, lr=0.05)
    assert {"overfitting", "validation loss rises"} <= set(kinds(watch)), watch.findings
    watch = diagnose.LiveDiagnosis()
    small = fn.Sequential(fn.Linear(4))
    train(small, watch, data=clusters(2000, 2.5), validation=clusters(2000, 2.5, seed=5), epochs=3, lr=0.01)
    assert kinds(watch) == ["no gap"]


def test_callbacks_resume(tmp_path):
    options = {"checkpoint": tmp_path, "data": clusters(60, noise=2.5)}
    first = [diagnose.UpdateRatios(2), diagnose.LiveDiagnosis(patience=20)]
    train(net(scaled(1e-4)), *first, epochs=40, lr=1e-6, **options)
    again = [diagnose.UpdateRatios(2), diagnose.LiveDiagnosis(patience=20)]
    solver = Solver(
        net(),
        options["data"],
        epochs=41,
        batch_size=20,
        callbacks=again,
        checkpoint=tmp_path,
        verbose=False,
        optimizer=optim.SGD(1e-6, 0.9),
    )
    solver.train(resume="auto")
    assert again[0].ratios["0.weight"][: len(first[0].iterations)] == first[0].ratios["0.weight"]
    assert kinds(again[1]) == kinds(first[1]) == ["flat"] and again[1].findings == first[1].findings


@pytest.mark.parametrize("check", [diagnose.sanity_check, diagnose.lr_range_test])
def test_a_model_that_cannot_be_trained_is_an_error(check):
    frozen = net()
    frozen.freeze()
    for model in (frozen, fn.Sequential(fn.ReLU())):
        with pytest.raises(ValueError, match="no parameter that could be trained: it has none, or all are frozen"):
            check(model, clusters(), iterations=10)


def test_images_that_are_not_finite_are_named():
    X, y = clusters()
    X[3, 2] = np.nan
    check = diagnose.sanity_check(net(), (X, y), epochs=2, iterations=3)
    assert not check.ok and "the preprocessed images hold NaN or infinities" in str(check)


@pytest.mark.parametrize("check", [diagnose.sanity_check, diagnose.lr_range_test])
def test_an_optimizer_is_a_function_of_the_rate(check):
    for wrong in ("sgd", optim.SGD(0.1), None):
        with pytest.raises(TypeError, match=f"{check.__name__}: optimizer must be a function of the rate, such as"):
            check(net(), clusters(), optimizer=wrong)
    with pytest.raises(TypeError, match="sanity_check: rates must be a sequence of numbers, got 0.1"):
        diagnose.sanity_check(net(), clusters(), rates=0.1)
