"""The lists of an inverted file split over several devices: :class:`ListShards`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..arrays import DeviceMatrix
from ..library import library
from .lists import ListCopy, OnceTrained, Place, ResidentLists, Sent
from .shards import ShardCopy, Shards

__all__ = ["ListShards"]


class _ListShard(NamedTuple):
    place: tuple[int, int]
    copy: ListCopy
    metric: str

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
        library().search_lists_ranked(q.place, self.copy.listed, asked, lists, place)


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
            copy = ListCopy.of(self._core, share, version, *place, self._stored, whole=whole)
            shards.append(_ListShard(place, copy, self._core.metric))
        return ShardCopy(version, len(whole), tuple(shards))

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        return sent.rows(order, self._core.dim, self._core.dtype)
