"""The error function, which NumPy does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["erf"]

# Cody 1969, "Rational Chebyshev approximations for the error function": up to 0.46875, and from there on; highest power
# first.
_NEAR_P = (
    1.85777706184603153e-1,
    3.16112374387056560,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_NEAR_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_FAR_P = (
    *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1),
    *(
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
)
_FAR_Q = (
    *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
    *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def erf(xp: Any, x: Any) -> Any:
    """erf(x) in float64, to two units in the last place."""
    x = x.astype(xp.float64)
    y = xp.clip(xp.abs(x), 0, 6)  # erf(6) is 1 in float64
    near = y * _polynomial(y * y, _NEAR_P) / _polynomial(y * y, _NEAR_Q)
    far = 1 - xp.exp(-y * y) * _polynomial(y, _FAR_P) / _polynomial(y, _FAR_Q)
    return xp.copysign(xp.where(y > 0.46875, far, near), x)
