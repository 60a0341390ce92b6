"""``fastnet train --schedule``: names, parameters, what is refused."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import optim
from fastnet.cli import main
from fastnet.cli.schedules import SCHEDULES, chosen, schedule
from fastnet.training import load_checkpoint


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "small.npz", X_train=rng.random((60, 8, 8)), y_train=np.arange(60) % 3)
    return str(tmp_path / "small.npz")


def train(data, folder, *more):
    return main(["train", "--data", data, "--out", str(folder), "--no-plot", *more])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_every_name_suits_every_length(name, epochs):
    made = schedule(chosen(name), epochs)
    assert isinstance(made, getattr(optim, SCHEDULES[name][0]))
    factors = [made(i, epochs * 4, 4) for i in range(epochs * 4)]
    assert all(0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize(
    "text, made",
    [
        ("step:every=30/60,factor=0.2", optim.StepDecay((30, 60), 0.2)),
        ("restarts:T_0=10,T_mult=2", optim.CosineRestarts(10, 2)),
        ("one-cycle:momentum=0.85/0.95,three_phase=true", optim.OneCycle(three_phase=True, momentum=(0.85, 0.95))),
        ("cyclic:up=2,mode=triangular2", optim.CyclicRate(2, mode="triangular2", per="epoch")),
        ("plateau:monitor=val_accuracy,patience=3", optim.ReduceOnPlateau("val_accuracy", patience=3)),
    ],
)
def test_parameters(text, made):
    assert schedule(chosen(text), 20) == made
    assert schedule(chosen(text), 20, warmup=2) == optim.LinearWarmup(2, made)


def test_a_run_follows_it_and_resumes(small, tmp_path, capsys):
    options = ["--schedule", "plateau:factor=0.5,patience=0,threshold=10", "--epochs"]
    assert train(small, tmp_path / "whole", *options, "6") == 0
    assert "ReduceOnPlateau(factor=0.5, patience=0, threshold=10), batches of" in capsys.readouterr().out
    assert (
        train(small, tmp_path / "parts", *options, "3")
        == train(small, tmp_path / "parts", *options, "6", "--resume", "auto")
        == 0
    )
    whole, parts = (
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True) for name in ("whole", "parts")
    )
    assert np.array_equal(whole["lr"], parts["lr"]) and np.array_equal(whole["loss"], parts["loss"])
    assert (whole["lr"] / whole["lr"][0]).tolist() == [1, 1, 0.5, 0.25, 0.125, 0.0625]


def test_the_average_is_the_model(small, tmp_path, capsys):
    assert train(small, tmp_path / "a", "--epochs", "3", "--average", "0.9") == 0
    assert "the model has the average of 6 weights" in capsys.readouterr().out
    (checkpoint,) = [path for path in (tmp_path / "a").glob("checkpoint-*.npz") if "00000006" in path.name]
    last, average = load_checkpoint(checkpoint).model_state(best=False), load_checkpoint(checkpoint).model_state()
    model = fn.load(tmp_path / "a").state_dict()
    assert all(np.array_equal(model[name], average[name]) for name in model)
    assert not all(np.array_equal(model[name], last[name]) for name in model)
    assert train(small, tmp_path / "b", "--average", "0.9", "--early-stopping", "2") == 2
    assert "--early-stopping ends with the best weights, --average with" in capsys.readouterr().err


def test_a_plateau_without_validation_names_the_option(small, tmp_path, capsys):
    assert train(small, tmp_path / "a", "--schedule", "plateau", "--val-fraction", "0") == 2
    assert "needs validation data; give a --val-fraction above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, message",
    [
        ("sine", "'sine' is not one of constant, cosine"),
        ("step:30", "expected NAME or NAME:key=value"),
        ("step:gamma=0.1", "--schedule step has no parameter gamma; it has every, factor, per, smooth"),
        ("step:every=-1", "--schedule step: StepDecay: every must be > 0, got -1"),
        ("cosine:total=3", "in a run of"),
        ("step:every=1,every=2", "every is given twice in 'step:every=1,every=2'"),
    ],
)
def test_what_is_refused(small, tmp_path, capsys, text, message):
    try:
        status = train(small, tmp_path / "a", "--schedule", text)
    except SystemExit as exit:
        status = exit.code
    error = capsys.readouterr().err
    assert status == 2 and message in error and "Traceback" not in error
