"""The rows of a flat index split over several devices: :class:`RowShards`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..arrays import DeviceMatrix
from ..label_order import by_label
from ..library import library
from ..search import address_of, uploaded
from .rows import ResidentRows, RowCopy
from .shards import ShardCopy, Shards

__all__ = ["RowShards"]


class _RowShard(NamedTuple):
    place: tuple[int, int]
    first: int
    copy: RowCopy
    metric: str

    @property
    def span(self) -> tuple[int, int]:
        return self.first, self.copy.row_count

    def enqueue(
        self,
        q: DeviceMatrix,
        k: int,
        mask: int,
        params: Mapping[str, Any],
        lists: int,
        place: tuple[int, int],
    ) -> None:
        extras = (mask, address_of(self.copy.labels), address_of(self.copy.constants))
        library().search_ranked(q.place, self.copy.rows.place, self.metric, k, extras, lists, place)


class RowShards(Shards):
    """Rows in the order of their labels, as many on each device; answers are exact."""

    what = ResidentRows.what
    takes = staticmethod(ResidentRows.takes)

    def _copied(self, version: int) -> ShardCopy:
        labels, order = by_label(self._core.labels())
        each = -(-len(labels) // len(self.devices))
        shards = []
        for part, place in enumerate(self._places):
            share = labels[part * each : (part + 1) * each]
            copy = RowCopy.of(self._core, share, version, *place)
            shards.append(_RowShard(place, part * each, copy, self._core.metric))
        there = None if order is None else uploaded(order, self.device, self.stream)
        return ShardCopy(version, len(labels), tuple(shards), there)
