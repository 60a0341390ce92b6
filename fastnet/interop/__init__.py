"""Reading other libraries' files, and published weights."""

from fastnet.interop.published import LoadedWeights, load_weights, pretrained
from fastnet.interop.sources import SOURCES, Source, preparation
from fastnet.interop.torch_weights import load_torch

__all__ = ["SOURCES", "LoadedWeights", "Source", "load_torch", "load_weights", "preparation", "pretrained"]
