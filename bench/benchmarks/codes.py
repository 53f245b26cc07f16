"""Small codes in inverted lists and in a flat index, on slices of real data."""

from __future__ import annotations

from typing import Any

from .slices import METRICS, library, queries_of, rows_of

LISTS = 256
CODINGS: dict[str, dict[str, str]] = {
    "sq8": {"quantizer": "sq8"},
    "rabitq4": {"quantizer": "rabitq4"},
    "pq8": {"quantizer": "pq{eighth}x8"},
    "pq4+float16": {"quantizer": "pq{half}x4", "refine": "float16"},
    "rabitq1+float16": {"quantizer": "rabitq1", "refine": "float16"},
}
"""Quantizers by how many bits an element gets; `half` and `eighth` are of the columns, roughly."""


def _coding(name: str, dim: int) -> dict[str, str]:
    def parts(of: int) -> int:
        return next(count for count in range(max(1, dim // of), 0, -1) if dim % count == 0)

    return {
        key: value.format(half=parts(2), eighth=parts(8)) for key, value in CODINGS[name].items()
    }


def _filled(nearfield: Any, data: str, coding: str, lists: int) -> Any:
    rows = rows_of(data)
    dim, more = rows.shape[1], _coding(coding, rows.shape[1])
    if lists:
        index = nearfield.IVFIndex(dim, lists, METRICS[data], **more)
    else:
        index = nearfield.FlatIndex(dim, METRICS[data], **more)
    index.train(rows, threads=2)
    index.add(rows, threads=2)
    return index


class Search:
    """20,000 rows, in 256 lists of which 16 are looked into, or flat; seconds per call."""

    params = (["minilm-debian", "glove100"], list(CODINGS), [1, 4096], [0, LISTS])
    param_names = ("data", "coding", "batch", "lists")

    def setup(self, data: str, coding: str, batch: int, lists: int) -> None:
        self.queries = queries_of(data, batch)
        self.index = _filled(library(), data, coding, lists)
        self.asked = {"nprobe": 16} if lists else {}

    def time_search(self, data: str, coding: str, batch: int, lists: int) -> None:
        self.index.search(self.queries, 10, threads=1, **self.asked)

    def track_bytes_per_vector(self, data: str, coding: str, batch: int, lists: int) -> float:
        return float(self.index.nbytes / len(self.index))
