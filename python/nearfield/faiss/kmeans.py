"""FAISS's :class:`Kmeans` over :class:`nearfield.KMeans`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_positive
from ..kmeans import KMeans
from .flat import IndexFlat
from .gpu.placing import first_devices
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .vectors import as_matrix

__all__ = ["Kmeans"]


class Kmeans:
    """k-means clustering.

    Parameters
    ----------
    d : int
        Columns of the vectors.
    k : int
        Clusters.
    niter : int, default 25
        Iterations at most; they end when no row changes its cluster.
    nredo : int, default 1
        Runs from other starts, of which the best is kept.
    verbose : bool
        Accepted; nothing is printed.
    spherical : bool, default False
        Centroids of unit length, rows to the largest inner product.
    gpu : bool or int
        Whether clusters are found on GPUs, with the same result: True on all of them, a number on
        so many, the first ones; on the CPU, and with a warning, where there is none.
    seed : int, default 1234
    min_points_per_centroid, max_points_per_centroid : int, default 39 and 256
        With fewer rows a warning is given, of more as many are drawn.

    Attributes
    ----------
    centroids : ndarray of float32, shape (k, d)
        None before :meth:`train`.
    obj : ndarray of float64, shape (1,)
        Sum of the squared distances of the rows trained on to their centroids, in the end.
    index : IndexFlat
        Of the centroids.

    Examples
    --------
    >>> import numpy as np, nearfield.faiss as faiss
    >>> x = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
    >>> clusters = faiss.Kmeans(2, 2, min_points_per_centroid=1)
    >>> clusters.train(x)
    1.0
    >>> clusters.centroids.shape
    (2, 2)
    """

    def __init__(
        self,
        d: int,
        k: int,
        *,
        niter: int = 25,
        nredo: int = 1,
        verbose: bool = False,
        spherical: bool = False,
        gpu: bool | int = False,
        seed: int = 1234,
        min_points_per_centroid: int = 39,
        max_points_per_centroid: int = 256,
    ) -> None:
        self.d = as_positive(d, name="d")
        self.k = as_positive(k, name="k")
        self.gpu = gpu
        self.verbose = verbose
        self._nredo = as_positive(nredo, name="nredo")
        self._least = as_positive(min_points_per_centroid, name="min_points_per_centroid")
        self._most = as_positive(max_points_per_centroid, name="max_points_per_centroid")
        self._seed, self._spherical = seed, spherical
        device = first_devices(gpu) if gpu else "cpu"
        self._runs = [
            KMeans(k, niter, spherical, seed + run, tolerance=0, device=device)
            for run in range(self._nredo)
        ]
        self.centroids: NDArray[np.float32] | None = None
        self.obj: NDArray[np.float64] | None = None
        self.index: IndexFlat | None = None

    def train(self, x: Any, weights: None = None, init_centroids: Any = None) -> float:
        """Find the centroids; returns the last of :attr:`obj`.

        Parameters
        ----------
        x : array_like, shape (n, d)
            At least `k` rows.
        weights : None
            Weights of rows are not there yet.
        init_centroids : array_like, shape (k, d), optional
            Where to start.
        """
        if weights is not None:
            raise TypeError("weights: got some, which nearfield.faiss has not yet; expected None")
        rows = self._sample(as_matrix(x, self.d))
        start = init_centroids
        if start is not None:
            start = as_matrix(start, self.d, name="init_centroids")
        best = min((run.fit(rows, init=start) for run in self._runs), key=lambda r: r.inertia_)
        self.centroids = best.centroids
        self.obj = np.array([best.inertia_])
        self.index = IndexFlat(self.d, METRIC_INNER_PRODUCT if self._spherical else METRIC_L2)
        self.index.add(self.centroids)
        return float(self.obj[-1])

    def assign(self, x: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the distance to and the number of the nearest centroid of each row.

        Raises
        ------
        RuntimeError
            Before :meth:`train`.
        """
        if self.index is None:
            raise RuntimeError("assign: there are no centroids yet; call train(x) first")
        distances, numbers = self.index.search(x, 1)
        return distances.ravel(), numbers.ravel()

    def _sample(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        n, most = len(rows), self.k * self._most
        if n < self.k * self._least:
            warnings.warn(
                f"{n} rows for {self.k} centroids: at least {self.k * self._least} are advised",
                stacklevel=3,
            )
        if n <= most:
            return rows
        chosen = np.random.default_rng(self._seed).choice(n, most, replace=False)
        return rows[np.sort(chosen)]
