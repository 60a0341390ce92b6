"""One image file, decoded by Pillow."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.types import Array

__all__ = [
    "SUFFIXES",
    "check_pillow",
    "decode",
    "quiet",
    "quiet_pillow",
    "read_picture",
    "read_with_remarks",
    "reason",
]

SUFFIXES = frozenset(
    (".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm")
    + (".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp")
)
_ORIENTATION = 0x0112  # the EXIF tag
_AT_MOST_16_BITS = ("PNG", "PPM")  # formats whose 16 bits some versions of Pillow give as integers of 32
_IGNORED = "have unreadable metadata, which was ignored"


def check_pillow() -> None:
    """Raise the ImportError that says how to install Pillow, if it is missing."""
    try:
        from PIL import Image  # noqa: F401
    except ImportError as error:
        raise ImportError('images need Pillow: pip install "fastnet-cnn[images]"') from error


def read_picture(file: str | os.PathLike[str], size: tuple[int, int] | None = None, gray: bool = False) -> np.ndarray:
    """One image file as uint8 (3, H, W), or (1, H, W) with `gray`, turned as its EXIF data says.

    Of 16 bits a channel the upper 8 are taken.

    Parameters
    ----------
    file : path
    size : (height, width), optional
        Scale the image to cover this size, and crop its centre.
    gray : bool

    Raises
    ------
    ValueError
        The file cannot be read, and why.

    Warns
    -----
    UserWarning
        What was not used of the file: other frames, transparency, damaged metadata.
    """
    image, remarks = read_with_remarks(file, size, gray)
    for remark in remarks:
        warnings.warn(f"1 of 1 images {remark}: {file}", stacklevel=2)
    return image


def read_with_remarks(
    file: str | os.PathLike[str], size: tuple[int, int] | None, gray: bool
) -> tuple[np.ndarray, list[str]]:
    """What `read_picture` returns, and what it warns of, in words that continue "3 images"."""
    check_pillow()
    try:
        with quiet():
            image, _, remarks = decode(Path(file), size, gray)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ValueError(f"cannot read {file} ({reason(error)})") from error
    return image.transpose(2, 0, 1), remarks


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore Pillow's warnings, about metadata and palettes; not to be entered on several threads at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def quiet_pillow() -> None:
    """Ignore Pillow's own warnings from now on, for `decode` on threads, none of which may enter `quiet`."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(file: Path, size: tuple[int, int] | None, gray: bool) -> tuple[np.ndarray, bool, list[str]]:
    """The image as uint8 (H, W, C), whether it has colours, and remarks about what was not used of the file.

    To be called within `quiet`, or after `quiet_pillow`.  On damaged files it raises nearly anything; see `reason`.
    """
    if not file.is_file():
        broken = "not a file: a broken link?" if os.path.lexists(str(file)) else "there is no such file"
        raise ValueError("it is a folder" if file.is_dir() else broken)
    content = file.read_bytes()
    if not content:
        raise ValueError("the file is empty")
    try:
        return _load(content, size, gray)
    except Exception as error:
        clean = _without_metadata(content)
        if clean is None:
            raise
        try:
            image, coloured, remarks = _load(clean, size, gray)
        except Exception:
            raise error from None  # it says more
        return image, coloured, [*remarks, _IGNORED]


def _load(content: bytes, size: tuple[int, int] | None, gray: bool) -> tuple[np.ndarray, bool, list[str]]:
    from PIL import Image, ImageOps

    remarks = []
    with Image.open(io.BytesIO(content)) as opened:
        if Image.MAX_IMAGE_PIXELS and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:  # Pillow: a warning
            raise ValueError(
                f"{opened.width}x{opened.height} pixels are more than {Image.MAX_IMAGE_PIXELS:,}, and could be a "
                "decompression bomb; raise PIL.Image.MAX_IMAGE_PIXELS if they are meant"
            )
        deep = opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in _AT_MOST_16_BITS)
        if opened.mode in ("I", "F") and not deep:
            raise ValueError(f"its mode is {opened.mode}, only 8 or 16 bits a channel are accepted")
        opened.load()
        coloured = not deep and opened.mode not in ("1", "L", "LA", "La")
        try:
            turn = _turns(Image.Transpose).get(opened.getexif().get(_ORIENTATION))
        except Exception:  # damaged metadata can raise nearly anything
            turn = None
            remarks.append(_IGNORED)
        if getattr(opened, "is_animated", False) and opened.format != "MPO":  # cameras' files: a preview follows
            remarks.append("have several frames, of which the first was taken")
            opened.seek(0)
        if opened.has_transparency_data and np.asarray(opened.convert("RGBA"))[..., 3].min() < 255:
            remarks.append("have transparent pixels, which were taken with the colours that they have")
        # Pillow clips such greys at 255; of 16-bit colours it takes the upper 8 bits too
        source = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8)) if deep else opened
        if opened.mode == "LAB":  # Pillow converts it to RGB only
            source = opened.convert("RGB")
        image = source.convert("L" if gray else "RGB")
    if turn is not None:
        image = image.transpose(turn)
    if size is not None:
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
    array: Array = np.asarray(image)
    return array[:, :, None] if gray else array, coloured, remarks


def _turns(methods: Any) -> dict[object, Any]:
    """Pillow's method for each EXIF orientation but 1, upright."""
    return {
        2: methods.FLIP_LEFT_RIGHT,
        3: methods.ROTATE_180,
        4: methods.FLIP_TOP_BOTTOM,
        5: methods.TRANSPOSE,
        6: methods.ROTATE_270,
        7: methods.TRANSVERSE,
        8: methods.ROTATE_90,
    }


def _without_metadata(content: bytes) -> bytes | None:
    """A PNG file without its ancillary chunks except transparency; None for other files.

    Pillow refuses a whole file whose texts or colour profile are damaged or too large.
    """
    kept, at = content[:8], 8
    if kept != b"\x89PNG\r\n\x1a\n":
        return None
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        end = at + 12 + length
        if not kind[0] & 0x20 or kind == b"tRNS":  # an upper-case first letter: needed to decode
            kept += content[at:end]
        at = end
    return kept


def reason(error: Exception) -> str:
    """Why a file could not be decoded."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    return str(error) or type(error).__name__
