"""Lists of images in a CSV file: a file's name and its class in each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fastnet.data.keys import part_of
from fastnet.data.pictures import SUFFIXES
from fastnet.wording import name_some

__all__ = ["read_listing"]

_FILES = ("file", "filename", "file_name", "image", "image_id", "path", "filepath", "file_path", "id", "name", "img")
_CLASSES = ("label", "class", "class_name", "category", "target", "labels", "y")
_PARTS = ("split", "part", "set", "subset", "fold")


def read_listing(
    path: Path, root: Path, classes: Sequence[str] | None
) -> tuple[list[str], list[tuple[str, int, Path]]]:
    """The classes, and (part, class number, file) for each row.

    Raises
    ------
    ValueError
        No table of files and classes; a row with too few columns; a class that is not in `classes`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
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
    found = []
    for number, row in body:
        which = "train" if part is None else part_of(row[part])
        if which is None:
            raise ValueError(f"{path}, line {number}: {row[part or 0]!r} is not a part: train, val or test")
        found.append((which, numbers[row[label]], root / row[file]))
    return list(classes), found


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
        raise ValueError(
            f"{path}: expected a column of files and one of classes, such as file,label in the first row, got "
            f"{name_some(head)}{'' if len(rows) > 1 else ' and no other row'}"
        )
    return file, label, part, rows[1:]
