"""Distillation: a student learns from the scores of a teacher, which may be an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet import functional
from fastnet.arguments import positive, real
from fastnet.arrays import as_array, on_host
from fastnet.backends import current
from fastnet.data import Loader
from fastnet.functional.arguments import follows
from fastnet.layers import Model
from fastnet.ops.metrics import ACCURACY, Metric
from fastnet.training.ensemble import Ensemble
from fastnet.types import Array, ArrayLike

__all__ = ["Distillation", "DistillationLoader"]


def _accuracy(scores: Array, labels: Array, **_: Any) -> float:
    return ACCURACY.measure(scores, _parts(scores, labels)[1])


class Distillation:
    """The loss of a student: ``alpha * T**2 * KL(p || q) + (1 - alpha) * cross-entropy``, means over the batch.

    p and q are the softmax of the teacher's and the student's scores, divided by the temperature T; the cross-entropy
    is that of the class numbers at T = 1.  T**2 keeps the size of the first gradient as T grows (Hinton, Vinyals &
    Dean 2015, arXiv:1503.02531).

    Parameters
    ----------
    temperature : float
        > 0.  The higher, the more the teacher's small probabilities count.
    alpha : float in [0, 1]
        The weight of the teacher.

    Examples
    --------
    >>> loader = DistillationLoader(X, y, teacher=fastnet.Ensemble(["runs/a", "runs/b", "runs/c"]), batch_size=128)
    >>> fastnet.Solver(student, loader, validation=(X_val, y_val), loss=Distillation(4.0, 0.9)).train()
    """

    metric = Metric("accuracy", _accuracy, as_given=True)

    def __init__(self, temperature: float = 4.0, alpha: float = 0.9) -> None:
        self.temperature = positive(temperature, "Distillation: temperature")
        self.alpha = real(alpha, "Distillation: alpha")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"Distillation: alpha must be in [0, 1], got {alpha!r}")

    def __repr__(self) -> str:
        return f"Distillation(temperature={self.temperature:g}, alpha={self.alpha:g})"

    @follows
    def __call__(self, scores: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
        """Loss and gradient.

        Parameters
        ----------
        scores : array (N, C)
            The student's.
        labels : array (N, C + 1), or integers (N,)
            The teacher's scores and, in the last column, the class numbers, as DistillationLoader gives them.  Class
            numbers alone, as validation has them: the loss is the cross-entropy.

        Returns
        -------
        loss : float
        dscores : array of the shape and dtype of `scores`
        """
        scores, xp = current().own(scores), current().xp
        teacher, classes = _parts(scores, labels)
        rows, T, alpha = xp.arange(len(scores)), self.temperature, self.alpha if teacher is not None else 0.0
        log_q = _log_softmax(scores, 1.0)
        loss = (alpha - 1) * log_q[rows, classes].mean()
        gradient = (1 - alpha) * xp.exp(log_q)
        gradient[rows, classes] -= 1 - alpha
        if teacher is not None:
            log_p, soft = _log_softmax(teacher, T), _log_softmax(scores, T)
            p = xp.exp(log_p)
            loss += alpha * T * T * (p * (log_p - soft)).sum(axis=1).mean()
            gradient += alpha * T * (xp.exp(soft) - p)
        return float(loss), (gradient / len(scores)).astype(scores.dtype)


def _log_softmax(scores: Array, temperature: float) -> Array:
    return functional.log_softmax(scores.astype(np.float64) / temperature, 1)[0]


def _parts(scores: Array, labels: ArrayLike) -> tuple[Array | None, Array]:
    """The teacher's scores, or None, and the class numbers."""
    given = current().own(as_array(labels, "Distillation: labels"))
    N, C = scores.shape
    if given.shape == (N,):
        teacher, numbers = None, given
    elif given.shape == (N, C + 1):
        teacher, numbers = given[:, :-1], given[:, -1]
    else:
        raise ValueError(
            f"Distillation: labels must be ({N}, {C + 1}), the teacher's {C} scores and the class, or ({N},), class "
            f"numbers, got {given.shape}; DistillationLoader makes them"
        )
    classes = numbers.astype(np.int64)
    if not ((classes == numbers).all() and (len(numbers) == 0 or 0 <= classes.min() <= classes.max() < C)):
        raise ValueError(f"Distillation: class numbers must be integers in 0..{C - 1}")
    return teacher, classes


class DistillationLoader(Loader):
    """A Loader whose labels are a teacher's scores and the class, (N, C + 1), as :class:`Distillation` reads them.

    Parameters
    ----------
    X, y : as of Loader
    teacher : array (N, C), Model or Ensemble
        Its scores on X, computed before; or the teacher itself, which sees each batch as the student does: augmented,
        and prepared by this loader's `preprocess`.
    **options
        Loader's: batch_size, seed, preprocess, augment and so on.

    Raises
    ------
    ValueError, TypeError
        Scores that do not fit X, a teacher that is none of these, or what Loader refuses.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, teacher: ArrayLike | Model | Ensemble, **options: Any) -> None:
        super().__init__(X, y, **options)
        if any(getattr(each, "mixes_labels", False) for each in self.augment):
            raise ValueError("DistillationLoader: augment mixes labels, and a teacher's scores go with one class each")
        if not isinstance(teacher, (Model, Ensemble)):
            teacher = on_host(teacher, "DistillationLoader: teacher")
            if teacher.ndim != 2 or len(teacher) != len(self.y) or teacher.dtype.kind != "f":
                raise ValueError(
                    f"DistillationLoader: teacher must be a Model, an Ensemble, or scores ({len(self.y)}, C) as "
                    f"teacher.predict(X) gives them, got {teacher.dtype} {teacher.shape}"
                )
            if not np.isfinite(teacher).all():
                raise ValueError("DistillationLoader: the teacher's scores hold NaN or infinities")
        self.teacher = teacher

    def _labels(self, index: Array, x: Array, y: Array) -> Array:
        if isinstance(self.teacher, (Model, Ensemble)):
            scores = self.teacher.outputs(x, len(x), None)
        else:
            scores = self.teacher[index]
        return np.concatenate([scores, y[:, None]], axis=1).astype(scores.dtype)
