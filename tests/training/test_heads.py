"""Auxiliary heads: what training adds, what inference ignores, and what refuses them."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from isas import needs_kernels
from small_runs import problem

import fastnet as fn
from fastnet import losses, models
from fastnet.heads import WithAuxiliary


def body(classes=3):
    return fn.Sequential(
        a=[fn.Conv2d(4, 3, padding=1), fn.ReLU()],
        b=[fn.Conv2d(5, 3, padding=1), fn.ReLU()],
        flatten=fn.Flatten(),
        fc=fn.Linear(classes),
    )


def head(classes=3):
    return fn.Sequential(flatten=fn.Flatten(), fc=fn.Linear(classes))


def net(weight=0.3, classes=3):
    return fn.AuxiliaryHeads(body(classes), {"aux1": ("a", head(classes)), "aux2": ("b", [*head(classes)])}, weight)


def test_training_gives_all_scores_and_inference_the_body_s():
    model, x = net(), problem(6)[0]
    model.build((2, 4, 4), seed=2, dtype="float64")
    x = x.astype(np.float64)
    plain = body()
    plain.build((2, 4, 4), dtype="float64")
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "aux" not in name})
    scores, _ = model.forward(x, training=True)
    assert scores.shape == (6, 9) and model.output_shape == (3,)
    first = x if not len(x) else plain[0](x)
    np.testing.assert_allclose(scores[:, :3], plain(x), rtol=1e-13)
    np.testing.assert_allclose(scores[:, 3:6], model["aux1"](first), rtol=1e-13)
    np.testing.assert_allclose(scores[:, 6:], model["aux2"](plain[1](first)), rtol=1e-13)
    for infer in (model, model.predict, model.compile(2)):
        np.testing.assert_allclose(infer(x), plain(x), rtol=1e-12)
    assert {name.split(".")[0] for name in model.state_dict()} == {"a", "b", "fc", "aux1", "aux2"}


@needs_kernels
@pytest.mark.parametrize("loss", ["softmax", "svm", partial(losses.softmax_cross_entropy, label_smoothing=0.1)])
def test_recorded_steps_have_the_same_bits(loss):
    """Losses, scores and gradients of steps that run in one call, and of a forward and a backward pass."""
    model, (X, y) = net(0.4), problem(5)
    model.build((2, 4, 4), seed=3)
    plan, whole = fn.TrainingPlan(model, loss), WithAuxiliary(loss, model.auxiliary)
    for _ in range(3):
        model.zero_grad()
        total, scores = plan(X, y)
        assert not plan.reason and scores.shape == (5, 3)
        got = [parameter.grad for parameter in model.parameters()]
        model.zero_grad()
        every, backward = model.forward(X, training=True)
        expected, gradient = whole(every, y)
        backward(gradient)
        assert total == expected
        np.testing.assert_array_equal(scores, every[:, :3])
        for one, parameter in zip(got, model.parameters(), strict=True):
            np.testing.assert_array_equal(one, parameter.grad)
            parameter.value -= np.float32(0.1) * one


@pytest.mark.parametrize("weight", [0.3, 0.0, 2.0])
def test_gradients_are_the_weighted_sum(weight):
    """Central differences of the total loss, in float64."""
    model, (X, y) = net(weight), problem(5)
    model.build((2, 4, 4), seed=3, dtype="float64")
    X, loss = X.astype(np.float64), WithAuxiliary("softmax", model.auxiliary)
    plan = fn.TrainingPlan(model)
    total, scores = plan(X, y)
    assert scores.shape == (5, 3)
    np.testing.assert_array_equal(scores, model.forward(X, training=True)[0][:, :3])
    every = model.forward(X, training=True)[0]
    parts = [losses.softmax_cross_entropy(np.ascontiguousarray(every[:, k : k + 3]), y)[0] for k in (0, 3, 6)]
    assert total == pytest.approx(parts[0] + weight * (parts[1] + parts[2]), rel=1e-13)
    rng, h = np.random.default_rng(0), 1e-6
    for parameter in model.parameters():
        v = rng.normal(size=parameter.shape)
        sides = []
        for sign in (1, -2):
            parameter.value += sign * h * v
            sides.append(loss(model.forward(X, training=True)[0], y)[0])
        parameter.value += h * v
        slope = (sides[0] - sides[1]) / (2 * h)
        assert float((parameter.grad * v).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-8), parameter.name


@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_solver_fit_and_evaluate(loss, tmp_path):
    X, y = problem(300)
    model = net()
    solver = fn.Solver(
        model, (X, y), problem(60, seed=1), loss=loss, epochs=4, optimizer=fn.optim.Adam(1e-2), verbose=False,
        batch_size=32, checkpoint=tmp_path / "one",
    )  # fmt: skip
    history = solver.train()
    assert history.history["val_accuracy"][-1] > 0.95
    result = model.evaluate(*problem(60, seed=1), loss=loss)
    assert result.loss == pytest.approx(history.history["val_loss"][-1], rel=1e-4)
    assert history.history["loss"][-1] > result.loss or history.history["loss"][-1] < 0.5
    other = net()
    for epochs, resume in ((2, None), (4, "auto")):
        fn.Solver(
            other, (X, y), loss=loss, epochs=epochs, optimizer=fn.optim.Adam(1e-2), verbose=False, batch_size=32,
            checkpoint=tmp_path / "other",
        ).train(resume)  # fmt: skip
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name])


def test_training_loss_counts_the_heads():
    X, y = problem(64)
    with_heads, without = net(), net(weight=0.0)
    losses_of = []
    for model in (with_heads, without):
        model.build((2, 4, 4), seed=1)
        losses_of.append(fn.TrainingPlan(model)(X, y)[0])
    assert losses_of[0] > 1.3 * losses_of[1]


def test_debug_looks_at_every_head_s_gradient():
    model, (X, y) = net(), problem(32)
    X[5, 0, 0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="the data"):
        fn.Solver(model, (X, y), epochs=1, verbose=False, debug="nan").train()


def test_a_loss_of_one_s_own():
    """It sees (N, C), whatever the number of heads, and may work in place."""
    shapes = []

    def loss(scores, labels):
        shapes.append(scores.shape)
        result = losses.softmax_cross_entropy(scores, labels)
        scores[...] = 0
        return result

    model, (X, y) = net(), problem(8)
    model.build((2, 4, 4), seed=1)
    total, scores = fn.TrainingPlan(model, loss)(X, y)
    assert shapes == [(8, 3)] * 3 and scores.any()
    model.zero_grad()
    assert total == fn.TrainingPlan(model)(X, y)[0]


def test_a_copied_plan():
    model, (X, y) = net(), problem(8)
    model.build((2, 4, 4), seed=1)
    plan = pickle.loads(pickle.dumps(fn.TrainingPlan(model)))
    assert plan(X, y)[0] == fn.TrainingPlan(model)(X, y)[0]


def test_the_summary_has_the_heads():
    model = net()
    model.build((2, 4, 4))
    rows = [row.name for row in model.summary().rows]
    assert "aux1.fc" in rows and "fc" in rows


@needs_kernels
def test_profile():
    model = net()
    model.build((2, 4, 4))
    assert "aux2" in str(model.profile(problem(4)[0], seconds=0.01))


def test_frozen_body():
    model, (X, y) = net(), problem(8)
    model.build((2, 4, 4), seed=1)
    model.freeze("a")
    fn.TrainingPlan(model)(X, y)
    assert {p.name.split(".")[0] for p in model.parameters() if p.grad is not None} == {"b", "fc", "aux1", "aux2"}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fn.AuxiliaryHeads([fn.ReLU()], {}), TypeError, "body must be a Sequential, got list"),
        (lambda: fn.AuxiliaryHeads(body(), {}), TypeError, "heads must be a dict"),
        (lambda: fn.AuxiliaryHeads(body(), {"a": ("a", head())}), ValueError, "a name of its own, got 'a'"),
        (lambda: fn.AuxiliaryHeads(body(), {"aux.1": ("a", head())}), ValueError, "without a dot, got 'aux.1'"),
        (lambda: fn.AuxiliaryHeads(body(), {"aux": ("c", head())}), ValueError, "one of a, b, flatten, fc"),
        (lambda: fn.AuxiliaryHeads(body(), {"aux": head()}), ValueError, "must be .layer's name, layers."),
        (lambda: net(-0.1), ValueError, "must not be negative, got -0.1"),
        (lambda: net(float("nan")), ValueError, "finite"),
        (lambda: fn.Sequential(net(), fn.ReLU()), ValueError, "several outputs in training"),
        (lambda: fn.Residual(net()), ValueError, "several outputs in training"),
        (lambda: WithAuxiliary("nothing", (0.3,)), ValueError, "loss must be one of"),
        (lambda: WithAuxiliary("softmax", ("a",)), TypeError, "WithAuxiliary: a weight must be"),
        (lambda: WithAuxiliary("softmax", (0.3,))(np.ones((2, 3), np.float32), [0, 1]), ValueError, "of 2 outputs"),
    ],
)
def test_mistakes(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_heads_must_give_the_body_s_scores():
    model = fn.AuxiliaryHeads(body(3), {"aux": ("a", head(4))})
    with pytest.raises(ValueError, match=r"the body gives \(3,\), and aux gives \(4,\)"):
        model.build((2, 4, 4))


def test_googlenet():
    model = models.googlenet(num_classes=5, input_shape=(3, 32, 32), aux_logits=True, seed=1)
    assert model.auxiliary == (0.3, 0.3)
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    scores, backward = model.forward(x, training=True)
    assert scores.shape == (2, 15) and model(x).shape == (2, 5)
    backward(np.ones_like(scores))
    assert all(p.grad is not None and np.isfinite(p.grad).all() for p in model.parameters(requires_grad=True))
    with pytest.raises(ValueError, match="googlenet cannot take images of shape .3, 67, 70.*avg_pool2d: kernel 5x5"):
        models.googlenet(input_shape=(3, 67, 70), aux_logits=True)


@pytest.mark.parametrize("how", ["objective", "statistics", "sanity", "symptoms", "gradcheck"])
def test_whoever_trains_or_diagnoses_takes_the_loss_of_each_output(how):
    model, (X, y) = net(0.5), problem(20)
    model.build((2, 4, 4), seed=0, dtype="float64")
    X = X.astype(np.float64)

    def of_the_body_s_shape(scores, labels):
        assert scores.shape[1] == 3
        return losses.softmax_cross_entropy(scores, labels)

    scores, backward = model.forward(X, training=True)
    expected, dscores = WithAuxiliary("softmax", (0.5, 0.5))(scores, y)
    if how == "objective":
        objective = fn.training.Objective(model, of_the_body_s_shape, X, y)
        assert objective(objective.vector)[0] == pytest.approx(expected, rel=1e-12)
    elif how == "statistics":
        rows = {row.name: row for row in fn.diagnose.gradient_statistics(model, X, y, loss=of_the_body_s_shape).rows}
        backward(dscores)
        for name, parameter in model.named_parameters():
            assert rows[name].norm == pytest.approx(np.linalg.norm(parameter.grad), rel=1e-12)
    elif how == "sanity":
        check = fn.diagnose.sanity_check(model, (X, y), epochs=1, iterations=1)
        assert f"with equal scores it is {2 * np.log(3):.4g} = 2 * log(3)" in str(check)
    elif how == "symptoms":
        from fastnet.diagnose.symptoms import symptoms

        assert isinstance(symptoms(model, fn.data.Loader(X, y, 20), of_the_body_s_shape), list)
    else:
        assert fn.gradcheck(model, X[:4], y[:4], loss=of_the_body_s_shape).ok


def test_a_head_has_no_output_in_inference():
    model = net()
    model.build((2, 4, 4))
    with pytest.raises(ValueError, match="'aux1' has no output to look at: it is not used in evaluation"):
        model.compile(until="aux1")
