"""Classical baselines, in scikit-learn's manner: what image classification was before ConvNets.

Classifiers have ``fit``, ``predict`` and ``score``; features turn images (N, C, H, W) into rows (N, F).
"""

from fastnet.classical.base import Classifier
from fastnet.classical.features import HOG, ColorHistogram, Features, hue
from fastnet.classical.linear import LinearClassifier, LinearSVM, SoftmaxClassifier
from fastnet.classical.neighbors import ChoiceOfK, KNearestNeighbors, choose_k
from fastnet.classical.neocognitron import Neocognitron
from fastnet.classical.perceptron import Adaline, Perceptron
from fastnet.classical.pipeline import Pipeline
from fastnet.classical.strategies import FollowTheSlope, RandomSearch
from fastnet.classical.words import BagOfVisualWords, KMeans

__all__ = [
    "Adaline",
    "BagOfVisualWords",
    "ChoiceOfK",
    "Classifier",
    "ColorHistogram",
    "Features",
    "FollowTheSlope",
    "HOG",
    "KMeans",
    "KNearestNeighbors",
    "LinearClassifier",
    "LinearSVM",
    "Neocognitron",
    "Perceptron",
    "Pipeline",
    "RandomSearch",
    "SoftmaxClassifier",
    "choose_k",
    "hue",
]
