"""The codes of a flat index split over several devices: :class:`CodeShards`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..arrays import DeviceMatrix
from ..library import library
from ..search import uploaded
from .codes import CodeCopy, ResidentCodes
from .shards import ShardCopy, Shards

__all__ = ["CodeShards"]


class _CodeShard(NamedTuple):
    place: tuple[int, int]
    first: int
    copy: CodeCopy
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
        asked = self.copy.asked(self.metric, k, mask)
        library().search_coded_ranked(q.place, self.copy.coded, asked, lists, place)


class CodeShards(Shards):
    """Codes in the order of labels, as many on each device; each decodes and searches its own."""

    what = ResidentCodes.what
    takes = staticmethod(ResidentCodes.takes)

    def _copied(self, version: int) -> ShardCopy:
        core = self._core
        if not core.is_trained:
            nothing = CodeCopy.nothing(core, version)
            shards = [_CodeShard(place, 0, nothing, core.metric) for place in self._places]
            return ShardCopy(version, 0, tuple(shards))
        codes = library().LiveCodes(core)
        labels, places = codes.labels(), codes.places()
        each, shards = -(-len(labels) // len(self.devices)), []
        for part, place in enumerate(self._places):
            first = part * each
            copy = CodeCopy.of(core, codes, first, labels[first : first + each], version, *place)
            shards.append(_CodeShard(place, first, copy, core.metric))
        as_added = bool((places == np.arange(len(places))).all())
        order = None if as_added else uploaded(places, self.device, self.stream)
        return ShardCopy(version, len(labels), tuple(shards), order)
