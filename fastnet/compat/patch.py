"""Shims in an assignment's folder, where the import hook cannot be used; ``unpatch`` restores it byte for byte.

A patched package keeps its original files in the folder ``.fastnet-originals``, with a manifest: the SHA-256 of each
saved file, and the text of each shim.  The order of the steps makes an interruption harmless.  Patching copies the
files, writes the manifest, and then replaces each file atomically; unpatching restores each file atomically, and
removes the manifest before the copies.  A file that matches neither the saved nor the written version has been edited
by someone, and is left alone.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fastnet.compat.hook import LEVELS, PACKAGES
from fastnet.storage import atomic_write

__all__ = ["STORE", "Outcome", "describe", "find_packages", "patch", "unpatch"]

STORE = ".fastnet-originals"
_MANIFEST, _PASSING = "manifest.json", "passing"
_SHIM = '''"""fastnet's `{name}`, written by `fastnet course patch`; the course's original is in {store}.

Before you hand in: `fastnet course unpatch DIR` restores the folder.
"""

try:
    from fastnet.compat.cs231n.{name} import *
except ModuleNotFoundError as error:
    raise ImportError(
        "this folder was patched to run on fastnet, which this Python does not have: install fastnet-cnn here, or "
        "restore the folder with `fastnet course unpatch` where it is installed"
    ) from error
'''
_MARK = "written by `fastnet course patch`"


class Outcome(NamedTuple):
    """What happened to a package: files that were changed, and files that were left because someone had edited them."""

    changed: list[str]
    left: list[str]


def find_packages(folder: str | os.PathLike, names: Iterable[str] = PACKAGES) -> list[Path]:
    """The folders below `folder`, itself included, that have a course package's name and its `fast_layers.py`.

    Raises
    ------
    NotADirectoryError
        If `folder` is not a folder.
    """
    if not Path(folder).is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    found = []
    for place, folders, files in os.walk(Path(folder).resolve()):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "site-packages")
        here = Path(place)
        is_fastnet = here.parts[-3:-1] == ("fastnet", "compat")
        if here.name in names and ("fast_layers.py" in files or (here / STORE).is_dir()) and not is_fastnet:
            found.append(here)
    return found


# ---------------------------------------------------------------- patching


def patch(package: Path, level: int = 2) -> Outcome:
    """Replace a package's files with shims; do nothing if that was done before, or the rest after an interruption.

    Parameters
    ----------
    package : path
        The folder that holds `fast_layers.py`.
    level : 1 or 2
        1: only `im2col_cython`; 2: also `fast_layers`.

    Raises
    ------
    ValueError
        If the package is patched at another level, has links in place of files, or has lost its manifest.
    OSError
        If the folder cannot be written.
    """
    manifest = _read(package)
    if manifest is None:
        _check_no_shims(package)
        manifest = _save(package, level)
    elif manifest["level"] != level:
        raise ValueError(f"{package} is patched at level {manifest['level']}; unpatch it first")
    outcome, passing = Outcome([], []), package / STORE / _PASSING
    for name, text in manifest["written"].items():
        now = _digest(package / name)
        if now == manifest["saved"].get(name):
            _write(passing, text.encode())  # a partial file may stay in the store
            os.replace(passing, package / name)
            outcome.changed.append(name)
        elif now != _digest_of(text):
            outcome.left.append(name)
    for name, digest in manifest["saved"].items():
        if name not in manifest["written"] and _digest(package / name) == digest:
            (package / name).unlink()
            outcome.changed.append(name)
    return outcome


def _save(package: Path, level: int) -> dict:
    """Copy what will be replaced, then record it in a manifest."""
    shims = {f"{name}.py": _SHIM.format(name=name, store=STORE) for name, first in LEVELS.items() if level >= first}
    present = [name for name in shims if os.path.lexists(package / name)]
    present += [str(path.relative_to(package)) for path in (*_compiled(package), *_caches(package, shims))]
    links = [name for name in present if (package / name).is_symlink()]
    if links:
        raise ValueError(f"{package}: {', '.join(links)} is a link; patch the folder that it points to")
    store = package / STORE
    _discard_copies(package)
    for name in present:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        _write(store / name, (package / name).read_bytes())
        shutil.copystat(package / name, store / name)
    store.mkdir(exist_ok=True)
    manifest = {
        "about": "the course's files, for `fastnet course unpatch`",
        "level": level,
        "had_cache": (package / "__pycache__").is_dir(),
        "saved": {Path(name).as_posix(): _digest(store / name) for name in present},
        "written": shims,
    }
    _write(store / _MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _discard_copies(package: Path) -> None:
    """Remove the copies that an interruption left before the manifest was written, or after it was removed."""
    store = package / STORE
    for path in sorted(store.rglob("*")):
        is_passing = path.name.endswith((".tmp", ".pyc")) or path.name == _PASSING
        if path.is_file() and not is_passing and _digest(path) != _digest(package / path.relative_to(store)):
            raise ValueError(f"{path} is not a copy of a file in {package}, and has no manifest; move it away first")
    if store.exists():
        shutil.rmtree(store)


def _compiled(package: Path) -> Iterator[Path]:
    """Builds of the extension for any Python; an import would prefer them to a shim."""
    yield from (path for ending in ("so", "pyd") for path in sorted(package.glob(f"im2col_cython*.{ending}")))


def _caches(package: Path, shims: Iterable[str]) -> Iterator[Path]:
    yield from (path for shim in shims for path in sorted(package.glob(f"__pycache__/{Path(shim).stem}.*.pyc")))


# ---------------------------------------------------------------- unpatching


def unpatch(package: Path) -> Outcome:
    """Restore a package as it was before :func:`patch`; do nothing if it is not patched.

    Files that were edited since are left alone; their originals stay in the folder ``.fastnet-originals``.

    Raises
    ------
    ValueError
        If the manifest or the originals are missing or damaged.
    OSError
        If the folder cannot be written.
    """
    outcome, manifest, store = Outcome([], []), _read(package), package / STORE
    if manifest is None:
        _check_no_shims(package)
        _discard_copies(package)
        return outcome
    saved, written = manifest["saved"], manifest["written"]
    for name, digest in saved.items():
        if _digest(store / name) != digest and _digest(package / name) != digest:
            raise ValueError(f"{store / name} is missing or damaged; take {name} from the course's files")
    for cache in _caches(package, written):
        if _digest(cache) != saved.get(cache.relative_to(package).as_posix()):
            cache.unlink()
    for name in sorted({*saved, *written}):
        now, before = _digest(package / name), saved.get(name)
        if now not in (before, None) and now != _digest_of(written.get(name, "")):
            outcome.left.append(name)
        elif now != before:
            outcome.changed.append(name)
            if before is None:
                (package / name).unlink()
            else:
                (package / name).parent.mkdir(exist_ok=True)
                shutil.copy2(store / name, store / _PASSING)  # keep the copy until everything is restored
                os.replace(store / _PASSING, package / name)
    if outcome.left:
        return outcome
    if not manifest["had_cache"] and (package / "__pycache__").is_dir() and not os.listdir(package / "__pycache__"):
        (package / "__pycache__").rmdir()
    (store / _MANIFEST).unlink()
    shutil.rmtree(store)
    return outcome


# ---------------------------------------------------------------- status


def describe(package: Path) -> list[str]:
    """The state of a package, as lines of text."""
    manifest = _read(package)
    if manifest is None:
        lines = ["original files, no shims"]
        if _shims_in(package):
            lines = [f"shims without originals: {', '.join(_shims_in(package))}; restore these from the course's files"]
        elif (package / STORE).exists():
            lines = ["a patch was interrupted before it changed anything; run patch or unpatch to continue"]
    else:
        lines = [f"patched at level {manifest['level']}"]
        for name, text in manifest["written"].items():
            now = _digest(package / name)
            if now == manifest["saved"].get(name):
                lines.append(f"{name}: the original; run patch or unpatch to continue")
            elif now is None:
                lines.append(f"{name}: removed after the patch; unpatch restores it")
            elif now != _digest_of(text):
                lines.append(f"{name}: changed after the patch; unpatch will not overwrite it")
    endings = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for path in _compiled(package):
        fits = path.name.removeprefix("im2col_cython") in endings
        lines.append(f"{path.name}: built for {'this Python' if fits else 'another Python, not this one'}")
    return lines


def _read(package: Path) -> dict | None:
    path = package / STORE / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        is_whole = manifest.keys() >= {"level", "had_cache", "saved", "written"}
        names = [*manifest["saved"].items(), *manifest["written"].items()] if is_whole else []
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError):
        is_whole, names = False, []
    if not is_whole or not all(isinstance(value, str) and _is_inside(name) for name, value in names):
        raise ValueError(f"{path} is damaged; the originals are beside it, move them back by hand")
    return manifest


def _is_inside(name: str) -> bool:
    """Whether :func:`patch` writes files of this name; a manifest may be forged, and must not reach other files."""
    path = PurePosixPath(name)
    return path.parent.as_posix() in (".", "__pycache__") and path.name.startswith(tuple(LEVELS))


def _shims_in(package: Path) -> list[str]:
    names = [f"{name}.py" for name in LEVELS]
    return [n for n in names if (package / n).is_file() and _MARK in (package / n).read_text("utf-8", "replace")[:200]]


def _check_no_shims(package: Path) -> None:
    if shims := _shims_in(package):
        source = package / STORE if (package / STORE).exists() else "the course's files"
        raise ValueError(
            f"{package}: {', '.join(shims)} is already fastnet's, but there is no manifest of the originals; restore "
            f"them by hand, from {source}"
        )


def _write(path: Path, content: bytes) -> None:
    atomic_write(path, lambda file: file.write(content))


def _digest(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
