"""Networks from the notation of lectures: ((CONV-RELU)*N-POOL?)*M-(FC-RELU)*K-SOFTMAX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fastnet import layers
from fastnet.arguments import flag, integer
from fastnet.layers import Layer, Sequential
from fastnet.models.registry import built
from fastnet.types import DTypeLike, Initializer, Seed, Shape

__all__ = ["pattern"]

_ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "RELU": layers.ReLU,
    "LEAKY": layers.LeakyReLU,
    "TANH": layers.Tanh,
    "SIGMOID": layers.Sigmoid,
    "ELU": layers.ELU,
    "GELU": layers.GELU,
}
_KINDS = ("INPUT", "CONV", "POOL", "FC", "SOFTMAX", "BN", "DROPOUT", *_ACTIVATIONS)
_TOKEN = re.compile(r"\s*(?:(?P<link>->|-|,)|(?P<sign>[()\[\]*?])|(?P<word>[A-Za-z_]+)|(?P<number>\d+)|(?P<mark>[:/]))")
_MOST = 10_000  # layers; more is a mistake in a number
_DEEPEST = 50  # groups inside each other


@dataclass(frozen=True)
class _Step:
    """One layer of the expanded pattern; `at` is its position in the text."""

    kind: str
    at: int
    size: int | None = None
    stride: int | None = None
    width: int | None = None


class _Reader:
    """Reads a pattern from left to right, and expands its repetitions."""

    def __init__(self, text: str, counts: dict[str, int], pool: bool) -> None:
        self.text, self.counts, self.pool = text, counts, pool
        self.used: set[str] = set()
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                place = at + len(text[at:]) - len(text[at:].lstrip())
                self.wrong(place, f"{text[place]!r} has no meaning here")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind], found.start(kind)))
            at = found.end()
        self.tokens.append(("end", "the end", len(text)))
        self.next = self.depth = 0

    def wrong(self, at: int, message: str) -> NoReturn:
        raise ValueError(f"pattern: {message}:\n  {self.text}\n  {' ' * at}^")

    def take(self, value: str) -> bool:
        """Whether the next token is this one, which then is passed."""
        found = self.tokens[self.next][1] == value
        self.next += found
        return found

    def whole(self) -> list[_Step]:
        """The steps of the whole text."""
        steps = self.chain()
        kind, value, at = self.tokens[self.next]
        if kind != "end":
            self.wrong(at, f"{value!r} closes nothing" if value in ")]" else f"a '-' is expected before {value!r}")
        return steps

    def chain(self) -> list[_Step]:
        """Items with links between them."""
        steps = self.item()
        while self.tokens[self.next][0] == "link":
            self.next += 1
            steps += self.item()
        return steps

    def item(self) -> list[_Step]:
        """A layer or a group, and how often."""
        kind, value, at = self.tokens[self.next]
        self.next += 1
        if value in ("(", "["):
            self.depth += 1
            if self.depth > _DEEPEST:
                self.wrong(at, f"at most {_DEEPEST} groups can stand inside each other")
            steps = self.chain()
            self.depth -= 1
            close = ")" if value == "(" else "]"
            if not self.take(close):
                self.wrong(self.tokens[self.next][2], f"{close!r} is expected for the {value!r} at position {at}")
        elif kind == "word":
            steps = [self.layer(value, at)]
        else:
            self.wrong(at, f"a layer or '(' is expected, not {value if kind == 'end' else repr(value)}")
        if self.take("*"):
            count = self.count()
            if len(steps) * count > _MOST:
                self.wrong(at, f"this makes {len(steps) * count:,} layers; at most {_MOST:,} are possible")
            steps = steps * count
        if self.take("?") and not self.pool:
            return []
        return steps

    def layer(self, name: str, at: int) -> _Step:
        """NAME, or NAME5/2:64, the size of its window, its stride, and its number of outputs."""
        kind = name.upper()
        if kind not in _KINDS:
            self.wrong(at, f"no layer is called {name!r}; there are {', '.join(_KINDS)}")
        size = self.number() if self.tokens[self.next][0] == "number" else None
        stride = self.number() if self.take("/") else None
        width = self.number() if self.take(":") else None
        if (size or stride) and kind not in ("CONV", "POOL"):
            self.wrong(at, f"{kind} has no size and no stride")
        if width and kind not in ("CONV", "FC"):
            self.wrong(at, f"{kind} has no number of outputs")
        return _Step(kind, at, size, stride, width)

    def number(self) -> int:
        kind, value, at = self.tokens[self.next]
        if kind != "number" or int(value) < 1:
            self.wrong(at, f"a number of at least 1 is expected, not {value}")
        self.next += 1
        return int(value)

    def count(self) -> int:
        kind, value, at = self.tokens[self.next]
        self.next += 1
        if kind == "number":
            return int(value)
        if kind != "word" or value not in self.counts:
            known = f"; give {value}=..." if kind == "word" else ""
            self.wrong(at, f"how often? a number is expected after '*', not {value}{known}")
        self.used.add(value)
        return self.counts[value]


class _Widths:
    """The next number of outputs: of a list one after the other, else a number."""

    def __init__(self, name: str, given: int | Sequence[int]) -> None:
        self.name, self.number = name, 0
        self.left: list[int] | None = None
        if isinstance(given, (list, tuple)):
            self.left = [integer(width, f"pattern: {name}") for width in given]
        else:
            self.number = integer(given, f"pattern: {name}")

    def take(self, reader: _Reader, at: int) -> int:
        if self.left is None:
            return self.number
        if not self.left:
            reader.wrong(at, f"{self.name} has no number left for this layer")
        return self.left.pop(0)


def pattern(
    text: str,
    num_classes: int = 10,
    input_shape: Shape = (3, 32, 32),
    filters: int | Sequence[int] = 32,
    hidden: int | Sequence[int] = 100,
    kernel_size: int = 3,
    pool: bool = True,
    dropout: float = 0.5,
    initializer: str | Initializer = "kaiming_normal",
    seed: Seed = 0,
    dtype: DTypeLike = "float32",
    **counts: int,
) -> Sequential:
    """A network from the notation of the lectures and readings, built.

    >>> net = pattern("((CONV-RELU)*N-POOL?)*M-(FC-RELU)*K-SOFTMAX", N=2, M=3, K=1)
    >>> net = pattern("INPUT -> [[CONV5:16 -> RELU]*2 -> POOL]*2 -> FC:120 -> RELU -> FC")

    Layers are CONV, POOL (of maxima), FC, BN, DROPOUT, and the activations RELU, LEAKY, TANH, SIGMOID, ELU, GELU; they
    are joined by ``-``, ``->`` or a comma, grouped by ``( )`` or ``[ ]``, and repeated by ``*3`` or ``*N``.  ``?``
    marks what `pool` decides.  ``CONV5/2:64`` has 5x5 kernels, stride 2 and 64 filters, ``POOL3/2`` 3x3 windows with
    stride 2, ``FC:120`` 120 outputs.  Convolutions are padded to keep the size, up to their stride.

    The last fully connected layer gives the scores of the classes: an FC at the end, before SOFTMAX if that is there,
    or else SOFTMAX's own.  The softmax itself is part of the loss.

    Parameters
    ----------
    text : str
    num_classes : int
    input_shape : (C, H, W)
    filters : int or sequence of int
        Of the convolutions that say nothing: doubled after each POOL, or one number for each.
    hidden : int or sequence of int
        Outputs of the FC layers before the last that say nothing.
    kernel_size : int
        Of the convolutions that say nothing.
    pool : bool
        Whether what is marked with ``?`` is there.
    dropout : float
        The probability of zeroing of DROPOUT.
    initializer, seed, dtype
        Of the layers; see `fastnet.layers.Conv2d` and ``Layer.build``.
    **counts : int
        The numbers that the text calls N, M, K...

    Raises
    ------
    ValueError, TypeError
        A mistake in the pattern, whose position the message shows; an image too small for all the pooling.
    """
    if not isinstance(text, str):
        raise TypeError(f"pattern: text must be like 'CONV-RELU-POOL-FC', got {text!r}")
    times = {name: integer(count, f"pattern: {name}", 0) for name, count in counts.items()}
    reader = _Reader(text, times, flag(pool, "pattern: pool"))
    steps = reader.whole()
    if unused := set(times) - reader.used:
        raise TypeError(f"pattern: the text has no {', '.join(sorted(unused))} after a '*'")
    model = Sequential(**_layers(reader, steps, num_classes, filters, hidden, kernel_size, dropout, initializer))
    return built(model, "pattern", input_shape, seed, dtype)


def _layers(
    reader: _Reader,
    steps: list[_Step],
    num_classes: int,
    filters: int | Sequence[int],
    hidden: int | Sequence[int],
    kernel_size: int,
    dropout: float,
    initializer: str | Initializer,
) -> dict[str, Any]:
    """The layers by name: conv1, relu1, pool1, ..., flatten, fc1..."""
    found: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    conv, fc = _Widths("filters", filters), _Widths("hidden", hidden)
    flat = False

    def add(kind: str, layer: Layer) -> None:
        numbers[kind] = numbers.get(kind, 0) + 1
        found[f"{kind}{numbers[kind]}"] = layer

    if not steps or steps[-1].kind not in ("FC", "SOFTMAX"):
        end = len(reader.text.rstrip())
        reader.wrong(end, "a classifier ends with FC or SOFTMAX")
    scores = len(steps) - 1
    if steps[-1].kind == "SOFTMAX" and len(steps) > 1 and steps[-2].kind == "FC":
        scores -= 1
    for n, step in enumerate(steps):
        kind = step.kind
        if kind == "INPUT" and n:
            reader.wrong(step.at, "INPUT can only be the first")
        if kind in ("CONV", "POOL") and flat:
            reader.wrong(step.at, f"{kind} needs an image, and the layers before it have made vectors of it")
        if kind in ("FC", "SOFTMAX") and not flat:
            found["flatten"], flat = layers.Flatten(), True
        if kind == "CONV":
            width, size = step.width or conv.take(reader, step.at), step.size or kernel_size
            options: Any = {"stride": step.stride or 1, "padding": "same", "initializer": initializer}
            add("conv", layers.Conv2d(width, size, **options))
        elif kind == "POOL":
            add("pool", layers.MaxPool2d(step.size or 2, step.stride or step.size or 2))
            conv.number *= 2
        elif n == scores:
            if step.width not in (None, num_classes):
                reader.wrong(step.at, f"the last FC gives {num_classes} scores, one for each class, not {step.width}")
            add("fc", layers.Linear(num_classes, initializer=initializer))
        elif kind == "FC":
            add("fc", layers.Linear(step.width or fc.take(reader, step.at), initializer=initializer))
        elif kind == "SOFTMAX" and n != len(steps) - 1:
            reader.wrong(step.at, "SOFTMAX can only be the last")
        elif kind == "BN":
            add("bn", layers.BatchNorm1d() if flat else layers.BatchNorm2d())
        elif kind == "DROPOUT":
            add("dropout", layers.Dropout(dropout))
        elif kind in _ACTIVATIONS:
            add(kind.lower(), _ACTIVATIONS[kind]())
    return found
