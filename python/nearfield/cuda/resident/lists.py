"""The lists of an inverted file on a device, rows stored as they are: :class:`ResidentLists`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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

__all__ = ["Place", "ResidentLists", "Sent"]

_BLOCK_BYTES = 1 << 24
_ALIGNMENT = 16  # bytes that kernels load at once

Place = tuple[int, int, int, int, str]


class _Copy(NamedTuple):
    version: int
    row_count: int
    listed: Any  # None before the index is trained
    labels: int  # address; 0: rows are numbered
    keep: tuple[Any, ...]


class ResidentLists(Resident):
    """Every row of the lists near a query is scored; a list is read once for all queries."""

    what = "an IVFIndex of such rows"
    parameters: ClassVar[frozenset[str]] = frozenset({"nprobe", "margin"})

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index has lists of rows as they are."""
        return type(index).__name__ == "IVFIndex" and index.quantizer == index._core.dtype

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
        nprobe = params["nprobe"]
        groups = library().groups_looked_into(self._core, nprobe)
        asked = (
            *(self._core.metric, k, nprobe, params.get("margin", math.inf)),
            *(address_of(mask), copy.labels, groups),
        )
        needed, search = self._native()
        place, what = (self.device, stream), (q.place, copy.listed, asked)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            search(*what, out, scratch, *place)

        return answered(owner, q, k, needed(*what), place, enqueue)

    def _native(self) -> tuple[Callable[..., int], Callable[..., None]]:
        """Return what says how much scratch memory a search takes, and what enqueues it."""
        return library().list_scratch_bytes, library().search_lists

    def _current(self) -> _Copy:
        copy: _Copy = super()._current()  # type: ignore[assignment]
        if copy.listed is None:
            self._core.centroids()  # type: ignore[attr-defined]  # says that they are missing
            with self._live.unchanging() as version:
                copy = self._copy = self._copied(version)
        return copy

    def _copied(self, version: int) -> _Copy:
        if not self._core.is_trained:
            return _Copy(version, 0, None, 0, ())
        sent = Sent(self._core.metric, self.device, self.stream)
        order = library().ListOrder(self._core)
        labels, sizes = order.labels(), order.sizes()
        by_label = np.argsort(labels)
        names = np.empty(len(labels), np.uint32)
        names[by_label] = np.arange(len(labels), dtype=np.uint32)
        centroids = sent.matrix(self._core.centroids())  # type: ignore[attr-defined]
        grouped, groups = None, library().groups_of_lists(self._core)
        if groups is not None:
            of_centroids = (centroids[1], sent.array(_offsets(groups[1])), 0, 0)
            means = sent.matrix(groups[0])
            grouped = library().ListedRows(centroids[0], of_centroids, *means, groups[1])
        place, constants = self._stored(sent, order)
        of_rows = (constants, *map(sent.array, (_offsets(sizes), names, order.places())))
        listed = library().ListedRows(place, of_rows, *centroids, sizes, grouped)
        by_name = labels[by_label]
        numbered = bool((by_name == np.arange(len(labels))).all())
        called = 0 if numbered else sent.array(by_name)
        listed = self._searched(sent, order, listed)
        return _Copy(version, len(labels), listed, called, tuple(sent.keep))

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        """Return where the rows are, in the order of lists, and the address of their constants."""
        place = sent.rows(order, self._core.dim, self._core.dtype)
        return place, sent.constants(place)

    def _searched(self, sent: Sent, order: Any, listed: Any) -> Any:
        """Return what is searched: the rows where they lie."""
        return listed


class Sent:
    """What is sent to a device, kept as long as this is."""

    def __init__(self, metric: str, device: int, stream: int) -> None:
        self.keep: list[Any] = []
        self._metric, self._device, self._stream = metric, device, stream

    def array(self, array: NDArray[Any]) -> int:
        """Return the address of a copy."""
        keep, at = uploaded(array, self._device, self._stream)
        self.keep.append(keep)
        return at

    def room(self, nbytes: int) -> Any:
        """Return bytes that nobody has written."""
        there = library().DeviceArray((max(nbytes, 1),), "uint8", self._device, self._stream)
        self.keep.append(there)
        return there

    def blocks(self, n: int, size: int, some: Callable[[int, int], NDArray[np.uint8]]) -> int:
        """Return the address of n things of `size` bytes, of which some(first, count) are some."""
        there = self.room(n * size)
        step = max(_BLOCK_BYTES // size, 1)
        for first in range(0, n, step):
            block = some(first, min(step, n - first))
            library().upload(there, block.reshape(-1), first * size)
        return int(there._address)

    def constants(self, place: Place) -> int:
        """Return the address of what searches need of rows beside them."""
        at = int(self.room(library().list_constants_bytes(place))._address)
        library().compute_list_constants(place, self._metric, at, self._device, self._stream)
        return at

    def matrix(self, array: NDArray[np.float32]) -> tuple[Place, int]:
        """Return where a copy of some vectors is, and their constants."""
        n, dim = array.shape
        place = (self.array(array), n, dim, dim, "float32")
        return place, self.constants(place)

    def rows(self, order: Any, dim: int, dtype: str) -> Place:
        """Return where the rows are, in the order of lists."""
        n, row_bytes = len(order), order.row_bytes
        stride = -(-row_bytes // _ALIGNMENT) * _ALIGNMENT
        at = self.blocks(n, stride, lambda first, count: order.rows(first, count, stride))
        return (at, n, dim, stride // (row_bytes // dim), dtype)


def _offsets(sizes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return where each list starts; the last one has no rows."""
    out = np.zeros(len(sizes) + 2, np.uint32)
    out[1:-1] = np.cumsum(sizes)
    out[-1] = out[-2]
    return out
