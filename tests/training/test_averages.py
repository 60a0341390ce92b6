"""Averages of weights and their running statistics: recurrences in float64, callbacks, resuming, errors."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.data import Loader, Standardize
from fastnet.optim import SGD, ConstantLR, CosineRestarts
from fastnet.training import (
    Callback,
    EarlyStopping,
    PolyakAverage,
    Snapshots,
    StochasticWeightAverage,
    WeightAverage,
    average_states,
    load_checkpoint,
    update_bn,
)


def problem(N=80, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, 2, 4, 4)).astype(np.float32), rng.integers(0, 3, N)


def convnet(dtype="float32", seed=0):
    model = fn.Sequential(
        fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Dropout(0.3), fn.Linear(5), fn.BatchNorm1d()
    )
    model.build((2, 4, 4), seed=seed, dtype=dtype)
    return model


def solver(callbacks=(), folder=None, model=None, epochs=6, **options):
    defaults = {"batch_size": 16, "verbose": False, "optimizer": SGD(0.1, 0.9), "schedule": CosineRestarts(2)}
    X, y = problem()
    return fn.Solver(
        model or convnet(),
        (X, y),
        problem(40, 1),
        epochs=epochs,
        callbacks=callbacks,
        checkpoint=folder,
        **{**defaults, **options},
    )


class Trajectory(Callback):
    """The weights after every step, in float64."""

    def __init__(self):
        self.states = []

    def on_iteration_end(self, solver):
        self.states.append({name: value.astype(np.float64) for name, value in solver.model.state_dict().items()})


def assert_close(state, expected, tolerance=1e-12):
    assert state.keys() == expected.keys()
    for name, value in state.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance, err_msg=name)


# ---------------------------------------------------------------- averages


@pytest.mark.parametrize("decay", [0.995, 0.5, 0.0])
def test_polyaks_recurrence(decay):
    model, rng = convnet("float64"), np.random.default_rng(0)
    average, expected = WeightAverage(model, decay), {}
    for step in range(20):
        for parameter in [*model.parameters(), *model.buffers()]:
            parameter.value[...] += rng.standard_normal(parameter.shape)
        average.update()
        for name, value in model.state_dict().items():
            expected[name] = value if step == 0 else decay * expected[name] + (1 - decay) * value
    assert average.count == 20
    assert_close(average.state_dict(), expected)


def test_without_decay_it_is_the_mean():
    model, states = convnet("float64"), []
    average = WeightAverage(model, None)
    for seed in range(7):
        model.load_state_dict(convnet("float64", seed).state_dict())
        states.append(model.state_dict())
        average.update()
    mean = {name: np.mean([state[name] for state in states], axis=0) for name in states[0]}
    assert_close(average.state_dict(), mean)
    assert_close(average_states(states), mean)
    assert average_states([convnet().state_dict()])["0.weight"].dtype == np.float32


def test_swapped_weights_come_back_also_after_an_error():
    model, other, X = convnet(), convnet(seed=1), problem()[0]
    average, own = WeightAverage(model), model(X)
    average.load_state_dict(other.state_dict(), 3)
    with pytest.raises(KeyError), average.swapped() as swapped:
        assert swapped is model and np.array_equal(model(X), other(X))
        assert np.array_equal(model.predict(X), other.predict(X))
        raise KeyError
    assert np.array_equal(model(X), own)
    average.update()
    assert average.count == 4


def test_running_statistics_computed_again():
    model, (X, _) = convnet("float64"), problem()
    X = X.astype(np.float64)
    for parameter in model.parameters():
        parameter.value[...] += 0.3
    streams, momentum = model.rng_state(), dict(model.named_layers())["1"].momentum
    update_bn(model, X, batch_size=20)
    weight, bias = model.state_dict()["0.weight"], model.state_dict()["0.bias"]
    conv = fn.functional.conv2d(X, weight, bias)[0]
    parts = conv.reshape(4, 20, *conv.shape[1:])
    assert_close(
        {"mean": model.state_dict()["1.running_mean"], "var": model.state_dict()["1.running_var"]},
        {"mean": conv.mean(axis=(0, 2, 3)), "var": parts.var(axis=(1, 3, 4), ddof=1).mean(axis=0)},
    )
    assert model.rng_state() == streams and dict(model.named_layers())["1"].momentum == momentum
    first = model.state_dict()
    update_bn(model, (X[i : i + 20] for i in range(0, 80, 20)))
    assert_close(model.state_dict(), first)
    model.freeze("1")
    model.parameters()[0].value[...] *= 2
    update_bn(model, Loader(X, np.zeros(80, int), 20, dtype="float64"))
    assert np.array_equal(model.state_dict()["1.running_mean"], first["1.running_mean"])


@pytest.mark.parametrize("wrong", ["shape", "nan", "none"])
def test_running_statistics_stay_after_an_error(wrong):
    model, (X, _) = convnet(), problem()
    batches = {"shape": [X[:8], X[:8, :, :3]], "nan": [X[:8], X[:8] * np.nan], "none": []}[wrong]
    before = model.state_dict()
    with pytest.raises(FloatingPointError if wrong == "nan" else ValueError):
        update_bn(model, batches)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_running_statistics_of_prepared_images():
    model, (X, _) = convnet(), problem()
    raw = (50 * X + 100).astype(np.uint8)
    model.preprocessing = Standardize.fit(raw)
    update_bn(model, raw, batch_size=79)  # the last example alone would have no variance
    first = model.state_dict()
    update_bn(model, [model.preprocessing(raw[:79])])
    assert_close(model.state_dict(), first, 1e-6)


# ---------------------------------------------------------------- callbacks


def test_polyak_as_a_callback():
    model, path = convnet("float64"), Trajectory()
    polyak = PolyakAverage(0.9)
    run = solver([path, polyak], model=model, epochs=3)
    history = run.train()
    expected = path.states[0]
    for state in path.states[1:]:
        expected = {name: 0.9 * expected[name] + 0.1 * value for name, value in state.items()}
    assert_close(model.state_dict(), expected)
    assert len(polyak.evaluations) == 3
    assert polyak.evaluations[-1] == run.evaluate(*problem(40, 1))
    assert polyak.evaluations[-1].loss != history.history["val_loss"][-1]


@pytest.mark.parametrize(
    "every, start, counted", [("epoch", 3, [19, 24, 29]), ("cycle", 1, [9, 19, 29]), ("iteration", 5, range(25, 30))]
)
def test_stochastic_weight_averages(every, start, counted):
    path, swa = Trajectory(), StochasticWeightAverage(start, every, update_bn=False)
    run = solver([path, swa], model=convnet("float64"))
    run.train()
    assert_close(run.model.state_dict(), average_states([path.states[i] for i in counted]))
    assert swa.evaluations == []


def test_stochastic_weight_averages_have_their_own_running_statistics():
    run = solver([StochasticWeightAverage(3)])
    run.train()
    found = run.model.state_dict()
    update_bn(run.model, run.loader)
    assert_close(run.model.state_dict(), found, 0)


def test_snapshots_at_the_ends_of_cycles():
    path, snapshots = Trajectory(), Snapshots()
    run = solver([path, snapshots])
    run.train()
    assert snapshots.iterations == [10, 20, 30]
    for state, iteration in zip(snapshots.states, snapshots.iterations, strict=True):
        assert_close({name: value.astype(np.float64) for name, value in state.items()}, path.states[iteration - 1], 0)
    last = Snapshots("epoch", start=2, keep=2)
    solver([last]).train()
    assert last.iterations == [25, 30] and len(last.states) == 2
    X, y = problem(40, 1)
    ensemble = snapshots.ensemble(run.model)
    assert len(ensemble) == 3 and np.array_equal(ensemble.members[2].predict(X), run.model.predict(X))


@pytest.mark.parametrize(
    "make",
    [lambda: PolyakAverage(0.9), lambda: StochasticWeightAverage(2), lambda: Snapshots()],
    ids=["polyak", "swa", "snapshots"],
)
def test_resumed_with_the_same_bits(tmp_path, make):
    class Stop(Callback):
        def __init__(self, epoch):
            self.epoch = epoch

        def on_epoch_end(self, solver, record):
            if record["epoch"] == self.epoch:
                solver.stop("here")

    one, two, whole = make(), make(), make()
    wanted = solver([whole, Stop(9)])
    wanted.train()
    solver([one, Stop(4)], tmp_path).train()
    resumed = solver([two, Stop(9)], tmp_path)
    resumed.train(resume="auto")
    assert_close(resumed.model.state_dict(), wanted.model.state_dict(), 0)
    if isinstance(two, Snapshots):
        assert two.iterations == whole.iterations
        for mine, theirs in zip(two.states, whole.states, strict=True):
            assert_close(mine, theirs, 0)
    else:
        assert two.evaluations == whole.evaluations and two.average.count == whole.average.count


def test_checkpoints_give_the_average_as_the_model(tmp_path):
    polyak = PolyakAverage(0.9)
    run = solver([Snapshots(), polyak], tmp_path)
    run.train()
    checkpoint = load_checkpoint(tmp_path)
    assert_close(checkpoint.model_state(), polyak.average.state_dict(), 0)
    assert not np.array_equal(checkpoint.model_state(best=False)["0.weight"], checkpoint.model_state()["0.weight"])


def test_the_later_of_two_callbacks_decides_how_training_ends():
    stopping = EarlyStopping("loss", patience=50, mode="max")  # the best epoch is the first
    run = solver([PolyakAverage(0.9)], early_stopping=stopping)
    run.train()
    assert_close(run.model.state_dict(), stopping.best_state, 0)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: WeightAverage(fn.Sequential(fn.Linear(3))), RuntimeError, "not built"),
        (lambda: WeightAverage([]), TypeError, "model must be a fastnet.Model"),
        (lambda: PolyakAverage(1.5), ValueError, r"PolyakAverage: decay, .* got 1.5"),
        (lambda: PolyakAverage("a"), TypeError, "PolyakAverage: decay must be a finite number, got 'a'"),
        (lambda: WeightAverage(convnet(), 1.0), ValueError, r"decay, the weight of the old average, .* got 1.0"),
        (lambda: WeightAverage(convnet()).state_dict(), RuntimeError, r"no average yet: call update\(\)"),
        (lambda: WeightAverage(convnet()).load_state_dict({}, 1), ValueError, "of another model"),
        (lambda: average_states([]), ValueError, "no states to average"),
        (lambda: average_states([convnet()]), TypeError, "states must be a list of state dicts"),
        (lambda: average_states(convnet().state_dict()), TypeError, "states must be a list of state dicts"),
        (lambda: average_states([{"a": np.ones(2)}, {"a": np.ones(3)}]), ValueError, "not all states have a of shape"),
        (lambda: average_states([{"a": np.ones(2)}, {"a": np.ones(2), "b": 1.0}]), ValueError, "only some .* have b"),
        (lambda: update_bn(convnet(), []), ValueError, "data holds no examples"),
        (lambda: update_bn(convnet(), 3), TypeError, "data must be a Loader, an array or batches, got int"),
        (lambda: PolyakAverage(every="step"), ValueError, "every must be 'iteration', 'epoch' or 'cycle', got 'step'"),
        (lambda: Snapshots(keep=0), ValueError, "Snapshots: keep"),
        (lambda: StochasticWeightAverage(-1), ValueError, "StochasticWeightAverage: start"),
        (lambda: PolyakAverage(update_bn="yes"), TypeError, "update_bn must be True or False"),
        (
            lambda: solver([Snapshots()], schedule=ConstantLR()).train(),
            ValueError,
            r"needs a schedule whose cycles end within the run, such as optim.CosineRestarts\(1\); ConstantLR\(\)",
        ),
        (lambda: solver([Snapshots()], schedule=CosineRestarts(9)).train(), ValueError, "has none in 6 epochs"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: StochasticWeightAverage(start=2), "epoch"),
        (lambda: PolyakAverage(start=99), "epoch"),
        (lambda: Snapshots("epoch", start=2), "epoch"),
        (lambda: Snapshots(start=2), "end of a cycle"),
        (lambda: StochasticWeightAverage(start=1, every="cycle"), "end of a cycle"),
    ],
)
def test_a_start_after_which_nothing_counts_is_an_error_before_training(make, what):
    callback, schedule = make(), CosineRestarts(1, T_mult=2) if what == "end of a cycle" else None
    solver = fn.Solver(convnet(), problem(), epochs=2, schedule=schedule, callbacks=[callback], verbose=False)
    with pytest.raises(ValueError, match=rf"start={callback.start} leaves no {what} of the run of 2 epochs; give"):
        solver.train()
    assert solver.iteration == 0
