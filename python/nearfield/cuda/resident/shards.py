"""The rows of an index split over several devices: :class:`Shards`.

Every device searches its part on a stream of its own. The results of the parts, with the float64
keys they were chosen by, are copied to the first device and merged there: the ids are those of all
rows on one device. Streams wait for each other on the devices; the host waits for nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from ...errors import DeviceError
from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..label_order import by_label, in_order
from ..library import library
from ..owners import Owner
from ..search import answered, uploaded
from .base import Resident
from .rows import ResidentRows, RowCopy

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["Shard", "Shards"]


class Shard(Protocol):
    """A part of an index on a device. A kind that is searched by one can be split."""

    @property
    def place(self) -> tuple[int, int]:
        """The device and its stream."""

    @property
    def row_count(self) -> int:
        """Rows of the part; they follow those of the part before it."""

    def enqueue(
        self, q: DeviceMatrix, k: int, mask: int, lists: int, place: tuple[int, int]
    ) -> None:
        """Enqueue a search on a stream of the device.

        q and mask (an address, 0: every row may answer) lie on the device; lists is where the
        native module's ``RankedLists`` of the part go.
        """


class _RowShard(NamedTuple):
    place: tuple[int, int]
    copy: RowCopy
    metric: str

    @property
    def row_count(self) -> int:
        return self.copy.row_count

    def enqueue(
        self, q: DeviceMatrix, k: int, mask: int, lists: int, place: tuple[int, int]
    ) -> None:
        labels, constants = (0 if x is None else x[1] for x in self.copy[2:4])
        extras = (mask, labels, constants)
        library().search_ranked(q.place, self.copy.rows.place, self.metric, k, extras, lists, place)


class _Copy(NamedTuple):
    version: int
    shards: tuple[Shard, ...]
    order: tuple[Any, int] | None

    @property
    def row_count(self) -> int:
        return sum(shard.row_count for shard in self.shards)


class Shards(Resident):
    """Rows in the order of their labels, as many on each device; answers are exact.

    Parameters
    ----------
    index : Index
        One that :class:`ResidentRows` takes.
    devices : tuple of int
        Numbers of the devices, each once. Queries and results on a device are on the first.

    Raises
    ------
    DeviceError
        No such device, or too little memory on one.
    """

    what: ClassVar[str] = ResidentRows.what
    takes = staticmethod(ResidentRows.takes)

    def __init__(self, index: Index, devices: tuple[int, ...]) -> None:
        self._devices = devices
        self._away = [library().Stream(device) for device in devices[1:]]
        super().__init__(index, devices[0])

    @property
    def devices(self) -> tuple[int, ...]:
        """All of them."""
        return self._devices

    def _copied(self, version: int) -> _Copy:
        labels, order = by_label(self._core.labels())
        streams = [self.stream, *(int(stream.handle) for stream in self._away)]
        each = -(-len(labels) // len(streams))
        shards = []
        for part, place in enumerate(zip(self._devices, streams, strict=True)):
            share = labels[part * each : (part + 1) * each]
            copy = RowCopy.of(self._core, share, version, *place)
            shards.append(_RowShard(place, copy, self._core.metric))
        there = None if order is None else uploaded(order, self.device, self.stream)
        return _Copy(version, tuple(shards), there)

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
        native, home, n = library(), (self.device, stream), q.place[1]
        apart = native.ranked_bytes(n, k)
        dense = _dense(owner, q, home)
        mask = in_order(mask, copy.order, copy.row_count, *home)
        masks = _parts_of(mask, copy.shards)

        def enqueue(out: tuple[int, int, int], lists: int) -> None:
            try:
                for part in range(1, len(copy.shards)):
                    at = lists + part * apart
                    _search_away(copy.shards[part], dense, k, masks[part], at, home)
                copy.shards[0].enqueue(dense, k, masks[0], lists, home)
            finally:
                _join(home, copy.shards[1:])
            native.merge_ranked(n, k, len(copy.shards), lists, out, home)

        return answered(owner, q, k, len(copy.shards) * apart, home, enqueue)


def _dense(owner: Owner, q: DeviceMatrix, home: tuple[int, int]) -> DeviceMatrix:
    """Return queries as they are copied: float32, one behind the other."""
    _, n, dim, stride, dtype = q.place
    if dtype == "float32" and stride == dim:
        return q
    keep, at = owner.empty((max(n, 1), dim), "float32", *home)
    library().widen(q.place, at, home)
    return DeviceMatrix((at, n, dim, dim, "float32"), q.one_vector, keep)


def _parts_of(mask: Any, shards: tuple[Shard, ...]) -> list[int]:
    """Return where each part's mask begins; 0: every row may answer."""
    if mask is None:
        return [0] * len(shards)
    starts, at = [], mask[1]
    for shard in shards:
        starts.append(at)
        at += shard.row_count
    return starts


def _join(home: tuple[int, int], shards: tuple[Shard, ...]) -> None:
    """Let a stream wait for other devices: what they read and write of it is not freed before."""
    failures = []
    for shard in shards:
        try:
            library().follow(home, shard.place)
        except DeviceError as error:
            failures.append(error)
            with contextlib.suppress(DeviceError):
                library().synchronize(*shard.place)  # nothing else is left to order the two
    if failures:
        raise failures[0]


def _search_away(
    shard: Shard, q: DeviceMatrix, k: int, mask: int, lists: int, home: tuple[int, int]
) -> None:
    """Enqueue a search on another device than the queries', and the copy of its results."""
    native, there = library(), shard.place
    native.follow(there, home)

    def brought(address: int, nbytes: int) -> Any:
        array = native.DeviceArray((max(nbytes, 1),), "uint8", *there)
        native.copy_between((there[0], array._address), (home[0], address), nbytes, there)
        return array

    address, n, dim, _, dtype = q.place
    queries = brought(address, 4 * n * dim)
    place = (queries._address, n, dim, dim, dtype)
    allowed = brought(mask, shard.row_count) if mask else None
    nbytes = native.ranked_bytes(n, k)
    own = native.DeviceArray((max(nbytes, 1),), "uint8", *there)
    shard.enqueue(
        DeviceMatrix(place, False, queries),
        k,
        0 if allowed is None else allowed._address,
        own._address,
        there,
    )
    native.copy_between((home[0], lists), (there[0], own._address), nbytes, there)
