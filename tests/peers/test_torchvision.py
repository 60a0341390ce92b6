"""torchvision's models, with random weights that went through a .pth file: the same names, shapes and outputs."""

from __future__ import annotations

import numpy as np
import published
import pytest
import torchvision_peer

from fastnet import interop, models

torch = pytest.importorskip("torch")
torchvision = torchvision_peer.load()
pytestmark = pytest.mark.peers


@pytest.mark.parametrize("name", sorted({*published.STATES} - {"efficientnet_lite0"}))
def test_names_and_shapes(name):
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = getattr(torchvision.models, name)(**options)
    state = {key: tuple(value.shape) for key, value in model.state_dict().items() if "num_batches" not in key}
    assert state == published.STATES[name]


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "squeezenet1_0", "squeezenet1_1", "googlenet", "mobilenet_v2", "vgg11_bn"]
)
def test_outputs(name, tmp_path):
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    peer = getattr(torchvision.models, name)(num_classes=11, **options).eval()
    with torch.no_grad():  # weights that keep activations of size 1, and statistics that are not 0 and 1
        for key, value in peer.state_dict().items():
            if "num_batches" in key:
                continue
            if value.ndim > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
            else:
                value.uniform_(0.5, 1.5) if key.endswith(("var", "weight")) else value.uniform_(-0.1, 0.1)
    torch.save(peer.state_dict(), tmp_path / "peer.pth")
    side = 224 if name.startswith("vgg") else 96
    model = interop.pretrained(name, tmp_path / "peer.pth", 11, (3, side, side))
    x = np.random.default_rng(0).normal(size=(2, 3, side, side)).astype(np.float32)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x)).numpy()
    assert np.abs(model(x) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_every_architecture_with_a_source_is_listed():
    assert {*published.STATES} <= {*interop.SOURCES} <= {*models.names()}
