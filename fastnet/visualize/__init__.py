"""Looking inside networks: what they see in an image, and which images they would like to see.

Functions take arrays and return arrays; those called ``plot_...`` draw them (matplotlib).  Names are looked up on first
use, so that importing the package takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME: dict[str, str] = {  # the module of each public name; no module has the name of a function
    "Drawing": "diagram",
    "Fooled": "fooling",
    "Inversion": "inversion",
    "Mistakes": "mistakes",
    "NearestCodes": "neighbors",
    "Patches": "exciting",
    "ReceptiveField": "fields",
    "RemovalCurves": "removal",
    "StyleTransfer": "style",
    "Synthesis": "synthesis",
    "class_accuracies": "mistakes",
    "class_images": "synthesis",
    "code_layer": "sections",
    "completeness_gap": "attribution",
    "confusion_matrix": "mistakes",
    "deconvnet": "attribution",
    "deep_dream": "dreams",
    "deletion_test": "removal",
    "embed": "embedding",
    "feature_maps": "maps",
    "filters": "weights",
    "fool": "fooling",
    "grad_cam": "cam",
    "gradient_x_input": "attribution",
    "gram_matrices": "style",
    "grid_cells": "embedding",
    "guided_backprop": "attribution",
    "image_sheet": "embedding",
    "insertion_test": "removal",
    "integrated_gradients": "attribution",
    "invert": "inversion",
    "nearest_codes": "neighbors",
    "occlusion": "covering",
    "pictured_layers": "weights",
    "plot_confusion": "mistakes",
    "plot_embedding": "embedding",
    "plot_feature_maps": "maps",
    "plot_filters": "weights",
    "plot_fooled": "panels",
    "plot_images": "panels",
    "plot_maps": "panels",
    "plot_mistakes": "mistakes",
    "plot_model": "diagram",
    "plot_neighbors": "neighbors",
    "plot_patches": "exciting",
    "plot_removal": "panels",
    "receptive_field": "fields",
    "saliency": "attribution",
    "smoothgrad": "attribution",
    "stretch": "grids",
    "style_transfer": "style",
    "tile": "grids",
    "to_maps": "attribution",
    "top_patches": "exciting",
    "worst_mistakes": "mistakes",
    "write_page": "page",
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
    from fastnet.visualize.diagram import Drawing as Drawing
    from fastnet.visualize.diagram import plot_model as plot_model
    from fastnet.visualize.dreams import deep_dream as deep_dream
    from fastnet.visualize.embedding import embed as embed
    from fastnet.visualize.embedding import grid_cells as grid_cells
    from fastnet.visualize.embedding import image_sheet as image_sheet
    from fastnet.visualize.embedding import plot_embedding as plot_embedding
    from fastnet.visualize.exciting import Patches as Patches
    from fastnet.visualize.exciting import plot_patches as plot_patches
    from fastnet.visualize.exciting import top_patches as top_patches
    from fastnet.visualize.fields import ReceptiveField as ReceptiveField
    from fastnet.visualize.fields import receptive_field as receptive_field
    from fastnet.visualize.fooling import Fooled as Fooled
    from fastnet.visualize.fooling import fool as fool
    from fastnet.visualize.grids import stretch as stretch
    from fastnet.visualize.grids import tile as tile
    from fastnet.visualize.inversion import Inversion as Inversion
    from fastnet.visualize.inversion import invert as invert
    from fastnet.visualize.maps import feature_maps as feature_maps
    from fastnet.visualize.maps import plot_feature_maps as plot_feature_maps
    from fastnet.visualize.mistakes import Mistakes as Mistakes
    from fastnet.visualize.mistakes import class_accuracies as class_accuracies
    from fastnet.visualize.mistakes import confusion_matrix as confusion_matrix
    from fastnet.visualize.mistakes import plot_confusion as plot_confusion
    from fastnet.visualize.mistakes import plot_mistakes as plot_mistakes
    from fastnet.visualize.mistakes import worst_mistakes as worst_mistakes
    from fastnet.visualize.neighbors import NearestCodes as NearestCodes
    from fastnet.visualize.neighbors import nearest_codes as nearest_codes
    from fastnet.visualize.neighbors import plot_neighbors as plot_neighbors
    from fastnet.visualize.page import write_page as write_page
    from fastnet.visualize.panels import plot_fooled as plot_fooled
    from fastnet.visualize.panels import plot_images as plot_images
    from fastnet.visualize.panels import plot_maps as plot_maps
    from fastnet.visualize.panels import plot_removal as plot_removal
    from fastnet.visualize.removal import RemovalCurves as RemovalCurves
    from fastnet.visualize.removal import deletion_test as deletion_test
    from fastnet.visualize.removal import insertion_test as insertion_test
    from fastnet.visualize.sections import code_layer as code_layer
    from fastnet.visualize.style import StyleTransfer as StyleTransfer
    from fastnet.visualize.style import gram_matrices as gram_matrices
    from fastnet.visualize.style import style_transfer as style_transfer
    from fastnet.visualize.synthesis import Synthesis as Synthesis
    from fastnet.visualize.synthesis import class_images as class_images
    from fastnet.visualize.weights import filters as filters
    from fastnet.visualize.weights import pictured_layers as pictured_layers
    from fastnet.visualize.weights import plot_filters as plot_filters
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'fastnet.visualize' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"fastnet.visualize.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
