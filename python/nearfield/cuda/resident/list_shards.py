"""The lists of an inverted file split over several devices, rows as they are or as codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..arrays import DeviceMatrix
from ..library import library
from .coded_lists import ResidentCodedLists, codes_in_lists, place_of_decoded
from .lists import ListCopy, OnceTrained, Place, ResidentLists, Sent
from .shards import ShardCopy, Shards

__all__ = ["CodedListShards", "ListShards"]


class _ListShard(NamedTuple):
    place: tuple[int, int]
    copy: ListCopy
    metric: str
    search: Callable[..., None]

    @property
    def span(self) -> tuple[int, int]:
        return 0, self.copy.row_count

    def enqueue(
        self,
        q: DeviceMatrix,
        k: int,
        mask: int,
        params: Mapping[str, Any],
        lists: int,
        place: tuple[int, int],
    ) -> None:
        asked = self.copy.asked(self.metric, k, mask, params)
        self.search(q.place, self.copy.listed, asked, lists, place)


class ListShards(OnceTrained, Shards):
    """Each device has a part of every list, and all centroids: all choose the same lists."""

    what = ResidentLists.what
    parameters = ResidentLists.parameters
    takes = staticmethod(ResidentLists.takes)

    def _copied(self, version: int) -> ShardCopy:
        if not self._core.is_trained:
            return ShardCopy(version, 0, ())
        whole, count, shards = library().ListOrder(self._core), len(self.devices), []
        for part, place in enumerate(self._places):
            share = whole.part(part, count)
            how = (self._stored, self._searched)
            copy = ListCopy.of(self._core, share, version, *place, *how, whole=whole)
            shards.append(_ListShard(place, copy, self._core.metric, self._native()))
        return ShardCopy(version, len(whole), tuple(shards))

    def _native(self) -> Any:
        """Return what enqueues the search of a part."""
        return library().search_lists_ranked

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        return sent.rows(order, self._core.dim, self._core.dtype)

    def _searched(self, sent: Sent, order: Any, listed: Any) -> Any:
        return listed


class CodedListShards(ListShards):
    """The same of rows that stay codes: each device decodes its part of the lists looked into."""

    what = ResidentCodedLists.what
    takes = staticmethod(ResidentCodedLists.takes)

    def _native(self) -> Any:
        return library().search_coded_lists_ranked

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        return place_of_decoded(order, self._core.dim)

    def _searched(self, sent: Sent, order: Any, listed: Any) -> Any:
        return codes_in_lists(sent, order, listed, ResidentCodedLists.slice_rows)
