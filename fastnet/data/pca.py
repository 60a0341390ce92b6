"""Principal components of the training data: decorrelation and whitening."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from fastnet.arguments import at_least_zero, integer
from fastnet.arrays import on_host
from fastnet.data.preprocess import Fitted, check_fit, finite_mean
from fastnet.data.rows import chunks, differ
from fastnet.types import Array, DType, DTypeLike

__all__ = ["PCA"]

_WIDEST = 4096  # features: the covariance and its eigenvectors take 2 x 128 MiB


class PCA(Fitted):
    """Decorrelate examples along the principal components of the training data, and whiten them.

    With the eigenvectors U and eigenvalues v of the covariance of x / scale, of which the `components` largest are
    kept, an example becomes ``z = (x / scale - mean) U``, whose covariance is diagonal.  Whitening divides by the
    standard deviations: ``z / sqrt(v + eps)``.  "zca" turns the result back, ``z U^T``, so that images stay images.

    Call it on a batch or on a whole array.  Solver applies it to each batch and keeps it in its checkpoints.

    Parameters
    ----------
    mean : array, of an example's shape
    vectors : array (D, k)
        Eigenvectors in columns, D being the number of an example's features.
    values : array (k,)
        Eigenvalues, the largest first.
    scale : float
    whiten : {None, "pca", "zca"}
        None: rotate only.  "pca": (N, k), each column with variance 1.  "zca": examples of their own shape.
    eps : float
        Added to the eigenvalues, so that components without variance are not blown up.

    Examples
    --------
    >>> pca = PCA.fit(dataset.X_train, components=144)
    >>> codes = pca(dataset.X_test)  # (N, 144)
    >>> pictures = pca.inverse(codes)  # what 144 numbers say of each image
    """

    def __init__(
        self,
        mean: Array,
        vectors: Array,
        values: Array,
        scale: float = 1.0,
        whiten: Literal["pca", "zca"] | None = None,
        eps: float = 1e-5,
    ) -> None:
        self.mean, self.vectors, self.values = (np.asarray(array, np.float64) for array in (mean, vectors, values))
        if self.vectors.shape != (self.mean.size, self.values.size):
            raise ValueError(
                f"PCA: vectors must be ({self.mean.size}, {self.values.size}) for this mean and these values, got "
                f"{self.vectors.shape}"
            )
        if whiten not in (None, "pca", "zca"):
            raise ValueError(f'PCA: whiten must be None, "pca" or "zca", got {whiten!r}')
        self.scale, self.whiten, self.eps = float(scale), whiten, at_least_zero(eps, "PCA: eps")
        self._matrices: dict[DType, tuple[Array, Array]] = {}  # by dtype, made when first needed

    def __repr__(self) -> str:
        return (
            f"PCA({self.mean.size} features, {self.values.size} components, whiten={self.whiten!r}, eps={self.eps:g})"
        )

    @classmethod
    def fit(
        cls,
        X: Array,
        components: int | None = None,
        whiten: Literal["pca", "zca"] | None = None,
        eps: float = 1e-5,
        scale: float | None = None,
    ) -> PCA:
        """Measure the covariance of X in float64, a chunk of examples at a time, and its eigenvectors.

        Of fewer examples than features, their singular values are computed instead of the covariance.

        Parameters
        ----------
        X : array (N, ...)
            The training data, at most 4096 features an example.
        components : int, optional
            How many to keep; by default all, of which there are no more than examples.
        whiten, eps
            See the class.
        scale : float, optional
            255 for uint8, else 1, by default.

        Raises
        ------
        ValueError
            No data, values that are not finite, too many features or components.
        """
        X, scale = check_fit("PCA.fit", X, scale)
        if differ(X):
            raise ValueError(
                "PCA.fit: images of different sizes have different numbers of features; give the windows that the "
                "network sees: OneSize(size).windows(X)"
            )
        D = X[0].size
        if D > _WIDEST:
            raise ValueError(
                f"PCA.fit: an example has {D:,} features; the covariance of more than {_WIDEST:,} is not computed: "
                "make the images smaller first"
            )
        kept = min(D, len(X)) if components is None else integer(components, "PCA.fit: components", 1)
        if kept > min(D, len(X)):
            raise ValueError(f"PCA.fit: {kept} components of {len(X)} examples with {D} features")
        mean = finite_mean("PCA.fit", X, "feature") / scale
        values, vectors = (_of_few if len(X) < D else _of_many)(X, scale, mean.reshape(-1))
        values, vectors = np.maximum(values[:kept], 0), np.ascontiguousarray(vectors[:, :kept])
        # eigenvectors have no sign of their own: the largest element becomes positive
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)])
        return cls(mean, vectors, values, scale, whiten, eps)

    def __call__(self, X: Array, dtype: DTypeLike = "float32") -> np.ndarray:
        """X (N, ...) along the components, (N, k); in its own shape with whiten="zca".  Computed in `dtype`."""
        X = on_host(X, "PCA: X")
        if X.shape[1:] != self.mean.shape:
            raise ValueError(f"PCA: fitted on examples of shape {self.mean.shape}, got an array of shape {X.shape}")
        mean, matrix = self._in(np.result_type(dtype, np.float32))
        centred = np.subtract(X, mean, dtype=mean.dtype).reshape(len(X), len(matrix))
        Z = (centred @ matrix).reshape(X.shape if self.whiten == "zca" else (len(X), -1))
        return np.ascontiguousarray(Z, dtype)

    def _in(self, dtype: DType) -> tuple[Array, Array]:
        """The mean of raw values, and the matrix by which what remains is multiplied, (D, k) or, for "zca", (D, D)."""
        if dtype not in self._matrices:
            matrix = self.vectors / self.scale
            if self.whiten:
                matrix = matrix / np.sqrt(self.values + self.eps)
            if self.whiten == "zca":
                matrix = matrix @ self.vectors.T
            self._matrices[dtype] = (self.mean * self.scale).astype(dtype), matrix.astype(dtype)
        return self._matrices[dtype]

    def inverse(self, Z: Array) -> np.ndarray:
        """The raw values whose components are Z, for pictures: what was left out is missing in them.

        Returns
        -------
        array (N, ...)
            Of the examples' shape, in Z's dtype.
        """
        Z = on_host(Z, "PCA.inverse: Z")
        zca = self.whiten == "zca"
        wanted = self.mean.shape if zca else self.values.shape
        if Z.shape[1:] != wanted:
            raise ValueError(f"PCA.inverse: expects (N, {', '.join(map(str, wanted))}), got {Z.shape}")
        codes = Z.reshape(len(Z), -1).astype(np.float64)
        if zca:
            codes = codes @ self.vectors
        if self.whiten:
            codes = codes * np.sqrt(self.values + self.eps)
        X: np.ndarray = (codes @ self.vectors.T + self.mean.reshape(-1)) * self.scale
        return X.reshape(-1, *self.mean.shape).astype(Z.dtype)

    @property
    def explained(self) -> np.ndarray:
        """The share of the kept variance that each component has."""
        share: np.ndarray = self.values / max(float(self.values.sum()), np.finfo(np.float64).tiny)
        return share

    @property
    def pictures(self) -> np.ndarray:
        """The components as examples, (k, ...): eigenvectors of images are images."""
        return self.vectors.T.reshape(-1, *self.mean.shape)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Arrays for `from_state_dict`."""
        form = np.array((None, "pca", "zca").index(self.whiten))
        state = {"mean": self.mean, "vectors": self.vectors, "values": self.values}
        return {**state, "scale": np.array(self.scale), "whiten": form, "eps": np.array(self.eps)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> PCA:
        whiten: Any = (None, "pca", "zca")[int(state["whiten"])]
        return cls(state["mean"], state["vectors"], state["values"], float(state["scale"]), whiten, float(state["eps"]))


def _of_many(X: Array, scale: float, mean: Array) -> tuple[Array, Array]:
    """Eigenvalues of the covariance, the largest first, and eigenvectors as columns."""
    covariance = np.zeros((mean.size, mean.size))
    for chunk in chunks(X):
        centred = chunk.reshape(len(chunk), -1) / scale - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / len(X))
    return values[::-1], vectors[:, ::-1]


def _of_few(X: Array, scale: float, mean: Array) -> tuple[Array, Array]:
    """The same by a singular value decomposition, faster where there are fewer examples than features."""
    _, roots, rows = np.linalg.svd(X[:].reshape(len(X), -1) / scale - mean, full_matrices=False)
    return roots**2 / len(X), rows.T
