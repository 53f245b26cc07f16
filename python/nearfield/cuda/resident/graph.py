"""The graph of an HNSW index on a device, with its rows: :class:`ResidentGraph`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...filters import LabelSpace, as_mask
from ...result import SearchResult
from ..arrays import DeviceMatrix, is_on_device
from ..library import library
from ..owners import Owner
from ..search import address_of, answered, mask_on_device, uploaded
from .base import Resident, keeps_rows
from .graph_rows import rows_there

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["GraphCopy", "GraphMask", "ResidentGraph"]

_USUAL_BREADTH = 64  # as the CPU's, with a margin and without
_BREADTH_OF_MARGIN = 1024


class GraphCopy(NamedTuple):
    """A graph and its rows on a device."""

    version: int
    graph: Any
    rows: tuple[int, int, int, int, str]  # those that may answer, by ascending label
    labels: tuple[Any, int] | None
    order: tuple[NDArray[Any], tuple[Any, int]] | None  # None: labels ascend as rows came
    keep: tuple[Any, ...]

    @property
    def row_count(self) -> int:
        """Rows that may answer."""
        return self.rows[1]


class GraphMask(NamedTuple):
    """A byte a row that may answer, and how many do."""

    keep: Any
    address: int
    passing: int  # 0: nobody knows


class ResidentGraph(Resident):
    """Walks go by the rows themselves; scores are exact, and which rows are found is approximate.

    Rows of codes alone are decoded when they are copied, to 4 bytes a column: to the rows that the
    CPU compares, which searches read as any rows.

    Where few rows may answer, all of them are scored, as on the CPU; likewise where a mask is on
    the device, for how many it lets answer is not known here, and where a walk is broader than a
    block's memory allows.
    """

    most_compared: ClassVar[int] = 0
    """Rows of a new graph that are compared with all others, at most; 0: as many as is worth it."""

    what = "an HNSWIndex"
    parameters = frozenset({"ef_search", "margin"})

    @staticmethod
    def takes(index: Index) -> bool:
        """Tell whether an index is a graph."""
        return type(index).__name__ == "HNSWIndex"

    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: GraphCopy,
        k: int,
        mask: GraphMask | None,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        wanted, place = self._wanted(copy, k, mask, params), (self.device, stream)
        needed = self._scratch_bytes(copy, q, wanted, self.device)

        def enqueue(out: tuple[int, int, int], scratch: int) -> None:
            self._walk(copy, q, wanted, address_of(mask), out, scratch, place)

        return answered(owner, q, k, needed, place, enqueue)

    def _wanted(
        self, copy: GraphCopy, k: int, mask: GraphMask | None, params: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        margin = float(params.get("margin", math.inf))
        usual = _USUAL_BREADTH if math.isinf(margin) else _BREADTH_OF_MARGIN
        passing = copy.row_count if mask is None else mask.passing
        return (self._core.metric, k, passing, params.get("ef_search", usual), margin)

    @staticmethod
    def _scratch_bytes(
        copy: GraphCopy, q: DeviceMatrix, wanted: tuple[Any, ...], device: int
    ) -> int:
        return int(library().graph_scratch_bytes(copy.graph, q.place, copy.rows, wanted, device))

    @staticmethod
    def _walk(
        copy: GraphCopy,
        q: DeviceMatrix,
        wanted: tuple[Any, ...],
        mask: int,
        out: tuple[int, int, int],
        scratch: int,
        place: tuple[int, int],
    ) -> None:
        asked = (q.place, copy.rows, wanted, (mask, address_of(copy.labels)))
        library().search_graph(copy.graph, *asked, out, scratch, *place)

    def add(
        self, rows: NDArray[Any], labels: NDArray[np.int64] | None, replace: bool, threads: int
    ) -> None:
        """Add rows; where they make a new graph, they are linked on the device.

        The CPU links codes alone.
        """
        if keeps_rows(self._index):
            most = self.most_compared
            library().add_on(self._core, rows, labels, replace, threads, self.device, most)
        else:
            super().add(rows, labels, replace, threads)

    def _mask(self, rows: Any, copy: Any, stream: int) -> GraphMask | None:
        if rows is None:
            return None
        if is_on_device(rows):
            keep, address = mask_on_device(rows, copy.row_count, self.device, stream)
            if copy.order is None:
                return GraphMask(keep, address, 0)
            n, (_, order_at) = copy.row_count, copy.order[1]
            there = library().DeviceArray((max(n, 1),), "uint8", self.device, stream)
            library().order_mask(address, order_at, n, there._address, self.device, stream)
            return GraphMask((there, keep), there._address, 0)
        mask = as_mask(rows, LabelSpace(copy.row_count))
        if mask is None:
            return None
        if copy.order is not None:
            mask = mask[copy.order[0]]
        keep, address = uploaded(mask.view(np.uint8), self.device, stream)
        return GraphMask(keep, address, int(np.count_nonzero(mask)))

    def _copied(self, version: int) -> Any:
        return self._copied_to(version, self.device, self.stream)

    def _copied_to(self, version: int, device: int, stream: int) -> GraphCopy:
        native = library()
        tables = native.GraphTables(self._core)
        labels, places = tables.labels(), tables.places()
        rows = rows_there(self._core, tables, device, stream)

        def there(array: NDArray[Any]) -> tuple[Any, int]:
            return uploaded(array, device, stream)

        links = there(tables.links())
        parts = (tables.node_rows(), tables.below(), tables.upper_links(), tables.starts())
        levels = tuple(there(part) for part in parts)
        # Decoded rows count as unit vectors under cosine.
        constants = None if tables.are_codes else self._constants(rows.place, device, stream)
        at = tuple(at for _, at in levels)
        graph = native.DeviceGraph(tables, links[1], at, address_of(constants), rows.rotation)
        numbers = np.arange(len(labels))
        return GraphCopy(
            version,
            graph,
            (rows.place[0], len(labels), *rows.place[2:]),
            None if (labels == numbers).all() else there(labels),
            None if (places == numbers).all() else (places, there(places)),
            (rows.keep, links, levels, constants),
        )

    def _constants(
        self, place: tuple[int, int, int, int, str], device: int, stream: int
    ) -> tuple[Any, int] | None:
        if self._core.metric != "cosine":
            return None
        native = library()
        needed = native.graph_constants_bytes(place[1])
        there = native.DeviceArray((needed,), "uint8", device, stream)
        native.compute_graph_constants(place, there._address, device, stream)
        return there, there._address
