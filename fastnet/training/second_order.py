"""minimize: second-order and quasi-Newton methods, on all data at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnet.arguments import integer, real
from fastnet.layers import Model
from fastnet.regularizers import Regularizer
from fastnet.training.objective import LARGEST_HESSIAN, Objective, check_hessian
from fastnet.types import Array, ArrayLike, Loss

__all__ = ["Minimum", "minimize"]

_SCIPY = {"newton-cg": "Newton-CG", "bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "l-bfgs-b": "L-BFGS-B"}
METHODS = ("newton", *_SCIPY)


@dataclass
class Minimum:
    """What :func:`minimize` found; the model has the parameters.

    Attributes
    ----------
    method : str
    losses : list of float
        Before the first iteration and after each.
    evaluations : list of int
        Passes over the data (loss and gradient) up to then.
    gradient_norm : float
        At the end.
    converged : bool
        Whether the method stopped by itself, not for the number of iterations, a callback or an error.
    message : str
        Why it stopped.
    """

    method: str
    losses: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    gradient_norm: float = math.nan
    converged: bool = False
    message: str = ""

    @property
    def loss(self) -> float:
        return self.losses[-1]

    @property
    def iterations(self) -> int:
        return len(self.losses) - 1

    def __repr__(self) -> str:
        return (
            f"Minimum({self.method}: loss {self.losses[0]:.6g} -> {self.loss:.6g} in {self.iterations} iterations, "
            f"{self.evaluations[-1]} evaluations, gradient norm {self.gradient_norm:.3g}; {self.message})"
        )


def minimize(
    model: Model,
    loss: str | Loss,
    x: ArrayLike,
    y: ArrayLike,
    method: str = "l-bfgs",
    *,
    iterations: int = 100,
    tolerance: float = 1e-8,
    damping: float = 0.0,
    batch_size: int | None = None,
    regularizer: Regularizer | None = None,
    training: bool = True,
    callback: Callable[[int, float], object] | None = None,
    options: dict[str, Any] | None = None,
) -> Minimum:
    """Minimise a model's loss on all of (x, y) by a method that uses curvature, without a learning rate.

    The loss must be a function of the parameters alone: noise layers that are on (dropout and its kind) are an error.
    Batch norm in training mode is allowed: its statistics are those of all of x, or of each part of `batch_size`.
    x is taken as it is: no shuffling, no augmentation.

    - "newton": ``w -= (H + damping*I)^-1 g`` with H the Hessian, in float64 and for at most 5,000 parameters: a
      quadratic in one step.  Where H is not positive definite, that step leads to a saddle or up.
    - "newton-cg": Newton's step by conjugate gradients, from products of H with vectors (SciPy).
    - "bfgs": an approximation of H^-1 from gradients, O(n^2) an iteration (Broyden, Fletcher, Goldfarb, Shanno 1970).
    - "l-bfgs": that approximation from the last 10 gradients (Liu & Nocedal 1989; SciPy's L-BFGS-B).

    Parameters
    ----------
    model : Model
        In float32, a method stops where the rounding of losses hides their changes.
    loss, x, y, batch_size, regularizer, training
        See :class:`Objective`.
    method : str
    iterations : int
        The largest number.
    tolerance : float
        Stop when no element of the gradient is larger.
    damping : float
        Of "newton".
    callback : function, optional
        ``callback(iteration, loss)`` after each iteration; it stops the search by returning True.
    options : dict, optional
        Further options of SciPy's method, such as ``{"maxcor": 20}``.

    Returns
    -------
    Minimum

    Raises
    ------
    ValueError
        Random layers, too many parameters for the method, an unknown method.
    FloatingPointError
        The loss is not finite; the model has the parameters from before.
    ImportError
        SciPy is not installed, and the method needs it.

    Warns
    -----
    UserWarning
        The loss is higher than before.
    """
    name = method.lower() if isinstance(method, str) else method
    if name not in METHODS:
        raise ValueError(f"minimize: method must be one of {', '.join(METHODS)}, got {method!r}")
    iterations, tolerance = integer(iterations, "minimize: iterations"), real(tolerance, "minimize: tolerance")
    damping = real(damping, "minimize: damping")
    if tolerance < 0 or damping < 0 or (damping and name != "newton"):
        raise ValueError(f"minimize: tolerance and newton's damping must be >= 0, got {tolerance} and {damping}")
    if callback is not None and not callable(callback):
        raise TypeError(f"minimize: callback must be a function of iteration and loss, got {callback!r}")
    if options is not None and (name == "newton" or not isinstance(options, dict)):
        raise TypeError(f"minimize: options must be a dict for SciPy's methods, got {options!r} for {name}")
    objective = Objective(model, loss, x, y, batch_size, regularizer, training)
    _check_size(objective, name)
    objective.check_determinism()
    found, start = Minimum(name), objective.vector
    search = _Search(objective, found, callback)
    objective.evaluations = 0
    try:
        if name == "newton":
            _newton(search, start, iterations, tolerance, damping)
        else:
            _scipy(search, start, iterations, tolerance, _SCIPY[name], options or {})
        if not math.isfinite(found.loss):
            raise FloatingPointError(f"minimize: the loss is {found.loss} after {found.iterations} iterations")
    except BaseException:
        objective.vector = start
        raise
    if found.loss > found.losses[0]:
        warnings.warn(
            f"minimize: {name} raised the loss from {found.losses[0]:.4g} to {found.loss:.4g}: where the Hessian is "
            "nearly singular, or not positive definite, its step leads up; give damping, a penalty such as "
            "regularizers.L2(1e-3), or method='l-bfgs'",
            stacklevel=2,
        )
    return found


def _check_size(objective: Objective, method: str) -> None:
    n, most = objective.size, 2 * LARGEST_HESSIAN
    if method == "newton":
        check_hessian(objective, "newton")
    if method == "newton-cg" and objective.parameters[0].dtype != np.float64:
        raise ValueError(
            "newton-cg: products with the Hessian are differences of gradients, for which float32 is too coarse; build "
            "the model with dtype='float64'"
        )
    if method == "bfgs" and n > most:
        raise ValueError(
            f"bfgs: {n:,} parameters need a matrix of {n:,} x {n:,} elements, {8 * n * n / 2**30:,.0f} GiB; up to "
            f"{most:,} are computed. For more use method='l-bfgs', which keeps a few gradients"
        )


class _Search:
    """Counts the iterations of a method."""

    def __init__(self, objective: Objective, found: Minimum, callback: Callable[[int, float], object] | None) -> None:
        self.objective, self.found, self.callback = objective, found, callback

    def begin(self, vector: Array) -> tuple[float, Array]:
        loss, gradient = self.objective(vector)
        if not math.isfinite(loss):
            raise FloatingPointError(f"minimize: the loss is {loss} at the start")
        self.found.losses.append(loss)
        self.found.evaluations.append(self.objective.evaluations)
        return loss, gradient

    def iterated(self, loss: float) -> bool:
        """Whether the callback stops the search."""
        self.found.losses.append(float(loss))
        self.found.evaluations.append(self.objective.evaluations)
        return self.callback is not None and self.callback(self.found.iterations, float(loss)) is True


def _newton(search: _Search, vector: Array, iterations: int, tolerance: float, damping: float) -> None:
    found = search.found
    _, gradient = search.begin(vector)
    found.message = f"{iterations} iterations are done"
    for _ in range(iterations):
        if np.abs(gradient).max() <= tolerance:
            break
        hessian = search.objective.hessian(vector)
        hessian[np.diag_indices_from(hessian)] += damping
        try:
            vector = vector - np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            search.objective.vector = vector
            found.message = "the Hessian has no inverse; give damping > 0"
            break
        loss, gradient = search.objective(vector)
        if search.iterated(loss):
            found.message = "stopped by the callback"
            break
        if not math.isfinite(loss):
            break
    found.gradient_norm = float(np.linalg.norm(gradient))
    if np.abs(gradient).max() <= tolerance:
        found.converged, found.message = True, f"no element of the gradient is above {tolerance:g}"


def _scipy(
    search: _Search, vector: Array, iterations: int, tolerance: float, method: str, options: dict[str, Any]
) -> None:
    try:
        from scipy import optimize
    except ImportError as error:
        raise ImportError(f'{method} needs SciPy: pip install "fastnet-cnn[scipy]"') from error
    stopped = False

    def iterated(intermediate_result: Any) -> None:
        nonlocal stopped
        if search.iterated(intermediate_result.fun):
            stopped = True
            raise StopIteration

    search.begin(vector)
    limits = {
        "Newton-CG": {"xtol": tolerance},
        "BFGS": {"gtol": tolerance},
        "L-BFGS-B": {"gtol": tolerance, "ftol": 0.0},
    }
    result = optimize.minimize(
        search.objective,
        vector,
        jac=True,
        method=method,
        hessp=search.objective.hessian_product if method == "Newton-CG" else None,
        callback=iterated,
        options={
            "maxiter": iterations,
            **limits[method],
            **({"maxfun": 10**9} if method == "L-BFGS-B" else {}),
            **options,
        },
    )
    found = search.found
    search.objective.vector = result.x
    found.gradient_norm = float(np.linalg.norm(result.jac))
    found.converged, found.message = bool(result.success), str(result.message)
    if stopped:
        found.converged, found.message = False, "stopped by the callback"
