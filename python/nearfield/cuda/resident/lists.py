"""The lists of an inverted file on a device, rows stored as they are: :class:`ResidentLists`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..library import library
from ..owners import Owner
from ..search import address_of, answered, uploaded
from .base import Resident

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["ResidentLists"]

_BLOCK_BYTES = 1 << 24
_ALIGNMENT = 16  # bytes that kernels load at once

_Place = tuple[int, int, int, int, str]


class _Copy(NamedTuple):
    version: int
    row_count: int
    listed: Any  # None before the index is trained
    labels: tuple[Any, int] | None
    keep: tuple[Any, ...]


class ResidentLists(Resident):
    """Every row of the lists near a query is scored; a list is read once for all queries."""

    what = "an IVFIndex of such rows with coarse='flat'"
    parameters: ClassVar[frozenset[str]] = frozenset({"nprobe", "margin"})

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index has lists of rows as they are, found by looking at all of them."""
        return (
            type(index).__name__ == "IVFIndex"
            and index.quantizer == index._core.dtype
            and not index._core.hierarchical  # type: ignore[attr-defined]
        )

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: _Copy,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        native, place = library(), (self.device, stream)
        look = (params["nprobe"], params.get("margin", math.inf))
        asked = (self._core.metric, k, *look, address_of(mask), address_of(copy.labels))
        needed = native.list_scratch_bytes(q.place, copy.listed, asked)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            native.search_lists(q.place, copy.listed, asked, out, scratch, *place)

        return answered(owner, q, k, needed, place, enqueue)

    def _current(self) -> _Copy:
        copy: _Copy = super()._current()  # type: ignore[assignment]
        if copy.listed is None:
            self._core.centroids()  # type: ignore[attr-defined]  # says that they are missing
            with self._live.unchanging() as version:
                copy = self._copy = self._copied(version)
        return copy

    def _copied(self, version: int) -> _Copy:
        if not self._core.is_trained:
            return _Copy(version, 0, None, None, ())
        order = library().ListOrder(self._core)
        labels = order.labels()
        by_label = np.argsort(labels)
        names = np.empty(len(labels), np.uint32)
        names[by_label] = np.arange(len(labels), dtype=np.uint32)
        sizes = order.sizes()
        offsets = np.zeros(len(sizes) + 2, np.uint32)
        offsets[1:-1] = np.cumsum(sizes)
        offsets[-1] = offsets[-2]
        rows, place = self._rows(order)
        of_rows = [self._list_constants(place)]
        of_rows += [self._sent(part) for part in (offsets, names, order.places())]
        centroids, centroid_place = self._centroids()
        constants = self._constants(centroid_place)
        addresses = tuple(at for _, at in of_rows)
        listed = library().ListedRows(place, addresses, centroid_place, constants[1], sizes)
        sorted_labels = labels[by_label]
        numbered = bool((sorted_labels == np.arange(len(labels))).all())
        called = None if numbered else self._sent(sorted_labels)
        keep = (rows, of_rows, centroids, constants)
        return _Copy(version, len(labels), listed, called, keep)

    def _rows(self, order: Any) -> tuple[Any, _Place]:
        n, row_bytes, dtype = len(order), order.row_bytes, self._core.dtype
        stride = -(-row_bytes // _ALIGNMENT) * _ALIGNMENT
        there = library().DeviceArray((max(n, 1) * stride,), "uint8", self.device, self.stream)
        step = max(_BLOCK_BYTES // stride, 1)
        for first in range(0, n, step):
            block = order.rows(first, min(step, n - first), stride)
            library().upload(there, block.reshape(-1), first * stride)
        size = row_bytes // self._core.dim
        return there, (there._address, n, self._core.dim, stride // size, dtype)

    def _centroids(self) -> tuple[Any, _Place]:
        centroids = self._core.centroids()  # type: ignore[attr-defined]
        keep, at = self._sent(centroids)
        return keep, (at, *centroids.shape, centroids.shape[1], "float32")

    def _sent(self, array: NDArray[Any]) -> tuple[Any, int]:
        return uploaded(array, self.device, self.stream)

    def _list_constants(self, place: _Place) -> tuple[Any, int]:
        native = library()
        there = self._room(native.list_constants_bytes(place))
        native.compute_list_constants(place, self._core.metric, there[1], self.device, self.stream)
        return there

    def _constants(self, place: _Place) -> tuple[Any, int]:
        native = library()
        there = self._room(native.constants_bytes(place))
        native.compute_constants(place, self._core.metric, there[1], self.device, self.stream)
        return there

    def _room(self, nbytes: int) -> tuple[Any, int]:
        there = library().DeviceArray((max(nbytes, 1),), "uint8", self.device, self.stream)
        return there, there._address
