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
from .base import Resident, keeps_rows

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["ListCopy", "OnceTrained", "Place", "ResidentLists", "Sent"]

_BLOCK_BYTES = 1 << 24
_ALIGNMENT = 16  # bytes that kernels load at once

Place = tuple[int, int, int, int, str]


class ListCopy(NamedTuple):
    """Rows in lists on a device.

    Attributes
    ----------
    version, row_count : int
        Of the index's rows, and how many masks have.
    listed : ListedRows
        The native module's; None before the index is trained.
    labels : int
        Address of what rows are called; 0: by their number.
    groups : ndarray
        Groups of centroids that are looked into for 1, 2, ... lists; 0: all.
    """

    version: int
    row_count: int = 0
    listed: Any = None
    labels: int = 0
    groups: NDArray[np.uint32] = np.zeros(1, np.uint32)
    keep: tuple[Any, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether there are lists."""
        return self.listed is not None

    def asked(self, metric: str, k: int, mask: int, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what the native module is asked beside the queries."""
        nprobe = min(params["nprobe"], len(self.groups))
        look = (nprobe, params.get("margin", math.inf))
        return (metric, k, *look, mask, self.labels, int(self.groups[nprobe - 1]))

    @classmethod
    def of(
        cls,
        core: Any,
        order: Any,
        version: int,
        device: int,
        stream: int,
        stored: Callable[[Sent, Any], tuple[Place, int]],
        searched: Callable[[Sent, Any, Any], Any] = lambda sent, order, listed: listed,
        whole: Any = None,
    ) -> ListCopy:
        """Copy rows in an order; whole: that of all rows, where these are a part."""
        sent = Sent(core.metric, device, stream)
        labels, sizes = order.labels(), order.sizes()
        by_label = np.argsort(labels)
        names = np.empty(len(labels), np.uint32)
        names[by_label] = np.arange(len(labels), dtype=np.uint32)
        centroids = sent.matrix(core.centroids())
        grouped, groups = sent.groups(core, *centroids)
        place, constants = stored(sent, order)
        of_rows = (constants, *map(sent.array, (_offsets(sizes), names, order.places())))
        of_all = (0, 0)
        if whole is not None:
            sizes = whole.sizes()
            of_all = (sent.array(_offsets(sizes)), sent.array(whole.places()))
        listed = library().ListedRows(place, of_rows, *centroids, sizes, *grouped, of_all)
        by_name = labels[by_label]
        numbered = bool((by_name == np.arange(len(labels))).all())
        called = 0 if numbered else sent.array(by_name)
        n = len(order if whole is None else whole)
        return cls(version, n, searched(sent, order, listed), called, groups, tuple(sent.keep))


class OnceTrained(Resident):
    """A kind whose copies have nothing before the index is trained."""

    def _current(self) -> Any:
        copy: Any = super()._current()
        if not copy.is_trained:
            self._core.centroids()  # type: ignore[attr-defined]  # says that they are missing
            with self._live.unchanging() as version:
                copy = self._copy = self._copied(version)
        return copy


class ResidentLists(OnceTrained):
    """Every row of the lists near a query is scored; a list is read once for all queries."""

    what = "an IVFIndex of such rows"
    parameters: ClassVar[frozenset[str]] = frozenset({"nprobe", "margin"})

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index has lists of rows as they are."""
        return type(index).__name__ == "IVFIndex" and keeps_rows(index)

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: ListCopy,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        asked = copy.asked(self._core.metric, k, address_of(mask), params)
        needed, search = self._native()
        place, what = (self.device, stream), (q.place, copy.listed, asked)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            search(*what, out, scratch, *place)

        return answered(owner, q, k, needed(*what), place, enqueue)

    def _native(self) -> tuple[Callable[..., int], Callable[..., None]]:
        """Return what says how much scratch memory a search takes, and what enqueues it."""
        return library().list_scratch_bytes, library().search_lists

    def _copied(self, version: int) -> ListCopy:
        if not self._core.is_trained:
            return ListCopy(version)
        native, place = library(), (self.device, self.stream)
        return ListCopy.of(
            self._core, native.ListOrder(self._core), version, *place, self._stored, self._searched
        )

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        """Return where the rows are, in the order of lists, and the address of their constants."""
        return sent.rows(order, self._core.dim, self._core.dtype)

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

    def coded(self, decoding: Any, n: int, some: Callable[[int, int], NDArray[np.uint8]]) -> Any:
        """Return the codes of n rows as the native module searches them; some: as of blocks."""
        codes = self.blocks(n, decoding.code_size, some)
        table, rotation = self.array(decoding.table()), decoding.rotation()
        turn = self.array(rotation) if len(rotation) else 0
        return library().CodedRows(decoding, codes, table, turn, n)

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

    def groups(
        self, core: Any, centroids: Place, constants: int
    ) -> tuple[tuple[Any, int], NDArray[np.uint32]]:
        """Return the groups that centroids lie in, and how many are looked into for 1, 2, ..."""
        found = library().groups_of_lists(core)
        if found is None:
            return (None, 0), np.zeros(centroids[1], np.uint32)
        means, sizes, looked_into = found
        of_centroids = (constants, self.array(_offsets(sizes)), 0, 0)
        lists = library().ListedRows(centroids, of_centroids, *self.matrix(means), sizes)
        return (lists, self.array(looked_into)), looked_into

    def rows(self, order: Any, dim: int, dtype: str) -> tuple[Place, int]:
        """Return where the rows are, in the order of lists, and their constants."""
        n, row_bytes = len(order), order.row_bytes
        stride = -(-row_bytes // _ALIGNMENT) * _ALIGNMENT
        at = self.blocks(n, stride, lambda first, count: order.rows(first, count, stride))
        place = (at, n, dim, stride // (row_bytes // dim), dtype)
        return place, self.constants(place)


def _offsets(sizes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return where each list starts; the last one has no rows."""
    out = np.zeros(len(sizes) + 2, np.uint32)
    out[1:-1] = np.cumsum(sizes)
    out[-1] = out[-2]
    return out
