"""Tables of addresses on the emulator: an array of a table is checked as one that is an argument."""

import numpy as np
import pytest
from cuda.emulator import Fault, address_of, compiled

SOURCE = """
KERNEL_BOUNDED(double_first, 64)(TABLE(float) arrays, IN(Int) lengths, Int count)
{
    for (Int k = 0; k < count; k++) {
        OUT(float) x = arrays[k];
        if (x && (Int)threadIdx.x < lengths[k]) x[threadIdx.x] = 2 * x[threadIdx.x];
    }
}
"""


@pytest.fixture(scope="module")
def module():
    return compiled(SOURCE, np.float32)


def launch(module, arrays, lengths, count=None):
    table = np.array([0 if x is None else address_of(x) for x in arrays])
    module.launch("double_first", 1, 64, [table, np.array(lengths), len(arrays) if count is None else count])


def test_arrays_are_read_and_written(module):
    arrays = [np.ones(3, np.float32), None, np.ones((5, 2), np.float32)]
    launch(module, arrays, [3, 1, 4])
    np.testing.assert_array_equal(arrays[0], 2)
    np.testing.assert_array_equal(arrays[2].ravel(), [2] * 4 + [1] * 6)


def test_accesses_outside_are_faults(module):
    arrays = [np.ones(3, np.float32), np.ones(4, np.float32)]
    with pytest.raises(Fault, match=r"out of bounds.*arrays\[1\]\[4\], whose elements are 0 to 3"):
        launch(module, arrays, [3, 5])
    with pytest.raises(Fault, match=r"out of bounds.*arrays\[2\]"):
        launch(module, arrays, [3, 4, 4], 3)


def test_what_is_no_table_is_refused(module):
    x, lengths = np.ones(3, np.float32), np.array([3])
    table = np.array([address_of(x)])
    with pytest.raises(Fault, match="expected an array of addresses"):
        module.launch("double_first", 1, 64, [x, lengths, 1])
    with pytest.raises(Fault, match="no array at this address"):
        module.launch("double_first", 1, 64, [table + 4, lengths, 1])
    with pytest.raises(Fault, match=r"arrays\[0\].*float32, got float64"):
        launch(module, [np.ones(3)], [3])
    with pytest.raises(Fault, match=r"arrays\[\d\] and arrays\[\d\] overlap"):
        launch(module, [x, x[:2]], [3, 2])
    del x
    with pytest.raises(Fault, match="no array at this address, or no longer"):
        module.launch("double_first", 1, 64, [table, lengths, 1])
