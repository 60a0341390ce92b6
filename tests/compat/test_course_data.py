"""The course's data sets, and its files of parameters."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fastnet.compat.cs231n import data_utils, saved

RNG = np.random.default_rng(8)
normal = RNG.standard_normal


# ---------------------------------------------------------------- data_utils


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A small CIFAR-10 in cs231n/datasets with six images per batch; the current folder is the assignment's."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cs231n" / "datasets" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    arrays = {}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        images, labels = RNG.integers(0, 256, (6, 3072)).astype(np.uint8), RNG.integers(0, 10, 6).tolist()
        (folder / name).write_bytes(pickle.dumps({b"data": images, b"labels": labels}, protocol=2))
        arrays[name] = images.reshape(6, 3, 32, 32), labels
    return folder, arrays


def test_cifar_batches(cifar):
    folder, arrays = cifar
    X, y = data_utils.load_CIFAR_batch(folder / "data_batch_3")
    assert X.shape == (6, 32, 32, 3) and X.dtype == np.float64
    assert (
        np.array_equal(X.transpose(0, 3, 1, 2), arrays["data_batch_3"][0]) and y.tolist() == arrays["data_batch_3"][1]
    )
    Xtr, Ytr, Xte, Yte = data_utils.load_CIFAR10(folder)
    assert Xtr.shape == (30, 32, 32, 3) and Ytr.tolist() == sum((arrays[f"data_batch_{i}"][1] for i in range(1, 6)), [])
    assert (
        np.array_equal(Xte.transpose(0, 3, 1, 2), arrays["test_batch"][0]) and Yte.tolist() == arrays["test_batch"][1]
    )


@pytest.mark.parametrize("subtract_mean", [True, False])
def test_cifar_split(cifar, subtract_mean):
    _, arrays = cifar
    data = data_utils.get_CIFAR10_data(20, 5, 3, subtract_mean=subtract_mean)
    everything = np.concatenate([arrays[f"data_batch_{i}"][0] for i in range(1, 6)]).astype(float)
    mean = everything[:20].mean(axis=0) if subtract_mean else 0
    np.testing.assert_allclose(data["X_train"], everything[:20] - mean)
    np.testing.assert_allclose(data["X_val"], everything[20:25] - mean)
    np.testing.assert_allclose(data["X_test"], arrays["test_batch"][0][:3] - mean)
    assert data["X_train"].flags["C_CONTIGUOUS"] and data["X_train"].dtype == np.float64
    assert [data[f"y_{part}"].shape for part in ("train", "val", "test")] == [(20,), (5,), (3,)]


def test_missing_cifar_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no CIFAR-10 in cs231n.datasets.cifar-10-batches-py.*unpack"):
        data_utils.get_CIFAR10_data()


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def test_pickles_run_no_code(tmp_path, capsys):
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({"data": Hostile(), "labels": []}))
    with pytest.raises(
        ValueError, match="batch: not accepted as a pickle of plain arrays: refused: the file calls 'builtins.print'"
    ):
        data_utils.load_CIFAR_batch(path)
    assert capsys.readouterr().out == ""
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="expected a CIFAR-10 batch, a dict with 'data' and 'labels'"):
        data_utils.load_CIFAR_batch(path)


def test_models_are_read_if_they_are_data(tmp_path, capsys):
    weights = normal((2, 3))
    (tmp_path / "plain").write_bytes(pickle.dumps({"model": {"W1": weights}}))
    (tmp_path / "hostile").write_bytes(pickle.dumps({"model": Hostile()}))
    (tmp_path / "other").write_bytes(b"no pickle")
    models = data_utils.load_models(tmp_path)
    assert list(models) == ["plain"] and np.array_equal(models["plain"]["W1"], weights)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[0].startswith("hostile is skipped:") and "run" not in printed


def test_imagenet_val(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="imagenet_val_25.npz"):
        data_utils.load_imagenet_val()
    folder = tmp_path / "cs231n" / "datasets"
    folder.mkdir(parents=True)
    X, y = RNG.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8), np.arange(4)
    np.savez(folder / "imagenet_val_25.npz", X=X, y=y, label_map={0: "tench", 3: "hen, red"})
    images, labels, names = data_utils.load_imagenet_val(num=3)
    assert np.array_equal(images, X[:3]) and labels.tolist() == [0, 1, 2] and names == {0: "tench", 3: "hen, red"}
    np.savez(folder / "imagenet_val_25.npz", X=X, y=y, label_map=np.array(Hostile(), dtype=object))
    with pytest.raises(ValueError, match="label_map: not accepted"):
        data_utils.load_imagenet_val()
    np.savez(folder / "imagenet_val_25.npz", X=X, y=y)
    with pytest.raises(ValueError, match="with 'label_map'"):
        data_utils.load_imagenet_val()


def test_tiny_imagenet(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")

    def picture(path, mode="RGB"):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (64, 64, 3) if mode == "RGB" else (64, 64)).astype(np.uint8)
        image.fromarray(pixels).save(path, format="PNG")
        return pixels.transpose(2, 0, 1) if mode == "RGB" else np.stack([pixels] * 3)

    (tmp_path / "wnids.txt").write_text("n02\nn01\n")
    (tmp_path / "words.txt").write_text("n01\tcat\nn02\tdog, domestic dog\nn03\tfish\n")
    train = []
    for wnid in ("n02", "n01"):
        names = [f"{wnid}_{i}.JPEG" for i in range(2)]
        train += [picture(tmp_path / "train" / wnid / "images" / name) for name in names]
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(f"{n}\t0\t0\t9\t9\n" for n in names))
    val = picture(tmp_path / "val" / "images" / "v.JPEG", mode="L")
    (tmp_path / "val" / "val_annotations.txt").write_text("v.JPEG\tn01\t0\t0\t9\t9\n")
    test = picture(tmp_path / "test" / "images" / "t.JPEG")

    data = data_utils.load_tiny_imagenet(tmp_path, dtype=np.float64, subtract_mean=False)
    assert data["class_names"] == [["dog", "domestic dog"], ["cat"]]
    assert np.array_equal(data["X_train"], train) and data["y_train"].tolist() == [0, 0, 1, 1]
    assert np.array_equal(data["X_val"], [val]) and data["y_val"].tolist() == [1]
    assert np.array_equal(data["X_test"], [test]) and data["y_test"] is None
    np.testing.assert_allclose(data["mean_image"], np.mean(train, axis=0))
    assert "loading training data for synset 1 / 2" in capsys.readouterr().out

    (tmp_path / "test" / "test_annotations.txt").write_text("t.JPEG\tn02\n")
    data = data_utils.load_tiny_imagenet(tmp_path)
    assert data["X_train"].dtype == np.float32 and data["y_test"].tolist() == [0]
    np.testing.assert_allclose(data["X_test"][0], test - np.mean(train, axis=0), atol=1e-4)


# ---------------------------------------------------------------- saved parameters


def test_saved_parameters_come_back_from_the_courses_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert saved.load_params("best.npy") is None
    params = {"W1": normal((3, 4)), "b1": np.zeros(4, np.float32)}
    saved.save_params("best.npy", params)
    assert capsys.readouterr().out == "best.npy not available.\nbest.npy saved.\n"
    found = saved.load_params("best.npy")
    assert capsys.readouterr().out == "best.npy loaded successfully.\n"
    assert set(found) == {"W1", "b1"} and found["b1"].dtype == np.float32
    assert np.array_equal(found["W1"], params["W1"]) and found["W1"].flags["WRITEABLE"]
    own = np.load(tmp_path / "cs231n" / "saved" / "best.npy", allow_pickle=True).item()  # as the course reads it
    assert np.array_equal(own["W1"], params["W1"])


@pytest.mark.parametrize(
    "content, message",
    [
        (Hostile(), "refused: the file calls 'builtins.print'"),
        (np.zeros(3), r"expected one object, as np.save writes a dict, got float64 of shape \(3,\)"),
        ([1, 2], r"expected one object, as np.save writes a dict, got"),
        ({"W": 3}, "expected a dict of arrays"),
    ],
)
def test_other_saved_files_are_refused(tmp_path, monkeypatch, capsys, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cs231n" / "saved" / "best.npy"
    path.parent.mkdir(parents=True)
    np.save(path, content if not isinstance(content, Hostile) else np.array(content, dtype=object))
    with pytest.raises(ValueError, match=message):
        saved.load_params("best.npy")
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="not accepted as a .npy file"):
        saved.load_params("best.npy")
    assert "run" not in capsys.readouterr().out


def test_arrays_of_objects_are_no_plain_pickles(tmp_path, monkeypatch):
    """Only the box around a single object is accepted, and no array of objects, whatever its shape."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cs231n" / "saved" / "best.npy"
    path.parent.mkdir(parents=True)
    for objects in ([{}, {}], [{}]):
        np.save(path, {"W": np.array(objects, dtype=object)})
        with pytest.raises(ValueError, match="it holds a NumPy array of objects"):
            saved.load_params("best.npy")
