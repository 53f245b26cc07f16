"""Exact search by batch size, k and threads, on slices of real data."""

from __future__ import annotations

from .slices import METRICS, filled_index, library, queries_of, rows_of


class Search:
    """FlatIndex over 20,000 rows; seconds per call."""

    params = (["minilm-debian", "glove100", "sift"], [1, 16, 256, 4096], [10, 100], [1, 2])
    param_names = ("data", "batch", "k", "threads")

    def setup(self, data: str, batch: int, k: int, threads: int) -> None:
        self.queries = queries_of(data, batch)
        self.index = filled_index(library(), data)
        self.index.search(self.queries[:1], k, threads=threads)

    def time_search(self, data: str, batch: int, k: int, threads: int) -> None:
        self.index.search(self.queries, k, threads=threads)


class Filtered:
    """The same search with a tenth of the rows allowed."""

    params = (["minilm-debian"], [1, 256])
    param_names = ("data", "batch")

    def setup(self, data: str, batch: int) -> None:
        self.queries = queries_of(data, batch)
        self.index = filled_index(library(), data)
        self.ids = range(0, len(self.index), 10)
        self.mask = [row % 10 == 0 for row in range(len(self.index))]

    def time_ids(self, data: str, batch: int) -> None:
        self.index.search(self.queries, 10, filter=self.ids)

    def time_mask(self, data: str, batch: int) -> None:
        self.index.search(self.queries, 10, filter=self.mask)


class Topk:
    """nf.topk without an index: what a call on a plain array costs."""

    params = (["minilm-debian", "sift"], [1, 256])
    param_names = ("data", "batch")

    def setup(self, data: str, batch: int) -> None:
        self.topk = library().topk
        self.rows, self.queries = rows_of(data), queries_of(data, batch)

    def time_topk(self, data: str, batch: int) -> None:
        self.topk(self.queries, self.rows, 10, METRICS[data])


class Range:
    """Range search with a threshold that about a hundred rows pass."""

    params = (["minilm-debian", "sift"],)
    param_names = ("data",)

    def setup(self, data: str) -> None:
        self.queries = queries_of(data, 256)
        self.index = filled_index(library(), data)
        self.threshold = float(self.index.search(self.queries, 100).scores[:, -1].mean())

    def time_range_search(self, data: str) -> None:
        self.index.range_search(self.queries, self.threshold)
