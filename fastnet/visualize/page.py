"""A page (HTML) of everything that can be seen inside a model, in one file that needs no network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.arguments import integer, several
from fastnet.arrays import on_host
from fastnet.layers import Model, Probe
from fastnet.storage import atomic_write
from fastnet.types import Array, ArrayLike
from fastnet.visualize.markup import escape, note
from fastnet.visualize.mistakes import confusion_matrix
from fastnet.visualize.sections import OF_DATA, OF_IMAGE, OF_MODEL, Look, Section

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222 }
section { border-top: 1px solid #ccc; margin-top: 2em }
img { max-width: 100%; display: block; margin: 1em 0 }
.pixels { image-rendering: pixelated }
.wide { overflow: auto; max-height: 80vh; border: 1px solid #ddd }
table { border-collapse: collapse; margin: 1em 0 }
th, td { text-align: left; padding: 2px 10px; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .8em; background: #4a7ebb }
.note { color: #a33 }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser loads nothing else


def write_page(
    path: str | os.PathLike[str],
    model: Model,
    image: ArrayLike | None = None,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    layers: Sequence[str] | None = None,
    title: str = "a network, inspected",
    facts: Sequence[str] = (),
    batch_size: int = 128,
    seed: int = 0,
    say: Callable[[str], object] = lambda section: None,
) -> list[str]:
    """Write a page about a model, atomically: its drawing and filters, what it sees in an image, how it does on data.

    Pictures are part of the file, and a policy in its head forbids the browser to load anything else.

    Parameters
    ----------
    path : path
        NAME.html.
    model : Model
        Built; its `preprocessing` is applied to images, as in ``model.predict``, and its `class_names` are shown.
    image : array, (C, H, W), optional
        For the prediction, attributions, feature maps and a fooling image; of another size than the model's, if its
        `preprocessing` is a OneSize.
    data : (X, y), optional
        Images (N, C, H, W), or a list as `predict` takes it, and classes (N,), for the confusion matrix, mistakes,
        exciting patches, and t-SNE.
    layers : sequence of str, optional
        Whose filters, maps and patches are shown, by their names in ``model.summary()``; default: up to four
        convolutions, from the first to the last.
    title : str
    facts : sequence of str
        Sentences below the title.
    batch_size : int
        Bounds the memory.
    seed : int
        Of t-SNE.
    say : function, optional
        Called with each section's title before it is made.

    Returns
    -------
    list of str
        What could not be shown, and why; the page says it in the same place.

    Raises
    ------
    ValueError, TypeError
        No layer of this name; an image or data that do not fit the model; a file whose name does not end in .html.
    RuntimeError
        The model is not built.
    FileNotFoundError
        The file's folder does not exist.
    ImportError
        matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"write_page: the file's name must end in .html, got {os.fspath(path)!r}")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"write_page: the folder {Path(path).parent} does not exist")
    _check_matplotlib()
    look = _look(model, image, data, layers, integer(batch_size, "write_page: batch_size"), seed)
    sections = [
        *(OF_IMAGE if look.image is not None else ()),
        *(OF_DATA if look.X is not None else ()),
        *OF_MODEL,
    ]
    notes: list[str] = []
    parts = []
    for section in sections:
        say(section.title)
        parts.append(_section(section, look, notes))
    text = _page(title, facts, parts).encode()
    atomic_write(path, lambda file: file.write(text))
    return notes


def _check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('the page has plots, which need matplotlib: pip install "fastnet-cnn[plot]"') from error


def _look(
    model: Model,
    image: ArrayLike | None,
    data: tuple[ArrayLike, ArrayLike] | None,
    layers: Sequence[str] | None,
    batch_size: int,
    seed: int,
) -> Look:
    if not isinstance(model, Model):
        raise TypeError(f"write_page: model must be a fastnet model, got {type(model).__name__}")
    layers = None if layers is None else several(layers, "write_page: layers", "names")
    Probe(model, layers or ())  # refuses a model that is not built, and unknown layers
    if len(model.input_shape) != 3:
        raise ValueError(f"write_page: the model must take images (C, H, W), it was built for {model.input_shape}")
    picture = None if image is None else _images("image", on_host(image, "write_page: image")[None], model)
    X = y = None
    if data is not None:
        X, y = _images("data", data[0], model), on_host(data[1], "write_page: y")
        if len(X) != len(y) or not len(X):
            raise ValueError(f"write_page: data must be (X, y) of one length, at least 1, got {len(X)} and {len(y)}")
        confusion_matrix(y, y, model.output_shape[0])  # refuses what is no class of the model
    return Look(model, picture, X, y, None if layers is None else tuple(layers), batch_size, seed)


def _images(name: str, given: ArrayLike, model: Model) -> Array:
    windows = getattr(model.preprocessing, "windows", None)
    images = np.asarray(windows(given)) if windows else on_host(given, f"write_page: {name}")
    if images.ndim != 4 or images.shape[1:] != tuple(model.input_shape):
        raise ValueError(f"write_page: {name} must have the model's shape {model.input_shape}, got {images.shape[1:]}")
    return images


def _section(section: Section, look: Look, notes: list[str]) -> str:
    try:
        content = section.make(look)
    except (ValueError, TypeError, ImportError) as error:  # of a model that cannot be looked into in this way
        notes.append(f"{section.title}: {error}")
        content = note(f"Not shown: {error}")
    return f"<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.explanation)}</p>\n{content}\n</section>"


def _page(title: str, facts: Sequence[str], parts: Sequence[Any]) -> str:
    said = "\n".join(f"<p>{escape(fact)}</p>" for fact in facts)
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
{said}
{body}
</body>
</html>
"""
