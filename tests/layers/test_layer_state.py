"""State dicts, files, summary, predict, evaluate."""

import collections
import os

import numpy as np
import pytest

from fastnet import storage
from fastnet.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU, Sequential


def net(seed=0, dtype="float32", classes=3):
    model = Sequential(Conv2d(4, 3, padding=1), BatchNorm2d(), ReLU(), GlobalAvgPool2d(), Flatten(), Linear(classes))
    model.build((2, 5, 5), seed=seed, dtype=dtype)
    model.forward(np.random.default_rng(seed).normal(size=(4, 2, 5, 5)).astype(dtype), training=True)
    return model


def equal(one, two):
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, suffix, dtype):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    one, two = net(0, dtype), net(1, dtype)
    one.save(path)
    assert two.load(path) == ([], [])
    equal(one.state_dict(), two.state_dict())
    assert os.listdir(tmp_path) == [path.name]


def test_state_dict_holds_copies_and_loading_keeps_arrays():
    model = net()
    state, value = model.state_dict(), model["0"].weight.value
    value[...] = 7
    assert not (state["0.weight"] == 7).any()
    model.load_state_dict(state)
    assert model["0"].weight.value is value
    equal(model.state_dict(), state)


def test_loading_casts_and_passes_over_counters():
    state = {name: value.astype(np.float64) for name, value in net(1).state_dict().items()}
    state["1.num_batches_tracked"] = np.array(5)
    model = net()
    model.load_state_dict(collections.OrderedDict(state))
    assert model["0"].weight.dtype == np.float32
    np.testing.assert_array_equal(model["0"].weight.value, state["0.weight"].astype(np.float32))


def test_wrong_states_change_nothing():
    model = net()
    before = model.state_dict()
    good = net(1).state_dict()
    missing = {name: value for name, value in good.items() if name != "5.bias"}
    with pytest.raises(KeyError, match="missing from the state: 5.bias; not in the model: 5.biass; strict=False"):
        model.load_state_dict({**missing, "5.biass": good["5.bias"]})
    with pytest.raises(TypeError, match="names must be str, got 5"):
        model.load_state_dict({**good, 5: good["5.bias"]})
    with pytest.raises(ValueError, match=r"5.weight has shape \(3, 4\) in the model, \(9, 4\) in the state"):
        model.load_state_dict({**good, "5.weight": np.zeros((9, 4), np.float32)})
    with pytest.raises(TypeError, match="5.bias must be a floating-point array, got int64"):
        model.load_state_dict({**good, "5.bias": np.zeros(3, np.int64)})
    with pytest.raises(TypeError, match="5.bias must be a floating-point array, got list"):
        model.load_state_dict({**good, "5.bias": [0.0, 0.0, 0.0]})
    with pytest.raises(TypeError, match="expects a mapping"):
        model.load_state_dict([1])
    equal(model.state_dict(), before)
    keys = model.load_state_dict({**missing, "extra": np.zeros(1, np.float32)}, strict=False)
    assert keys.missing == ["5.bias"] and keys.unexpected == ["extra"]
    np.testing.assert_array_equal(model.state_dict()["0.weight"], good["0.weight"])


def test_files_that_do_not_fit(tmp_path):
    model = net()
    model.save(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError, match="no file .*other.npz; .* has model.npz"):
        model.load(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="must end in .safetensors or .npz"):
        model.save(tmp_path / "model.pkl")
    with pytest.raises(FileNotFoundError, match="the folder .*nowhere does not exist"):
        model.save(tmp_path / "nowhere" / "model.npz")
    with pytest.raises(ValueError, match=r"model.npz: load_state_dict: 5.weight has shape \(9, 4\)"):
        net(classes=9).load(tmp_path / "model.npz")
    with pytest.raises(RuntimeError, match="not built"):
        Sequential(Linear(2)).load(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="cannot store metadata"):
        storage.write_arrays(tmp_path / "meta.npz", {}, {"a": "b"})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_damaged_files(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    model = net()
    model.save(path)
    data = path.read_bytes()
    for length in (0, 1, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="damaged or no"):
            model.load(path)


def test_pickles_in_npz_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, weight=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged or not a .npz file"):
        storage.read_arrays(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new, but not all of it")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        storage.atomic_write(path, write)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.npz"]


def test_missing_safetensors_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r'pip install "fastnet-cnn\[safetensors\]"'):
        net().save(tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_summary():
    model = net()
    summary = model.summary()
    assert [row.name for row in summary.rows] == ["0", "1", "2", "3", "4", "5"]
    assert [row.parameters for row in summary.rows] == [4 * 2 * 9 + 4, 8, 0, 0, 0, 15]
    assert summary.macs == 4 * 2 * 9 * 25 + 12 and summary.parameters == summary.trainable == 99
    text = str(summary)
    assert "4 x 5 x 5" in text and text.endswith("input 2 x 5 x 5; 99 parameters; 1,812 MACs an image")
    assert len({len(line) for line in text.splitlines()[1:8]}) == 1
    assert "<td>Conv2d</td>" in summary._repr_html_()
    assert model.summary((2, 10, 10)).macs == 4 * 2 * 9 * 100 + 12


@pytest.mark.filterwarnings("error")
def test_predict_in_batches():
    model = net()
    x = np.random.default_rng(0).normal(size=(7, 2, 5, 5)).astype(np.float32)
    whole = model.predict(x)
    assert type(whole) is np.ndarray and whole.shape == (7, 3)
    for size in (1, 3, 7, 100):
        np.testing.assert_allclose(model.predict(x, batch_size=size), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(x.tolist()), whole, rtol=1e-5, atol=1e-6)
    images = Sequential(model["0"])
    np.testing.assert_allclose(images.predict(x, 2), images(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(images.predict(x, np.int64(2)), images.predict(x, 2))
    for wrong in (0, True, 2.0, 2**31, 2**61, 10**30):
        with pytest.raises((TypeError, ValueError), match=r"batch_size must be an integer.*, got"):
            model.predict(x, wrong)
    for single, shape in ((x[0], r"\(2, 5, 5\)"), ([], r"\(0,\)")):
        with pytest.raises(ValueError, match=rf"examples of shape \(2, 5, 5\) along its first axis, got shape {shape}"):
            images.predict(single)


def test_evaluate():
    model = net()
    x = np.random.default_rng(0).normal(size=(7, 2, 5, 5)).astype(np.float32)
    y = np.array([0, 1, 2, 0, 1, 2, 0])
    scores = model.predict(x).astype(np.float64)
    accuracy = (scores.argmax(1) == y).mean()
    log = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    for size in (2, 7):
        result = model.evaluate(x, y, batch_size=size)
        assert result.loss == pytest.approx(-log[np.arange(7), y].mean(), rel=1e-5)
        assert result.accuracy == accuracy
    margins = np.maximum(0, scores - scores[np.arange(7), y][:, None] + 1).sum(1) - 1
    assert model.evaluate(x, list(y), loss="svm").loss == pytest.approx(margins.mean(), rel=1e-5)
    assert model.evaluate(x, y, 7, loss=lambda scores, labels: (2.5, None)).loss == 2.5
    refused = [(x, y[:3], "svm", "same length"), (x, y, "hinge", "loss must be one of")]
    for X, labels, loss, message in (*refused, (x, y, "l1", "l1: targets must have shape")):
        with pytest.raises(ValueError, match=message):
            model.evaluate(X, labels, loss=loss)
