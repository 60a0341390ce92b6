"""fn.set_float32_precision: what products of float32 are computed in on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from cuda.devices import ON_GPU

import fastnet as fn
from fastnet.precision import get_float32_precision, set_float32_precision


@pytest.fixture(autouse=True)
def restored():
    before = get_float32_precision()
    yield
    set_float32_precision(before)


@pytest.mark.parametrize("biased", [False, True])
def test_products_round_their_factors_if_they_may(device, dtype, biased):
    cupy, rng = device.xp, np.random.default_rng(0)
    if ON_GPU and int(cupy.cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no TF32")
    x, w, b = (rng.standard_normal(shape) for shape in ((5, 400), (7, 400), (7,)))
    given = [cupy.asarray(each.astype(dtype)) for each in (x, w, b)]
    for name in ("highest", "tf32", "highest"):
        set_float32_precision(name)
        found = device.to_numpy(device.linear(given[0], given[1], given[2] if biased else None)[0])
        error = np.abs(found - (x @ w.T + (b if biased else 0))).max()
        rounded = name == "tf32" and dtype == np.float32
        assert (1e-3 < error < 0.2) if rounded else error < 3e-5, name
    assert cupy._core.get_compute_type(np.float32) == 1, "others' products are as before"


def test_names():
    assert fn.get_float32_precision() == "highest"
    fn.set_float32_precision("tf32")
    assert fn.get_float32_precision() == "tf32"
    for name in ("high", "TF32", None):
        with pytest.raises(ValueError, match=r"set_float32_precision: name must be one of 'highest', 'tf32', got"):
            fn.set_float32_precision(name)
    assert fn.get_float32_precision() == "tf32"


@pytest.mark.parametrize("value, expected", [("tf32", "tf32\n"), ("", "highest\n"), ("fast", "")])
def test_the_environment(value, expected):
    code = "import fastnet; print(fastnet.get_float32_precision())"
    environment = {**os.environ, "FASTNET_FLOAT32": value}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert found.stdout == expected
    assert expected or "FASTNET_FLOAT32 must be one of 'highest', 'tf32', got 'fast'" in found.stderr


def test_cpus_compute_the_same():
    x, w = np.random.default_rng(0).standard_normal((2, 6, 6), dtype=np.float32)
    results = []
    for name in ("highest", "tf32"):
        set_float32_precision(name)
        results.append(fn.backends.current().matmul(x, w, False, False))
    np.testing.assert_array_equal(*results)
