"""An index split over several devices: :class:`Shards`, of which each kind of index has its own.

Every device searches its part on a stream of its own. The results of the parts, with the float64
keys they were chosen by, are copied to the first device and merged there: the ids are those of all
rows on one device. Streams wait for each other on the devices; the host waits for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..label_order import in_order
from ..library import library
from ..owners import Owner
from ..search import answered
from .several import OnSeveral, brought, dense_queries, join, queries_brought

__all__ = ["Shard", "ShardCopy", "Shards"]


class Shard(Protocol):
    """A part of an index on a device. A kind that is searched by one can be split."""

    @property
    def place(self) -> tuple[int, int]:
        """The device and its stream."""

    @property
    def span(self) -> tuple[int, int]:
        """Which bytes of a mask the part reads: the first, and how many."""

    def enqueue(
        self,
        q: DeviceMatrix,
        k: int,
        mask: int,
        params: Mapping[str, Any],
        lists: int,
        place: tuple[int, int],
    ) -> None:
        """Enqueue a search on a stream of the device.

        q and mask (an address, 0: every row may answer) lie on the device; lists is where the
        native module's ``RankedLists`` of the part go.
        """


class ShardCopy(NamedTuple):
    """What is on the devices, a part each; order: of rows in masks, see :func:`by_label`."""

    version: int
    row_count: int
    shards: tuple[Shard, ...]
    order: tuple[Any, int] | None = None

    @property
    def is_trained(self) -> bool:
        """Whether there are parts."""
        return bool(self.shards)


class Shards(OnSeveral):
    """An index of which each device has a part; answers are those of one device."""

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: ShardCopy,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        native, home, n = library(), (self.device, stream), q.place[1]
        apart = native.ranked_bytes(n, k)
        dense = dense_queries(owner, q, home)
        mask = in_order(mask, copy.order, copy.row_count, *home)
        masks = [0 if mask is None else mask[1] + shard.span[0] for shard in copy.shards]

        def enqueue(out: tuple[int, int, int], lists: int) -> None:
            try:
                for part in range(1, len(copy.shards)):
                    at = lists + part * apart
                    _search_away(copy.shards[part], dense, k, masks[part], params, at, home)
                copy.shards[0].enqueue(dense, k, masks[0], params, lists, home)
            finally:
                join(home, [shard.place for shard in copy.shards[1:]])
            native.merge_ranked(n, k, len(copy.shards), lists, out, home)

        return answered(owner, q, k, len(copy.shards) * apart, home, enqueue)


def _search_away(
    shard: Shard,
    q: DeviceMatrix,
    k: int,
    mask: int,
    params: Mapping[str, Any],
    lists: int,
    home: tuple[int, int],
) -> None:
    """Enqueue a search on another device than the queries', and the copy of its results."""
    native, there = library(), shard.place
    native.follow(there, home)
    queries = queries_brought(q, there, home)
    allowed = brought(there, home, mask, shard.span[1]) if mask else None
    nbytes = native.ranked_bytes(q.place[1], k)
    own = native.DeviceArray((max(nbytes, 1),), "uint8", *there)
    mask = 0 if allowed is None else allowed._address
    shard.enqueue(queries, k, mask, params, own._address, there)
    native.copy_between((home[0], lists), (there[0], own._address), nbytes, there)
