"""The rows of an index on a device: :class:`ResidentRows`, and :func:`moved`.

The index stays whole on the CPU. Its rows are copied to the device once, and again when they have
changed; searches run there. What fails on the device leaves the index as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .._core import map_queries
from ..arguments import as_positive, as_threads, check_result_size
from ..queries import Queries, as_mapped
from ..result import SearchResult
from ..tuning import as_recall
from .arrays import DeviceMatrix, as_device_matrix, device_of, is_on_device
from .library import as_ordinal, library
from .owners import owner_of
from .search import mask_on_device, run, uploaded
from .streams import as_stream

if TYPE_CHECKING:
    from ..index import Index
    from ..placement import PlacedIndex

_Placed = TypeVar("_Placed", bound="PlacedIndex")

__all__ = ["ResidentRows", "moved"]

_BLOCK_BYTES = 1 << 24


class _Copy(NamedTuple):
    version: int
    rows: DeviceMatrix
    labels: tuple[Any, int] | None
    constants: tuple[Any, int] | None


def moved(index: _Placed, device: object) -> _Placed:
    """Return an index that shares everything with `index` and is searched on `device`."""
    ordinal = as_ordinal(device)
    here = index._resident
    if ordinal == (None if here is None else here.device):
        return index
    resident = None if ordinal is None else ResidentRows(cast("Index", index), ordinal)
    other = object.__new__(type(index))
    other.__dict__.update(index.__dict__)
    other._resident = resident
    return other


class ResidentRows:
    """Rows of an index on one device, in a stream of their own.

    Parameters
    ----------
    index : Index
        One whose rows are stored as they are.
    device : int
        Number of the device.

    Raises
    ------
    TypeError
        An index whose searches a device cannot run.
    DeviceError
        No device, or too little memory on it.
    """

    def __init__(self, index: Index, device: int) -> None:
        kind = type(index).__name__
        if kind != "FlatIndex" or index.quantizer != index._core.dtype:
            raise TypeError(
                f"to: got {index!r}, expected a FlatIndex of float32, float16, bfloat16, int8 or "
                f"uint8 rows: a {kind} with {index.quantizer} codes is searched on the CPU only"
            )
        self.device = device
        self._core = index._core
        self._live = index._rows
        self._stream = library().Stream(device)
        with self._live.unchanging() as version:
            self._copy = self._copied(version)

    @property
    def stream(self) -> int:
        """Handle of the stream the rows belong to."""
        return int(self._stream.handle)

    def answer(
        self,
        q: Any,
        k: int,
        rows: Any,
        mapped: tuple[Any, Any, Any],
        corpus_adapter: Any,
        recall: Any,
        threads: Any,
        params: Mapping[str, Any],
    ) -> SearchResult:
        """Answer a search of the index, as its ``search`` takes arguments.

        Queries on the device give results there, and nothing waits; queries on the CPU give NumPy
        arrays.
        """
        if corpus_adapter is not None or params.keys() - {"stream"}:
            unknown = [*params, *(["corpus_adapter"] if corpus_adapter is not None else [])]
            raise TypeError(
                f"search() got {', '.join(unknown)} for rows on cuda:{self.device}, which "
                "takes only filter, transform, recall, threads and stream; use index.to('cpu')"
            )
        if recall is not None:
            as_recall(recall)  # all are found anyway
        stream, threads = params.get("stream"), as_threads(threads)
        k = as_positive(k, name="k")
        if not is_on_device(q):
            if stream is not None:
                raise TypeError(
                    "stream: got one for queries on the CPU, expected None: results are awaited"
                )
            queries = as_mapped("q", q, self._core.dim, *mapped)
            check_result_size(queries.searched, k, self._core)
            return queries.shaped(self._search_here(queries, k, rows, threads))
        if mapped != (None, None, None):
            raise TypeError(
                "transform: got one for queries on a device, expected None: transform them there, "
                "or pass them from the CPU"
            )
        return self._search_there(q, k, rows, stream)

    def _search_here(self, queries: Queries, k: int, rows: Any, threads: int) -> SearchResult:
        q = queries.rows
        if queries.map is not None:
            q = map_queries(queries.map, q, threads)
        if not np.isfinite(q).all():
            where = int(np.argwhere(~np.isfinite(q))[0, 0])
            raise ValueError(f"q: got NaN or infinity in row {where}, expected finite numbers")
        keep, address = uploaded(q, self.device, self.stream)
        place = (address, len(q), self._core.dim, self._core.dim, "float32")
        there = DeviceMatrix(place, False, keep)
        found = self._run(None, there, k, rows, self.stream)
        ids, scores, counts = map(self._downloaded, found)
        library().synchronize(self.device, self.stream)
        return SearchResult(ids, scores, counts)

    def _search_there(self, q: Any, k: int, rows: Any, stream: Any) -> SearchResult:
        device = device_of(q, "q")
        if device != self.device:
            raise ValueError(
                f"q: got an array on cuda:{device}, expected one on cuda:{self.device}, where the "
                "rows of the index are"
            )
        on = owner_of(q).current_stream(device) if stream is None else as_stream(stream, device)
        there = as_device_matrix(q, name="q", device=device, stream=on, dim=self._core.dim)
        owner_of(q).read_on(q, device, on)
        return self._run(q, there, k, rows, on)

    def _run(self, caller: Any, q: DeviceMatrix, k: int, rows: Any, stream: int) -> SearchResult:
        def enqueued(filter_rows: Any) -> SearchResult:
            copy = self._current()
            # After the copy of the rows, and before they are freed.
            library().wait_for(self.device, stream, self.stream)
            mask = mask_on_device(filter_rows, copy.rows.place[1], self.device, stream)
            found = run(
                owner_of(caller),
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
            library().wait_for(self.device, self.stream, stream)
            return found

        return enqueued(rows) if is_on_device(rows) else self._live.masked(rows, enqueued)

    def _downloaded(self, array: Any) -> NDArray[Any]:
        out = np.empty(array.shape, array.dtype)
        library().download(out.reshape(-1), array._address, self.device, self.stream)
        return out

    def _current(self) -> _Copy:
        """Return a copy of the rows as they are now."""
        copy = self._copy
        if copy.version == self._live.version:
            return copy
        with self._live.unchanging() as version:
            if self._copy.version != version:
                self._copy = self._copied(version)
            return self._copy

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

    def _constants(self, place: tuple[int, int, int, int, str]) -> tuple[Any, int] | None:
        needed = library().constants_bytes(place)
        if needed == 0:
            return None
        there = library().DeviceArray((needed,), "uint8", self.device, self.stream)
        at, metric = there._address, self._core.metric
        library().compute_constants(place, metric, at, self.device, self.stream)
        return there, at


def _as_stored(block: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return rows that were widened exactly in the type they are stored in."""
    if dtype == "bfloat16":
        return (block.view(np.uint32) >> 16).astype(np.uint16)
    return block.astype(dtype, copy=False)
