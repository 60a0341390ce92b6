"""Checkpoints: bit-identical resuming, atomic files, files that are rejected."""

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import storage
from fastnet.optim import SGD, Adam, CosineDecay, RMSprop
from fastnet.regularizers import L2
from fastnet.training import BestSnapshot, Callback, CheckpointError, EarlyStopping, load_checkpoint

OPTIMIZERS = {
    "nesterov": lambda: SGD(0.05, 0.9, nesterov=True, weight_decay=1e-3),
    "sgd": lambda: SGD(0.05),
    "adam": lambda: Adam(1e-2),
    "rmsprop": lambda: RMSprop(1e-3),
}


def problem(N=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, 2, 4, 4), dtype=np.uint8), rng.integers(0, 3, N)


def convnet():
    return fn.Sequential(
        fn.Conv2d(4, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Dropout(0.4), fn.Linear(3)
    )


def make(folder=None, model=None, data=None, **options):
    defaults = {
        "optimizer": OPTIMIZERS["nesterov"](),
        "schedule": CosineDecay(warmup=3),
        "regularizer": L2(1e-3),
        "batch_size": 16,
        "epochs": 4,
        "seed": 5,
        "preprocess": "standardize",
        "augment": [lambda x, rng: x[..., ::-1] if rng.random() < 0.5 else x],
        "verbose": False,
    }
    return fn.Solver(
        model or convnet(), data or problem(), problem(30, seed=1), checkpoint=folder, **{**defaults, **options}
    )


class At(Callback):
    """Do something at an iteration."""

    def __init__(self, iteration=0, action=None):
        self.iteration, self.action = iteration, action

    def on_iteration_end(self, solver):
        if solver.iteration == self.iteration:
            self.action()


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def assert_same(one, other):
    assert one.history.losses == other.history.losses
    assert one.history.learning_rates == other.history.learning_rates
    for name, values in one.history.history.items():
        if name not in ("seconds", "images_per_second", "waiting"):
            assert values == other.history.history[name]
    for a, b in ((one.model, other.model), (one.optimizer, other.optimizer)):
        a, b = a.state_dict(), b.state_dict()
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert one.model.rng_state() == other.model.rng_state()


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
    infer, calls = fn.Sequential.__call__, []

    def interrupted(model, x):
        calls.append(1)
        if len(calls) == 3:
            ctrl_c()
        return infer(model, x)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fn.Sequential, "__call__", interrupted)
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
    here = Path(__file__)
    script = (
        f"import sys, os, signal; sys.path[:0] = [{str(here.parent)!r}, {str(Path(fn.__file__).parents[1])!r}]\n"
        "from test_checkpoint import *\n"
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


# ---------------------------------------------------------------- writing


def test_a_crash_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    solver = make(tmp_path, epochs=1)
    solver.train()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def crash(file, **arrays):
        file.write(b"PK\x03\x04 half of a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", crash)
    solver.iteration += 1
    with pytest.raises(OSError, match="no space"):
        solver.save_checkpoint()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load_checkpoint(tmp_path).metadata["position"]["iteration"] == 5


def test_a_process_killed_while_writing_leaves_the_last_checkpoint(tmp_path):
    here = Path(__file__)
    script = (
        f"import sys, os; sys.path[:0] = [{str(here.parent)!r}, {str(Path(fn.__file__).parents[1])!r}]\n"
        "from test_checkpoint import *\n"
        f"solver = make({str(tmp_path)!r}, epochs=1)\n"
        "solver.train()\n"
        "save = np.savez\n"
        "def die(file, **arrays):\n"
        "    save(file, **arrays)\n"
        "    file.truncate(file.tell() // 2)\n"
        "    file.flush()\n"
        "    os._exit(9)\n"
        "np.savez = die\n"
        "solver.iteration += 1\n"
        "solver.save_checkpoint()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert len(list(tmp_path.iterdir())) == 2  # the checkpoint and the torso, under another name
    assert load_checkpoint(tmp_path).metadata["position"]["iteration"] == 5


def test_data_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(storage.os, "fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(storage.os, "replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
    make(tmp_path, epochs=1).train()
    assert order[:2] == ["fsync", "replace"] and (os.name != "posix" or order[2] == "fsync")


# ---------------------------------------------------------------- refusing


@pytest.fixture
def two(tmp_path):
    """A folder with two checkpoints, oldest first."""
    make(tmp_path, epochs=2).train()
    return sorted(tmp_path.iterdir())


def spoil(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    elif how == "bent":
        content[len(content) // 2] ^= 0x55
    elif how == "foreign":
        content[:] = b"not a zip file"
    elif how == "empty":
        content.clear()
    elif how in ("no metadata", "no json", "other format", "missing array"):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        if how == "no metadata":
            del arrays["metadata"]
        elif how == "missing array":
            del arrays["model/5.bias"]
        else:
            text = b"{" if how == "no json" else b'{"format": "other"}'
            arrays["metadata"] = np.frombuffer(text, np.uint8)
        np.savez(path, **arrays)
        return
    path.write_bytes(content)


KINDS = ["truncated", "bent", "foreign", "empty", "no metadata", "no json", "other format", "missing array"]


@pytest.mark.parametrize("how", KINDS)
def test_a_damaged_file_is_refused_or_passed_over(two, how):
    spoil(two[1], how)
    with pytest.raises(CheckpointError, match=two[1].name):
        make().train(resume=two[1])
    solver = make(two[0].parent, epochs=2)
    with pytest.warns(UserWarning, match=f"skipped: .*{two[1].name}"):
        solver.train(resume="auto")
    assert len(solver.history) == 2
    spoil(two[0], how)
    two[1].write_bytes(two[0].read_bytes())
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        make(two[0].parent).train(resume="auto")


def test_no_damage_gets_through(two):
    """Bytes changed or cut off anywhere: an error, or (where zip has slack) exactly what was saved."""
    content, good = two[1].read_bytes(), load_checkpoint(two[1])
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(300):
        bad = bytearray(content)
        place = int(rng.integers(len(bad)))
        if trial % 3 == 0:
            del bad[place:]
        else:
            bad[place] ^= int(rng.integers(1, 256))
        two[1].write_bytes(bad)
        try:
            loaded = load_checkpoint(two[1])
        except CheckpointError:
            refused += 1
        else:
            assert loaded.metadata == good.metadata and loaded.arrays.keys() == good.arrays.keys()
            assert all(np.array_equal(loaded.arrays[name], good.arrays[name]) for name in good.arrays)
    assert refused > 200


def edit(path, change):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    metadata = json.loads(arrays["metadata"].tobytes())
    change(metadata)
    arrays["metadata"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_newer_format_is_refused(two):
    edit(two[1], lambda metadata: metadata.update(version=2))
    with pytest.raises(CheckpointError, match="format 2 .*install a newer one"):
        load_checkpoint(two[1])


def test_a_checkpoint_without_a_column_goes_on(two, tmp_path):
    def older(metadata):
        del metadata["history"]["history"]["waiting"]
        metadata["running"].pop("waiting", None)

    edit(two[1], older)
    with pytest.warns(UserWarning, match="the learning rate jumps"):
        history = make(epochs=3).train(resume=two[1])
    assert np.isnan(history.history["waiting"][:2]).all() and 0 <= history.history["waiting"][2] <= 1
    history.to_json(tmp_path / "history.json")
    history = fn.training.History.from_json(tmp_path / "history.json")
    history.to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text().splitlines()[1].endswith(",nan")
    assert history._repr_html_().count("<tr>") == 4
    pytest.importorskip("matplotlib")
    history.plot(tmp_path / "curves.png")
    fn.training.plot_runs({"run": history}, path=tmp_path / "runs.png")


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
        with pytest.raises(CheckpointError, match=r"saved with labels_crc32 \d+ \(here \d+\); use the same data"):
            make(tmp_path, data=other, preprocess=preprocess).train(resume="auto")
    make(tmp_path, data=(X.copy(), list(y.astype(np.uint8))), preprocess=preprocess).train(resume="auto")
