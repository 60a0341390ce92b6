"""The state of a model: parameters by name, files, freezing, random streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.layers.names import Keys, fits, match, mismatch, near, turned
from fastnet.layers.parameter import Parameter
from fastnet.layers.version import version
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.layers.base import Layer

__all__ = ["State", "Keys"]


class State:
    """The part of Layer that deals with parameters by name."""

    built: bool

    if TYPE_CHECKING:

        def named_layers(self) -> list[tuple[str, Layer]]: ...

    # ---------------------------------------------------------------- parameters

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """(name, parameter) pairs in the order of the layers; a shared parameter is listed under its first name.

        ``dict(model.named_parameters())`` finds a parameter by its name.
        """
        return [(name, parameter) for name, parameter in self._named_state().items() if not parameter.buffer]

    def named_buffers(self) -> list[tuple[str, Parameter]]:
        """(name, buffer) pairs: the running means and variances of batch norms."""
        return [(name, parameter) for name, parameter in self._named_state().items() if parameter.buffer]

    def parameters(self, requires_grad: bool | None = None) -> list[Parameter]:
        """All parameters, or only those whose ``requires_grad`` is as given."""
        everything = [parameter for _, parameter in self.named_parameters()]
        return [p for p in everything if requires_grad is None or p.requires_grad == requires_grad]

    def buffers(self) -> list[Parameter]:
        """The running means and variances of batch norms."""
        return [buffer for _, buffer in self.named_buffers()]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def _named_state(self) -> dict[str, Parameter]:
        """Parameters and buffers by name, in the order of ``state_dict()``; cached until a layer changes."""
        kept: tuple[int, dict[str, Parameter]] | None = self.__dict__.get("_state")
        if kept is not None and kept[0] == version():
            return kept[1]
        self._require_built()
        found: dict[str, Parameter] = {}
        seen: set[int] = set()
        for path, layer in self.named_layers():
            for name, parameter in layer.own.items():
                key = f"{path}.{name}" if path else name
                if id(parameter) in seen:
                    continue
                if key in found:
                    raise ValueError(f"two parameters are named {key}; rename one of the layers")
                seen.add(id(parameter))
                found[key] = parameter
        self.__dict__["_state"] = version(), found
        return found

    def _require_built(self) -> None:
        if not self.built:
            raise RuntimeError(
                f"{type(self).__name__} is not built, so it has no parameters yet: call build(input_shape), for "
                "example model.build((3, 32, 32), seed=0), or run it once"
            )

    # ---------------------------------------------------------------- state dict and files

    def state_dict(self) -> dict[str, Array]:
        """Copies of parameters and buffers as NumPy arrays, under PyTorch's names ("0.weight", "1.running_mean")."""
        ops = current()
        return {name: ops.to_numpy(p._array).copy(order="C") for name, p in self._named_state().items()}

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True, *, prefix: str = "") -> Keys:
        """Copy values from `state` into the parameters and buffers, cast to the model's dtype.

        Parameters
        ----------
        state : mapping of str to array
            Floating-point arrays, of any library.  PyTorch's counters, "num_batches_tracked" and "n_averaged", are
            ignored.
        strict : bool
            Whether missing and unexpected names are errors; otherwise they are returned.
        prefix : str
            Load only the names that begin with it, without it: "model." for what a Lightning checkpoint calls
            "model.conv1.weight".

        Raises
        ------
        KeyError
            Names that do not match; the message says which prefix or wrapper explains it.  Without `strict`, only if
            no name matches at all.
        ValueError, TypeError
            An array of another shape, or not of floating point.  Nothing is loaded then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expects a mapping of names to arrays, got {type(state).__name__}")
        own = self._named_state()
        if strange := [name for name in state if not isinstance(name, str)]:
            raise TypeError(f"load_state_dict: names must be str, got {strange[0]!r}")
        given = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        if state and not given:
            raise KeyError(f"load_state_dict: no name begins with {prefix!r}; {near(prefix, list(state))}")
        keys = match(own, given)
        if own and len(keys.missing) == len(own):
            raise KeyError(f"load_state_dict: no name matches; {mismatch(own, given, prefix)}")
        if strict and (keys.missing or keys.unexpected):
            raise KeyError(f"load_state_dict: {mismatch(own, given, prefix)}; strict=False loads what fits")
        values: dict[str, Array] = {}
        for name in (name for name in own if name in given):
            parameter, value = own[name], given[name]
            if isinstance(value, (list, tuple, int, float)):
                kind = type(value).__name__
                raise TypeError(f"load_state_dict: {name} must be a floating-point array, got {kind}")
            value = as_array(value, f"load_state_dict: {name}")
            if value.dtype.kind != "f":
                raise TypeError(f"load_state_dict: {name} must be a floating-point array, got {value.dtype}")
            if tuple(value.shape) != parameter.shape:
                raise ValueError(
                    f"load_state_dict: {name} has shape {parameter.shape} in the model, "
                    f"{tuple(value.shape)} in the state{turned(parameter.shape, tuple(value.shape))}"
                )
            values[name] = value
        for name, value in values.items():
            own[name].set(value)
        return keys

    # ---------------------------------------------------------------- freezing

    def freeze(self, pattern: str | bool = True) -> list[str]:
        """Stop training parameters, and updating the running statistics of batch norms.

        Parameters
        ----------
        pattern : str or True
            True: everything.  Else a layer's path ("layer1", with all below it), a parameter's name, or a pattern with
            ``*`` and ``?`` ("*.bias").  A batch norm whose running statistics match normalises with them from then on,
            even with ``training=True``, and does not update them.

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

    def _set_frozen(self, pattern: str | bool, frozen: bool) -> list[str]:
        if pattern is not True and not isinstance(pattern, str):
            raise TypeError(f"freeze: expects True, a layer's path or a pattern of names, got {pattern!r}")
        self._require_built()
        matched = []
        for path, layer in self.named_layers():
            for name, parameter in layer.own.items():
                key = f"{path}.{name}" if path else name
                if pattern is True or fits(str(pattern), key):
                    matched.append(key)
                    if parameter.buffer:
                        owner: Any = layer  # a batch norm
                        owner.frozen = frozen
                    else:
                        parameter.requires_grad = not frozen
                        if frozen:
                            parameter.zero_grad()
        if not matched and pattern is not True:
            names = list(self._named_state())
            raise ValueError(f"freeze: nothing is named {pattern!r}; {near(pattern, names)}")
        return matched

    # ---------------------------------------------------------------- random streams

    def rng_state(self) -> dict[str, dict[str, int]]:
        """The positions of dropout's random streams, {layer path: {"seed": int, "offset": int}}; JSON can hold it."""
        return {path: layer.stream() for path, layer in self.named_layers() if hasattr(layer, "stream")}

    def set_rng_state(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Restore the positions that :meth:`rng_state` returned."""
        layers: dict[str, Any] = {path: layer for path, layer in self.named_layers() if hasattr(layer, "stream")}
        if set(layers) != set(state):
            raise KeyError(f"set_rng_state: the model has streams {sorted(layers)}, the state {sorted(state)}")
        for path, layer in layers.items():
            layer.set_stream(**state[path])
