"""Checkpoints: an interrupted run goes on with the same bits."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import interrupted
import numpy as np
import pytest
from interrupted import OPTIMIZERS, At, assert_same, ctrl_c, make, problem

import fastnet as fn
from fastnet.training import BestSnapshot, EarlyStopping, load_checkpoint


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("iteration", [1, 7, 10, 13])
def test_interrupted_run_goes_on_with_the_same_bits(tmp_path, optimizer, iteration):
    whole = make(optimizer=OPTIMIZERS[optimizer](), callbacks=[At()])
    whole.train()
    broken = make(tmp_path, optimizer=OPTIMIZERS[optimizer](), callbacks=[At(iteration, ctrl_c)])
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    assert broken.iteration == iteration and broken.last_checkpoint.name == f"checkpoint-{iteration:08d}.npz"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = make(tmp_path, optimizer=OPTIMIZERS[optimizer](), callbacks=[At()])
    resumed.train(resume="auto")
    assert_same(whole, resumed)
    broken.callbacks[0].iteration = 0
    broken.train()  # the interrupted object itself can continue, too
    assert_same(whole, broken)


def test_interrupted_validation_is_repeated_whole(tmp_path, monkeypatch):
    whole = make(callbacks=[At()])
    whole.train()
    broken = make(tmp_path, callbacks=[At()])
    runner, calls = fn.Sequential.runner, []

    def interrupted(model, x):
        run = runner(model, x)

        def counted(x):
            calls.append(1)
            if len(calls) == 3:
                ctrl_c()
            return run(x)

        return counted

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fn.Sequential, "runner", interrupted)
        broken.train()
    assert (broken.epoch, broken.batch, len(broken.history)) == (1, 5, 1)
    resumed = make(tmp_path, callbacks=[At()])
    resumed.train(resume="auto")
    assert_same(whole, resumed)


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def twice():
        ctrl_c()
        ctrl_c()

    solver = make(tmp_path, callbacks=[At(2, twice)])
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    assert list(tmp_path.iterdir()) == []


def test_in_another_thread_signals_are_left_alone(tmp_path):
    solver = make(tmp_path, epochs=1)
    thread = threading.Thread(target=solver.train)
    thread.start()
    thread.join()
    assert len(solver.history) == 1


def test_killed_process_goes_on_with_the_same_bits(tmp_path):
    """SIGKILL in the middle of an epoch: the previous epoch's checkpoint remains."""
    here = Path(interrupted.__file__)
    script = (
        f"import sys, os, signal; sys.path[:0] = [{str(here.parent)!r}, {str(Path(fn.__file__).parents[1])!r}]\n"
        "from interrupted import *\n"
        f"make({str(tmp_path)!r}, callbacks=[At(13, lambda: os.kill(os.getpid(), signal.SIGKILL))]).train()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    whole, resumed = make(callbacks=[At()]), make(tmp_path, callbacks=[At()])
    whole.train()
    resumed.train(resume="auto")
    assert resumed.history.losses[:10] == whole.history.losses[:10]
    assert_same(whole, resumed)


def test_resume_from_file_and_folder_and_from_nothing(tmp_path):
    first = make(tmp_path / "a", epochs=2)
    first.train(resume="auto")  # nothing is there yet
    for place in (tmp_path / "a", first.last_checkpoint, str(first.last_checkpoint)):
        second = make(epochs=2)
        assert len(second.train(resume=place)) == 2
        np.testing.assert_array_equal(first.model.state_dict()["5.weight"], second.model.state_dict()["5.weight"])
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        make().train(resume=tmp_path)
    with pytest.raises(FileNotFoundError):
        make().train(resume=tmp_path / "nothing.npz")


def test_early_stopping_survives(tmp_path):
    def stopper():
        return EarlyStopping("loss", mode="max", patience=2)  # the loss falls, so epoch 1 is the best

    whole = make(epochs=9, early_stopping=stopper(), callbacks=[At()])
    whole.train()
    assert len(whole.history) == 3
    broken = make(tmp_path, epochs=9, early_stopping=stopper(), callbacks=[At(11, ctrl_c)])
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = make(tmp_path, epochs=9, early_stopping=stopper(), callbacks=[At()])
    resumed.train(resume="auto")
    assert_same(whole, resumed)
    again = make(tmp_path, epochs=9, early_stopping=stopper(), callbacks=[At()])
    assert len(again.train(resume="auto")) == 3  # a run that has stopped stays stopped
    assert_same(whole, again)


def test_frequency_and_number_of_files(tmp_path):
    make(tmp_path / "a", epochs=5).train()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["checkpoint-00000020.npz", "checkpoint-00000025.npz"]
    make(tmp_path / "b", epochs=5, checkpoint_every=2, keep=9).train()
    names = sorted(p.name for p in (tmp_path / "b").iterdir())
    assert names == [f"checkpoint-000000{i}.npz" for i in (10, 20, 25)]


def test_files_of_other_runs_are_left_and_the_newest_counts(tmp_path):
    make(tmp_path, epochs=3).train()
    newer = make(tmp_path, epochs=1)
    newer.train()
    assert len(list(tmp_path.iterdir())) == 3
    assert load_checkpoint(tmp_path).path == newer.last_checkpoint


def test_what_a_checkpoint_tells(tmp_path):
    solver = make(tmp_path, epochs=3, info={"model": "convnet"}, callbacks=[BestSnapshot("loss", mode="max")])
    solver.train()
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.info == {"model": "convnet"}
    assert checkpoint.history.to_dict() == solver.history.to_dict()
    np.testing.assert_array_equal(checkpoint.preprocess(problem()[0]), solver.preprocess(problem()[0]))
    for name, value in solver.model.state_dict().items():  # restored to the best
        np.testing.assert_array_equal(checkpoint.model_state()[name], value)
    assert any(
        not np.array_equal(v, checkpoint.model_state(best=False)[n]) for n, v in checkpoint.model_state().items()
    )
    with np.load(checkpoint.path, allow_pickle=False) as plain:
        assert json.loads(plain["metadata"].tobytes())["format"] == "fastnet checkpoint"
