"""Tree: a layer's children and descendants, and the paths that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet.layers.parameter import Parameter
from fastnet.wording import did_you_mean, name_some

if TYPE_CHECKING:
    from fastnet.layers.base import Layer

__all__ = ["Tree"]


class Tree:
    """The part of Layer that deals with the layers inside it."""

    path = ""
    own: dict[str, Parameter]

    def children(self) -> dict[str, Layer]:
        """Child layers by name.  A name that starts with "_" is not part of the parameters' names."""
        return {}

    def _name(self, path: str, seen: set[int]) -> None:
        if id(self) in seen:
            return
        seen.add(id(self))
        self.path = path
        for name, child in self.children().items():
            child._name(join(path, name), seen)

    def leaves(self) -> list[Layer]:
        """The layers without children, in order, without repeats."""
        return [layer for _, layer in self.named_layers() if not layer.children()]

    def named_layers(self) -> list[tuple[str, Layer]]:
        """(path, layer) of this layer and its descendants, parents first, without repeats; paths are relative to it."""
        found: list[tuple[str, Layer]] = []
        seen: set[int] = set()
        root: Any = self

        def visit(path: str, layer: Layer) -> None:
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append((path, layer))
                for name, child in layer.children().items():
                    visit(join(path, name), child)

        visit("", root)
        return found

    def layer_at(self, path: str, name: str = "layer_at: path") -> Layer:
        """The descendant at a path such as "layer3.1.conv2"; errors begin with `name`, the argument that holds it.

        Raises
        ------
        TypeError, ValueError
            Not a path, or no layer is there; the message has the paths that are most alike.
        """
        if not isinstance(path, str):
            raise TypeError(f"{name} must be the path of a layer such as 'layer1.0.conv1', got {path!r}")
        layers = {path: layer for path, layer in self.named_layers() if path}
        if path not in layers:
            hint = did_you_mean(path, layers)
            raise ValueError(f"{name}: no layer is at {path!r}; {hint}there are {name_some(list(layers))}")
        return layers[path]

    def trains(self) -> bool:
        """Whether any parameter of this layer or its children requires a gradient."""
        if any(parameter.requires_grad for parameter in self.own.values()):
            return True
        return any(child.trains() for child in self.children().values())


def join(path: str, name: str) -> str:
    """The path of child `name`; names that start with "_" are left out."""
    if name.startswith("_"):
        return path
    return f"{path}.{name}" if path else name
