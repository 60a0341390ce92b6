"""Resuming with other models, data, settings and rates."""

import warnings

import numpy as np
import pytest
from interrupted import At, ctrl_c, make, problem

import fastnet as fn
from fastnet.optim import SGD, Adam, CosineDecay
from fastnet.training import CheckpointError, EarlyStopping


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"model": fn.Sequential(fn.Conv2d(5, 3, padding=1), fn.Flatten(), fn.Linear(3))},
            "another model: .* only in the checkpoint",
        ),
        ({"optimizer": Adam()}, "saved with optimizer SGD, Solver has Adam"),
        ({"batch_size": 8}, r"batch_size 16 \(here 8\)"),
        ({"seed": 6}, r"seed 5 \(here 6\)"),
        ({"data": problem(71)}, r"samples 70 \(here 71\), .* use the same data"),
        (
            {"data": (255 - problem()[0], problem()[1])},
            "preprocess=Standardize.* now it is Standardize.*; give the same preprocess and the same training images",
        ),
        ({"preprocess": None}, "saved with preprocess=Standardize"),
        ({"callbacks": [At()]}, r"saved with callbacks \[\], Solver has \['At'\]"),
    ],
)
def test_another_run_is_refused(two, options, message):
    with pytest.raises(CheckpointError, match=message):
        make(**options).train(resume=two[1])


def test_another_shape_is_named(two):
    model = fn.Sequential(
        fn.Conv2d(5, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Dropout(0.4), fn.Linear(3)
    )
    with pytest.raises(
        CheckpointError, match=r"0.weight is float32 \(4, 2, 3, 3\) in the checkpoint and float32 \(5, 2"
    ):
        make(model=model).train(resume=two[1])


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_finished_run_says_so(two, epochs):
    solver = make(epochs=epochs)
    with pytest.warns(UserWarning, match=f"nothing to do: 2 epochs are done already, epochs={epochs}; give more"):
        solver.train(resume=two[1])
    assert len(solver.history) == 2


def test_a_run_that_was_stopped_early_says_so(tmp_path):
    options = {"early_stopping": EarlyStopping("loss", mode="max"), "epochs": 9}
    make(tmp_path, **options).train()
    solver = make(tmp_path, early_stopping=EarlyStopping("loss", mode="max"), epochs=9)
    with pytest.warns(UserWarning, match="nothing to do: loss has not improved for 1 epochs"):
        solver.train(resume="auto")
    assert len(solver.history) == 2


@pytest.mark.parametrize(
    "options, jumps",
    [
        ({"epochs": 2}, False),
        ({"epochs": 6}, True),  # the cosine is stretched
        ({"epochs": 6, "schedule": CosineDecay(total=20, warmup=3, hold=True)}, True),
        ({"epochs": 6, "schedule": CosineDecay(total=10, warmup=3, hold=True)}, False),
        ({"epochs": 2, "optimizer": SGD(0.06, 0.9, nesterov=True, weight_decay=1e-3)}, True),
        ({"epochs": 6, "schedule": lambda i, total, per_epoch: 1.0}, True),
    ],
)
def test_a_rate_that_jumps_is_not_silent(tmp_path, options, jumps):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, epochs=2, callbacks=[At(8, ctrl_c)]).train()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solver = make(tmp_path, callbacks=[At()], **options)
        solver.train(resume="auto")
    told = [str(w.message) for w in caught if "the learning rate jumps" in str(w.message)]
    assert len(told) == jumps
    before, after = solver.history.learning_rates[7:9]
    assert not jumps or f"had {before:.3g}, the next has {after:.3g} (SGD" in told[0]


def test_a_rate_that_jumps_without_a_checkpoint():
    solver = make(epochs=1)
    solver.train()
    solver.epochs = 3
    with pytest.warns(UserWarning, match="the learning rate jumps: .* over 3 epochs"):
        solver.train()


def test_other_settings_are_not_silent(two):
    with pytest.warns(UserWarning, match=r"other settings: .*optimizer: SGD\(lr=0.05.*now SGD\(lr=0.01"):
        make(optimizer=SGD(0.01, 0.9, nesterov=True, weight_decay=1e-3)).train(resume=two[1])


@pytest.mark.parametrize("preprocess", [None, "standardize"])
def test_other_data_of_the_same_size_are_refused(tmp_path, preprocess):
    """The standardisation of images in another order is the same, and none tells nothing."""
    X, y = problem()
    make(tmp_path, epochs=1, preprocess=preprocess).train()
    for other in ((X[::-1], y[::-1]), (X, (y + 1) % 3)):
        with pytest.raises(CheckpointError, match="saved with other labels; use the same data"):
            make(tmp_path, data=other, preprocess=preprocess).train(resume="auto")
    make(tmp_path, data=(X.copy(), list(y.astype(np.uint8))), preprocess=preprocess).train(resume="auto")
