"""The graph on slices of real data: search by batch and breadth, building, adding, removing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .slices import METRICS, filled_index, library, queries_of, rows_of

LINKS = 16
K = 10


def _kind(nearfield: Any) -> Any:
    """HNSWIndex, or a skip where the version measured has none."""
    if not hasattr(nearfield, "HNSWIndex"):
        raise NotImplementedError("this version has no HNSWIndex")
    return nearfield.HNSWIndex


def _empty(nearfield: Any, data: str) -> Any:
    dim = rows_of(data, 1).shape[1]
    return _kind(nearfield)(dim, m=LINKS, metric=METRICS[data], ef_construction=100)


def _filled(nearfield: Any, data: str) -> Any:
    index = _empty(nearfield, data)
    index.add(rows_of(data), threads=2)
    return index


class Search:
    """20,000 rows; seconds per call, and the recall that they buy."""

    params = (["minilm-debian", "glove100", "sift"], [1, 4096], [32, 128], [1, 2])
    param_names = ("data", "batch", "ef_search", "threads")

    def setup(self, data: str, batch: int, ef_search: int, threads: int) -> None:
        self.nearfield = library()
        self.queries = queries_of(data, batch)
        self.index = _filled(self.nearfield, data)

    def time_search(self, data: str, batch: int, ef_search: int, threads: int) -> None:
        self.index.search(self.queries, K, ef_search=ef_search, threads=threads)


class SearchToMargin:
    """The same, where walks end by distance."""

    params = (["minilm-debian", "glove100", "sift"], [1, 4096], [0.04, 0.08])
    param_names = ("data", "batch", "margin")

    def setup(self, data: str, batch: int, margin: float) -> None:
        self.nearfield = library()
        self.queries = queries_of(data, batch)
        self.index = _filled(self.nearfield, data)

    def time_search(self, data: str, batch: int, margin: float) -> None:
        self.index.search(self.queries, K, margin=margin, threads=1)


class Quality:
    """What 1,000 queries find at one breadth, and what a row costs."""

    params = (["minilm-debian", "glove100", "sift"], [16, 64])
    param_names = ("data", "ef_search")

    def setup(self, data: str, ef_search: int) -> None:
        self.nearfield = library()
        self.queries = queries_of(data, 1000)
        self.index = _filled(self.nearfield, data)

    def track_recall(self, data: str, ef_search: int) -> float:
        exact = filled_index(self.nearfield, data).search(self.queries, K).scores
        found = self.index.search(self.queries, K, ef_search=ef_search).scores
        last = exact[:, -1:]
        return float(np.mean(found <= last if METRICS[data] == "l2" else found >= last))

    def track_bytes_per_vector(self, data: str, ef_search: int) -> float:
        return float(self.index.nbytes / len(self.index))


class Build:
    """20,000 rows into an empty graph, on two threads."""

    params = (["minilm-debian", "glove100", "sift"],)
    param_names = ("data",)
    timeout = 300

    def setup(self, data: str) -> None:
        self.nearfield = library()
        _kind(self.nearfield)
        self.rows = rows_of(data)

    def time_add_at_once(self, data: str) -> None:
        _empty(self.nearfield, data).add(self.rows, threads=2)

    def time_add_by_thousands(self, data: str) -> None:
        index = _empty(self.nearfield, data)
        for first in range(0, len(self.rows), 1000):
            index.add(self.rows[first : first + 1000], threads=2)


class Change:
    """A few rows into and out of a full graph, which is built anew for every sample."""

    params = (["minilm-debian", "sift"],)
    param_names = ("data",)
    number = 1
    repeat = (3, 10, 5.0)

    def setup(self, data: str) -> None:
        nearfield = library()
        self.index = _filled(nearfield, data)
        self.more = queries_of(data, 1000)
        self.gone = np.arange(0, len(self.index), 5)

    def time_add_one_by_one(self, data: str) -> None:
        for i in range(100):
            self.index.add(self.more[i : i + 1])

    def time_add_a_thousand(self, data: str) -> None:
        self.index.add(self.more, threads=2)

    def time_remove_a_fifth(self, data: str) -> None:
        self.index.remove(self.gone)
