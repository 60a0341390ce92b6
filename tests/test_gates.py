"""The computational graph: worked gradients, every gate against central differences, the text of a backward pass."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from gradients import numeric_gradient

from fastnet import gates
from fastnet.gates import Value

RANDOM = np.random.default_rng(0)


def test_the_example_of_the_module():
    assert doctest.testmod(gates).attempted > 0
    assert doctest.testmod(gates).failed == 0


GATES = {
    "add": lambda a, b: (a + b).sum(),
    "add numbers": lambda a, b: (2 + a + b + 3.5).sum(),
    "subtract": lambda a, b: (a - b - 1).sum() + (1 - a).sum(),
    "multiply": lambda a, b: (a * b * 3).sum(),
    "divide": lambda a, b: (a / b + 1 / b).sum(),
    "max": lambda a, b: a.maximum(b).sum(),
    "relu": lambda a, b: (a.relu() * b).sum(),
    "power": lambda a, b: (a**2 + b**3).sum(),
    "negate": lambda a, b: (-a * b).sum(),
    "exp and log": lambda a, b: ((a * a + 1).log() * b.exp()).sum(),
    "sigmoid": lambda a, b: (a.sigmoid() * b).sum(),
    "matrix product": lambda a, b: ((a @ np.ones((4, 2))) * (np.ones((3, 3)) @ (b @ np.ones((4, 2))))).sum(),
    "used three times": lambda a, b: (a * a * b + a).sum(),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (3, 1), ()])
def test_gradients_are_central_differences(name, shape):
    if name == "matrix product" and shape != (3, 4):
        pytest.skip("matrices only")
    arrays = [RANDOM.normal(size=(3, 4)), np.array(RANDOM.normal(size=shape) + 3)]
    values = [Value(array) for array in arrays]
    GATES[name](*values).backward()
    for position, value in enumerate(values):
        expected = numeric_gradient(lambda: GATES[name](*map(Value, arrays)).data, arrays[position])
        assert value.grad.shape == arrays[position].shape
        np.testing.assert_allclose(value.grad, expected, rtol=1e-6, atol=1e-7)


def test_the_squared_norm_of_a_product():
    """The readings' numbers: W = [[.1, .5], [-.3, .8]], x = [.2, .4]."""
    W, x = Value([[0.1, 0.5], [-0.3, 0.8]], "W"), Value([0.2, 0.4], "x")
    q = W @ x
    f = (q**2).sum()
    f.backward()
    np.testing.assert_allclose(q.data, [0.22, 0.26])
    np.testing.assert_allclose(f.data, 0.116)
    np.testing.assert_allclose(W.grad, 2 * np.outer(q.data, x.data))
    np.testing.assert_allclose(W.grad, [[0.088, 0.176], [0.104, 0.208]])
    np.testing.assert_allclose(x.grad, 2 * W.data.T @ q.data)
    np.testing.assert_allclose(x.grad, [-0.112, 0.636])


def test_sigmoid_of_gates_is_the_sigmoid_gate():
    w = [Value(v, f"w{n}") for n, v in enumerate((2.0, -3.0, -3.0))]
    x = [Value(v, f"x{n}") for n, v in enumerate((-1.0, -2.0))]
    s = w[0] * x[0] + w[1] * x[1] + w[2]
    gradients = []
    for f in (1 / (1 + (-s).exp()), s.sigmoid()):
        f.backward()
        np.testing.assert_allclose(f.data, 1 / (1 + np.exp(-1)))
        gradients.append([float(value.grad) for value in (*w, *x)])
    np.testing.assert_allclose(gradients[0], gradients[1])
    slope = (1 - f.data) * f.data
    np.testing.assert_allclose(gradients[0], slope * np.array([-1, -2, 1, 2, -3]))


def test_the_text_names_what_gates_do():
    x, y, z, w = (Value(v, name) for v, name in ((3, "x"), (-4, "y"), (2, "z"), (-1, "w")))
    f = ((x * y + z.maximum(w)) * 2).named("f")
    text = str(f.backward())
    assert "f = v3 * 2 = -20, df/df = 1" in text
    assert "the max gate routes: the larger input gets the gradient, the other 0\n    df/dz = 2\n    df/dw = 0" in text
    assert (
        "the multiply gate switches: each input gets the gradient times the other\n    df/dx = -8\n    df/dy = 6"
        in text
    )
    assert "the add gate distributes: each input gets the gradient\n    df/dv1 = 2\n    df/dv2 = 2" in text
    assert "df/d2" not in text, "constants have no gradient"
    assert "added to what other gates send" in str((x * x).backward())


def test_max_in_a_tie_gives_the_first_input_everything():
    a, b = Value(1.0), Value(1.0)
    a.maximum(b).backward()
    assert (a.grad, b.grad) == (1, 0)


def test_a_long_chain_and_a_second_pass():
    x = Value(1.0)
    f = x
    for _ in range(5000):
        f = f * 1.0
    f.backward()
    f.backward()
    assert x.grad == 1


def test_sigmoid_of_large_numbers():
    with np.errstate(over="raise"):
        np.testing.assert_allclose(Value([-1000.0, 1000.0]).sigmoid().data, [0, 1])


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"the output must be a number, got shape \(2,\); use .sum\(\)"):
        Value([1.0, 2.0]).backward()
    with pytest.raises(TypeError, match="Value: data must be an array of real numbers, got str"):
        Value("one")
    with pytest.raises(ValueError, match="a matrix and a vector or matrix are expected"):
        Value([1.0]) @ Value([1.0])
    with pytest.raises(TypeError, match="power must be a finite number"):
        Value(1.0) ** "2"
