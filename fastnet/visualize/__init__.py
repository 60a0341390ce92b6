"""Looking inside networks: what they see in an image, and which images they would like to see.

Functions take arrays and return arrays; those called ``plot_...`` draw them (matplotlib).  Names are looked up on first
use, so that importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME: dict[str, str] = {  # the module of each public name; no module has the name of a function
    "RemovalCurves": "removal",
    "completeness_gap": "attribution",
    "deconvnet": "attribution",
    "deletion_test": "removal",
    "grad_cam": "cam",
    "gradient_x_input": "attribution",
    "guided_backprop": "attribution",
    "insertion_test": "removal",
    "integrated_gradients": "attribution",
    "occlusion": "covering",
    "saliency": "attribution",
    "smoothgrad": "attribution",
    "to_maps": "attribution",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from fastnet.visualize.attribution import completeness_gap as completeness_gap
    from fastnet.visualize.attribution import deconvnet as deconvnet
    from fastnet.visualize.attribution import gradient_x_input as gradient_x_input
    from fastnet.visualize.attribution import guided_backprop as guided_backprop
    from fastnet.visualize.attribution import integrated_gradients as integrated_gradients
    from fastnet.visualize.attribution import saliency as saliency
    from fastnet.visualize.attribution import smoothgrad as smoothgrad
    from fastnet.visualize.attribution import to_maps as to_maps
    from fastnet.visualize.cam import grad_cam as grad_cam
    from fastnet.visualize.covering import occlusion as occlusion
    from fastnet.visualize.removal import RemovalCurves as RemovalCurves
    from fastnet.visualize.removal import deletion_test as deletion_test
    from fastnet.visualize.removal import insertion_test as insertion_test
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'fastnet.visualize' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"fastnet.visualize.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
