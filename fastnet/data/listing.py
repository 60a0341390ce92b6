"""Lists of images in a CSV file: a file's name and its class in each row."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastnet.data.inside import is_archive, open_archive
from fastnet.data.keys import part_of
from fastnet.data.pictures import SUFFIXES
from fastnet.wording import name_some

__all__ = ["read_listing"]

_FILES = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_file", "image_path"),
    *("image_name", "image_id", "img", "id", "name"),
)
_CLASSES = (
    *("label", "labels", "class", "class_name", "classname", "class_id", "class_label", "category", "category_id"),
    *("target", "y", "label_id", "label_name"),
)
_PARTS = ("split", "part", "set", "subset", "fold")


def read_listing(path: Path, root: Path, classes: Sequence[str] | None) -> tuple[list[str], list[tuple[str, int, Any]]]:
    r"""The classes, and (part, class number, file) for each row.

    A name may lack its file's suffix, or have Windows' ``\`` between folders.  The root may be a zip or tar file.

    Raises
    ------
    ValueError
        No table of files and classes; a row with too few columns; a class that is not in `classes`.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    rows = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1)
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        raise ValueError(f"{path} has no rows; expected a file and a class in each")
    file, label, part, body = _columns(path, rows)
    wanted = max(file, label, part or 0) + 1
    short = [str(number) for number, row in body if len(row) < wanted or not row[file] or not row[label]]
    if short:
        raise ValueError(f"{path}: no file or no class in line {name_some(short)}")
    labels = {row[label] for _, row in body}
    if classes is None:
        classes = sorted(labels, key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
    if unknown := sorted(labels - set(classes)):
        raise ValueError(f"{path} has classes that are not in classes=[...]: {name_some(unknown)}")
    numbers = {name: number for number, name in enumerate(classes)}
    tops = _tops(root)
    found = []
    for number, row in body:
        which = "train" if part is None else part_of(row[part])
        if which is None:
            raise ValueError(f"{path}, line {number}: {row[part or 0]!r} is not a part: train, val or test")
        found.append((which, numbers[row[label]], _file(tops, row[file])))
    return list(classes), found


def _text(path: Path) -> str:
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 ({error}); save it as such, in Excel as the type CSV UTF-8"
        ) from error


def _tops(root: Path) -> list[Any]:
    """Where names may start: the root, or in an archive its top, and the single folder that this may hold."""
    if not is_archive(root):
        return [root]
    inner = open_archive(root)[0]
    return [inner, *inner.parents[-1:]]


def _file(tops: Sequence[Any], name: str) -> Any:
    """The file of that name, else of the name with a suffix, if only one has; else what the name says."""
    for given in (name, name.replace("\\", "/")):
        for top in tops:
            if (top / given).is_file():
                return top / given
            if Path(given).suffix.lower() not in SUFFIXES:
                found = [file for suffix in sorted(SUFFIXES) if (file := top / f"{given}{suffix}").is_file()]
                if len(found) == 1:
                    return found[0]
    return tops[0] / name


def _columns(path: Path, rows: list[tuple[int, list[str]]]) -> tuple[int, int, int | None, list[tuple[int, list[str]]]]:
    """The columns of files, classes and parts, and the rows below the header, if there is one."""
    head = rows[0][1]
    images = [i for i, cell in enumerate(head) if Path(cell).suffix.lower() in SUFFIXES]
    if len(images) == 1 and len(head) == 2:
        return images[0], 1 - images[0], None, rows
    if images:
        raise ValueError(
            f"{path}: the first row, {name_some(head)}, has {len(head)} columns and no names; expected a file and a "
            "class, or a header such as file,label"
        )
    names = [cell.lower() for cell in head]
    file, label, part = (
        next((names.index(n) for n in known if n in names), None) for known in (_FILES, _CLASSES, _PARTS)
    )
    if file is None or label is None or len(rows) == 1:
        got = f"{name_some(head)}{'' if len(rows) > 1 else ' and no other row'}"
        raise ValueError(
            f"{path}: expected a column of files ({', '.join(_FILES)}) and one of classes ({', '.join(_CLASSES)}), by "
            f"these names in the first row, got {got}"
        )
    return file, label, part, rows[1:]
