"""HNSW by its definition: rows inserted one by one into a hierarchy of proximity graphs.

Algorithms 1 to 5 of Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search
using Hierarchical Navigable Small World graphs", arXiv:1603.09320 (2016; TPAMI 2020), with their
names for the parameters. All distances between rows are worked out beforehand, in float64: memory
is quadratic, and 5,000 rows are inserted in seconds.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
MISSING = -1


def distances(queries: Array, rows: Array, metric: str) -> Array:
    """Return what the graph is ordered by, smaller being nearer, queries x rows."""
    if metric == "cosine":
        queries, rows = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
            for x in (queries, rows)
        )
    inner: Array = queries @ rows.T
    if metric != "l2":
        return -inner
    lengths = [(x**2).sum(axis=1) for x in (queries, rows)]
    return np.maximum(lengths[0][:, None] + lengths[1][None, :] - 2.0 * inner, 0.0)


def draw_levels(count: int, m: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the top level of every row: geometric, each level with 1/m of the rows of the last."""
    uniform = 1.0 - np.random.default_rng(seed).random(count)
    levels: NDArray[np.int64] = np.floor(-np.log(uniform) / np.log(m)).astype(np.int64)
    return levels


class Hnsw:
    """A graph over some rows.

    Parameters
    ----------
    rows : array_like, shape (n, dim)
        Inserted in order.
    m : int
        Links a row is given on every level; it may come to have that many, on level 0 twice.
    ef_construction : int
        Breadth of the searches of an insertion.
    metric : {"l2", "ip", "cosine"}
    extend_candidates, keep_pruned : bool
        The two options of Algorithm 4.
    lenient : bool
        Choose links as hnswlib does: candidates as near to a chosen row as to the new one pass,
        and fewer than `m` are all kept. On real rows recall is higher by up to 0.005.
    levels : array_like of int, shape (n,), optional
        Top level of every row; by default drawn by `seed`.

    Attributes
    ----------
    links : list of dict
        Per level from 0 on, the neighbours of every row that is there.
    entry : int
        Where searches start, on the top level; MISSING without rows.
    """

    def __init__(
        self,
        rows: ArrayLike,
        m: int = 16,
        ef_construction: int = 200,
        metric: str = "l2",
        *,
        extend_candidates: bool = False,
        keep_pruned: bool = False,
        lenient: bool = False,
        levels: ArrayLike | None = None,
        seed: int = 0,
    ) -> None:
        self.rows = np.asarray(rows, np.float64)
        self.m, self.ef_construction, self.metric = m, ef_construction, metric
        self.extend_candidates, self.keep_pruned = extend_candidates, keep_pruned
        self.lenient = lenient
        self.levels = draw_levels(len(self.rows), m, seed) if levels is None else np.array(levels)
        self.links: list[dict[int, list[int]]] = []
        self.entry = MISSING
        self._between = distances(self.rows, self.rows, metric)
        for row in range(len(self.rows)):
            self._insert(row)

    def most_links(self, level: int) -> int:
        """Return M_max of a level."""
        return self.m if level else 2 * self.m

    def _insert(self, row: int) -> None:
        """Algorithm 1: link a row to what is nearest on each of its levels, from above."""
        near, top = self._between[row].tolist(), len(self.links) - 1
        entries = [] if self.entry == MISSING else [self.entry]
        for level in range(top, int(self.levels[row]), -1):
            entries = self._search_level(near, entries, 1, level)
        for level in range(min(top, int(self.levels[row])), -1, -1):
            entries = self._search_level(near, entries, self.ef_construction, level)
            self.links[level][row] = self._select(row, entries, self.m, level)
            for other in self.links[level][row]:
                back = [*self.links[level][other], row]
                if len(back) > self.most_links(level):
                    back = self._select(other, back, self.most_links(level), level)
                self.links[level][other] = back
        if self.levels[row] > top:
            self.links += [{row: []} for _ in range(top, int(self.levels[row]))]
            self.entry = row

    def _search_level(
        self, near: list[float], entries: list[int], ef: int, level: int
    ) -> list[int]:
        """Algorithm 2: the `ef` nearest rows that a best-first search finds, nearest first."""
        links, seen = self.links[level], bytearray(len(self.rows))
        waiting = [(near[row], row) for row in entries]
        found = [(-near[row], -row) for row in entries]  # the furthest comes first
        heapify(waiting)
        heapify(found)
        for row in entries:
            seen[row] = True
        while waiting:
            distance, nearest = heappop(waiting)
            if distance > -found[0][0]:
                break
            for row in links[nearest]:
                if seen[row]:
                    continue
                seen[row] = True
                if len(found) < ef:
                    heappush(found, (-near[row], -row))
                elif near[row] < -found[0][0]:
                    heapreplace(found, (-near[row], -row))
                else:
                    continue
                heappush(waiting, (near[row], row))
        while len(found) > ef:  # more entries than asked for
            heappop(found)
        return [-row for _, row in sorted(found, reverse=True)]

    def _select(self, row: int, candidates: list[int], m: int, level: int) -> list[int]:
        """Algorithm 4: the nearest that are nearer to the row than to any one chosen before."""
        if self.extend_candidates:
            around = {far for near in candidates for far in self.links[level].get(near, [])}
            candidates = list({*candidates, *around} - {row})
        near = self._between[row, candidates]
        rows = np.array(candidates, np.int64)
        order = np.lexsort((rows, near))
        queue: NDArray[np.int64] = rows[order]
        if self.lenient and len(queue) < m:
            return [int(candidate) for candidate in queue]
        # hides[i, j]: with i chosen, j is left out.
        among = self._between[np.ix_(queue, queue)]
        hides = among < near[order] if self.lenient else among <= near[order]
        hidden = np.zeros(len(queue), bool)
        chosen: list[int] = []
        left_out: list[int] = []
        for i, candidate in enumerate(queue.tolist()):
            if len(chosen) == m:
                break
            if hidden[i]:
                left_out.append(candidate)
                continue
            chosen.append(candidate)
            hidden |= hides[i]
        return chosen + left_out[: m - len(chosen)] if self.keep_pruned else chosen

    def search(self, queries: ArrayLike, k: int, ef: int) -> NDArray[np.int64]:
        """Algorithm 5: the `k` best of the `ef` rows found per query, nearest first."""
        asked = np.atleast_2d(np.asarray(queries, np.float64))
        ids = np.full((len(asked), k), MISSING)
        if self.entry == MISSING:
            return ids
        for query, near in enumerate(distances(asked, self.rows, self.metric).tolist()):
            entries = [self.entry]
            for level in range(len(self.links) - 1, 0, -1):
                entries = self._search_level(near, entries, 1, level)
            found = self._search_level(near, entries, max(ef, k), 0)[:k]
            ids[query, : len(found)] = found
        return ids

    def reachable(self) -> set[int]:
        """Return the rows of level 0 that links lead to from the entry, level by level."""
        seen = {self.entry} - {MISSING}
        for links in reversed(self.links):
            waiting = list(seen)
            while waiting:
                fresh = set(links[waiting.pop()]) - seen
                seen |= fresh
                waiting += fresh
        return seen
