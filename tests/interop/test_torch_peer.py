"""Files that PyTorch itself writes, and the same numbers from the same weights."""

import argparse
import datetime
import pathlib
import pickle

import numpy as np
import pytest
from interop.writers import BIAS, WEIGHT, Reference, write_tar

import fastnet as fn
from fastnet.floats import decode_float8
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


FLOAT8 = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
FLOATS = ["float64", "float32", "float16", "bfloat16", *FLOAT8]
INTEGERS = ["int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"]
BESIDE = {
    "numpy": [np.float64(0.5), np.arange(3), np.random.RandomState(0), np.random.default_rng(0)],
    "namespace": argparse.Namespace(lr=0.1),
    "datetime": datetime.datetime(2020, 1, 2),
    "path": pathlib.Path("runs/1"),
    "torch": [torch.Size([1]), torch.device("cpu"), torch.float32, torch.strided, torch.__version__, torch.Generator()],
    "random": torch.get_rng_state(),
    "sparse": torch.eye(3).to_sparse(),
    "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "complex": torch.ones(3, dtype=torch.complex64),
    "optimiser": torch.optim.Adam([torch.nn.Parameter(torch.ones(3))]),
    "module": torch.nn.Linear(2, 3),
    "class": torch.nn.Linear,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_stands_beside_the_weights(tmp_path, name, zipped):
    theirs, ours = twins()
    for protocol in (2, 4):
        torch.save(
            {"state_dict": theirs.state_dict(), name: BESIDE[name]},
            tmp_path / "a.pt",
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=zipped,
        )
        assert ours.load_state_dict(load_torch(tmp_path / "a.pt")) == ([], [])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "dtype",
    [*FLOATS, *INTEGERS, "bool", "complex64", "complex128"],
)
def test_dtypes(tmp_path, dtype, zipped):
    kind = getattr(torch, dtype)
    whole = torch.arange(24).reshape(4, 6).to(kind)
    given = {"whole": whole, "transposed": whole.t(), "part": whole[1:, 2], "scalar": whole[2, 3], "none": whole[:0]}
    torch.save(given, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    for name, array in load_torch(tmp_path / "a.pt").items():
        tensor = given[name].float() if dtype.startswith(("bfloat16", "float8")) else given[name]
        np.testing.assert_array_equal(array, tensor.numpy())
        assert array.dtype == tensor.numpy().dtype


@pytest.mark.parametrize("name", FLOAT8)
def test_all_codes_of_8_bits(name):
    codes = np.arange(256, dtype=np.uint8)
    theirs = torch.from_numpy(codes.copy()).view(getattr(torch, name)).float().numpy()
    np.testing.assert_array_equal(decode_float8(codes, name), theirs)


@pytest.mark.filterwarnings("ignore")
def test_programs_are_named(tmp_path):
    theirs = torch.nn.Linear(2, 3)
    path = tmp_path / "a.pt"
    torch.jit.save(torch.jit.trace(theirs, torch.ones(1, 2)), path)
    with pytest.raises(ValueError, match=r"a TorchScript program, .*torch\.jit\.load\(path\)\.state_dict\(\)"):
        load_torch(path)
    torch.save(torch.jit.load(path).state_dict(), path)  # the advice
    np.testing.assert_array_equal(load_torch(path)["weight"], theirs.weight.detach().numpy())
    torch.export.save(torch.export.export(theirs, (torch.ones(1, 2),)), path)
    with pytest.raises(ValueError, match=r"a torch\.export program: .*torch\.export\.load\(path\)\.state_dict,"):
        load_torch(path)


def test_pickle_dump(tmp_path):
    theirs, ours = twins()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(theirs.state_dict()))
    assert ours.load_state_dict(load_torch(tmp_path / "a.pkl")) == ([], [])


def test_wrappers(tmp_path):
    theirs, ours = twins()
    averaged = torch.optim.swa_utils.AveragedModel(theirs)
    for wrapped in (averaged, torch.compile(theirs), torch.compile(torch.nn.DataParallel(theirs))):
        torch.save(wrapped.state_dict(), tmp_path / "a.pt")
        assert ours.load_state_dict(load_torch(tmp_path / "a.pt")) == ([], [])


def test_the_tar_format_is_what_pytorch_reads(tmp_path):
    """PyTorch no longer writes it: what the tests write here must be what PyTorch reads."""
    storages = [(1, "FloatStorage", WEIGHT.ravel()), (2, "DoubleStorage", BIAS)]
    tensors = [(7, 1, (2, 3, 4), (12, 4, 1), 0), (8, 2, (2,), (1,), 0), (9, 3, (2, 3), (3, 1), 1)]
    given = {"w": Reference(7), "b": Reference(8), "v": Reference(9)}
    path = write_tar(tmp_path / "a.pt", given, storages, [(3, 1, 4, 8)], tensors)
    theirs = torch.load(path, weights_only=False)
    for name, array in load_torch(path).items():
        np.testing.assert_array_equal(array, theirs[name].numpy())


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
