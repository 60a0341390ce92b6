"""The parser, and the types of option values."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import math
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from fastnet.cli.errors import user_mistakes

__all__ = [
    "Parser",
    "count",
    "several",
    "whole",
    "positive",
    "not_negative",
    "folder",
    "fraction",
    "size",
    "names",
    "add_batch_size",
    "add_device",
    "add_threads",
    "machine",
]


Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """argparse's parser, with one-line errors, examples printed as written, and help text generated on demand."""

    def __init__(self, *args: Any, late_epilog: Callable[[], str] | None = None, **kwargs: Any) -> None:
        kwargs = {"formatter_class": argparse.RawDescriptionHelpFormatter, **kwargs, "allow_abbrev": False}
        super().__init__(*args, **kwargs)
        for kind in (count, several, whole, positive, not_negative, fraction):  # type="count", where imports are none
            self.register("type", kind.__name__, kind)
        self.late_epilog = late_epilog
        self.commands: dict[str, Parser] = {}

    def format_help(self) -> str:
        return super().format_help() + (f"\n{self.late_epilog()}" if self.late_epilog else "")

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End with an error that names arguments which no option takes, and the options that are spelled alike."""
        known = [option for action in self._actions for option in action.option_strings if action.help != SUPPRESS]
        near = [name for word in unknown for name in difflib.get_close_matches(word.partition("=")[0], known, 1)]
        hint = f"; did you mean {' and '.join(near)}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def _number(
    text: str, convert: Callable[[str], Number], accepts: Callable[[Number], bool], expected: str, given: str = ""
) -> Number:
    """`text` converted, or an error that shows it, or what was `given`, of which it is a part."""
    value: Number | None
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {(given or text)!r}")
    return value


def count(text: str) -> int:
    """An integer >= 1."""
    return _number(text, int, lambda value: value >= 1, "an integer >= 1")


def several(text: str) -> int:
    """An integer >= 2."""
    return _number(text, int, lambda value: value >= 2, "an integer >= 2")


def whole(text: str) -> int:
    """An integer from 0 to 2**63 - 1."""
    return _number(text, int, lambda value: 0 <= value < 2**63, "an integer from 0 to 2**63 - 1")


def positive(text: str) -> float:
    """A number > 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number > 0")


def not_negative(text: str) -> float:
    """A number >= 0."""
    return _number(text, float, lambda value: 0 <= value < math.inf, "a number >= 0")


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    return _number(text, float, lambda value: 0 <= value < 1, "a fraction, 0 <= f < 1")


def size(text: str) -> tuple[int, int]:
    """Height and width: "64" or "48x64"."""
    height, times, width = text.lower().partition("x")
    expected = "one integer >= 1 or two, such as 64 or 48x64"
    parts = (height, width) if times else (height, height)
    rows, columns = (_number(part, int, lambda value: value >= 1, expected, text) for part in parts)
    return rows, columns


def folder(text: str) -> Path:
    """A path that is not empty, as an unset variable of a shell is."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a folder, got {text!r}")
    return Path(text).expanduser()


def names(text: str) -> tuple[str, ...]:
    """Names between commas: "cat,dog"; each only once."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"expected different names between commas, such as cat,dog, got {text!r}")
    return found


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """``--batch-size`` of a command that runs a trained model, where it changes no result."""
    parser.add_argument(
        "--batch-size",
        type=count,
        default=128,
        metavar="N",
        help="images at a time; fewer take less memory (default: 128)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads``, which `main` sets while the command runs."""
    parser.add_argument(
        "--threads", type=count, metavar="N", help="number of threads (default: all that affinity and cgroup allow)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, which `main` sets while the command runs."""
    parser.add_argument(
        "--device",
        choices=["cpu", "gpu"],
        help='where to compute (default: cpu); gpu is an NVIDIA GPU through CuPy: pip install "fastnet-cnn[gpu]"',
    )


@contextlib.contextmanager
def machine(args: argparse.Namespace) -> Iterator[None]:
    """Inside the block, the threads and the device that ``--threads`` and ``--device`` name; then those of before."""
    with contextlib.ExitStack() as before:
        with user_mistakes():  # also in FASTNET_ISA, FASTNET_BACKEND and FASTNET_NUM_THREADS, which the import reads
            import fastnet
            from fastnet import backends, threads

            before.enter_context(threads.restored())
            if number := getattr(args, "threads", None):
                fastnet.set_num_threads(number)
            if device := getattr(args, "device", None):
                before.enter_context(fastnet.use_backend(backends.of_device(device)))
        yield
