"""Files that PyTorch itself writes, and the same numbers from the same weights."""

import numpy as np
import pytest

import fastnet as fn
from fastnet.interop import load_torch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers


def twins():
    nn = torch.nn
    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, (3, 5), padding=(1, 2), groups=4, dilation=(1, 1)),
        nn.LeakyReLU(0.1),
        nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        nn.AvgPool2d(2, 1, padding=1),
        nn.Flatten(),
        nn.Linear(12 * 6 * 6, 10),
        nn.BatchNorm1d(10, eps=1e-3, momentum=0.3),
        nn.Tanh(),
    )
    ours = fn.Sequential(
        fn.Conv2d(8, 3, stride=2, padding=1, bias=False),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Conv2d(12, (3, 5), padding=(1, 2), groups=4),
        fn.LeakyReLU(0.1),
        fn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        fn.AvgPool2d(2, 1, padding=1),
        fn.Flatten(),
        fn.Linear(10),
        fn.BatchNorm1d(eps=1e-3, momentum=0.3),
        fn.Tanh(),
    )
    ours.build((3, 18, 18), dtype="float64")
    return theirs.double(), ours


@pytest.mark.parametrize("zipped", [True, False])
def test_files(tmp_path, zipped):
    theirs, ours = twins()
    path = tmp_path / "model.pth"
    torch.save({"state_dict": theirs.state_dict(), "epoch": 1}, path, _use_new_zipfile_serialization=zipped)
    ours.load_state_dict(load_torch(path))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, theirs.state_dict()[name].numpy())
    torch.save(theirs, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="refused"):
        load_torch(path)


def test_state_dict_goes_back(tmp_path):
    theirs, ours = twins()
    arrays = {name: torch.from_numpy(value) for name, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(arrays, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)


def test_training_step_and_inference_agree():
    theirs, ours = twins()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(4, 3, 18, 18))
    images = torch.tensor(x, requires_grad=True)
    expected = theirs(images)
    dy = np.random.default_rng(1).normal(size=expected.shape)
    expected.backward(torch.from_numpy(dy))
    y, backward = ours.forward(x, training=True)
    dx = backward(dy)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(dx, images.grad.numpy(), rtol=1e-8, atol=1e-9)
    named = dict(ours.named_parameters() + ours.named_buffers())
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(named[name].grad, parameter.grad.numpy(), rtol=1e-8, atol=1e-9, err_msg=name)
    for name, buffer in theirs.named_buffers():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(named[name].value, buffer.numpy(), rtol=1e-10, err_msg=name)
    theirs.eval()
    np.testing.assert_allclose(ours(x), theirs(images).detach().numpy(), rtol=1e-9, atol=1e-10)
