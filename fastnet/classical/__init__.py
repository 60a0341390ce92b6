"""Classical baselines, in scikit-learn's manner: what image classification was before ConvNets.

Classifiers have ``fit``, ``predict`` and ``score``; features turn images (N, C, H, W) into rows (N, D).
"""

from fastnet.classical.base import Classifier
from fastnet.classical.neighbors import ChoiceOfK, KNearestNeighbors, choose_k

__all__ = ["ChoiceOfK", "Classifier", "KNearestNeighbors", "choose_k"]
