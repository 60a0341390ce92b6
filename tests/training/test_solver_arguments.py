"""Arguments and data of Solver that are wrong, and those of other libraries that are right."""

import numpy as np
import pytest
from small_runs import linear, problem, quiet

import fastnet as fn
from fastnet.data import Loader, Standardize
from fastnet.optim import SGD, Adam, CosineDecay
from fastnet.regularizers import L2
from fastnet.training import BestSnapshot, EarlyStopping


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
