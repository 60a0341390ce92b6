"""Names of parameters: those of a state dict against those of a model, and what explains a difference."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from fastnet.types import Shape
from fastnet.wording import name_some

__all__ = ["Keys", "fits", "is_counter", "match", "mismatch", "near", "turned", "unwrapped"]

# Counters that PyTorch keeps among the weights: of batch norms and of swa_utils.AveragedModel.
_COUNTERS = ("num_batches_tracked", "n_averaged")
_SEPARATOR = re.compile(r"[./|]")
# Inner parts of a name that a wrapper inserted: torch.compile, FSDP, activation checkpointing.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Last parts of names by which other software stores the same numbers in another form.
_FORMS = {
    "numpy.savez(path, *arrays): save them with names, numpy.savez(path, **state)": ("arr_0",),
    "weight normalisation: call torch.nn.utils.remove_weight_norm (or parametrize.remove_parametrizations) before "
    "saving": ("weight_g", "weight_v", "original0", "original1"),
    "pruning or spectral normalisation: call prune.remove or remove_spectral_norm before saving": (
        "weight_orig",
        "weight_mask",
        "weight_u",
    ),
    "quantisation: save the model before quantising it": ("_packed_params", "zero_point", "qweight"),
    "Keras: its kernels are (R, S, C, K) and (in, out), fastnet's weights (K, C, R, S) and (out, in)": (
        "kernel",
        "kernel:0",
        "gamma:0",
        "moving_mean",
        "moving_mean:0",
    ),
}


class Keys(NamedTuple):
    """What ``load_state_dict(..., strict=False)`` could not match."""

    missing: list[str]
    unexpected: list[str]


def unwrapped(name: str) -> str:
    """The name without the parts that wrappers such as torch.compile insert."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def is_counter(name: str) -> bool:
    """Whether PyTorch counts something under this name, which no model needs."""
    return name.rpartition(".")[2] in _COUNTERS


def match(own: Collection[str], given: Collection[str]) -> Keys:
    """The names that only one side has, without counters."""
    unexpected = [name for name in given if name not in own and not is_counter(name)]
    return Keys([name for name in own if name not in given], unexpected)


def mismatch(own: Collection[str], given: Mapping[str, Any], prefix: str) -> str:
    """What does not match, in words, with the reason if the names show one."""
    keys, lines = match(own, given), [*filter(None, [_reason(own, given, prefix)])]
    for title, names in (("missing from the state", keys.missing), ("not in the model", keys.unexpected)):
        if names:
            lines.append(f"{title}: {name_some(names, 5)}")
    return "; ".join(lines)


def _reason(own: Collection[str], given: Mapping[str, Any], prefix: str) -> str:
    for name, value in given.items():
        if isinstance(value, Mapping) and any(hasattr(inner, "shape") for inner in value.values()):
            return f'the weights are inside "{prefix}{name}": load state["{prefix}{name}"]'
    matched = sum(name in own for name in given)
    found, count = _prefix(own, given)
    if count > matched:
        what = "all names" if count == len(own) else f"{count} of the {len(own)} names"
        return f'the state has {what} of the model behind "{found}": strip it with prefix="{prefix}{found}"'
    found, count = _prefix(given, own)
    if count > matched:
        return (
            f'the names of the model begin with "{found}", those of the state do not: load it into that layer, or add '
            f'the prefix with {{"{found}" + name: array for name, array in state.items()}}'
        )
    if sum(unwrapped(name) in own for name in given) > matched:
        wrapper = next(part for name in given for part in name.split(".") if part in _WRAPPERS)
        return (
            f'"{wrapper}." inside the names comes from a wrapper such as torch.compile: strip it with '
            f'{{name.replace("{wrapper}.", ""): array for name, array in state.items()}}'
        )
    last = {_SEPARATOR.split(name)[-1] for name in given if name not in own}
    return next((f"names like these come from {form}" for form, names in _FORMS.items() if last & {*names}), "")


def _prefix(names: Collection[str], longer: Iterable[str]) -> tuple[str, int]:
    """The prefix behind which `longer` has most of `names`, and how many."""
    counts: Counter[str] = Counter()
    for name in longer:
        for separator in _SEPARATOR.finditer(name):
            if name[separator.end() :] in names:
                counts[name[: separator.end()]] += 1
    return counts.most_common(1)[0] if counts else ("", 0)


def turned(own: Shape, given: Shape) -> str:
    """How to turn an array of shape `given`, if that is the shape `own` in Keras's order of axes."""
    for axes, order in (((1, 0), "(in, out)"), ((3, 2, 0, 1), "(R, S, C, K)")):
        if len(given) == len(axes) and tuple(given[axis] for axis in axes) == own:
            return f"; the state's order is {order}, as Keras has it: transpose{axes}"
    return ""


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern is a parameter's name, the path of a layer above it, or has ``*`` and ``?`` and matches it."""
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def near(name: str, names: list[str]) -> str:
    """The names most like `name`, in words."""
    import difflib  # here, to keep importing fastnet fast

    close = difflib.get_close_matches(name, names, 3, 0.5) or names[:5]
    return f"names like {', '.join(close)} exist" if close else "the model has no parameters"
