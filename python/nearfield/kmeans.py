"""k-means clustering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arguments import LARGEST_DIM, as_flag, as_positive, as_real, as_seed, as_threads, naming
from .arrays import as_queries, as_rows
from .cuda.arrays import device_of, is_on_device
from .cuda.library import as_ordinals
from .errors import NotTrainedError

if TYPE_CHECKING:
    from .cuda.training import Fitted, PlacedCentroids

__all__ = ["KMeans"]

_LARGEST_K = 2**32 - 1
_LARGEST_NITER = 2**31 - 1
_BALANCED = 1.25


class KMeans:
    """k-means clustering: seeded, and the same for any number of threads and any processor.

    Parameters
    ----------
    k : int
        Clusters, at least 1 and at most as many as there are rows.
    niter : int, default 25
        Iterations at most, see `tolerance`.
    spherical : bool, default False
        False: Euclidean k-means. True: centroids are brought to unit length and rows go to the
        centroid with the largest inner product. Rows keep their lengths, so longer ones weigh
        more: normalise them for plain cosine clustering. A zero row is as near to one centroid as
        to any other and goes to cluster 0.
    seed : int, default 0
        Which rows the centroids start from: random ones, no two of them equal while `x` has
        different ones left.
    tolerance : float, default 1e-4
        Stop after an iteration that lowers the inertia by less than this share of it. 0 runs
        `niter` iterations unless no row changes its cluster before.
    hierarchical : bool, default False
        For large `k`: ``sqrt(k)`` clusters first, each of them is then cut into as many as its size
        deserves (`niter` counts the iterations of that), and two iterations over all rows end it.
        With ten thousand clusters and more it is several times faster and ends with an inertia
        that is about 2 % larger; with fewer than some thousands it gains nothing.
    growing : bool, default False
        Up to 10 iterations over a tenth of the rows and 10 over three tenths come before those over
        all, where such a sample has 32 rows a cluster. With 1,000 rows a cluster and more it ends
        with the same inertia in 0.55 to 0.8 of the time; with fewer than 500 it gains nothing.
    balanced : bool or float, default False
        The most rows a cluster may have, as a multiple of the mean, at least 1 (True: 1.25; a
        fraction of a row is dropped, but all rows find a place). `labels_` keep to it for certain
        and the centroids are their means; rows need not be in the cluster of the nearest centroid,
        where `predict` puts them. Small clusters are merged and large ones cut, then prices on
        crowded clusters and at last single moves keep to the bound; it takes about as long again.
        The largest of 256 clusters of minilm-debian and of 1,024 of glove100 and sift has 3.5, 3.5
        and 15 times the mean without it; True costs at most 0.3 % of inertia there, 1.0 costs 1.3
        to 4.5 %. Where the rows form groups far apart whose sizes do not divide into
        clusters of such a size, rows go to far clusters and it costs a lot. Some clusters may be
        empty where many rows are equal.
    threads : int, optional
        Threads of each call; :func:`nearfield.num_threads` by default. Never changes the result.
    device : str or sequence of str, default "cpu"
        ``"cuda"`` or ``"cuda:<number>"``: rows on the CPU are copied to that device and clustered
        there. Rows that are on a device are clustered where they are. Without `balanced`. Of
        several devices the first has all rows, and each finds the nearest centroids of its part of
        them; rows on one of the several are shared likewise. `predict` asks one device.

    Attributes
    ----------
    centroids : ndarray of float32, shape (k, dim)
        For rows on a device an array there, of the rows' library; so are `labels_`.
    labels_ : ndarray of int64, shape (n,)
        The cluster of every row of `x`: its nearest centroid, ties to the smaller number, unless
        `balanced`.
    inertia_ : float
        Sum of squared distances of the rows to their centroids, for either kind of clustering.
    n_iter_ : int
        Iterations over all rows that were run.

    Notes
    -----
    The nearest centroid is that of float64 scores: codes of one byte an element only propose, and
    what their error bound cannot decide is scored again. A cluster that loses all rows takes half
    of the largest one. Where `x` has fewer different rows than `k`, some clusters stay empty.

    On a device all results are the CPU's to the last bit. `fit` waits there, since the host decides
    when it ends. `predict` of rows on a device waits for nothing, and so cannot raise for a row
    with NaN or infinity: its number is ``nf.MISSING``.

    `fit` must not run in one thread while another one uses the same object; `predict` may run in
    any number of them.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> x = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
    >>> clusters = nf.KMeans(2, seed=3).fit(x)
    >>> bool(clusters.labels_[0] == clusters.labels_[1] != clusters.labels_[2])
    True
    >>> clusters.inertia_
    1.0
    >>> bool(clusters.predict([8, 8]) == clusters.labels_[2])
    True
    """

    def __init__(
        self,
        k: int,
        niter: int = 25,
        spherical: bool = False,
        seed: int = 0,
        *,
        tolerance: float = 1e-4,
        hierarchical: bool = False,
        growing: bool = False,
        balanced: bool | float = False,
        threads: int | None = None,
        device: str | Sequence[str] = "cpu",
    ) -> None:
        self._k = as_positive(k, name="k", largest=_LARGEST_K)
        self._niter = as_positive(niter, name="niter", largest=_LARGEST_NITER)
        self._spherical = as_flag(spherical, name="spherical")
        self._seed = as_seed(seed)
        self._tolerance = as_real(tolerance, name="tolerance")
        if self._tolerance < 0:
            raise ValueError(f"tolerance: got {self._tolerance}, expected a number >= 0")
        self._hierarchical = as_flag(hierarchical, name="hierarchical")
        self._growing = as_flag(growing, name="growing")
        if self._growing and self._hierarchical:
            raise ValueError("growing: got True with hierarchical=True, expected one of the two")
        self._balance = _as_balance(balanced)
        self._threads = as_threads(threads)
        self._devices = as_ordinals(device)
        if self._devices:
            self._refuse_balance(self._devices[0])
        self._found: Fitted | None = None
        self._placed: dict[int, PlacedCentroids] = {}

    def __repr__(self) -> str:
        """Return the constructor call, and whether it has been fitted."""
        state = "not fitted" if self._found is None else f"dim={self._found.centroids.shape[1]}"
        return (
            f"KMeans(k={self._k}, niter={self._niter}, spherical={self._spherical}, "
            f"seed={self._seed}; {state})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: not what is on devices beside the results."""
        return {**self.__dict__, "_placed": {}}

    def fit(self, x: ArrayLike, *, init: ArrayLike | None = None, stream: Any = None) -> KMeans:
        """Find the centroids of `x`.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            float32, float64, float16, bfloat16, int8 or uint8; taken as float32. At least `k`
            rows. On a device (torch, CuPy, JAX) any of them but float64.
        init : array_like, shape (k, dim), optional
            Centroids to start from, instead of random rows. Not with ``hierarchical=True``.
        stream : int or object, optional
            The stream on which `x` is read, for rows on a device; by default the current one of
            their library.

        Returns
        -------
        KMeans
            This object.

        Raises
        ------
        TypeError
            An array of a type that would have to be guessed at.
        ValueError
            Fewer rows than `k`, wrong shapes, NaN or infinity (the message names the first such
            row). The object is then as it was.
        DeviceError
            A device that fails or has too little memory. The object is then as it was.
        """
        is_there = is_on_device(x)
        if not is_there:
            _refuse_stream(stream)
        try:
            found = self._fit_there(x, init, stream) if is_there else self._fit(x, init)
        except ValueError as error:
            raise _named(error) from None
        self._found, self._placed = found, {}
        return self

    def _fit(self, x: ArrayLike, init: ArrayLike | None) -> Fitted:
        from .cuda.training import Fitted, fit_here

        rows = _as_float32(x, "x")
        n, dim = rows.shape
        if n < self._k:
            raise ValueError(f"x: got {n} rows for k={self._k}, expected at least {self._k}")
        start = self._start(init, dim)
        if self._devices:
            return fit_here(rows, self._settings(), start, self._devices)
        centroids, labels, inertia, history = _core.kmeans(
            rows, *self._settings(), start, self._threads
        )
        return Fitted(centroids, centroids, labels, inertia, len(history))

    def _fit_there(self, x: Any, init: ArrayLike | None, stream: Any) -> Fitted:
        from .cuda.training import fit_there

        self._refuse_balance(device_of(x, "x"))
        start = None if init is None else self._start(init, None)
        return fit_there(x, self._settings(), start, stream, self._devices)

    def _start(self, init: ArrayLike | None, dim: int | None) -> NDArray[np.float32] | None:
        if init is None:
            return None
        start, _ = as_rows(init, name="init", dim=dim, storage="float32")
        if start.shape[0] != self._k:
            columns = start.shape[1] if dim is None else dim
            raise ValueError(
                f"init: got shape {start.shape}, expected ({self._k}, {columns}), one row per "
                "cluster"
            )
        return start

    def _settings(self) -> tuple[int, int, int, bool, float, bool, bool, float]:
        return (
            self._k,
            self._niter,
            self._seed,
            self._spherical,
            self._tolerance,
            self._hierarchical,
            self._growing,
            self._balance,
        )

    def _refuse_balance(self, device: int) -> None:
        if self._balance:
            raise ValueError(
                f"balanced: got clusters of bounded size on cuda:{device}, expected False there; "
                "cluster on the CPU"
            )

    def predict(self, x: ArrayLike, *, stream: Any = None) -> Any:
        """Return the number of the nearest centroid of every row, ties to the smaller one.

        Parameters
        ----------
        x : array_like, shape (n, dim) or (dim,)
            As in :meth:`fit`.
        stream : int or object, optional
            As in :meth:`fit`.

        Returns
        -------
        ndarray of int64, shape (n,), or int64
            One number for one vector of shape ``(dim,)``. For rows on a device an array there, of
            their library; ``nf.MISSING`` stands for a row with NaN or infinity.

        Raises
        ------
        NotTrainedError
            :meth:`fit` has not run.
        TypeError, ValueError
            As in :meth:`fit`.
        DeviceError
            As in :meth:`fit`.
        """
        found = self._fitted()
        if is_on_device(x):
            return self._on(device_of(x, "x")).nearest_there(x, stream)
        _refuse_stream(stream)
        rows, one_vector = as_queries(x, name="x", dim=found.centroids.shape[1])
        try:
            if self._devices:
                labels = self._on(self._devices[0]).nearest_here(rows)
            else:
                labels = _core.kmeans_assign(rows, found.centroids, self._spherical, self._threads)
        except ValueError as error:
            raise _named(error) from None
        return labels[0] if one_vector else labels

    def _on(self, device: int) -> PlacedCentroids:
        from .cuda.training import PlacedCentroids

        # Of one fit: another thread may put its own there, which is as good.
        found, placed = self._fitted(), self._placed
        if device not in placed:
            placed[device] = PlacedCentroids(found.centroids, self._spherical, device)
        return placed[device]

    @property
    def k(self) -> int:
        """Clusters."""
        return self._k

    @property
    def device(self) -> str:
        """Where rows of the CPU are clustered: names with commas between where they are several."""
        return ",".join(f"cuda:{device}" for device in self._devices) or "cpu"

    @property
    def centroids(self) -> Any:
        """Centroids, shape (k, dim)."""
        return self._fitted().shown

    @property
    def labels_(self) -> Any:
        """Cluster of every row that :meth:`fit` was given."""
        return self._fitted().labels

    @property
    def inertia_(self) -> float:
        """Sum of squared distances of the rows to their centroids."""
        return self._fitted().inertia

    @property
    def n_iter_(self) -> int:
        """Iterations over all rows that were run."""
        return self._fitted().n_iter

    def _fitted(self) -> Fitted:
        if self._found is None:
            raise NotTrainedError("KMeans: not fitted yet; call fit(x) first")
        return self._found


def _as_balance(balanced: Any) -> float:
    """Return the largest cluster as a multiple of the mean, 0 for any size."""
    if isinstance(balanced, (bool, np.bool_)):
        return _BALANCED if balanced else 0.0
    balance = as_real(balanced, name="balanced")
    if balance < 1:
        raise ValueError(f"balanced: got {balance}, expected True, False or a number >= 1")
    return balance


def _refuse_stream(stream: Any) -> None:
    if stream is not None:
        raise TypeError("stream: got one for rows on the CPU, expected None: results are awaited")


def _as_float32(x: ArrayLike, name: str) -> NDArray[np.float32]:
    rows, _ = as_rows(x, name=name, storage="float32")
    if rows.shape[1] > LARGEST_DIM:
        raise ValueError(f"{name}: got shape {rows.shape}, expected at most {LARGEST_DIM} columns")
    return rows


def _named(error: ValueError) -> ValueError:
    """Put the argument's name before the core's message about a row."""
    message = str(error)
    if message.startswith("start: "):
        return ValueError("init: " + message.removeprefix("start: "))
    return naming(error, query="x", row="x")
