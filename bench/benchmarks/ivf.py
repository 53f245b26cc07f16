"""Inverted lists on slices of real data: train, add, search by batch and lists looked into."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .slices import METRICS, library, queries_of, rows_of

LISTS = 256


def _filled(nearfield: Any, data: str) -> Any:
    rows = rows_of(data)
    index = nearfield.IVFIndex(rows.shape[1], LISTS, METRICS[data])
    index.train(rows, threads=2)
    index.add(rows, threads=2)
    return index


class Search:
    """20,000 rows in 256 lists; seconds per call."""

    params = (["minilm-debian", "glove100", "sift"], [1, 64, 4096], [4, 32], [1, 2])
    param_names = ("data", "batch", "nprobe", "threads")

    def setup(self, data: str, batch: int, nprobe: int, threads: int) -> None:
        self.queries = queries_of(data, batch)
        self.index = _filled(library(), data)

    def time_search(self, data: str, batch: int, nprobe: int, threads: int) -> None:
        self.index.search(self.queries, 10, nprobe=nprobe, threads=threads)


class Change:
    """Training, adding, removing, saving and loading, on two threads."""

    params = (["minilm-debian", "sift"],)
    param_names = ("data",)

    def setup(self, data: str) -> None:
        self.nearfield = library()
        self.rows = rows_of(data)
        self.index = _filled(self.nearfield, data)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "index.nf"
        self.index.save(self.path)

    def teardown(self, data: str) -> None:
        self.folder.cleanup()

    def time_train(self, data: str) -> None:
        self.nearfield.IVFIndex(self.rows.shape[1], LISTS, METRICS[data]).train(self.rows)

    def time_add_one_by_one(self, data: str) -> None:
        for i in range(100):
            self.index.add(self.rows[i : i + 1])

    def time_save(self, data: str) -> None:
        self.index.save(self.path, durable=False)

    def time_load(self, data: str) -> None:
        self.nearfield.load(self.path)

    def track_bytes_per_vector(self, data: str) -> float:
        return float(self.index.nbytes / len(self.index))
