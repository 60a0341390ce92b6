"""Paths inside a zip or tar file, which is read where it lies: nothing is unpacked."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["InArchive", "is_archive", "open_archive"]

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_LARGEST = 1 << 28  # bytes of one file; no image that is meant to be learned from has as many


def is_archive(path: Path) -> bool:
    """Whether a file has the suffix of a zip or tar file."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


class InArchive:
    """A file or folder in an archive, with those methods of pathlib.Path that reading a data set needs."""

    def __init__(self, archive: _Archive, inner: PurePosixPath) -> None:
        self._archive, self._inner = archive, inner
        self.name, self.suffix, self.parts = inner.name or archive.path.name, inner.suffix, inner.parts

    def __str__(self) -> str:
        return f"{self._archive.path}/{self._inner}" if self.parts else str(self._archive.path)

    def __truediv__(self, name: str) -> InArchive:
        return InArchive(self._archive, self._inner / name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InArchive) and (self._archive, self._inner) == (other._archive, other._inner)

    def __hash__(self) -> int:
        return hash(self._inner)

    def __lt__(self, other: InArchive) -> bool:
        return self._inner < other._inner

    @property
    def parent(self) -> InArchive:
        return InArchive(self._archive, self._inner.parent)

    @property
    def parents(self) -> list[InArchive]:
        return [InArchive(self._archive, inner) for inner in self._inner.parents]

    def relative_to(self, other: InArchive) -> PurePosixPath:
        return self._inner.relative_to(other._inner)

    def resolve(self) -> InArchive:
        return self

    def is_dir(self) -> bool:
        return self._inner in self._archive.folders

    def is_file(self) -> bool:
        return self._inner in self._archive.files

    def stat(self) -> os.stat_result:
        """Of the archive."""
        return self._archive.path.stat()

    def iterdir(self) -> Iterator[InArchive]:
        return (self / name for name in self._archive.folders[self._inner])

    def glob(self, pattern: str) -> Iterator[InArchive]:
        return (InArchive(self._archive, inner) for inner in self._archive.files if inner.match(pattern))

    def read_bytes(self) -> bytes:
        with self._archive.lock:
            return self._archive.files[self._inner]()


class _Archive:
    """The files of an archive as functions that read them, and its folders with the names in them.

    Any thread may read: one at a time does, since all share one place in one open file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.files: dict[PurePosixPath, Callable[[], bytes]] = {}
        self.folders: dict[PurePosixPath, set[str]] = {PurePosixPath(): set()}
        self.strange: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _listed, (self.path,)  # a copy, as for another process, opens the file again

    def add(self, name: str, read: Callable[[], bytes]) -> None:
        """A file; names that would leave the archive, and copies of a name, are kept in `strange`."""
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts or inner in self.files:
            self.strange.append(name)
            return
        self.files[inner] = read
        for parent in inner.parents:
            self.folders.setdefault(parent, set()).add(inner.name)
            inner = parent


def open_archive(path: Path) -> tuple[InArchive, list[str]]:
    """The folder that an archive holds (a single one at the top is entered), and the names that were left out.

    Raises
    ------
    ValueError
        Not a zip or tar file, or a damaged one.
    """
    archive = _listed(path)
    top = InArchive(archive, PurePosixPath())
    while len(inside := [each for each in top.iterdir() if each.name[0] not in "._"]) == 1 and inside[0].is_dir():
        top = inside[0]
    return top, archive.strange


def _listed(path: Path) -> _Archive:
    archive = _Archive(path)
    try:
        if path.suffix.lower() == ".zip":
            _list_zip(archive)
        else:
            _list_tar(archive)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        kind = "zip" if path.suffix.lower() == ".zip" else "tar"
        raise ValueError(f"{path} is not a {kind} file, or damaged: {error}") from error
    return archive


def _list_zip(archive: _Archive) -> None:
    opened = zipfile.ZipFile(archive.path)
    for info in opened.infolist():
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            archive.strange.append(info.filename)
            continue
        archive.add(info.filename, partial(_limited, info.file_size, partial(opened.read, info)))


def _list_tar(archive: _Archive) -> None:
    """Compressed files are read here, in one pass: going back would decompress all that comes before again."""
    opened = tarfile.open(archive.path)  # noqa: SIM115  # read as long as the paths live
    weakref.finalize(archive, opened.close)
    compressed = archive.path.suffix.lower() != ".tar"
    for member in opened:
        if member.isdir():
            continue
        if not member.isfile():
            archive.strange.append(member.name)
            continue

        read = partial(_limited, member.size, partial(_extract, opened, member))
        content = read() if compressed and member.size <= _LARGEST else None
        archive.add(member.name, read if content is None else partial(bytes, content))


def _extract(opened: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(member)
    assert file is not None
    return file.read()


def _limited(size: int, read: Callable[[], bytes]) -> bytes:
    if size > _LARGEST:
        raise ValueError(f"it has {size / 2**20:,.0f} MiB; images of more than {_LARGEST >> 20} MiB are not read")
    return read()
