"""The reader of plain pickles: what it accepts of old Pythons, and what would take for ever elsewhere."""

import collections
import pickle
import re
import struct

import numpy as np
import pytest

from fastnet.pickles import load_plain_pickle


def refused(content, words):
    with pytest.raises(ValueError, match=f"here: not accepted as a pickle of plain arrays: .*{words}"):
        load_plain_pickle(content, "here")


@pytest.mark.parametrize("quote", [b"'", b'"'])
def test_an_array_of_python_2_in_protocol_0(quote):
    """Its bytes are a string with escapes."""
    escaped = b"".join(b"\\x%02x" % byte for byte in np.array([1.5, -2], "<f8").tobytes())
    content = (
        b"(dp0\nS'data'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\n"
        b"tp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nb"
        b"I00\nS" + quote + escaped + quote + b"\np15\ntp16\nbsS'ok'\nI01\ns."
    )
    data = load_plain_pickle(content, "here")
    assert data["data"].tolist() == [1.5, -2] and data["ok"] is True


def test_escapes_of_python_2():
    assert load_plain_pickle(rb"(lp0" + b"\n" + rb"S'\n\r\t\\\'\"\x00\xff\q'" + b"\na.", "here") == [
        b"\n\r\t\\'\"\x00\xff\\q"
    ]


@pytest.mark.filterwarnings("error")
def test_names_of_any_letters():
    """pickletools takes a backslash for an escape, and warns."""
    refused(b"c\\d\\q\nA\n)R.", re.escape("it holds a \\d\\q.A"))
    refused("cmünchen\nA\n)R.".encode(), "it holds a münchen.A")
    refused(b"c\xff\nA\n)R.", "can't decode byte")
    refused(b"cA\nB", "a line without its end")


@pytest.mark.parametrize("protocol", range(6))
def test_values(protocol):
    given = {
        "numbers": [1, -1, 2**40, 10**30, 1.5, float("inf"), True, None],
        "text": "é",
        "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.float16(2)],
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("aab"),
        7: (1, (2,)),
    }
    data = load_plain_pickle(pickle.dumps(given, protocol), "here")
    assert data == {
        "numbers": given["numbers"],
        "text": "é",
        "scalars": [1.5, -3, True, 2.0],
        "ordered": {"a": 1},
        "default": {"a": [1]},
        "counter": {"a": 2, "b": 1},
        "7": [1, [2]],
    }


@pytest.mark.parametrize("dtype", ["?", "f2", ">f4", "<i8", "u1", ">u2"])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays(protocol, dtype):
    for array in (
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros((0, 3)),
        np.array(3),
    ):
        copy = load_plain_pickle(pickle.dumps(array.astype(dtype), protocol), "here")
        np.testing.assert_array_equal(copy, array.astype(dtype))
        assert copy.dtype == np.dtype(dtype) and copy.shape == array.shape


@pytest.mark.parametrize(
    "value, words",
    [
        ({1, 2}, "it holds a .*set"),
        (frozenset(), "it holds a .*frozenset"),
        (1j, r"it holds a .*complex"),
        (np.array(["a"]), "it holds a NumPy array of dtype U1"),
        (np.zeros(2, "i4,f4"), "it holds a NumPy array of dtype V8"),
        (np.array([{}, None]), "it holds a NumPy array of objects"),
        (np.datetime64("2020"), "it holds a NumPy scalar"),
        (np.ma.masked_array([1]), "it holds a |refused|sets attributes"),
        ({(1, 2): 3}, "a dict with a key of type tuple"),
        (range(3), "it holds a .*range"),
        (collections.deque([1]), "it holds a collections.deque"),
        (pickle.PickleError, "it holds a Global"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_values_are_named(value, words, protocol):
    refused(pickle.dumps([value], protocol), words)


def test_references_are_followed_once():
    """Ten lists of ten references each, thirty deep, are 10^30 values if each is copied."""
    value = [1]
    for _ in range(30):
        value = [value] * 10
    copy = load_plain_pickle(pickle.dumps(value), "here")
    for _ in range(30):
        assert len(copy) == 10
        copy = copy[0]
    assert copy == [1]
    loop = []
    loop.append(loop)
    copy = load_plain_pickle(pickle.dumps(loop), "here")
    assert copy[0] is copy


def test_depth_is_bounded():
    refused(b"]" * 100_000 + b"a" * 99_999 + b".", "recursion")
    refused(b"(" * 100_000 + b"t" * 100_000 + b".", "recursion")
    refused(b"}(" + b"(" * 100_000 + b"t" * 100_000 + b"Nu.", "a key of type tuple")


def test_sizes_that_lie():
    array = pickle.dumps(np.zeros((3, 4), np.uint8), 2)
    for old, new in (
        (b"K\x03K\x04", b"K\x03K\x05"),
        (b"K\x03K\x04", b"J\xff\xff\xff\xffK\x04"),
        (b"K\x03K\x04", b"NK\x04"),
    ):
        assert old in array
        refused(array.replace(old, new), "damaged shape|cannot reshape")
    scalar = pickle.dumps(np.float64(3), 4)
    assert b"f8" in scalar and b"C\x08" in scalar
    refused(scalar.replace(b"C\x08" + struct.pack("<d", 3), b"C\x04abcd"), "buffer|size")
    refused(b"\x80\x02U" + struct.pack("B", 200) + b"abc.", "expected 200 bytes")
