"""A trained model on disk: what `fastnet train` writes, fastnet.load builds again."""

import json
import shutil

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.data import Standardize
from fastnet.training import CheckpointError, saved

CARD = {"model": "lenet5", "options": {}, "classes": ["a", "b", "c"], "input_shape": [1, 28, 28], "dtype": "float64"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, and its images and labels: bytes, darker on the left or on the right."""
    folder = tmp_path_factory.mktemp("saved")
    rng, y = np.random.default_rng(0), np.arange(100) % 2
    X = rng.integers(0, 128, (100, 8, 8), dtype=np.uint8)
    X[y == 0, :, :4] += 100
    X[y == 1, :, 4:] += 100
    np.savez(folder / "data.npz", X=X, y=y)
    options = ["--epochs", "3", "--quiet", "--no-plot", "--out", str(folder / "run"), "--early-stopping", "2"]
    assert main(["train", "--data", str(folder / "data.npz"), *options]) == 0
    return folder / "run", X[:, None], y


def weights_of(folder):
    return folder / json.loads((folder / "model.json").read_text())["weights"]


def test_every_door_leads_to_the_same_model(run):
    folder, X, y = run
    doors = [folder, str(folder), folder / "model.json", weights_of(folder), *folder.glob("checkpoint-*.npz")]
    assert len(doors) == 6
    models = [fn.load(door) for door in doors[:4]]
    for model in models:
        assert isinstance(model, fn.Model) and model.class_names == ("0", "1") and model.input_shape == (1, 8, 8)
        np.testing.assert_array_equal(model.predict(X), models[0].predict(X))
    assert models[0].evaluate(X, y).accuracy > 0.95  # raw bytes
    np.testing.assert_array_equal(models[0].predict_classes(X), models[0].predict_proba(X).argmax(1))
    newest = fn.load(doors[-1]) if doors[-1] > doors[-2] else fn.load(doors[-2])
    np.testing.assert_allclose(newest.predict(X), models[0].predict(X), rtol=1e-5, atol=1e-6)


def test_a_folder_with_checkpoints_only(run, tmp_path):
    folder, X, _ = run
    for file in folder.glob("checkpoint-*"):
        shutil.copy(file, tmp_path)
    np.testing.assert_array_equal(fn.load(tmp_path).predict(X), fn.load(folder).predict(X))


def test_it_can_be_trained_further(run):
    folder, X, y = run
    model, other = fn.load(folder), 1 - y
    before = model.evaluate(X, other).loss
    history = model.fit(X, other, epochs=3, validation=(X, other), optimizer=fn.optim.SGD(1e-3), verbose=False)
    after = model.evaluate(X, other).loss
    assert history.history["val_loss"][-1] == pytest.approx(after, rel=1e-5) and after < before - 1


def test_a_card_written_in_python(tmp_path):
    model = saved.create(CARD, seed=3)
    model.preprocessing = Standardize([0.5], [0.25], 255)
    path = saved.save(tmp_path, model, CARD)
    again = fn.load(path)
    assert again.dtype == "float64" and again.class_names == ("a", "b", "c")
    X = np.random.default_rng(0).integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    model.preprocessing = lambda x, dtype: x.astype(dtype)
    with pytest.raises(TypeError, match="a card can only describe Standardize and PCA"):
        saved.save(tmp_path, model, CARD)


@pytest.mark.parametrize("part", ["write_arrays", "write_json"])
def test_a_disk_that_is_full_leaves_no_card(tmp_path, monkeypatch, part):
    saved.save(tmp_path, saved.create(CARD), CARD)

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((fn.storage, part) if part == "write_arrays" else (saved, part)), fail)
    with pytest.raises(OSError, match="No space"):
        saved.save(tmp_path, saved.create(CARD, seed=1), CARD)
    with pytest.raises(FileNotFoundError, match="no model.json"):
        fn.load(tmp_path)


def test_weights_without_a_card(tmp_path):
    model = saved.create(CARD)
    model.save(tmp_path / "alone.npz")
    with pytest.raises(FileNotFoundError, match=r"alone.json is missing: .* alone.npz holds.* model.load\(path\)"):
        fn.load(tmp_path / "alone.npz")
    with pytest.raises(FileNotFoundError, match="nothing.npz does not exist"):
        fn.load(tmp_path / "nothing.npz")
    with pytest.raises(FileNotFoundError, match="holds no model.json and no checkpoint"):
        fn.load(tmp_path)
    (tmp_path / "weights.pth").write_bytes(b"PK")
    with pytest.raises(ValueError, match="not a model of fastnet .*interop.load_torch"):
        fn.load(tmp_path / "weights.pth")
    (tmp_path / "checkpoint-00000001.npz").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="not accepted as a checkpoint"):
        fn.load(tmp_path / "checkpoint-00000001.npz")


def test_a_checkpoint_of_a_model_of_ones_own(tmp_path):
    X, y = np.zeros((8, 4), np.float32), np.arange(8) % 2
    fn.Solver(fn.Sequential(fn.Linear(2)), (X, y), epochs=1, checkpoint=tmp_path, verbose=False).train()
    with pytest.raises(ValueError, match="does not say which model it holds.*load_state_dict"):
        fn.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "lenet6"},
        {"classes": 3},
        {"input_shape": None},
        {"weights": "../model.npz"},
        {"weights": 3},
        {"preprocess": {"mean": [0]}},
        {"options": {"depth": 3}},
        {"classes": ["a", "b"]},
    ],
)
def test_damaged_cards(tmp_path, change):
    saved.save(tmp_path, saved.create(CARD), CARD)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(ValueError, match=r"model.json is damaged|model\.\w+: "):
        fn.load(tmp_path)
