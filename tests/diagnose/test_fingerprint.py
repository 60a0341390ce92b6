"""Fingerprints: the same for every number of threads and instruction set, and no other than they should be."""

from __future__ import annotations

import numpy as np
import pytest
from guarded import guarded

import fastnet as fn
from fastnet import backends
from fastnet.diagnose import fingerprint, variants

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from fastnet.backends import _native
from fastnet.diagnose.fingerprint import TRAINING


def state():
    return _native.isa(), _native.threads(), fn.get_conv_algorithm(), backends.current().name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_and_ops_have_the_same_bits_in_every_variant(dtype):
    """20 training steps of ResNet-20, and every op, at 1, 2, 3 and 7 threads under AVX2 and AVX-512.

    In float64 only the first and the last of these: the kernels are the same source.
    """
    runs, before = variants(), state()
    assert {threads for _, threads in runs} == {1, 2, 3, 7}
    if dtype == "float64":
        runs = [runs[0], runs[-1]]
    first, *others = (fingerprint(isa, threads, dtype) for isa, threads in runs)
    assert TRAINING in first.hashes and len(set(first.hashes.values())) == len(first.hashes) > 10
    for other in others:
        assert (other.hashes, other.whole) == (first.hashes, first.whole), f"{other.isa}, {other.threads} threads"
    assert [(first.isa, first.threads), *((other.isa, other.threads) for other in others)] == runs
    assert state() == before


def test_an_instruction_set_that_is_not_there():
    with pytest.raises(ValueError, match="instruction set 'abacus' is not available here"):
        fingerprint("abacus")


def test_a_wrong_bit_changes_the_hash(monkeypatch):
    before = fingerprint()
    from fastnet.backends.native.updates import KERNELS, UPDATES

    right = UPDATES["sgd_step"]

    def step(updates, **settings):
        right(updates, **settings)
        for w, *_ in updates:
            w.reshape(-1)[0] = np.nextafter(w.reshape(-1)[0], np.float32(9))

    monkeypatch.setitem(UPDATES, "sgd_step", step)
    monkeypatch.setitem(KERNELS, "sgd_step", lambda *arrays, **settings: step([arrays], **settings))
    after = fingerprint()
    assert {name for name in before.hashes if before.hashes[name] != after.hashes[name]} == {TRAINING, "sgd_step"}
    assert before.whole != after.whole


@pytest.mark.parametrize("at_end", [True, False])
def test_training_has_the_same_bits_wherever_the_input_lies(at_end, threads):
    """Between guard pages: at their end it is aligned only to its item size."""

    def train(place):
        model = fn.models.create("resnet20", 10)
        sgd = fn.optim.SGD(0.05, momentum=0.9)
        for step in range(3):
            x = np.random.default_rng(step).random((5, 3, 32, 31), np.float32)[:, :, :, 1:]
            scores, backward = model.forward(place(x), training=True)
            _, dscores = fn.losses.softmax_cross_entropy(scores, np.arange(5))
            model.zero_grad()
            backward(dscores, input_gradient=False)
            sgd.step(model.parameters())
        return b"".join(value.tobytes() for value in model.state_dict().values())

    threads(2)
    expected = train(np.ascontiguousarray)
    assert train(lambda x: guarded(np.ascontiguousarray(x), at_end)) == expected
    channels_last = train(lambda x: guarded(np.moveaxis(np.moveaxis(x, 1, 3).copy(), 3, 1), at_end))
    assert channels_last == expected
