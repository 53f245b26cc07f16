"""The codes of a flat index on a device: :class:`ResidentCodes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..label_order import in_order
from ..library import library
from ..owners import Owner
from ..search import address_of, answered, scan_choice, uploaded
from .base import Resident

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["ResidentCodes"]

_BLOCK_BYTES = 1 << 24


class _Copy(NamedTuple):
    version: int
    row_count: int
    coded: Any
    labels: tuple[Any, int] | None
    places: tuple[Any, int] | None  # in masks, where that is not the order of rows
    keep: tuple[Any, ...]


class ResidentCodes(Resident):
    """Rows stay codes; a search decodes them, a part at a time, and is exact over what they say."""

    what = "a FlatIndex of sq, pq, opq or rabitq codes without refine"

    slice_rows: ClassVar[int] = 0
    """Rows that are decoded at a time; 0: as many as take 256 MB."""

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index is a flat one of codes alone."""
        return (
            type(index).__name__ == "FlatIndex"
            and index.quantizer != index._core.dtype
            and index.refine is None
        )

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
        native, place = library(), (self.device, stream)
        mask = in_order(mask, copy.places, copy.row_count, *place)
        extras = (address_of(mask), address_of(copy.labels))
        asked = (self._core.metric, k, *extras, self.slice_rows, scan_choice())
        needed = native.coded_scratch_bytes(q.place, copy.coded, asked)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            native.search_coded(q.place, copy.coded, asked, out, scratch, *place)

        return answered(owner, q, k, needed, place, enqueue)

    def _copied(self, version: int) -> _Copy:
        native = library()
        if not self._core.is_trained:
            return _Copy(version, 0, self._nothing(), None, None, ())
        codes = native.LiveCodes(self._core)
        n, size = len(codes), codes.code_size
        there = native.DeviceArray((max(n * size, 1),), "uint8", self.device, self.stream)
        step = max(_BLOCK_BYTES // size, 1)
        for first in range(0, n, step):
            block = codes.codes(first, min(step, n - first))
            native.upload(there, block.reshape(-1), first * size)
        decoding = codes.decoding()
        table, rotation = self._sent(decoding.table()), self._sent(decoding.rotation())
        turn = rotation[1] if len(decoding.rotation()) else 0
        coded = native.CodedRows(decoding, there._address, table[1], turn, n)
        labels, places = codes.labels(), codes.places()
        as_added = bool((places == np.arange(n)).all())
        numbered = bool((labels == np.arange(n)).all())
        names = None if numbered else self._sent(labels)
        return _Copy(
            version,
            n,
            coded,
            names,
            None if as_added else self._sent(places),
            (there, table, rotation),
        )

    def _nothing(self) -> Any:
        """Return what an index has before it is trained: no rows."""
        return library().CodedRows(library().no_decoding(self._core.dim), 0, 0, 0, 0)

    def _sent(self, array: Any) -> tuple[Any, int]:
        return uploaded(array, self.device, self.stream)
