"""k-means on a device: what :class:`nearfield.KMeans` does there, with the CPU's results.

Fitting waits, since the host decides when it ends. Assigning rows that are on a device waits for
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arguments import LARGEST_DIM
from .arrays import DeviceMatrix, as_device_matrix, device_of
from .holding import reading
from .library import library
from .owners import Owner, owner_of
from .search import uploaded
from .streams import as_stream

__all__ = ["Fitted", "PlacedCentroids", "Settings", "fit_here", "fit_there"]

_BLOCK_BYTES = 1 << 26

Settings = tuple[int, int, int, bool, float, bool, bool, float]
"""k, iterations, seed, spherical, tolerance, hierarchical, growing, balance."""


class Fitted(NamedTuple):
    """What a clustering found.

    Attributes
    ----------
    centroids : NDArray of float32, shape (k, dim)
        On the host.
    shown : array
        The same as the caller gets them.
    labels : array of int64, shape (n,)
        Of the caller's kind.
    inertia : float
    n_iter : int
    """

    centroids: NDArray[np.float32]
    shown: Any
    labels: Any
    inertia: float
    n_iter: int


def fit_there(
    x: Any,
    settings: Settings,
    start: NDArray[np.float32] | None,
    stream: Any,
    devices: tuple[int, ...] = (),
) -> Fitted:
    """Cluster rows that are on a device; results are arrays of their library, there.

    Parameters
    ----------
    devices : tuple of int
        Where that device is among them, the others assign parts of the rows.

    Raises
    ------
    TypeError, ValueError
        An element type, shape or layout that is not taken, NaN or infinity, fewer rows than `k`.
    DeviceError
        The device fails or has too little memory, or the stream does not exist.
    """
    device, owner = device_of(x, "x"), owner_of(x)
    on = owner.current_stream(device) if stream is None else as_stream(stream, device)
    with reading(device, on):
        rows = as_device_matrix(x, name="x", device=device, stream=on)
        _check(rows, settings[0])
        n, dim = rows.place[1:3]
        shown, shown_at = owner.empty((settings[0], dim), "float32", device, on)
        labels, labels_at = owner.empty((n,), "int64", device, on)
        sharing = [each for each in devices if each != device] if device in devices else []
        streams = [library().Stream(each) for each in sharing]
        others = _places(streams, sharing)
        centroids, inertia, n_iter = library().kmeans(
            rows.place, settings, start, (shown_at, labels_at), device, on, others
        )
    return Fitted(centroids, owner.finished(shown), owner.finished(labels), inertia, n_iter)


def fit_here(
    x: NDArray[np.float32],
    settings: Settings,
    start: NDArray[np.float32] | None,
    devices: tuple[int, ...],
) -> Fitted:
    """Cluster rows of the host on devices, the first of which has all; results are NumPy arrays."""
    streams = [library().Stream(each) for each in devices]
    (device, on), *others = _places(streams, devices)
    _keep, address = uploaded(x, device, on)
    place = (address, len(x), x.shape[1], x.shape[1], "float32")
    labels = library().DeviceArray((len(x),), "int64", device, on)
    centroids, inertia, n_iter = library().kmeans(
        place, settings, start, (0, labels._address), device, on, others
    )
    numbers = labels.numpy()
    del labels, _keep  # before the stream they were made on
    return Fitted(centroids, centroids, numbers, inertia, n_iter)


def _places(streams: Sequence[Any], devices: Sequence[int]) -> list[tuple[int, int]]:
    """Return devices with the handles of streams on them."""
    return [(each, int(s.handle)) for each, s in zip(devices, streams, strict=True)]


class PlacedCentroids:
    """Centroids on one device, in a stream of its own.

    Parameters
    ----------
    centroids : NDArray of float32, shape (k, dim)
    spherical : bool
        Whether rows go to the largest inner product.
    device : int

    Raises
    ------
    DeviceError
        No device, or too little memory on it.
    """

    def __init__(self, centroids: NDArray[np.float32], spherical: bool, device: int) -> None:
        self._k, self._dim = centroids.shape
        self._spherical = spherical
        self._device = device
        stream = library().Stream(device)
        self._keep, self._address = uploaded(centroids, device, stream.handle)
        self._stream = stream  # the last attribute: freed after what was made on it

    def nearest_there(self, x: Any, stream: Any) -> Any:
        """Return the nearest centroid of rows on the device, as an array there; nothing waits."""
        device, owner = device_of(x, "x"), owner_of(x)
        on = owner.current_stream(device) if stream is None else as_stream(stream, device)
        with reading(device, on):
            rows = as_device_matrix(x, name="x", device=device, stream=on, dim=self._dim)
            return owner.finished(self._enqueue(owner, rows, on))

    def nearest_here(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the nearest centroid of rows of the host."""
        if not np.isfinite(x).all():
            where = int(np.argwhere(~np.isfinite(x))[0, 0])
            raise ValueError(f"row {where} holds NaN or infinity; expected finite values")
        out = np.empty(len(x), np.int64)
        step = max(_BLOCK_BYTES // (4 * self._dim), 1)
        on = self._stream.handle
        for first in range(0, len(x), step):
            block = x[first : first + step]
            keep, address = uploaded(block, self._device, on)
            place = (address, len(block), self._dim, self._dim, "float32")
            labels = self._enqueue(owner_of(None), DeviceMatrix(place, False, keep), on)
            out[first : first + step] = labels.numpy()
        return out

    def _enqueue(self, owner: Owner, rows: DeviceMatrix, stream: int) -> Any:
        native, device = library(), self._device
        n = rows.place[1]
        shape: tuple[int, ...] = () if rows.one_vector else (n,)
        labels, labels_at = owner.empty(shape, "int64", device, stream)
        needed = native.assign_scratch_bytes(rows.place, self._k)
        scratch, scratch_at = owner.empty((max(needed, 1),), "uint8", device, stream)
        # After the copy of the centroids, and before they are freed.
        native.wait_for(device, stream, self._stream.handle)
        native.assign(
            *(rows.place, self._address, self._k, self._spherical),
            *(labels_at, scratch_at, device, stream),
        )
        native.wait_for(device, self._stream.handle, stream)
        del scratch
        return labels


def _check(rows: DeviceMatrix, k: int) -> None:
    n, dim = rows.place[1:3]
    if n < k:
        raise ValueError(f"x: got {n} rows for k={k}, expected at least {k}")
    if dim > LARGEST_DIM:
        raise ValueError(f"x: got {dim} columns, expected at most {LARGEST_DIM}")
