"""Central differences: the one numerical gradient of these tests."""

from __future__ import annotations

import numpy as np


def numeric_gradient(function, array, dy=1.0, h=1e-5):
    """d sum(dy * function()) / d array, for a function that reads `array`, which is changed in place and restored."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept, sides = array[index], []
        for moved in (kept + h, kept - h):
            array[index] = moved
            sides.append(np.array(function()))  # a copy: the result may be `array` itself
        array[index] = kept
        gradient[index] = ((sides[0] - sides[1]) * dy).sum() / (2 * h)
    return gradient


def check_gradients(function, arrays, gradients, dy=1.0, rtol=1e-7, atol=1e-8, h=1e-5):
    """Compare `gradients`, those of ``sum(dy * function(*arrays))`` in float64, with central differences."""
    for position, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        expected = numeric_gradient(lambda: function(*arrays), array, dy, h)
        limit = atol * max(1, abs(expected).max(initial=0))
        assert gradient.shape == array.shape
        np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=limit, err_msg=f"gradient {position}")
