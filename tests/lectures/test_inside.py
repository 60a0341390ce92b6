"""The parts of the experiments that look inside networks."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.lectures import gradcam
from fastnet.lectures.class_visualization import SIX
from fastnet.lectures.material.published import published

pytest.importorskip("matplotlib")


def test_the_pointing_game():
    maps = np.zeros((2, 6, 6))
    maps[0, 1, 1], maps[0, 5, 5], maps[1, 0, 0] = 3, 1, -5
    maps[1, 4, 4] = 1
    hits, share = gradcam.pointing(maps, np.array([[0, 0], [0, 0]]), 3)
    assert hits == 0.5 and share == pytest.approx(0.75 / 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    fn.models.create("squeezenet1_1").save(path)
    return path


def test_published_weights_take_raw_images(weights):
    pytest.importorskip("safetensors")
    model = published("squeezenet1_1", str(weights))
    raw = np.random.default_rng(0).integers(0, 256, (1, 3, 224, 224)).astype(np.uint8)
    plain = fn.models.create("squeezenet1_1")
    mean, std = (np.array(values).reshape(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    expected = plain.predict(((raw / 255 - mean) / std).astype(np.float32))
    np.testing.assert_allclose(model.predict(raw), expected, rtol=1e-3, atol=1e-4)
    assert len(SIX) == 6 and max(SIX.values()) < expected.shape[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["class-visualization", "--net", "squeezenet1_1"], "needs --weights FILE"),
        (["class-visualization", "--net", "resnet18", "--weights"], "does not hold the weights of resnet18"),
        (
            ["deepdream", "--layer", "features.33", "--net", "squeezenet1_1", "--weights"],
            "--layer: the model has no layer",
        ),
    ],
)
def test_options_that_do_not_fit(words, message, weights, tmp_path, capsys):
    for library in ("sklearn", "safetensors", "PIL"):
        pytest.importorskip(library)
    words = words + [str(weights)] * (words[-1] == "--weights")
    assert main(["lecture", *words, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
