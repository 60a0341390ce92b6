"""Plans that a model keeps: writes to its arrays are noticed, however they are reached."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from plan_nets import fresh, images, small

import fastnet as fn
from fastnet import backends

REFERENCES = {
    "the array": lambda value: value,
    "view": lambda value: value[1:, :, 0],
    "reshaped": lambda value: value.reshape(-1),
    "memoryview": lambda value: np.frombuffer(memoryview(value).cast("B"), value.dtype),
    "ctypes": lambda value: np.ctypeslib.as_array(value.ctypes.data_as(np.ctypeslib.ctypes.POINTER(_FLOAT)), (8,)),
    "iterator": lambda value: value.flat,
    "dlpack": lambda value: np.from_dlpack(value),
    "weak reference": lambda value: _Weak(value),
    "__array_interface__": lambda value: np.asarray(_Interface(value)),
}
_FLOAT = np.ctypeslib.ctypes.c_float


class _Weak:
    def __init__(self, array):
        self.array = weakref.ref(array)

    def __setitem__(self, key, value):
        self.array()[key] = value


class _Interface:
    def __init__(self, array):
        self.array, self.__array_interface__ = array, array.__array_interface__


@pytest.mark.parametrize("kind", REFERENCES)
def test_writes_through_a_reference_from_before_are_noticed(kind):
    """Nobody asks the parameter for its array between the calls."""
    model = small()
    x = images(model, 3)
    held = REFERENCES[kind](model[3].weight.value)
    for number in (1, 2, 3):
        before = model.predict(x)
        np.testing.assert_array_equal(model.predict(x), before)
        held[0] = number
        after = model.predict(x)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_array_equal(after, fresh(model, x))


GIVEN = {
    "one's own array": lambda array: (array, array),
    "a part of one's own": lambda array: (whole := np.stack([array, array]), whole[0]),
    "read-only": lambda array: (array, backends.current().protected(array)),
    "a memory that is no array's": lambda array: (
        memory := bytearray(array.tobytes()),
        np.frombuffer(memory, array.dtype).reshape(array.shape),
    ),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_writes_to_memory_that_a_parameter_was_given_are_noticed(kind):
    model = small()
    x = images(model, 3)
    memory, model[0].weight.value = GIVEN[kind](model[0].weight.value.copy())
    for number in (1, 2):
        before = model.predict(x)
        if isinstance(memory, bytearray):
            memory[:40] = bytes(39) + bytes([62 + number])
        else:
            memory[0] = number
        after = model.predict(x)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_array_equal(after, fresh(model, x))


def test_shared_parameters():
    one, other = fn.Linear(6, bias=False), fn.Linear(6, bias=False)
    model = fn.Sequential(one, fn.Tanh(), other)
    model.build((6,))
    other.weight.value = one.weight.value
    x = images(model, 2)
    before = model.predict(x)
    one.weight.value *= 2
    np.testing.assert_array_equal(model.predict(x), fresh(model, x))
    assert np.abs(model.predict(x) - before).max() > 1e-3
    other.weight = one.weight
    before = model.predict(x)
    other.weight.value *= 2
    np.testing.assert_array_equal(model.predict(x), fresh(model, x))
    assert np.abs(model.predict(x) - before).max() > 1e-3


def test_a_sign_of_zero_is_a_change_and_nan_is_none(made):
    model = fn.Sequential(fn.Linear(1, bias=False))
    model.build((1,))
    held = model[0].weight.value
    held[...] = 0.0
    assert not np.signbit(model.predict(np.ones((1, 1), np.float32)))
    held[...] = -0.0
    np.testing.assert_array_equal(
        np.signbit(model.predict(np.ones((1, 1), np.float32))),
        np.signbit(fresh(model, np.ones((1, 1), np.float32))),
    )
    held[...] = np.nan
    count = len(made)
    for _ in range(3):
        assert np.isnan(model.predict(np.ones((1, 1), np.float32))).all()
    assert len(made) == count + 1
