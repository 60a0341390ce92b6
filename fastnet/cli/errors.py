"""User errors: one line that says what is wrong, instead of a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastnet.columns import visible

__all__ = ["UserError", "in_options", "user_mistakes"]

_OPTIONS = {
    "size=(height, width)": "--image-size HxW",
    "gray=True": "--grey",
    "gray=False": "--no-grey",
    "channels_last=True": "--channels-last",
    "channels_last=False": "--no-channels-last",
    "classes=[...]": "--classes A,B,...",
    "skip_bad=True": "--skip-bad",
    "lazy=True": "--lazy",
    'size="any"': "--whole",
    "cache=FOLDER": "--cache FOLDER",
    "give Solver(validation=(X, y))": "give a --val-fraction above 0",
    "validation=": "--val-fraction ",
    "early_stopping=N": "--early-stopping N",
    "epochs=": "--epochs ",
    "give the same preprocess and": "give the same --preprocess and",
    "a new model without the checkpoint": "a new model without --resume",
    "set_num_threads: count": "--threads",
    "use test=0.5": "more images are needed",  # advice for two images in all; no option sets the size of the test part
}


class UserError(Exception):
    """An error that the user can fix; `main` prints it and exits with status 2."""


@contextlib.contextmanager
def user_mistakes(
    hint: str = "", catch: tuple[type[Exception], ...] = (ValueError, TypeError, ImportError, KeyError, RuntimeError)
) -> Iterator[None]:
    """Turn the errors that wrong arguments, files and environments cause into UserError.

    Parameters
    ----------
    hint : str
        How to fix it on the command line.
    catch : tuple of exception classes
        What is turned into UserError, besides OSError and MemoryError.
    """
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        raise UserError(_line(where, hint)) from error
    except MemoryError as error:
        raise UserError(_line("out of memory; use a smaller --batch-size or smaller images", hint)) from error
    except catch as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise UserError(_line(str(text), hint)) from error


def in_options(text: str) -> str:
    """An error or warning of the library in one line, with the command's options for the functions' arguments.

    Control characters, which the names of files may have, become escapes.
    """
    for argument, option in _OPTIONS.items():
        text = text.replace(argument, option)
    return visible(" ".join(text.split()))


def _line(text: str, hint: str) -> str:
    return in_options(f"{text}{'; ' if hint else ''}{hint}")
