"""The rows of a flat index on a device, stored as they are: :class:`ResidentRows`.

They lie in the order of their labels, so that of equal scores the smaller label is the earlier row.
"""

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
    from ..._core import Index as CoreIndex
    from ...index import Index

__all__ = ["ResidentRows", "RowCopy", "by_label", "in_order"]

_BLOCK_BYTES = 1 << 24


class RowCopy(NamedTuple):
    """Rows on a device.

    Attributes
    ----------
    version : int
        Of the index's rows.
    rows : DeviceMatrix
    labels, constants, order : tuple, optional
        ``(keeper, address)`` of an int64 per row, None where rows are called by their number; of
        what scans need; and of the row of the index that each is, None where it is the same.
    """

    version: int
    rows: DeviceMatrix
    labels: tuple[Any, int] | None
    constants: tuple[Any, int]
    order: tuple[Any, int] | None = None

    @property
    def row_count(self) -> int:
        """Rows that are there."""
        return self.rows.place[1]

    @classmethod
    def of(
        cls, core: CoreIndex, labels: NDArray[np.int64], version: int, device: int, stream: int
    ) -> RowCopy:
        """Copy the rows of some labels, in their order."""
        n, dim, dtype = len(labels), core.dim, core.dtype
        rows = library().DeviceArray((max(n, 1), dim), dtype, device, stream)
        row_bytes = rows.nbytes // max(n, 1)
        step = max(_BLOCK_BYTES // row_bytes, 1)
        for first in range(0, n, step):
            block = core.reconstruct(labels[first : first + step], [])
            library().upload(rows, _as_stored(block, dtype).reshape(-1), first * row_bytes)
        numbered = bool((labels == np.arange(n)).all())
        names = None if numbered else uploaded(labels, device, stream)
        place = (rows._address, n, dim, dim, dtype)
        constants = _constants(place, core.metric, device, stream)
        return cls(version, DeviceMatrix(place, False, rows), names, constants)


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
        copy: RowCopy,
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
            mask=in_order(mask, copy.order, copy.row_count, self.device, stream),
            labels=copy.labels,
            constants=copy.constants,
        )

    def _copied(self, version: int) -> RowCopy:
        labels, order = by_label(self._core.labels())
        copy = RowCopy.of(self._core, labels, version, self.device, self.stream)
        if order is None:
            return copy
        return copy._replace(order=uploaded(order, self.device, self.stream))


def by_label(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32] | None]:
    """Return labels in ascending order, and the row of each; None where they are so already."""
    if bool((labels[1:] > labels[:-1]).all()):
        return labels, None
    order = np.argsort(labels)
    return labels[order], order.astype(np.uint32)


def in_order(mask: Any, order: Any, n: int, device: int, stream: int) -> Any:
    """Return a mask by row of the index, ``(keeper, address)`` or None, by row of its copy."""
    if mask is None or order is None:
        return mask
    picked = library().DeviceArray((max(n, 1),), "uint8", device, stream)
    library().pick_bytes(mask[1], order[1], n, picked._address, (device, stream))
    return picked, picked._address


def _constants(
    place: tuple[int, int, int, int, str], metric: str, device: int, stream: int
) -> tuple[Any, int]:
    needed = library().constants_bytes(place)
    there = library().DeviceArray((needed,), "uint8", device, stream)
    at = there._address
    library().compute_constants(place, metric, at, device, stream)
    return there, at


def _as_stored(block: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return rows that were widened exactly in the type they are stored in."""
    if dtype == "bfloat16":
        return (block.view(np.uint32) >> 16).astype(np.uint16)
    return block.astype(dtype, copy=False)
