"""Penalties and bounds on norms: formulas, gradients, which parameters they concern, in training and on resuming."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

import fastnet as fn
from fastnet import backends
from fastnet.cli import main
from fastnet.regularizers import L1, L2, Combined, ElasticNet, MaxNorm, Regularizer


def parameter(value, grad=None, name="", requires_grad=True, decay=True):
    p = fn.Parameter(np.array(value, np.float64), name, requires_grad, decay)
    p.grad = None if grad is None else np.array(grad, np.float64)
    return p


def some():
    """(penalised, penalised without a gradient, bias, frozen)."""
    rng = np.random.default_rng(0)
    return [
        parameter(rng.standard_normal((4, 3)), np.ones((4, 3)), "a.weight"),
        parameter(rng.standard_normal((2, 2)), None, "b.weight"),
        parameter(rng.standard_normal(4), np.ones(4), "a.bias", decay=False),
        parameter(rng.standard_normal((3, 4)), np.ones((3, 4)), "c.weight", requires_grad=False),
    ]


PENALTIES = {  # the penalty of an array of weights
    "l2": (L2(0.3), lambda w: 0.15 * (w**2).sum()),
    "l2, the lectures' form": (L2(0.3, half=False), lambda w: 0.3 * (w**2).sum()),
    "l1": (L1(0.3), lambda w: 0.3 * abs(w).sum()),
    "elastic net": (ElasticNet(0.3, 0.2), lambda w: 0.3 * abs(w).sum() + 0.2 * (w**2).sum()),
    "elastic net, one strength": (ElasticNet.of(0.3, 0.5), lambda w: 0.3 * (0.5 * w**2 + abs(w)).sum()),
    "two": (L1(0.1) + L2(0.2), lambda w: 0.1 * abs(w).sum() + 0.1 * (w**2).sum()),
    "nothing": (L1(0) + MaxNorm(3), lambda w: 0.0),
}


@pytest.mark.parametrize("backend", backends.available_backends())
@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name, backend):
    penalty, formula = PENALTIES[name]
    with backends.use_backend(backend):
        weight, idle, bias, frozen = parameters = some()
        expected = formula(weight.value) + formula(idle.value)
        assert penalty.loss(iter(parameters)) == pytest.approx(expected, rel=1e-13)
        penalty.add_gradients(iter(parameters))
        assert (bias.grad == 1).all() and (frozen.grad == 1).all() and idle.grad is None
        gradient = weight.grad - 1
        check_gradients(lambda _: penalty.loss([weight]), [weight.value], [gradient], rtol=1e-6, atol=1e-9)


def test_l1_of_zero_has_no_gradient():
    p = parameter([0.0, 2.0, -3.0], [0.0, 0.0, 0.0])
    L1(0.5).add_gradients([p])
    assert p.grad.tolist() == [0.0, 0.5, -0.5]


@pytest.mark.parametrize("order", ["C", "F"])
def test_weights_in_any_memory_order(order):
    p = parameter(np.zeros((3, 4)), np.zeros((3, 4)))
    p.value = np.array(np.arange(12.0).reshape(3, 4), order=order)
    assert L2(2.0).loss([p]) == 506.0
    L2(2.0).add_gradients([p])
    np.testing.assert_array_equal(p.grad, 2 * p.value)
    MaxNorm(5.0).project([p])
    np.testing.assert_allclose(np.linalg.norm(p.value, axis=1), [np.sqrt(14), 5, 5])


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("backend", backends.available_backends())
@pytest.mark.parametrize("axis", [0, 1])
def test_max_norm(axis, backend):
    with backends.use_backend(backend):
        weight = parameter(np.random.default_rng(0).standard_normal((5, 4, 3, 3)), name="conv.weight")
        others = tuple(other for other in range(4) if other != axis)
        kept, norms = weight.value.copy(), np.sqrt((weight.value**2).sum(others, keepdims=True))
        bound = MaxNorm(float(np.median(norms)), axis)
        bound.project([weight])
        expected = kept * np.minimum(1, np.median(norms) / norms)
        np.testing.assert_allclose(weight.value, expected, rtol=1e-12)
        bound.project([weight])
        np.testing.assert_allclose(weight.value, expected, rtol=1e-12)
        assert bound.loss([weight]) == 0.0


def test_max_norm_leaves_biases_and_frozen_parameters_alone():
    _, _, bias, frozen = parameters = some()
    kept = bias.value.copy(), frozen.value.copy()
    MaxNorm(1e-3).project(parameters)
    np.testing.assert_array_equal(bias.value, kept[0])
    np.testing.assert_array_equal(frozen.value, kept[1])
    assert np.linalg.norm(parameters[0].value, axis=1) == pytest.approx(1e-3)


# ---------------------------------------------------------------- strengths by name


def net():
    model = fn.Sequential(
        stem=fn.Sequential(conv=fn.Conv2d(4, 3), bn=fn.BatchNorm2d()), flat=fn.Flatten(), fc=fn.Linear(3)
    )
    model.build((2, 6, 6), seed=0, dtype="float64")
    return model


@pytest.mark.parametrize(
    "patterns", [{"stem": 0.1, "fc": 0.2}, {"*.conv.*": 0.1, "fc.weight": 0.2}, {"stem*": 0.1, "*": 0.2}]
)
def test_strengths_of_layers(patterns):
    model = net()
    weights = {name: p for name, p in model.named_parameters() if p.decay}
    assert list(weights) == ["stem.conv.weight", "fc.weight"]
    first, second = weights.values()
    penalty = L2(patterns)
    expected = 0.05 * (first.value**2).sum() + 0.1 * (second.value**2).sum()
    assert penalty.loss(model.parameters()) == pytest.approx(expected)
    for p in model.parameters():
        p.grad = np.zeros_like(p.value)
    penalty.add_gradients(model.parameters())
    np.testing.assert_allclose(first.grad, 0.1 * first.value)
    np.testing.assert_allclose(second.grad, 0.2 * second.value)
    MaxNorm({"fc": 0.5}).project(model.parameters())
    assert np.linalg.norm(second.value, axis=1).max() <= 0.5 + 1e-12
    assert np.linalg.norm(first.value.reshape(4, -1), axis=1).max() > 0.5


def test_the_first_pattern_counts_and_other_parameters_have_none():
    model = net()
    weight = dict(model.named_parameters())["fc.weight"].value
    assert L1({"fc": 0.5, "fc.*": 9.0}).loss(model.parameters()) == pytest.approx(0.5 * abs(weight).sum())
    assert ElasticNet({"fc": 0.5}, 0.0).loss(model.parameters()) == pytest.approx(0.5 * abs(weight).sum())


@pytest.mark.parametrize("make", [L1, L2, MaxNorm, lambda strength: ElasticNet(0.1, strength)])
@pytest.mark.parametrize("pattern", ["fd", "fc.bias", "stem.bn", "conv"])
def test_a_pattern_that_fits_nothing_is_an_error(make, pattern):
    model = net()
    regularizer = make({"fc": 0.1, pattern: 0.2})
    with pytest.raises(
        ValueError, match=rf"no parameter that is regularized is named '{pattern}'; names like .*weight"
    ):
        regularizer.loss(model.parameters())
        regularizer.project(model.parameters())


# ---------------------------------------------------------------- in training


def problem():
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    return rng.standard_normal((60, 2, 6, 6)).astype(np.float32) + y.reshape(-1, 1, 1, 1), y


def solver(regularizer, optimizer=None, **options):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    model.build((2, 6, 6), seed=1)
    given = {"epochs": 2, "batch_size": 20, "verbose": False, **options}
    return fn.Solver(model, problem(), optimizer=optimizer or fn.optim.SGD(0.1), regularizer=regularizer, **given)


def test_l2_is_weight_decay_on_plain_sgd_and_not_on_adam():
    penalised, decayed = solver(L2(0.1)), solver(None, fn.optim.SGD(0.1, weight_decay=0.1))
    penalised.train()
    decayed.train()
    for one, other in zip(penalised.model.parameters(), decayed.model.parameters(), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-5, atol=1e-6)
    assert penalised.history.losses[0] > decayed.history.losses[0]
    decoupled = solver(None, fn.optim.AdamW(0.01, weight_decay=0.1))
    coupled = solver(L2(0.1), fn.optim.Adam(0.01))
    decoupled.train()
    coupled.train()
    first = decoupled.model.parameters()[0].value, coupled.model.parameters()[0].value
    assert abs(first[0] - first[1]).max() > 1e-3


def test_max_norm_holds_after_each_update():
    class Watch(fn.training.Callback):
        largest = 0.0

        def on_iteration_end(self, solver):
            norms = (
                np.linalg.norm(p.value.reshape(len(p.value), -1), axis=1) for p in solver.model.parameters() if p.decay
            )
            self.largest = max(self.largest, *map(np.max, norms))

    watch, free = Watch(), Watch()
    solver(L1(1e-4) + MaxNorm(0.7), callbacks=[watch]).train()
    solver(L1(1e-4), callbacks=[free]).train()
    assert watch.largest <= 0.7 * (1 + 1e-6) < free.largest


def test_l1_makes_weights_small_and_the_loss_reports_it():
    penalised, free = solver(L1(0.05), epochs=20), solver(None, epochs=20)
    start = sum(abs(p.value).sum() for p in free.model.parameters() if p.decay)
    penalised.train()
    free.train()
    assert penalised.history.losses[0] == pytest.approx(free.history.losses[0] + 0.05 * start, rel=1e-5)

    def total(run):
        return sum(float(abs(p.value).sum()) for p in run.model.parameters() if p.decay)

    assert total(penalised) < 0.5 * total(free)


def test_a_run_resumes_with_the_same_bits(tmp_path):
    def both(folder, epochs):
        return solver(ElasticNet(1e-3, {"0": 1e-2}) + MaxNorm(0.9), epochs=epochs, checkpoint=folder)

    whole = both(tmp_path / "whole", 4)
    whole.train()
    both(tmp_path / "halves", 2).train()
    resumed = both(tmp_path / "halves", 4)
    resumed.train(resume="auto")
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value)
    other = solver(MaxNorm(2.0), epochs=6, checkpoint=tmp_path / "halves")
    with pytest.warns(
        UserWarning, match=r"regularizer: ElasticNet\(0.001, {'0': 0.01}\) \+ MaxNorm\(0.9\), now MaxNorm\(2.0\)"
    ):
        other.train(resume="auto")


def test_a_loop_of_ones_own_with_a_plan():
    X, y = problem()
    run = solver(MaxNorm(0.7) + L2(0.01), epochs=1, batch_size=60)
    run.train()
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3))
    model.build((2, 6, 6), seed=1)
    plan, optimizer, regularizer = fn.TrainingPlan(model), fn.optim.SGD(0.1), MaxNorm(0.7) + L2(0.01)
    order = next(iter(fn.data.Loader(X, y, batch_size=60, seed=0).batches(0)))
    loss, _ = plan(*order)
    loss += regularizer.loss(model.parameters())
    regularizer.add_gradients(model.parameters())
    optimizer.step(model.parameters())
    regularizer.project(model.parameters())
    assert loss == run.history.losses[0]
    for one, other in zip(run.model.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value)


class Mine(Regularizer):
    """A penalty of one's own."""

    def loss(self, parameters):
        return 7.0


def test_a_regularizer_of_ones_own():
    run, plain = solver(Mine() + L2(0.0)), solver(None)
    run.train()
    plain.train()
    np.testing.assert_allclose(run.history.losses, np.array(plain.history.losses) + 7)


def test_the_command_line(tmp_path, capsys):
    pytest.importorskip("sklearn")
    arguments = ["train", "--epochs", "1", "--no-plot", "--l1", "1e-5", "--max-norm", "0.5", "--out", str(tmp_path)]
    assert main(arguments) == 0
    model = fn.load(tmp_path)
    norms = [np.linalg.norm(p.value.reshape(len(p.value), -1), axis=1).max() for p in model.parameters() if p.decay]
    assert max(norms) <= 0.5 * (1 + 1e-6)
    checkpoint = fn.training.load_checkpoint(tmp_path)
    assert checkpoint.metadata["settings"]["regularizer"] == "L1(1e-05) + MaxNorm(0.5)"
    for wrong in (["--l1", "-1"], ["--max-norm", "0"], ["--max-norm", "nan"]):
        with pytest.raises(SystemExit):
            main(["train", *wrong])
    assert "--max-norm: expected a number > 0, got '0'" in capsys.readouterr().err


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "wrong, kind, message",
    [
        (lambda: L2(-1), ValueError, "L2: strength must be a finite number >= 0, got -1"),
        (lambda: L1(-0.1), ValueError, "L1: strength must be a finite number >= 0, got -0.1"),
        (lambda: L1("strong"), TypeError, "L1: strength must be a finite number, got 'strong'"),
        (lambda: L1({}), ValueError, "L1: strength: the mapping has no patterns"),
        (lambda: L1({"fc": -1}), ValueError, r"L1: strength\['fc'\] must be a finite number >= 0, got -1"),
        (lambda: L1({3: 1}), TypeError, "patterns of parameters' names must be str, got 3"),
        (lambda: L2({"fc": float("nan")}), ValueError, r"L2: strength\['fc'\] must be a finite number"),
        (lambda: ElasticNet(0.1, -2), ValueError, "ElasticNet: l2 must be a finite number >= 0, got -2"),
        (lambda: ElasticNet.of(0.1, -2), ValueError, "ElasticNet: l2 must be"),
        (lambda: MaxNorm(0), ValueError, "MaxNorm: limit must be a finite number > 0, got 0"),
        (lambda: MaxNorm(3, -1), ValueError, "MaxNorm: axis must be an integer between 0"),
        (lambda: MaxNorm(3, 2).project(some()), ValueError, r"MaxNorm: axis=2, but a.weight has shape \(4, 3\)"),
        (lambda: Combined(L1(0.1), 3), TypeError, "Combined: expects regularizers such as L2"),
        (lambda: L1(0.1) + 3, TypeError, "unsupported operand"),
        (lambda: solver([L1(0.1)]), TypeError, "Solver: regularizer must be an object such as"),
        (lambda: solver(L2({"head": 0.1})).train(), ValueError, "L2: no parameter that is regularized is named 'head'"),
    ],
)
def test_mistakes(wrong, kind, message):
    with pytest.raises(kind, match=message):
        wrong()


def test_they_print_as_they_are_written():
    for text in (
        "L1(0.1)",
        "L2(0.5, half=True)",
        "ElasticNet({'fc': 0.1}, 0.2)",
        "MaxNorm(3.0, axis=1)",
        "L1(0.1) + MaxNorm(2.0)",
    ):
        assert repr(eval(text)) == text
