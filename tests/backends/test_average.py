"""Averages of weights on every backend, dtype and instruction set."""

import cases
import numpy as np
import pytest


@pytest.mark.parametrize("shape", [(1,), (17,), (4, 5, 3, 3), (0,), (8193,)], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.3, 0.995, 1.0])
def test_the_recurrence(ops, dtype, shape, decay):
    average, w = cases.normal(shape, dtype), cases.normal(shape, dtype, 1)
    expected, given = average.astype(np.float64), w.copy()
    for _ in range(5):
        assert ops.average_step(average, w, decay=decay) is None
        expected = decay * expected + (1 - decay) * w.astype(np.float64)
    np.testing.assert_allclose(average, expected, rtol=0, atol=3e-6 if dtype == "float32" else 1e-14)
    assert np.array_equal(w, given)


def test_several_arrays_in_one_call_and_in_any_memory_order(ops, dtype):
    from fastnet.ops import REGISTRY

    pairs = [(cases.normal(shape, dtype), cases.normal(shape, dtype, 1)) for shape in ((3, 5), (7,), (2, 3, 4, 4))]
    pairs[2] = tuple(array.transpose(0, 2, 3, 1) for array in pairs[2])
    expected = [0.75 * average + 0.25 * w for average, w in pairs]
    ops.update_each(REGISTRY["average_step"], pairs, {"decay": 0.75})
    for (average, _), wanted in zip(pairs, expected, strict=True):
        np.testing.assert_allclose(average, wanted, rtol=1e-6, atol=1e-6)


def test_a_wrong_shape_is_refused(ops, dtype):
    with pytest.raises(ValueError, match=r"average_step.*\(3,\)"):
        ops.average_step(np.zeros(4, dtype), np.zeros(3, dtype), decay=0.5)
