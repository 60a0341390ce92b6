"""One reader of pickles for data sets and weights: it knows data, imports nothing and calls nothing."""

from fastnet.pickles.machine import Built, Global, Meanings, Opaque, read_pickle
from fastnet.pickles.meanings import Data, PickledArray
from fastnet.pickles.plain import load_plain_pickle

__all__ = ["Built", "Data", "Global", "Meanings", "Opaque", "PickledArray", "load_plain_pickle", "read_pickle"]
