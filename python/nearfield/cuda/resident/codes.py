"""The codes of a flat index on a device: :class:`ResidentCodes`.

They lie in the order of their labels, as rows do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...result import SearchResult
from ..arrays import DeviceMatrix
from ..label_order import in_order
from ..library import library
from ..owners import Owner
from ..search import address_of, answered, scan_choice, uploaded
from .base import Resident
from .lists import Sent

if TYPE_CHECKING:
    from ..._core import Index as CoreIndex
    from ...index import Index

__all__ = ["CodeCopy", "ResidentCodes"]


class CodeCopy(NamedTuple):
    """Codes on a device.

    Attributes
    ----------
    version, row_count : int
        Of the index's rows, and how many are there.
    coded : CodedRows
        The native module's.
    labels : int
        Address of an int64 per row; 0: rows are called by their number.
    places : tuple, optional
        ``(keeper, address)`` of the place of each row in masks, None where that is its number.
    keep : tuple
        What is on the device.
    """

    version: int
    row_count: int
    coded: Any
    labels: int = 0
    places: tuple[Any, int] | None = None
    keep: tuple[Any, ...] = ()

    @classmethod
    def nothing(cls, core: CoreIndex, version: int) -> CodeCopy:
        """Return what an index has before it is trained: no rows."""
        native = library()
        return cls(version, 0, native.CodedRows(native.no_decoding(core.dim), 0, 0, 0, 0))

    @classmethod
    def of(
        cls,
        core: CoreIndex,
        codes: Any,
        first: int,
        labels: NDArray[np.int64],
        version: int,
        device: int,
        stream: int,
    ) -> CodeCopy:
        """Copy the codes of some labels, of the native module's ``LiveCodes`` from `first` on."""
        n, sent = len(labels), Sent(core.metric, device, stream)
        coded = sent.coded(codes.decoding(), n, lambda at, count: codes.codes(first + at, count))
        numbered = bool((labels == np.arange(n)).all())
        called = 0 if numbered else sent.array(labels)
        return cls(version, n, coded, called, keep=tuple(sent.keep))

    def asked(self, metric: str, k: int, mask: int) -> tuple[Any, ...]:
        """Return what the native module is asked beside the queries."""
        return (metric, k, mask, self.labels, ResidentCodes.slice_rows, scan_choice())


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
        copy: CodeCopy,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        native, place = library(), (self.device, stream)
        mask = in_order(mask, copy.places, copy.row_count, *place)
        asked = copy.asked(self._core.metric, k, address_of(mask))
        needed = native.coded_scratch_bytes(q.place, copy.coded, asked)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            native.search_coded(q.place, copy.coded, asked, out, scratch, *place)

        return answered(owner, q, k, needed, place, enqueue)

    def _copied(self, version: int) -> CodeCopy:
        if not self._core.is_trained:
            return CodeCopy.nothing(self._core, version)
        codes, place = library().LiveCodes(self._core), (self.device, self.stream)
        copy = CodeCopy.of(self._core, codes, 0, codes.labels(), version, *place)
        places = codes.places()
        if bool((places == np.arange(len(places))).all()):
            return copy
        return copy._replace(places=uploaded(places, *place))
