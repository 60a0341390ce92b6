"""The layout of a folder of images: its parts, its classes, their files, and what is none of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastnet.data.inside import is_archive
from fastnet.data.keys import PARTS, part_of
from fastnet.data.pictures import SUFFIXES
from fastnet.wording import name_some

__all__ = ["Tree"]

_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass
class Tree:
    """The image files below a folder.

    Attributes
    ----------
    path : Path
    classes : list of str
    files : dict of list of (class number, Path)
        By part: "train", "val", "test"; only "train" for a folder without parts.
    left_out : list of Path
        Everything else: other files, images outside class folders, folders that are not classes.
    nested : list of Path
        Those of `files` that lie in sub-folders of their class.
    """

    path: Path
    classes: list[str]
    files: dict[str, list[tuple[int, Path]]] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)
    nested: list[Path] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, classes: Sequence[str] | None, training: bool) -> Tree:
        """Find the files of `classes`: by default, of all sub-folders in alphabetical order.

        To train there must be at least two classes, all with images.

        Raises
        ------
        ValueError
            Too few classes, one without images, or a folder that can be read in two ways.
        """
        parts, left_out = _parts(path, classes)
        names = {part: [entry.name for entry in _folders(folder)] for part, folder in parts.items()}
        if classes is None:
            classes = names["train"] if "train" in names else sorted(set().union(*names.values()))
            for part in names:
                if unknown := sorted(set(names[part]) - set(classes)):
                    raise ValueError(
                        f"{parts[part]} has classes that {parts['train']} does not have: {name_some(unknown)}"
                    )
        least = 2 if training else 1
        if len(classes) < least:
            raise ValueError(_too_few(parts.get("train", path), classes, least))
        if len(set(classes)) < len(classes):
            raise ValueError(f"classes must differ, got {name_some(classes)}")
        tree = cls(path, list(classes), left_out=left_out)
        for part, folder in parts.items():
            tree.files[part] = []
            tree.left_out += [
                entry for entry in _visible(folder) if entry not in parts.values() and entry.name not in tree.classes
            ]
            for number, name in enumerate(tree.classes):
                found = tree._class(folder / name)
                if not found and part == "train" and training:
                    raise ValueError(_no_images(folder / name, names[part]))
                tree.files[part] += [(number, file) for file in found]
        return tree

    def remarks(self) -> Iterator[str]:
        """What is left out, and what is taken from an unusual place, each counted."""
        if self.left_out:
            names = name_some([self._name(entry) for entry in self.left_out], 5)
            yield f"left out {len(self.left_out)} {'entry' if len(self.left_out) == 1 else 'entries'}: {names}"
        if self.nested:
            folders = sorted({self._name(file.parent) for file in self.nested})
            images = "1 image is from a sub-folder of its class"
            if len(self.nested) > 1:
                images = f"{len(self.nested)} images are from sub-folders of their classes"
            yield f"{images}: {name_some(folders, 5)}"

    def _name(self, entry: Path) -> str:
        """Its path relative to the tree's, and how many images a folder holds."""
        name = entry.relative_to(self.path).as_posix()
        if not entry.is_dir():
            return name
        count = sum(map(_is_image, _walk(entry)))
        return f"{name}/ ({count} image{'' if count == 1 else 's'})"

    def _class(self, folder: Path) -> list[Path]:
        """The images of a class, also those in its sub-folders."""
        found = []
        for file in _walk(folder) if folder.is_dir() else ():
            inside = file.relative_to(folder).parts[:-1]
            if file.suffix.lower() not in SUFFIXES:
                self.left_out.append(file)
                continue
            if inside:
                self.nested.append(file)
                if part := next(filter(part_of, inside), None):
                    raise ValueError(
                        f"{folder} holds images in {part}/, which is not a class; expected "
                        f"{folder.parent}/{part}/{folder.name}/"
                    )
            found.append(file)
        return found


def _parts(path: Path, classes: Sequence[str] | None) -> tuple[dict[str, Path], list[Path]]:
    """The folders whose sub-folders are classes: `path` itself as "train", or its train/, val/, test/.

    Also those among the latter that hold images without classes, and whatever else lies beside them.
    """
    parts: dict[str, Path] = {}
    others = []
    for entry in _folders(path):
        part = part_of(entry.name)
        if part is None or (classes and entry.name in classes):
            others.append(entry)
        elif part in parts:
            raise ValueError(f"{parts[part]} and {entry} mean the same part; keep one of them")
        else:
            parts[part] = entry
    labelled = {part: parts[part] for part in PARTS if part in parts and _folders(parts[part])}
    if not parts or (set(parts) == {"train"} and others and not labelled):  # "train" may be a class of vehicles
        return {"train": path}, []
    beside = [entry for entry in others if (not classes or entry.name in classes) and any(map(_is_image, _walk(entry)))]
    names = name_some([f"{folder.name}/" for folder in parts.values()])
    if beside and classes and not labelled:
        return {"train": path}, []
    if beside:
        raise ValueError(
            f"{path} holds {names} beside {name_some([f'{entry.name}/' for entry in beside])}: are these parts of the "
            "data set, or classes? Move one kind away, or name the classes with classes=[...]"
        )
    if not labelled:
        raise ValueError(
            f"{path} holds {names} without a sub-folder for each class in them; expected {path}/train/<class>/, or "
            "classes=[...] if these are the classes"
        )
    unlabelled = [folder for part, folder in parts.items() if part not in labelled]
    loose = [entry for entry in _visible(path) if entry not in parts.values()]
    return labelled, unlabelled + loose


def _too_few(folder: Path, classes: Sequence[str], least: int) -> str:
    hint = ""
    images = sum(map(_is_image, _visible(folder)))
    if len(classes) == 1 and (folder / classes[0]).is_dir() and len(inner := _folders(folder / classes[0])) > 1:
        hint = f"; did you mean {folder / classes[0]}, which holds {name_some([entry.name for entry in inner], 3)}?"
    elif archives := [entry.name for entry in _visible(folder) if is_archive(entry)]:
        hint = f"; it holds {name_some(archives, 3)}, which is not read: give that file itself"
    elif images:
        hint = f"; move its {images} images into such folders"
    wanted = "a sub-folder for each of at least 2 classes" if least > 1 else "a sub-folder for each class"
    return f"{folder} must hold {wanted}, found {list(classes)}{hint}"


def _no_images(folder: Path, names: Sequence[str]) -> str:
    if not folder.is_dir():
        return f"{folder.parent} has no sub-folder for class {folder.name!r}, only {name_some(names) or 'none'}"
    found = sorted({file.suffix.lower() or file.name for file in _walk(folder)})
    has = f"; it has {name_some(found)}" if found else ""
    return f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}){has}"


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _visible(folder: Path) -> list[Path]:
    """The entries of a folder without hidden files and those that systems leave behind."""
    entries = folder.iterdir()
    return sorted(entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in _SYSTEM)


def _folders(folder: Path) -> list[Path]:
    """The visible sub-folders, without the output of training runs, such as runs/ of ``fastnet train --data .``."""
    return [entry for entry in _visible(folder) if entry.is_dir() and not _holds_runs(entry)]


def _holds_runs(folder: Path) -> bool:
    return any(any(folder.glob(f"{depth}checkpoint-*.npz")) for depth in ("", "*/"))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, those of a folder before those of its sub-folders; links are followed, once."""
    entries = _visible(folder)
    yield from (entry for entry in entries if not entry.is_dir())
    ancestors = {folder.resolve(), *folder.resolve().parents}
    for entry in entries:
        if entry.is_dir() and entry.resolve() not in ancestors:
            yield from _walk(entry)
