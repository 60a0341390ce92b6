"""Parameter: a named array with a gradient."""

from __future__ import annotations

from fastnet.backends import current

__all__ = ["Parameter", "weighted"]


class Parameter:
    """A named array that a model owns.

    Attributes
    ----------
    value, grad : array
        Of one shape; `grad` is None until a backward pass adds into it.
    name : str
        As in ``state_dict()`` of the model that was built last with this parameter in it.
    trainable : bool
        Whether backward passes compute `grad` and optimisers move `value`.
    decay : bool
        Whether weight decay applies (not to biases and batch-norm parameters).
    buffer : bool
        Statistics (a batch norm's running mean and variance): never trainable, not even after ``unfreeze``.
    """

    __slots__ = ("buffer", "decay", "grad", "name", "trainable", "value")

    def __init__(self, value, name: str = "", trainable: bool = True, decay: bool = True, buffer: bool = False):
        self.value, self.grad, self.name = value, None, name
        self.trainable, self.decay, self.buffer = trainable and not buffer, decay and not buffer, buffer

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def accumulate(self, gradient) -> None:
        """Add into `grad`; the first gradient is taken over without a copy."""
        if self.grad is None:
            self.grad = gradient
        else:
            current().accumulate(self.grad, gradient)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def size(self) -> int:
        return int(self.value.size)

    @property
    def dtype(self):
        return self.value.dtype

    def __repr__(self) -> str:
        flags = "".join(f", {flag}" for flag, on in (("buffer", self.buffer), ("frozen", self._frozen)) if on)
        return f"Parameter({self.name!r}, shape={self.shape}, {self.dtype}{flags})"

    @property
    def _frozen(self) -> bool:
        return not self.trainable and not self.buffer


def weighted(gradient, saved, *parameters: Parameter | None):
    """The backward of an op with parameters: computes what somebody needs, adds into their gradients."""

    def backward(dy, input_gradient=True, **options):
        needs = input_gradient, *(parameter is not None and parameter.trainable for parameter in parameters)
        if not any(needs):
            return None
        dx, *gradients = gradient(dy, saved, needs, **options)
        for parameter, need, found in zip(parameters, needs[1:], gradients, strict=False):
            if need:
                parameter.accumulate(found)
        return dx

    return backward
