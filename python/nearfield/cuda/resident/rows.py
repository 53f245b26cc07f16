"""The rows of a flat index on a device, stored as they are: :class:`ResidentRows`.

They lie in the order of their labels, so that of equal scores the smaller label is the earlier row.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ...result import SearchResult
from .. import folded
from ..arrays import DeviceMatrix
from ..label_order import by_label, in_order
from ..library import library
from ..owners import Owner
from ..search import run, scan_choice, uploaded
from .base import Resident, keeps_rows

if TYPE_CHECKING:
    from ..._core import Index as CoreIndex
    from ...index import Index

__all__ = ["ResidentRows", "RowCopy"]

_BLOCK_BYTES = 1 << 24


class RowCopy(NamedTuple):
    """Rows on a device.

    Attributes
    ----------
    version : int
        Of the index's rows.
    rows : DeviceMatrix
    labels, constants, order, codes : tuple, optional
        ``(keeper, address)`` of an int64 per row, None where rows are called by their number; of
        what scans need; of the row of the index that each is, None where it is the same; and of
        bytes beside the rows, None where they are not scanned by them.
    """

    version: int
    rows: DeviceMatrix
    labels: tuple[Any, int] | None
    constants: tuple[Any, int]
    order: tuple[Any, int] | None = None
    codes: tuple[Any, int] | None = None

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

    folds = True
    fuses_maps = True
    what = "a FlatIndex of float32, float16, bfloat16, int8 or uint8 rows, alone or beside codes"

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index is a flat one of rows as they are."""
        return type(index).__name__ == "FlatIndex" and keeps_rows(index)

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
        folding = None
        if params.get("corpus_adapter"):
            copy, folding = self._folded(copy, params["corpus_adapter"], mask)
            # After the adapter's copy, too.
            library().wait_for(self.device, stream, self.stream)
        mask = in_order(mask, copy.order, copy.row_count, self.device, stream)
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
            codes=copy.codes,
            folding=None if folding is None else folding.place,
        )

    def _folded(
        self, copy: RowCopy, shares: Any, mask: Any
    ) -> tuple[RowCopy, folded.Folding | None]:
        """Return an adapter on the device with the copy of the very rows that it describes."""
        with self._live.unchanging() as version:
            if version != copy.version and mask is not None:
                raise ValueError("filter: got one for rows that have changed meanwhile")
            return cast("RowCopy", self._current()), self._foldings.of(shares, version)

    @functools.cached_property
    def _foldings(self) -> folded.Foldings:
        return folded.Foldings(self._core, self.device, self.stream)

    def _copied(self, version: int) -> RowCopy:
        labels, order = by_label(self._core.labels())
        copy = RowCopy.of(self._core, labels, version, self.device, self.stream)
        if scan_choice() == "bytes":
            copy = copy._replace(codes=_codes(copy, self._core.metric, self.device, self.stream))
        if order is None:
            return copy
        return copy._replace(order=uploaded(order, self.device, self.stream))


def _constants(
    place: tuple[int, int, int, int, str], metric: str, device: int, stream: int
) -> tuple[Any, int]:
    needed = library().constants_bytes(place)
    there = library().DeviceArray((needed,), "uint8", device, stream)
    at = there._address
    library().compute_constants(place, metric, at, device, stream)
    return there, at


def _codes(copy: RowCopy, metric: str, device: int, stream: int) -> tuple[Any, int] | None:
    """Make bytes beside float rows, to be scanned; None where rows are bytes."""
    place = copy.rows.place
    if place[4] in ("int8", "uint8"):
        return None
    needed = library().byte_rows_bytes(place)
    there = library().DeviceArray((max(needed, 1),), "uint8", device, stream)
    at = there._address
    library().compute_byte_rows(place, metric, copy.constants[1], at, device, stream)
    return there, at


def _as_stored(block: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return rows that were widened exactly in the type they are stored in."""
    if dtype == "bfloat16":
        return (block.view(np.uint32) >> 16).astype(np.uint16)
    return block.astype(dtype, copy=False)
