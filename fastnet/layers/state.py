"""What a model keeps: parameters by name, files, freezing, random streams."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from fastnet import storage
from fastnet.backends import current

__all__ = ["State", "Keys"]


class Keys(NamedTuple):
    """What ``load_state_dict(..., strict=False)`` could not match."""

    missing: list[str]
    unexpected: list[str]


class State:
    """The part of Layer that deals with parameters by name."""

    # ---------------------------------------------------------------- parameters

    def named_parameters(self) -> dict:
        """Parameters and statistics by name, in the order of the layers; a shared one stands under its first name."""
        self._require_built()
        found, seen = {}, set()
        for path, layer in self.named_layers():
            for name, parameter in layer.own.items():
                key = f"{path}.{name}" if path else name
                if id(parameter) in seen:
                    continue
                if key in found:
                    raise ValueError(f"two parameters are called {key}; give the layers other names")
                seen.add(id(parameter))
                found[key] = parameter
        return found

    def parameters(self, trainable: bool | None = None) -> list:
        """All parameters and statistics, or only those that are (True) or are not (False) trainable."""
        everything = self.named_parameters().values()
        return [parameter for parameter in everything if trainable is None or parameter.trainable == trainable]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def _require_built(self) -> None:
        if not self.built:
            raise RuntimeError(
                f"{type(self).__name__} is not built, so it has no parameters yet: call build(input_shape), for "
                "example model.build((3, 32, 32), seed=0), or run it once"
            )

    # ---------------------------------------------------------------- state dict and files

    def state_dict(self) -> dict:
        """Copies of all values as NumPy arrays, under PyTorch's names ("0.weight", "1.running_mean")."""
        ops = current()
        return {name: ops.to_numpy(p.value).copy(order="C") for name, p in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping, strict: bool = True) -> Keys:
        """Copy values from `state` into the parameters, cast to the model's dtype.

        Parameters
        ----------
        state : mapping of str to array
            Floating-point arrays.  PyTorch's "num_batches_tracked" counters are passed over.
        strict : bool
            Whether missing and unexpected names are errors; otherwise they are returned.

        Raises
        ------
        KeyError
            Names that do not match.
        ValueError, TypeError
            An array of another shape, or not of floating point.  Nothing is loaded then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expects a mapping of names to arrays, got {type(state).__name__}")
        own = self.named_parameters()
        given = {name: value for name, value in state.items() if not str(name).endswith("num_batches_tracked")}
        keys = Keys([name for name in own if name not in given], [name for name in given if name not in own])
        if strict and (keys.missing or keys.unexpected):
            raise KeyError(_mismatch(keys))
        ops, values = current(), {}
        for name in (name for name in own if name in given):
            parameter, value = own[name], given[name]
            if not hasattr(value, "dtype") or value.dtype.kind != "f":
                kind = getattr(value, "dtype", type(value).__name__)
                raise TypeError(f"load_state_dict: {name} must be a floating-point array, got {kind}")
            if tuple(value.shape) != parameter.shape:
                raise ValueError(
                    f"load_state_dict: {name} has shape {parameter.shape} in the model, "
                    f"{tuple(value.shape)} in the state"
                )
            values[name] = value
        for name, value in values.items():
            own[name].value[...] = ops.xp.asarray(value)
        return keys

    def save(self, path) -> None:
        """Write ``state_dict()`` to a .safetensors or .npz file, atomically."""
        storage.write_arrays(path, self.state_dict())

    def load(self, path, strict: bool = True) -> Keys:
        """Read a file that :meth:`save` wrote into this (built) model; errors as in :meth:`load_state_dict`."""
        self._require_built()
        try:
            return self.load_state_dict(storage.read_arrays(path), strict)
        except (KeyError, ValueError, TypeError) as error:
            if str(path) in str(error):
                raise
            raise type(error)(f"{path}: {error.args[0]}") from error

    # ---------------------------------------------------------------- freezing

    def freeze(self, pattern: str | bool = True) -> list[str]:
        """Stop training of parameters, and of the statistics of batch norms.

        Parameters
        ----------
        pattern : str or True
            True: everything.  Else a layer's path ("layer1", with all below it), a parameter's name, or a pattern with
            ``*`` and ``?`` ("*.bias").  A batch norm whose running statistics match runs with them from then on, even
            with ``training=True``, and does not move them.

        Returns
        -------
        list of str
            The names that matched.

        Raises
        ------
        ValueError
            Nothing matches.
        """
        return self._set_frozen(pattern, True)

    def unfreeze(self, pattern: str | bool = True) -> list[str]:
        """Undo :meth:`freeze`."""
        return self._set_frozen(pattern, False)

    def _set_frozen(self, pattern, frozen: bool) -> list[str]:
        if pattern is not True and not isinstance(pattern, str):
            raise TypeError(f"freeze: expects True, a layer's path or a pattern of names, got {pattern!r}")
        self._require_built()
        matched = []
        for path, layer in self.named_layers():
            for name, parameter in layer.own.items():
                key = f"{path}.{name}" if path else name
                if pattern is True or key.startswith(f"{pattern}.") or fnmatchcase(key, pattern):
                    matched.append(key)
                    if parameter.buffer:
                        layer.frozen = frozen
                    else:
                        parameter.trainable = not frozen
                        if frozen:
                            parameter.zero_grad()
        if not matched and pattern is not True:
            names = list(self.named_parameters())
            raise ValueError(f"freeze: nothing is called {pattern!r}; {_near(pattern, names)}")
        return matched

    # ---------------------------------------------------------------- random streams

    def rng_state(self) -> dict:
        """Where the random streams (dropout's) stand: {layer path: {"seed": int, "offset": int}}; plain, for JSON."""
        return {path: layer.stream() for path, layer in self.named_layers() if hasattr(layer, "stream")}

    def set_rng_state(self, state: Mapping) -> None:
        """Put the random streams back to what :meth:`rng_state` returned."""
        layers = {path: layer for path, layer in self.named_layers() if hasattr(layer, "stream")}
        if set(layers) != set(state):
            raise KeyError(f"set_rng_state: the model has streams {sorted(layers)}, the state {sorted(state)}")
        for path, layer in layers.items():
            layer.set_stream(**state[path])


def _near(name: str, names: list[str]) -> str:
    import difflib  # here, to keep importing fastnet fast

    close = difflib.get_close_matches(name, names, 3, 0.5) or names[:5]
    return f"names like {', '.join(close)} exist" if close else "the model has no parameters"


def _mismatch(keys: Keys) -> str:
    lines = []
    for title, names in (("missing from the state", keys.missing), ("not in the model", keys.unexpected)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            lines.append(f"{title}: {', '.join(map(str, names[:5]))}{more}")
    if keys.unexpected and all(str(name).startswith("module.") for name in keys.unexpected):
        lines.append('the names begin with "module.": strip it')
    return "load_state_dict: " + "; ".join(lines) + "; strict=False loads what fits"
