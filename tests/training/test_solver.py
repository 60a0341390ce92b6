"""Solver: what a step does, the numbers it reports, early stopping, debug, errors."""

import sys

import numpy as np
import pytest

import fastnet as fn
from fastnet import losses
from fastnet.data import Dataset, Loader, Standardize
from fastnet.optim import SGD, Adam, CosineDecay, StepDecay
from fastnet.regularizers import L2
from fastnet.training import BestSnapshot, Callback, EarlyStopping, History


def problem(N=60, seed=0, classes=3):
    """Images whose class is their brightest quarter."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, N)
    X = rng.standard_normal((N, 2, 4, 4)).astype(np.float32)
    for i, label in enumerate(y):
        X[i, 0, 2 * (label // 2) : 2 * (label // 2) + 2, 2 * (label % 2) : 2 * (label % 2) + 2] += 3
    return X, y


def convnet(dropout=0.0, classes=3):
    return fn.Sequential(
        fn.Conv2d(4, 3, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Flatten(),
        fn.Dropout(dropout),
        fn.Linear(classes),
    )


def linear(classes=3):
    return fn.Sequential(fn.Flatten(), fn.Linear(classes))


def quiet(model, data, *args, **options):
    return fn.Solver(model, data, *args, **{"verbose": False, "batch_size": 16, **options})


def test_learns():
    solver = quiet(convnet(0.2), problem(300), problem(100, seed=1), epochs=6, optimizer=Adam(1e-2))
    history = solver.train()
    assert history.history["val_accuracy"][-1] > 0.95
    assert history.history["val_loss"][-1] < 0.3 < history.history["loss"][0]


def test_one_run_against_a_plain_loop():
    X, y = problem(37)
    model, twin = linear(), linear()
    twin.build((2, 4, 4), seed=4)
    schedule = StepDecay(1, 0.5)
    solver = quiet(model, (X, y), epochs=2, seed=4, optimizer=SGD(0.1, 0.9), schedule=schedule, regularizer=L2(0.01))
    history = solver.train()
    weight, bias = (p.value.astype(np.float64) for p in twin.parameters())
    vw = vb = 0.0
    reported = []
    for epoch in range(2):
        for x, labels in Loader(X, y, 16, seed=4).batches(epoch):
            x = x.reshape(len(x), -1).astype(np.float64)
            scores = x @ weight.T + bias
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            reported.append(-np.log(p[np.arange(len(x)), labels]).mean() + 0.005 * (weight**2).sum())
            p[np.arange(len(x)), labels] -= 1
            vw = 0.9 * vw + p.T @ x / len(x) + 0.01 * weight
            vb = 0.9 * vb + p.mean(axis=0)
            weight = weight - 0.1 * 0.5**epoch * vw
            bias = bias - 0.1 * 0.5**epoch * vb
    np.testing.assert_allclose(history.losses, reported, rtol=1e-5)
    assert history.learning_rates == pytest.approx([0.1] * 3 + [0.05] * 3)
    np.testing.assert_allclose(model.parameters()[0].value, weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.parameters()[1].value, bias, rtol=1e-4, atol=1e-6)


def test_record_of_an_epoch():
    X, y = problem(40)
    X_val, y_val = problem(25, seed=1)
    solver = quiet(linear(), (X, y), (X_val, y_val), epochs=2, optimizer=SGD(1e-12))
    history = solver.train()
    assert list(history.history) == [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "lr",
        "seconds",
        "images_per_second",
    ]
    loss, accuracy = solver.model.evaluate(X, y)
    assert history.history["loss"][1] == pytest.approx(loss, rel=1e-6)
    assert history.history["accuracy"][1] == pytest.approx(accuracy)
    assert (history.history["val_loss"][1], history.history["val_accuracy"][1]) == pytest.approx(
        tuple(solver.model.evaluate(X_val, y_val))
    )
    assert history.history["epoch"] == [1, 2] and len(history.losses) == 6
    np.testing.assert_array_equal(solver.predict(X_val), solver.model.predict(X_val))


@pytest.mark.parametrize("loss", ["softmax", "svm", "squared_hinge", lambda s, y: losses.svm(s, y, margin=2.0)])
def test_losses(loss):
    history = quiet(linear(), problem(), loss=loss, epochs=8, optimizer=SGD(0.05)).train()
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


def test_trains_in_the_dtype_of_the_model():
    model = linear()
    model.build((2, 4, 4), dtype="float64")
    seen = []
    quiet(model, problem(), epochs=1, loss=lambda s, y: (seen.append(s.dtype), losses.svm(s, y))[1]).train()
    assert set(seen) == {np.dtype("float64")} and model.parameters()[0].value.dtype == np.float64


def test_frozen_parameters_stay():
    model = convnet()
    model.build((2, 4, 4))
    model.freeze("0")
    before = model.state_dict()
    quiet(model, problem(), epochs=1).train()
    after = model.state_dict()
    np.testing.assert_array_equal(after["0.weight"], before["0.weight"])
    assert not np.array_equal(after["5.weight"], before["5.weight"])


def test_the_input_gradient_is_not_asked_for():
    calls = []

    class Spy(fn.Sequential):
        def forward(self, x, training=False):
            y, backward = super().forward(x, training)
            return y, lambda dy, input_gradient=True: (calls.append(input_gradient), backward(dy, input_gradient))[1]

    quiet(Spy(fn.Flatten(), fn.Linear(3)), problem(), epochs=1).train()
    assert calls and not any(calls)


def test_uint8_with_standardize():
    X, y = problem(80)
    X = np.clip(X * 30 + 100, 0, 255).astype(np.uint8)
    solver = quiet(linear(), (X, y), (X, y), epochs=3, preprocess="standardize", optimizer=SGD(0.1))
    solver.train()
    assert solver.preprocess.scale == 255
    standard = Standardize.fit(X)(X)
    assert solver.evaluate(X, y) == pytest.approx(tuple(solver.model.evaluate(standard, y)))
    assert solver.history.history["val_loss"][-1] == pytest.approx(solver.model.evaluate(standard, y).loss, rel=1e-6)
    np.testing.assert_allclose(solver.predict(X), solver.model.predict(standard), rtol=1e-5)


def test_dataset_and_loader():
    X, y = problem()
    data = Dataset(X, y, X, y, ("a", "b", "c")).split(12)
    solver = quiet(linear(), data, epochs=1)
    assert len(solver.loader.y) == 48 and len(solver.validation.y) == 12
    loader = Loader(X, y, 10, seed=3, augment=[lambda x, rng: x[..., ::-1]])
    solver = quiet(linear(), loader, Loader(X, y, 7, shuffle=False), epochs=1)
    solver.train()
    assert solver.iteration == 6


def test_last_batch_of_one():
    X, y = problem(33)
    model = fn.Sequential(fn.Flatten(), fn.Linear(4), fn.BatchNorm1d(), fn.Linear(3))
    solver = quiet(model, (X, y), epochs=2)
    solver.train()
    assert solver.iteration == 4
    kept = quiet(linear(), (X, y), epochs=2, drop_last=False)
    kept.train()
    assert kept.iteration == 6
    with pytest.raises(ValueError, match="more than one value per channel"):
        quiet(model, (X, y), epochs=1, drop_last=False).train()


def test_same_seed_same_bits():
    runs = []
    for seed in (1, 1, 2):
        solver = quiet(convnet(0.3), problem(), epochs=2, seed=seed)
        runs.append((solver.train().losses, solver.model.state_dict()))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    for name, value in runs[0][1].items():
        np.testing.assert_array_equal(value, runs[1][1][name])


def test_training_goes_on_with_more_epochs():
    whole = quiet(convnet(0.3), problem(), epochs=4)
    whole.train()
    parts = quiet(convnet(0.3), problem(), epochs=2)
    parts.train()
    parts.epochs = 4
    assert parts.train().losses == whole.history.losses
    assert len(parts.train()) == 4  # nothing is left to do


# ---------------------------------------------------------------- callbacks


class Script(Callback):
    """Puts its own numbers into the record, and remembers the parameters."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name, self.states = values, name, []

    def on_epoch_end(self, solver, record):
        record[self.name] = self.values[record["epoch"] - 1]
        self.states.append(solver.model.state_dict())


@pytest.mark.parametrize(
    "options, values, epochs, best",
    [
        ({}, [3, 2, 1, 0.5], 4, 4),
        ({}, [3, 2, 2.5, 1], 3, 2),
        ({"patience": 1}, [3, 2, 2.5, 1], 3, 2),
        ({"patience": 2}, [3, 2, 2.5, 2.4, 1], 4, 2),
        ({"patience": 2}, [3, 2, 2.5, 1, 4], 5, 4),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.8, 1], 3, 2),
        ({"patience": 1}, [3, float("nan"), 1], 2, 1),
        ({"patience": 1, "monitor": "val_accuracy"}, [0.1, 0.3, 0.2, 0.9], 3, 2),
        ({"patience": 1, "mode": "max"}, [1, 2, 1.5, 9], 3, 2),
    ],
)
def test_early_stopping(options, values, epochs, best):
    script, stopping = Script(values, options.get("monitor", "val_loss")), EarlyStopping(**options)
    solver = quiet(linear(), problem(), problem(), epochs=len(values), callbacks=[script], early_stopping=stopping)
    assert len(solver.train()) == epochs
    assert stopping.best_epoch == best
    for name, value in solver.model.state_dict().items():
        np.testing.assert_array_equal(value, script.states[best - 1][name])


def test_early_stopping_may_leave_the_last_parameters():
    script = Script([1, 2])
    solver = quiet(linear(), problem(), problem(), callbacks=[script, EarlyStopping(restore_best=False)])
    solver.train()
    for name, value in solver.model.state_dict().items():
        np.testing.assert_array_equal(value, script.states[1][name])


def test_best_snapshot_does_not_stop():
    script, best = Script([2, 1, 3, 4]), BestSnapshot()
    solver = quiet(linear(), problem(), problem(), epochs=4, callbacks=[script, best])
    assert len(solver.train()) == 4 and best.best_epoch == 2
    np.testing.assert_array_equal(solver.model.state_dict()["1.weight"], script.states[1]["1.weight"])


def test_callbacks_are_called():
    calls = []

    class Log(Callback):
        def on_train_begin(self, solver):
            calls.append("begin")

        def on_iteration_end(self, solver):
            calls.append(solver.iteration)

        def on_epoch_end(self, solver, record):
            calls.append(record["epoch"])
            if record["epoch"] == 2:
                solver.stop("enough")

        def on_train_end(self, solver):
            calls.append("end")

    quiet(linear(), problem(32), epochs=5, callbacks=[Log()]).train()
    assert calls == ["begin", 1, 2, 1, 3, 4, 2, "end"]


def test_callback_errors():
    with pytest.raises(ValueError, match="needs validation data"):
        quiet(linear(), problem(), early_stopping=2).train()
    with pytest.raises(ValueError, match="monitor must be one of.*'speed'"):
        quiet(linear(), problem(), early_stopping=EarlyStopping("speed")).train()
    for options in ({"patience": -1}, {"mode": "best"}, {"min_delta": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            EarlyStopping(**options)


# ---------------------------------------------------------------- NaN


def test_loss_that_is_not_finite_stops():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3), Poison("forward", 1))
    with pytest.raises(FloatingPointError, match=r"the loss is nan at epoch 1, batch 1 \(iteration 1\).*debug='nan'"):
        quiet(model, problem()).train()
    X, y = problem()
    X[0, 0, 0, 0] = np.nan  # in whichever batch it is, a lower learning rate would not help
    with pytest.raises(FloatingPointError, match=r"^the training data: has 1 NaN and 0 infinite .* epoch 1, batch \d"):
        quiet(linear(), (X, y)).train()


class Poison(fn.layers.Layer):
    """The identity until iteration `when`, then NaN in one pass."""

    def __init__(self, phase, when):
        self.phase, self.left = phase, when

    def run(self, x, training, ops):
        self.left -= 1
        bad = self.left == 0
        y = x * np.nan if bad and self.phase == "forward" else x
        return y, lambda dy, input_gradient=True: dy * np.nan if bad and self.phase == "backward" else dy


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_debug_names_layer_pass_and_batch(phase):
    model = fn.Sequential(fn.Flatten(), fn.Linear(5), Poison(phase, 6), fn.Linear(3))
    with pytest.raises(FloatingPointError, match=rf"layer 2, {phase} pass: has .*epoch 2, batch 2 \(iteration 6\)"):
        quiet(model, problem(), epochs=3, debug="nan").train()


def test_debug_names_the_data_and_an_overflow():
    X, y = problem()
    X[7, 1, 2, 3] = np.inf
    with pytest.raises(FloatingPointError, match="the data: has 0 NaN and 1 infinite of .* at epoch 1, batch"):
        quiet(linear(), (X, y), debug="nan").train()
    model = linear()
    model.build((2, 4, 4))
    model.parameters()[0].value[1, 3] = np.nan
    with pytest.raises(FloatingPointError, match="layer 1, forward pass"):
        quiet(model, problem(), debug="nan").train()


def test_debug_changes_nothing_but_rounding():
    """Layers run unfused, and biases before a pooling have another order of summation."""
    plain, debugged = (quiet(convnet(0.2), problem(), epochs=2, debug=debug) for debug in (None, "nan"))
    assert plain.train().losses == pytest.approx(debugged.train().losses, rel=1e-4)


# ---------------------------------------------------------------- what is shown


def test_table_and_bar(capsys, monkeypatch):
    fn.Solver(linear(), problem(), problem(), epochs=2, optimizer=SGD(0.1)).train()
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "images/s" and "val acc" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2"] and err == ""
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fn.Solver(linear(), problem(), epochs=1).train()
    assert "epoch 1/1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fn.Solver(linear(), problem(), epochs=1).train()
    out, err = capsys.readouterr()
    assert err == "" and len(out.splitlines()) == 2


def test_long_epochs_show_lines_without_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("fastnet.training.progress._SECONDS_BETWEEN_LINES", -1.0)
    fn.Solver(linear(), problem(), epochs=1, batch_size=16).train()
    assert capsys.readouterr().err.splitlines()[1].startswith("epoch 1/1: batch 2/4, loss ")


def test_quiet_is_silent(capsys):
    quiet(linear(), problem(), problem(), early_stopping=1, epochs=2).train()
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epochs": 0}, "epochs must be an integer between 1 and 2\\*\\*31 - 1, got 0"),
        ({"epochs": 1.5}, "epochs"),
        ({"keep": 0}, "keep"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"debug": "inf"}, "debug must be None or 'nan'"),
        ({"optimizer": 0.1}, r"optim.SGD\(0.1\), or a name, got 0.1"),
        ({"optimizer": "adams"}, "there is no optimiser 'adams'; there are sgd, "),
        ({"clip_norm": 0}, "Solver: clip_norm must be > 0, or None for no limit, got 0"),
        ({"clip_value": "1"}, "Solver: clip_value must be a finite number"),
        ({"optimizer": Adam}, "object such as"),
        ({"schedule": 0.1}, "schedule must be callable"),
        ({"loss": "hinge"}, "'hinge'"),
        ({"preprocess": "scale"}, "callable or one of standardize, center"),
        ({"batch_size": 0}, "batch_size"),
        ({"validation": np.zeros(3)}, r"validation must be \(X, y\)"),
    ],
)
def test_argument_errors(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fn.Solver(linear(), problem(), **options)


def test_data_errors():
    X, y = problem()
    with pytest.raises(ValueError, match=r"data has label 2, but the model gives 2 scores \(labels 0..1\)"):
        quiet(linear(2), (X, y))
    with pytest.raises(ValueError, match="60 images but 59 labels"):
        quiet(linear(), (X, y[1:]))
    with pytest.raises(TypeError, match=r"\(X, y\), a Dataset or a Loader, got ndarray"):
        quiet(linear(), X)
    with pytest.raises(ValueError, match="data is a Loader"):
        quiet(linear(), Loader(X, y), preprocess="standardize")
    with pytest.raises(ValueError, match="resume='auto' needs"):
        quiet(linear(), (X, y)).train(resume="auto")
    with pytest.raises(ValueError, match="a folder"):
        quiet(linear(), (X, y)).save_checkpoint()


@pytest.mark.parametrize("shape", [(2, 4, 2), (1, 4, 4), (2, 5, 5), (32,), (2, 4, 4, 1), (4, 4, 2), (2, 2, 8)])
@pytest.mark.parametrize("kind", ["pair", "loader"])
def test_validation_of_another_shape_is_found_before_the_first_step(shape, kind):
    X, y = problem()
    other = np.zeros((60, *shape), np.float32), y
    with pytest.raises(ValueError, match="Solver: validation data of shape .* built for"):
        quiet(linear(), (X, y), Loader(*other) if kind == "loader" else other)


def test_validation_that_changes_the_outputs_is_found_before_the_first_step():
    X, y = problem()
    model = fn.Sequential(fn.Conv2d(3, 4), fn.Flatten())
    with pytest.raises(ValueError, match=r"\(2, 5, 5\) .* outputs would have the shape \(12,\), not \(3,\)"):
        quiet(model, (X, y), (np.zeros((60, 2, 5, 5), np.float32), y))


def test_validation_of_another_shape_that_the_model_takes():
    X, y = problem()
    model = fn.Sequential(fn.Conv2d(4, 3, padding=1), fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(3))
    history = quiet(model, (X, y), (np.zeros((10, 2, 6, 5), np.float32), y[:10]), epochs=1).train()
    assert len(history) == 1 and model.input_shape == (2, 4, 4)


def test_schedule_gets_the_length_of_the_run():
    history = quiet(linear(), problem(), epochs=5, optimizer=SGD(1.0), schedule=CosineDecay()).train()
    expected = [(1 + np.cos(np.pi * i / 20)) / 2 for i in range(20)]
    assert history.learning_rates == pytest.approx(expected)
    seen = []
    quiet(linear(), problem(), epochs=2, schedule=lambda *position: seen.append(position) or 1.0).train()
    assert seen == [(i, 8, 4) for i in range(8)]


# ---------------------------------------------------------------- history


def trained():
    return quiet(linear(), problem(), problem(), epochs=3, optimizer=SGD(0.1)).train()


def test_history_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    trained().plot(tmp_path / "curves.png")
    with image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    History().plot(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


def test_history_without_matplotlib(monkeypatch, tmp_path):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[plot\]"):
        trained().plot(tmp_path / "curves.png")


def test_history_files(tmp_path):
    history = trained()
    history.to_json(tmp_path / "h.json")
    again = History.from_json(tmp_path / "h.json")
    assert again.to_dict() == history.to_dict() and len(again) == 3
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,loss,accuracy,val_loss") and len(lines) == 4
    assert float(lines[2].split(",")[1]) == history.history["loss"][1]


def test_history_shows_itself():
    history = trained()
    assert history._repr_html_().count("<tr>") == 4 and "val acc" in history._repr_html_()
    assert repr(history).startswith("History(3 epochs, 12 iterations; epoch 3, loss ")
    assert repr(History()) == "History(0 epochs, 0 iterations)" and "<table>" in History()._repr_html_()


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"regularizer": 1e-4}, TypeError, "regularizer must be an object such as"),
        ({"callbacks": [3]}, TypeError, "callbacks must be training.Callback objects, got 3"),
        ({"early_stopping": "x"}, TypeError, "early_stopping must be an int"),
        ({"augment": lambda x, rng: x}, TypeError, "augment must be a list of callables"),
        ({"batch_size": "a"}, TypeError, "batch_size must be an integer, got 'a'"),
        ({"seed": 2**70}, ValueError, "seed must be an integer between 0"),
        ({"info": {"a": {1}}}, TypeError, "info must be what JSON can hold"),
    ],
)
def test_wrong_arguments_are_refused_before_training(wrong, error, message):
    with pytest.raises(error, match=message):
        fn.Solver(linear(), problem(), **wrong)


def test_model_that_is_none_is_refused():
    with pytest.raises(TypeError, match="model must be a fastnet.Model"):
        fn.Solver(3, problem())


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.array])
def test_integers_may_be_numpys(tmp_path, kind):
    def run(folder, n):
        integers = {"batch_size": 16, "epochs": 3, "seed": 5, "checkpoint_every": 2, "keep": 2, "early_stopping": 2}
        options = {name: n(value) for name, value in integers.items()}
        solver = fn.Solver(linear(), problem(), problem(), verbose=False, checkpoint=tmp_path / folder, **options)
        return solver, solver.train(resume="auto")

    (solver, history), (_, expected) = run("numpy", kind), run("python", int)
    assert history.losses == expected.losses and solver.callbacks[0].patience == 2
    assert sorted(path.name for path in (tmp_path / "numpy").iterdir()) == sorted(
        path.name for path in (tmp_path / "python").iterdir()
    )
    assert EarlyStopping(patience=kind(3), min_delta=kind(1)).patience == 3


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.array])
def test_a_schedule_may_return_numpys_numbers(tmp_path, kind):
    history = quiet(linear(), problem(), epochs=1, schedule=lambda *a: kind(0.5), checkpoint=tmp_path).train()
    assert history.learning_rates == [0.0005] * 4 and {type(rate) for rate in history.learning_rates} == {float}


@pytest.mark.parametrize("name", ["batch_size", "epochs", "seed", "checkpoint_every", "keep"])
@pytest.mark.parametrize("wrong", [True, np.bool_(True), 2.0, np.float32(2), "2", None, [2], np.array([2])])
def test_what_is_no_integer_is_refused(name, wrong):
    with pytest.raises(TypeError, match=f"Solver: {name} must be an integer"):
        fn.Solver(linear(), problem(), **{name: wrong})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EarlyStopping(3), "monitor must be a column of the history such as 'val_loss', got 3"),
        (lambda: EarlyStopping(patience="3"), "patience must be an integer, got '3'"),
        (lambda: EarlyStopping(patience=2.5), "patience"),
        (lambda: EarlyStopping(patience=float("inf")), "patience"),
        (lambda: EarlyStopping(min_delta="a"), "min_delta must be a finite number, got 'a'"),
        (lambda: BestSnapshot(min_delta=True), "BestSnapshot: min_delta"),
        (lambda: quiet(linear(), problem(), schedule=CosineDecay), "schedule must be callable, such as"),
        (
            lambda: quiet(linear(), problem(), preprocess=Standardize),
            "preprocess must be callable or a name: 'standardize'",
        ),
        (
            lambda: quiet(linear(), problem(), preprocess=255),
            "preprocess must be callable or a name: 'standardize', got 255",
        ),
        (lambda: quiet(linear(), problem(), regularizer=L2), "regularizer must be an object such as"),
        (lambda: quiet(linear(), problem(), callbacks=BestSnapshot()), "callbacks must be a list of"),
        (lambda: quiet(linear(), problem(), early_stopping=True), "early_stopping must be an int"),
    ],
)
def test_arguments_of_another_kind_are_refused_at_once(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    solver = fn.Solver(linear(), problem(), checkpoint=tmp_path / "file", verbose=False)
    with pytest.raises(OSError, match="file"):
        solver.train()
    assert solver.iteration == 0


def test_prediction_of_nothing():
    assert fn.Solver(linear(), problem(), verbose=False).predict(problem()[0][:0]).shape == (0, 3)


@pytest.mark.parametrize("value", ["no", "False", None, [], 0.5])
def test_verbose_is_a_flag(value):
    with pytest.raises(TypeError, match="verbose must be True or False, got"):
        fn.Solver(linear(), problem(), verbose=value)
    for silent in (0, False, np.False_, np.int64(0)):
        fn.Solver(linear(), problem(), verbose=silent)


@pytest.mark.parametrize("option", [{"checkpoint_every": 3}, {"keep": 1}, {"keep": 5, "checkpoint_every": 2}])
def test_options_of_checkpoints_need_their_folder(option, tmp_path):
    with pytest.raises(ValueError, match=r"(keep|every)=\d needs checkpoint='a folder'"):
        quiet(linear(), problem(), **option)
    quiet(linear(), problem(), checkpoint=tmp_path, **option)


@pytest.mark.parametrize("value", [True, 3, b"x", ["auto"]])
def test_resume_is_a_path(value, tmp_path):
    with pytest.raises(TypeError, match="train: resume must be 'auto', the path of a checkpoint, or None, got"):
        quiet(linear(), problem(), checkpoint=tmp_path).train(resume=value)


@pytest.mark.parametrize("built", [True, False])
def test_channels_last_are_told_of_built_models_too(built):
    X, model = np.zeros((12, 32, 32, 3), np.float32), linear()
    if built:
        model.build((32, 32, 3))
    with pytest.warns(UserWarning, match=r"Solver: images of shape \(12, 32, 32, 3\) seem to be \(N, H, W, C\)"):
        quiet(model, (X, np.arange(12) % 3))


@pytest.mark.parametrize("factor", [np.nan, np.inf, -1, None, "1"])
def test_what_a_schedule_returns(factor):
    with pytest.raises((TypeError, ValueError), match="Solver: what schedule returns must be"):
        quiet(linear(), problem(), schedule=lambda *_: factor).train()


@pytest.mark.parametrize("result", [1.0, None, (1.0,), [1.0, 0]])
def test_what_a_loss_returns(result):
    with pytest.raises(TypeError, match=r"the loss must return \(loss, its gradient by the scores\), got"):
        quiet(linear(), problem(), loss=lambda scores, y: result).train()


def test_a_misspelt_event_is_refused():
    class Mine(fn.training.Callback):
        def on_epoch_ends(self, solver, record):
            pass

    with pytest.raises(TypeError, match="Mine has on_epoch_ends; methods are called on on_epoch_end, on_iteration_end"):
        quiet(linear(), problem(), callbacks=[Mine()])


def test_a_model_that_is_frozen_as_a_whole():
    model = linear()
    model.build((2, 4, 4))
    for parameter in model.parameters():
        parameter.requires_grad = False
    with pytest.warns(UserWarning, match="train: no parameter has requires_grad, so that none changes"):
        quiet(model, problem(), epochs=1).train()
