"""The classifiers of all assignments; those of assignment 1 can be imported from here, as in the course."""

from __future__ import annotations

from fastnet.compat.cs231n.classifiers.k_nearest_neighbor import KNearestNeighbor
from fastnet.compat.cs231n.classifiers.linear_classifier import LinearClassifier, LinearSVM, Softmax

__all__ = ["KNearestNeighbor", "LinearClassifier", "LinearSVM", "Softmax"]
