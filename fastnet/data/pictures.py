"""Image files, decoded by Pillow into one array."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.types import Array
from fastnet.wording import name_some

__all__ = ["SUFFIXES", "check_pillow", "read_picture", "read_pictures", "read_with_remarks"]

SUFFIXES = frozenset(
    (".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm")
    + (".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp")
)
_LISTED = 100  # so many bad files are named
_ORIENTATION = 0x0112  # the EXIF tag
_AT_MOST_16_BITS = ("PNG", "PPM")  # formats whose 16 bits some versions of Pillow give as integers of 32
_IGNORED = "have unreadable metadata, which was ignored"


def check_pillow() -> None:
    """Raise the ImportError that says how to install Pillow, if it is missing."""
    try:
        from PIL import Image  # noqa: F401
    except ImportError as error:
        raise ImportError('images need Pillow: pip install "fastnet-cnn[images]"') from error


def read_pictures(
    files: Sequence[Path], size: tuple[int, int] | None, gray: bool | None, skip_bad: bool, where: str
) -> tuple[Array, Array]:
    """All of `files` as one uint8 array (M, C, H, W), and which of them it holds, a bool mask (N,).

    Parameters
    ----------
    files : sequence of N paths
    size : (height, width) or None
        See `read_picture`; with None they must all have one size.
    gray : bool or None
        None: RGB, and an error if no file has colours.
    skip_bad : bool
        Leave unreadable files out, with a warning, instead of raising an error.
    where : str
        The caller, for errors.

    Raises
    ------
    ValueError
        Names all unreadable files, or the sizes that there are.
    """
    X, used, count = np.empty((0, 3, 0, 0), np.uint8), np.zeros(len(files), bool), 0
    bad: list[str] = []
    notes: dict[str, list[Path]] = {}
    sizes: dict[tuple[int, int], list[Path]] = {}
    colour = False
    if size is not None:
        _check_memory(len(files), (*size, 1), where, "choose a smaller size")  # before one image is scaled to it
    for i, file in enumerate(files):
        try:
            image, coloured, remarks = _decode(file, size, bool(gray))
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            bad.append(f"{file} ({_reason(file, error)})")
            continue
        colour |= coloured
        sizes.setdefault(image.shape[:2], []).append(file)
        for remark in remarks:
            notes.setdefault(remark, []).append(file)
        if not len(X):
            _check_memory(len(files), image.shape, where, "use size=(height, width) to scale them down")
            X = np.empty((len(files), image.shape[2], *image.shape[:2]), np.uint8)
        if image.shape[:2] == X.shape[2:]:
            X[count], used[i], count = image.transpose(2, 0, 1), True, count + 1
    problems = []
    if bad and not skip_bad:
        listing = name_some(bad, _LISTED)
        problems.append(
            f"cannot read {len(bad)} of {len(files)} images: {listing}; use skip_bad=True to leave them out"
        )
    if len(sizes) > 1:
        problems.append(f"the images have {len(sizes)} sizes, {_sizes(sizes)}; use size=(height, width) to scale them")
    if gray is None and sizes and not colour:
        problems.append("all images are greyscale; use gray=True for one channel, or gray=False for three equal ones")
    if problems:
        raise ValueError(f"{where}: {'; and '.join(problems)}")
    if bad:
        warnings.warn(f"left out {len(bad)} of {len(files)} images, unreadable: {name_some(bad)}", stacklevel=4)
    for remark, found in notes.items():
        warnings.warn(f"{len(found)} of {len(files)} images {remark}: {name_some(found, 3)}", stacklevel=4)
    return X[:count], used


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
        image, _, remarks = _decode(Path(file), size, gray)
    except Exception as error:
        raise ValueError(f"cannot read {file} ({_reason(Path(file), error)})") from error
    return image.transpose(2, 0, 1), remarks


def _decode(file: Path, size: tuple[int, int] | None, gray: bool) -> tuple[np.ndarray, bool, list[str]]:
    """The image as uint8 (H, W, C), whether it has colours, and remarks about what was not used of the file."""
    from PIL import Image

    if not file.is_file():
        raise ValueError("not a file: a broken link?" if os.path.lexists(str(file)) else "there is no such file")
    content = file.read_bytes()
    if not content:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata and palettes
        warnings.simplefilter("error", Image.DecompressionBombWarning)
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


def _reason(file: Path, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    return str(error) or type(error).__name__


def _sizes(sizes: dict[tuple[int, int], list[Path]]) -> str:
    """The most frequent sizes, height x width, each with a file."""
    counts = Counter({size: len(files) for size, files in sizes.items()}).most_common()
    return name_some([f"{h}x{w} pixels ({count}, such as {sizes[h, w][0]})" for (h, w), count in counts], 4)


def _check_memory(count: int, shape: tuple[int, ...], where: str, advice: str) -> None:
    """Refuse images that would not fit into memory, before the system kills the process."""
    needed = count * shape[0] * shape[1] * shape[2]
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        memory = 2**40
    if needed > memory // 2:
        raise ValueError(
            f"{where}: {count} images of {shape[0]}x{shape[1]} take {needed / 2**30:.1f} GiB, more than half "
            f"of this machine's {memory / 2**30:.1f} GiB; {advice}"
        )
