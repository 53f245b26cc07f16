"""The lists of an inverted file on a device, rows as codes: :class:`ResidentCodedLists`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ..library import library
from .lists import Place, ResidentLists, Sent

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["ResidentCodedLists", "codes_in_lists", "place_of_decoded"]


def place_of_decoded(order: Any, dim: int) -> tuple[Place, int]:
    """Return what rows are that are nowhere until they are decoded: without address, constants."""
    return (0, len(order), dim, dim, "float32"), 0


def codes_in_lists(sent: Sent, order: Any, listed: Any, slice_rows: int) -> Any:
    """Return the codes of an order of rows, as the native module searches them."""
    native = library()
    decoding = native.decoding_of_lists(order)
    coded = sent.coded(decoding, len(order), partial(native.codes_of_lists, order))
    centres = native.centres_of_lists(order)
    of_lists = 0 if centres is None else sent.array(centres)
    return native.CodedLists(coded, listed, of_lists, slice_rows)


class ResidentCodedLists(ResidentLists):
    """Rows stay codes; a search decodes those of the lists it looks into, a part at a time."""

    what = "an IVFIndex of such codes without refine"

    slice_rows: ClassVar[int] = 0
    """Rows that are decoded at a time; 0: as many as take 256 MB."""

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index has lists of codes alone."""
        return (
            type(index).__name__ == "IVFIndex"
            and index.quantizer != index._core.dtype
            and index.refine is None
        )

    def _native(self) -> tuple[Callable[..., int], Callable[..., None]]:
        return library().coded_list_scratch_bytes, library().search_coded_lists

    def _stored(self, sent: Sent, order: Any) -> tuple[Place, int]:
        return place_of_decoded(order, self._core.dim)

    def _searched(self, sent: Sent, order: Any, listed: Any) -> Any:
        return codes_in_lists(sent, order, listed, self.slice_rows)
