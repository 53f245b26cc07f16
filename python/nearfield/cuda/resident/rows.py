"""The rows of a flat index on a device, stored as they are: :class:`ResidentRows`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..library import library
from ..owners import Owner
from ..search import run, uploaded
from .base import Resident

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["ResidentRows"]

_BLOCK_BYTES = 1 << 24


class _Copy(NamedTuple):
    version: int
    rows: DeviceMatrix
    labels: tuple[Any, int] | None
    constants: tuple[Any, int]

    @property
    def row_count(self) -> int:
        return self.rows.place[1]


class ResidentRows(Resident):
    """Every row is scored; answers are exact."""

    what = "a FlatIndex of float32, float16, bfloat16, int8 or uint8 rows"

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index is a flat one of rows as they are."""
        return type(index).__name__ == "FlatIndex" and index.quantizer == index._core.dtype

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: _Copy,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        return run(
            owner,
            q,
            copy.rows,
            k,
            self._core.metric,
            self.device,
            stream,
            mask=mask,
            labels=copy.labels,
            constants=copy.constants,
        )

    def _copied(self, version: int) -> _Copy:
        labels = self._core.labels()
        n, dim, dtype = len(labels), self._core.dim, self._core.dtype
        rows = library().DeviceArray((max(n, 1), dim), dtype, self.device, self.stream)
        row_bytes = rows.nbytes // max(n, 1)
        step = max(_BLOCK_BYTES // row_bytes, 1)
        for first in range(0, n, step):
            block = self._core.reconstruct(labels[first : first + step], [])
            library().upload(rows, _as_stored(block, dtype).reshape(-1), first * row_bytes)
        numbered = bool((labels == np.arange(n)).all())
        names = None if numbered else uploaded(labels, self.device, self.stream)
        place = (rows._address, n, dim, dim, dtype)
        return _Copy(version, DeviceMatrix(place, False, rows), names, self._constants(place))

    def _constants(self, place: tuple[int, int, int, int, str]) -> tuple[Any, int]:
        needed = library().constants_bytes(place)
        there = library().DeviceArray((needed,), "uint8", self.device, self.stream)
        at, metric = there._address, self._core.metric
        library().compute_constants(place, metric, at, self.device, self.stream)
        return there, at


def _as_stored(block: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return rows that were widened exactly in the type they are stored in."""
    if dtype == "bfloat16":
        return (block.view(np.uint32) >> 16).astype(np.uint16)
    return block.astype(dtype, copy=False)
