"""The names of arrays in .npz files: which array is what."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["PARTS", "Slots", "part_of", "slots_of"]

PARTS = ("train", "val", "test")
_PART = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "te"), "test"),
}
_ROLE = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "data"), "X"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "y"),
}
_NAMES = ("classes", "class_names", "label_names")

Slots = dict[tuple[str, str], str]
"""(role, part) to key: role "X" or "y", part "train", "val" or "test"; ("names", "") for the classes' names."""


def part_of(word: str) -> str | None:
    """ "train", "val" or "test", if that is what a word such as "Training" or "valid" means."""
    return _PART.get(word.lower()) if len(word) > 2 else None


def slots_of(where: str, keys: Iterable[str]) -> tuple[Slots, list[str]]:
    """Which key is which array, and the keys that are none; X and y without a part are the training part.

    Raises
    ------
    ValueError
        Nothing to use, images without labels or labels without images, or two keys for one array.
    """
    keys, found, others = list(keys), Slots(), []
    for key in keys:
        slot = _slot(key)
        if slot is None:
            others.append(key)
        elif slot in found:
            raise ValueError(f"{where}: {found[slot]} and {key} mean the same; keep one of them")
        else:
            found[slot] = key
    whole = {role: found.pop((role, "")) for role in "Xy" if (role, "") in found}
    for role, key in whole.items():
        if (role, "train") in found:
            raise ValueError(f"{where}: {key} and {found[role, 'train']} could both be the training part; keep one")
        found[role, "train"] = key
    lonely = [key for (role, part), key in found.items() if part and ("y" if role == "X" else "X", part) not in found]
    if lonely or not any(part for _, part in found):
        hint = "; np.savez(file, X=X, y=y) names its arrays" if any(key.startswith("arr_") for key in keys) else ""
        alone = f" ({', '.join(lonely)}: images and labels come in pairs)" if lonely else ""
        raise ValueError(
            f"{where}: expected X_train, y_train, X_test, y_test, or X and y; it has {sorted(keys)[:20]}{alone}{hint}"
        )
    return found, others


def _slot(key: str) -> tuple[str, str] | None:
    name = key.lower()
    if name in _NAMES:
        return "names", ""
    roles, parts = ("|".join(words) for words in (_ROLE, _PART))
    if not (match := re.fullmatch(rf"({roles})(?:[_. -]?({parts}))?|({parts})[_. -]?({roles})", name)):
        return None
    role, part = match[1] or match[4], match[2] or match[3]
    return _ROLE[role], _PART[part] if part else ""
