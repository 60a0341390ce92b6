"""Decoded images on disk: made once, and read memory-mapped as long as the image files are the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastnet.data.decoding import Findings, Request, decoded
from fastnet.data.rows import Rows
from fastnet.storage import atomic_write, write_json
from fastnet.types import Array

__all__ = ["read_cached"]

_FORMAT = 1


def read_cached(request: Request, folder: Path, source: Path, classes: Sequence[str] | None) -> tuple[Array, Findings]:
    """All images as Rows of a file in `folder`, which is written first if it is not there, or out of date.

    There are two files for each source and its options: the pixels, uint8 (M, C, H, W) in C order, or (C, H, W) one
    after the other for images that keep their own sizes, and a JSON file
    with their shape, the size and time of each image file, and what decoding found.  The JSON file is written last:
    without it, pixels are not used.

    Parameters
    ----------
    request : Request
    folder : Path
        Is created if it does not exist.
    source : Path
        The folder or file that lists the images; the two files are named after it.
    classes : sequence of str or None
        The option: another choice of classes has files of its own.

    Raises
    ------
    ValueError
        Files that cannot be read, or differ in size; a folder inside the images' own, or too full.
    OSError
        The folder cannot be written.
    """
    _check_place(request, folder, source)
    folder.mkdir(parents=True, exist_ok=True)
    options = [str(source.resolve()), request.size, bool(request.gray), classes and list(classes)]
    stem = f"{source.resolve().name}-{hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]}"
    pixels, about = folder / f"{stem}.pixels", folder / f"{stem}.json"
    stamps = _stamps(request)
    found = _read(pixels, about, stamps)
    if found is None:
        about.unlink(missing_ok=True)
        shape, findings = _write(request, pixels)
        write_json(about, {"format": _FORMAT, "shape": shape, "stamps": stamps, **findings.state_dict()})
        found = _read(pixels, about, stamps)
        if found is None:
            raise OSError(f"{request.where}: {pixels} cannot be read again; is another process changing {folder}?")
    found[1].check(request)
    return found


def _check_place(request: Request, folder: Path, source: Path) -> None:
    """Refuse what is no folder, or would be taken for a class the next time."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{request.where}: the cache {folder} is a file; give a folder, which need not exist")
    place, home = folder.resolve(), source.resolve()
    if not (home.is_dir() and place.is_relative_to(home)):
        return
    if not any(part[0] == "." for part in place.relative_to(home).parts):
        raise ValueError(
            f"{request.where}: the cache {folder} is inside {source}, where it would be taken for a class; give a "
            f"folder elsewhere, or a hidden one such as {source / '.cache'}"
        )


def _stamps(request: Request) -> str:
    """A checksum of the size and time of each image file; one that does not exist has none."""
    digest = hashlib.sha256()
    for file in request.files:
        with suppress(OSError):
            status = file.stat()
            digest.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _read(pixels: Path, about: Path, stamps: str) -> tuple[Array, Findings] | None:
    """The images, or None if they are not there, out of date or damaged."""
    try:
        state = json.loads(about.read_text(encoding="utf-8"))
        if (state["format"], state["stamps"]) != (_FORMAT, stamps):
            return None
        findings = Findings.from_state_dict(state)
        count, channels, *size = state["shape"]
        sizes = findings.in_order() if size == [None, None] else [(int(size[0]), int(size[1]))] * count
        ends = np.cumsum([channels * height * width for height, width in sizes])
        if len(sizes) != count or pixels.stat().st_size != ends[-1]:
            return None
        flat = np.memmap(pixels, np.uint8, "r")
        if size != [None, None]:
            rows: Any = Rows(flat.reshape(count, channels, *sizes[0]))
        else:
            parts = np.split(np.asarray(flat), ends[:-1])
            rows = Rows([part.reshape(channels, *size) for part, size in zip(parts, sizes, strict=True)])
        return rows, findings
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _write(request: Request, pixels: Path) -> tuple[tuple[Any, ...], Findings]:
    """Decode all images into the file `pixels`; their shape, and what was found."""
    shape: tuple[Any, ...] = (0,)
    findings = Findings()

    def write(file: BinaryIO) -> None:
        nonlocal shape
        for image in decoded(request, findings, f"decoding into {pixels.parent}"):
            if shape == (0,):
                _check_room(request, pixels.parent, len(request.files) * image.size)
            file.write(image.tobytes())
            shape = (shape[0] + 1, len(image), *((None, None) if request.size == "any" else image.shape[1:]))
        findings.check(request)
        if shape == (0,):
            raise ValueError(f"{request.where}: there are no images that can be read")

    atomic_write(pixels, write)
    return shape, findings


def _check_room(request: Request, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{request.where}: {len(request.files)} decoded images take {needed / 2**30:.1f} GiB, and the cache's disk "
            f"has {free / 2**30:.1f} GiB free; give a smaller size, or another folder than {folder}"
        )
