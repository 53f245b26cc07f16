"""A graph on several devices, whole on each: :class:`GraphReplicas`.

A part of a graph is another graph, so queries are split and rows are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..library import library
from ..owners import Owner
from ..search import address_of, answered
from .graph import GraphCopy, GraphMask, ResidentGraph
from .several import OnSeveral, brought, dense_queries, join, queries_brought

__all__ = ["GraphReplicas"]

_Out = tuple[int, int, int]


class _Copies(NamedTuple):
    version: int
    copies: tuple[GraphCopy, ...]

    @property
    def row_count(self) -> int:
        return self.copies[0].row_count


class GraphReplicas(OnSeveral, ResidentGraph):
    """Each device answers as many of the queries, as it would alone; devices are of one kind."""

    def _copied(self, version: int) -> _Copies:
        copies = tuple(self._copied_to(version, *place) for place in self._places)
        return _Copies(version, copies)

    def _mask(self, rows: Any, copy: _Copies, stream: int) -> GraphMask | None:
        return super()._mask(rows, copy.copies[0], stream)

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: Any,
        k: int,
        mask: GraphMask | None,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        here, home = copy.copies[0], (self.device, stream)
        wanted, dense = self._wanted(here, k, mask, params), dense_queries(owner, q, home)
        each = -(-dense.place[1] // len(self._devices))
        own = _share(dense, 0, each)
        needed = self._scratch_bytes(here, own, wanted, self.device)

        def enqueue(out: _Out, scratch: int) -> None:
            try:
                for part in range(1, len(self._devices)):
                    share, there = _share(dense, part * each, each), self._places[part]
                    place = _results(out, part * each, k)
                    if share.place[1]:
                        self._walk_away(copy.copies[part], share, wanted, mask, place, there, home)
                self._walk(here, own, wanted, address_of(mask), out, scratch, home)
            finally:
                join(home, self._places[1:])

        return answered(owner, q, k, needed, home, enqueue)

    def _walk_away(
        self,
        copy: GraphCopy,
        q: DeviceMatrix,
        wanted: tuple[Any, ...],
        mask: GraphMask | None,
        out: _Out,
        there: tuple[int, int],
        home: tuple[int, int],
    ) -> None:
        """Enqueue walks on another device than the queries', and the copies of their results."""
        native, n, k = library(), q.place[1], wanted[1]
        native.follow(there, home)
        queries = queries_brought(q, there, home)
        allowed = None
        if mask is not None:
            allowed = brought(there, home, mask.address, copy.row_count)
        sizes = (8 * n * k, 4 * n * k, 8 * n)
        own = [native.DeviceArray((size,), "uint8", *there) for size in sizes]
        ids, scores, counts = (array._address for array in own)
        needed = self._scratch_bytes(copy, queries, wanted, there[0])
        scratch = native.DeviceArray((max(needed, 1),), "uint8", *there)
        answers = 0 if allowed is None else allowed._address
        found = (ids, scores, counts)
        self._walk(copy, queries, wanted, answers, found, scratch._address, there)
        for to, at, size in zip(out, found, sizes, strict=True):
            native.copy_between((home[0], to), (there[0], at), size, there)


def _share(q: DeviceMatrix, first: int, count: int) -> DeviceMatrix:
    """Return `count` dense queries, or as many as there are, from one on."""
    address, n, dim, stride, dtype = q.place
    first = min(first, n)
    place = (address + 4 * first * dim, min(count, n - first), dim, stride, dtype)
    return DeviceMatrix(place, False, q.keep)


def _results(out: _Out, first: int, k: int) -> _Out:
    """Return where the results of queries from one on go."""
    ids, scores, counts = out
    return ids + 8 * first * k, scores + 4 * first * k, counts + 8 * first
