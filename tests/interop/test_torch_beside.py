"""What stands beside the tensors in a checkpoint costs no weights, and nothing of it is executed."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import sys
import typing
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from interop.writers import BIAS, RECORDS, WEIGHT, Call, Named, Storage, state, tensor, write_legacy, write_zip

from fastnet.interop import load_torch

OF_A_MODULE_THAT_IS_NOT_THERE = "train_config_that_is_not_there"


class Config:
    """Of a module that nobody else has."""

    def __init__(self, rate):
        self.rate = rate


class Mode(enum.Enum):
    FAST = 1


class Options(dict):
    """A dict with attributes, as easydict or yacs have it."""


Config.__module__ = Options.__module__ = OF_A_MODULE_THAT_IS_NOT_THERE

BESIDE = {
    "numpy float": np.float64(0.5),
    "numpy int": np.int64(3),
    "numpy bool": np.bool_(True),
    "numpy text": np.str_("best"),
    "numpy time": np.datetime64("2020-01-01"),
    "array": np.arange(3),
    "big-endian array": np.arange(3, dtype=">f4"),
    "array of text": np.array(["a", "b"]),
    "array of objects": np.array([None, {}], dtype=object),
    "records": np.zeros(3, "i4,f4"),
    "random state": np.random.RandomState(0),
    "generator": np.random.default_rng(0),
    "namespace": argparse.Namespace(lr=0.1, layers=[1, 2], nested=argparse.Namespace(a=1)),
    "simple namespace": SimpleNamespace(a=1),
    "datetime": datetime.datetime(2020, 1, 2),
    "zone": datetime.UTC,
    "duration": datetime.timedelta(3),
    "ordered": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("abca"),
    "deque": collections.deque([1, 2], 3),
    "path": pathlib.PurePosixPath("runs/1"),
    "decimal": decimal.Decimal("1.5"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=3),
    "enum": Mode.FAST,
    "set": {1, 2},
    "frozenset": frozenset([1]),
    "complex": 1j,
    "range": range(3),
    "slice": slice(1, 2),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "tuple keys": {(1, 2): 3, (): 4},
    "long integer": 10**30,
    "exception": ValueError("x"),
    "type": type(None),
    "types": [typing.Dict[str, int], typing.Optional[int], list[int], int | None],  # noqa: UP006, UP045
    "size": Call(Named("torch", "Size"), (2, 3)),
    "device": Call(Named("torch", "device"), "cuda", 0),
    "dtype": Named("torch", "float32"),
    "layout": Call(Named("torch.serialization", "_get_layout"), "torch.strided"),
    "enum of Python 3.12": Call(Named("builtins", "getattr"), Named("project", "Mode"), "FAST"),
    "reconstructed": Call(Named("copy_reg", "_reconstructor"), Named("a", "B"), Named("builtins", "object"), None),
    "partial": Call(Named("functools", "partial"), Named("torch.optim", "Adam"), state=({}, (), {}, None)),
    "sparse": Call(Named("torch._utils", "_rebuild_sparse_tensor"), 1, ()),
    "quantised": Call(
        Named("torch._utils", "_rebuild_qtensor"), Storage("2", "QInt8Storage", 4), 0, (4,), (1,), (), False, None
    ),
}  # fmt: skip


def check(arrays):
    assert list(arrays) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(arrays["0.weight"], WEIGHT)
    np.testing.assert_array_equal(arrays["0.bias"], BIAS)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", BESIDE)
def test_objects_beside_the_weights(tmp_path, name, protocol):
    path = tmp_path / "a.pt"
    records = {**RECORDS, "2": bytes(4)}
    checkpoint = {"before": BESIDE[name], "state_dict": state(), "after": [BESIDE[name]]}
    check(load_torch(write_zip(path, checkpoint, records, protocol=protocol)))
    if name not in ("sparse", "quantised"):  # those are wanted, and cannot be had
        arrays = load_torch(write_zip(path, {**state(), "other": BESIDE[name]}, records, protocol=protocol))
        check({key: array for key, array in arrays.items() if key != "other"})
        assert "other" not in arrays


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_objects_of_unknown_classes(tmp_path, monkeypatch, protocol):
    monkeypatch.setitem(sys.modules, OF_A_MODULE_THAT_IS_NOT_THERE, SimpleNamespace(Config=Config, Options=Options))
    options = Options(state())
    options.name = "x"
    given = {"config": Config(Config(0.1)), "options": Options(a=1), "epoch": 3}
    write_zip(tmp_path / "a.pt", {**given, "state_dict": state()}, RECORDS, protocol=protocol)
    write_zip(tmp_path / "b.pt", {**given, "model": options}, RECORDS, protocol=protocol)
    write_zip(tmp_path / "c.pt", options, RECORDS, protocol=protocol)
    monkeypatch.delitem(sys.modules, OF_A_MODULE_THAT_IS_NOT_THERE)
    for name in "abc":  # b and c: the state dict itself is a dict of an unknown class
        check(load_torch(tmp_path / f"{name}.pt"))
    assert OF_A_MODULE_THAT_IS_NOT_THERE not in sys.modules


def test_a_long_history(tmp_path):
    """Its pickle has more than 64 MiB."""
    given = {"history": np.zeros(9_000_000), "losses": list(np.zeros(1000)), "state_dict": state()}
    check(load_torch(write_zip(tmp_path / "a.pt", given, RECORDS, protocol=4)))


def test_an_object_in_the_old_format(tmp_path):
    storages = {"0": (24, WEIGHT.tobytes()), "1": (2, BIAS.tobytes())}
    given = {"args": argparse.Namespace(lr=0.1), "best": np.float64(3), "state_dict": state()}
    check(load_torch(write_legacy(tmp_path / "a.th", given, storages)))


def test_tensors_that_are_not_dense_are_named(tmp_path):
    path = write_zip(tmp_path / "a.pt", {**state(), "0.mask": BESIDE["sparse"]}, RECORDS)
    with pytest.raises(ValueError, match=r"'0.mask' is not a dense tensor \(torch._utils._rebuild_sparse_tensor\)"):
        load_torch(path)


# -------------------------------------------------------------------- where the weights are


def test_a_tensor_beside_the_state_dict(tmp_path):
    epoch = tensor(Storage("1", "DoubleStorage", 2), (), ())
    check(load_torch(write_zip(tmp_path / "a.pt", {"epoch": epoch, "state_dict": state()}, RECORDS)))


def test_a_checkpoint_in_a_checkpoint(tmp_path):
    path = write_zip(
        tmp_path / "a.pt", {"model": {"state_dict": state(), "epoch": 3}, "ema": {"net": state()}}, RECORDS
    )
    check(load_torch(path))
    check(load_torch(path, key="ema.net"))
    with pytest.raises(ValueError, match=r"no entry 'ema\.nett'; the file has model, ema"):
        load_torch(path, key="ema.nett")
    with pytest.raises(ValueError, match="found no state dict in 'ema'; the file has net"):
        load_torch(path, key="ema")
    with pytest.raises(TypeError, match="key must be the name of an entry, got 3"):
        load_torch(path, key=3)


def test_numbered_tensors_are_no_state_dict(tmp_path):
    """Such as an optimiser's, or the rows of a table."""
    numbered = {0: state()["0.weight"], 1: state()["0.bias"]}
    check(load_torch(write_zip(tmp_path / "a.pt", {"params": numbered, "state_dict": state()}, RECORDS)))
    with pytest.raises(ValueError, match="found no state dict; the file has 0, 1"):
        load_torch(write_zip(tmp_path / "b.pt", numbered, RECORDS))


def test_a_checkpoint_in_itself(tmp_path):
    """A dict may be its own entry."""
    with pytest.raises(ValueError, match="recursion"):
        load_torch(write_zip(tmp_path / "a.pt", b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.", {}))


def test_two_state_dicts_are_not_guessed(tmp_path):
    other = {"bias": tensor(Storage("1", "DoubleStorage", 2), (2,), (1,))}
    path = write_zip(tmp_path / "a.pt", {"model": state(), "net": other}, RECORDS)
    with pytest.raises(ValueError, match="the file has weights in model, net; give key="):
        load_torch(path)
    assert list(load_torch(path, key="net")) == ["bias"]


def test_an_optimisers_state_is_named(tmp_path):
    path = write_zip(tmp_path / "a.pt", {"state": {0: state()}, "param_groups": [{"lr": 0.1}]}, RECORDS)
    with pytest.raises(ValueError, match="an optimiser's state, without weights"):
        load_torch(path)


def test_numpy_arrays_in_place_of_tensors(tmp_path):
    for protocol in (2, 4, 5):
        given = {"0.weight": WEIGHT, "0.bias": BIAS, "epoch": np.int64(3)}
        check(load_torch(write_zip(tmp_path / "a.pt", {"state_dict": given}, {}, protocol=protocol)))
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(given, protocol))
        check(load_torch(tmp_path / "a.pkl"))
        given = {"0.weight": np.asfortranarray(WEIGHT.astype(">f4")), "0.bias": BIAS}
        np.testing.assert_array_equal(
            load_torch(write_zip(tmp_path / "b.pt", given, {}, protocol=protocol))["0.weight"], WEIGHT
        )


@pytest.mark.parametrize(
    "old, new",
    [
        ("0.", "module.0."),
        ("0.", "_orig_mod.0."),
        ("0.", "module._orig_mod.0."),
        ("0.", "_orig_mod.module.0."),
        ("0.", "module.module.0."),
        ("0.", "0._orig_mod."),
        ("0.", "_fsdp_wrapped_module.0._checkpoint_wrapped_module."),
    ],
)
def test_wrappers_in_names(tmp_path, old, new):
    names = {name.replace(old, new): value for name, value in state().items()}
    path = write_zip(tmp_path / "a.pt", names, RECORDS)
    check(load_torch(path))
    assert list(load_torch(path, strip_module=False)) == list(names)
    counted = {"n_averaged": tensor(Storage("1", "DoubleStorage", 2), (), ()), **names}
    assert list(load_torch(write_zip(tmp_path / "b.pt", counted, RECORDS))) == ["n_averaged", "0.weight", "0.bias"]


def test_only_wrappers_are_stripped(tmp_path):
    names = {"module.0.weight": state()["0.weight"], "head.bias": state()["0.bias"]}
    assert list(load_torch(write_zip(tmp_path / "a.pt", names, RECORDS))) == list(names)
    twice = {"0.weight": state()["0.weight"], "_orig_mod.0.weight": state()["0.weight"]}
    assert list(load_torch(write_zip(tmp_path / "b.pt", twice, RECORDS))) == list(twice)
    bare = {"weight": state()["0.weight"]}
    assert list(load_torch(write_zip(tmp_path / "c.pt", bare, RECORDS))) == ["weight"]
