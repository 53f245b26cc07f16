"""What every index on a device shares: :class:`Resident`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..._core import map_queries
from ...arguments import as_positive, as_threads, check_result_size
from ...corpus_adapters import as_shares
from ...queries import Queries, as_mapped
from ...result import SearchResult
from ...tuning import as_recall, params_reaching
from .. import transforms
from ..arrays import DeviceMatrix, device_of, is_on_device
from ..holding import reading
from ..library import library
from ..owners import Owner, owner_of
from ..search import mask_on_device, uploaded
from ..streams import as_stream

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["Copy", "Resident", "keeps_rows"]

_REFINING = frozenset({"rerank", "epsilon"})


def keeps_rows(index: Index) -> bool:
    """Tell whether an index keeps rows as they are, which a device reads, alone or beside codes."""
    return index.refine is not None or index.quantizer == index._core.dtype


class Copy(Protocol):
    """What searches read on the device, as the index was at one version."""

    @property
    def version(self) -> int:
        """Of the index's rows."""

    @property
    def row_count(self) -> int:
        """Rows that are there: as long is the mask of a filter."""


class Resident(ABC):
    """An index on one device, in a stream of its own.

    A kind says which indexes it takes, what it copies, and how a search of the copy is enqueued.

    Parameters
    ----------
    index : Index
        One that the kind takes.
    device : int
        Number of the device.

    Raises
    ------
    DeviceError
        No device, or too little memory on it.
    """

    what: ClassVar[str]
    """The indexes it takes, in words for messages."""

    parameters: ClassVar[frozenset[str]] = frozenset()
    """What a search takes beside filter, transform, recall, threads and stream."""

    folds: ClassVar[bool] = False
    """Whether its searches take corpus adapters, as shares in ``params["corpus_adapter"]``."""

    fuses_maps: ClassVar[bool] = False
    """Whether its searches map their queries themselves, in the launch that prepares them."""

    def __init__(self, index: Index, device: int) -> None:
        self.device = device
        self._index = index  # it stays on the CPU
        self._core = index._core
        self._live = index._rows
        self._stream = library().Stream(device)
        with self._live.unchanging() as version:
            self._copy = self._copied(version)

    def __del__(self) -> None:
        # What was made on the streams is freed while they are still there.
        streams = [self.__dict__.get(name) for name in ("_stream", "_away")]
        self.__dict__.clear()
        del streams

    @staticmethod
    @abstractmethod
    def takes(index: Index) -> bool:
        """Tell whether an index can be searched on a device by this kind."""

    @abstractmethod
    def _copied(self, version: int) -> Copy:
        """Copy what searches read; the index does not change meanwhile."""

    @abstractmethod
    def _enqueue(
        self,
        owner: Owner,
        q: DeviceMatrix,
        copy: Any,
        k: int,
        mask: Any,
        params: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        """Enqueue a search on `stream`; results are the owner's arrays.

        mask is what :meth:`_mask` returned, by default ``(keeper, address)`` of a byte per row or
        None; params are the search's own, those
        that :attr:`parameters` names, and what the index has where a call does not give them.
        """

    @property
    def devices(self) -> tuple[int, ...]:
        """Numbers of the devices the copy is on; queries and results are on the first."""
        return (self.device,)

    @property
    def where(self) -> str:
        """Names of the devices."""
        return ",".join(f"cuda:{device}" for device in self.devices)

    @property
    def stream(self) -> int:
        """Handle of the stream the copy belongs to."""
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
        known = self._known()
        unknown = [name for name in params if name not in known | {"stream"}]
        if corpus_adapter is not None and not self.folds:
            unknown.append("corpus_adapter")
        if unknown:
            taken = ", ".join(["filter", "transform", "recall", "threads", *sorted(known)])
            raise TypeError(
                f"search() got {', '.join(unknown)} for rows on {self.where}, which "
                f"takes only {taken} and stream; use index.to('cpu')"
            )
        own = {name: value for name, value in params.items() if name != "stream"}
        if recall is not None and own:
            raise TypeError(
                f"search() got recall together with {', '.join(own)}: recall chooses them"
            )
        own = self._read(own)
        if corpus_adapter is not None:
            own["corpus_adapter"] = as_shares(corpus_adapter)
        stream, threads = params.get("stream"), as_threads(threads)
        k = as_positive(k, name="k")
        if not is_on_device(q):
            if stream is not None:
                raise TypeError(
                    "stream: got one for queries on the CPU, expected None: results are awaited"
                )
            queries = as_mapped("q", q, self._core.dim, *mapped)
            check_result_size(queries.searched, k, self._core)
            own |= self._reaching(recall, k, queries.searched)
            return queries.shaped(self._search_here(queries, k, rows, own, threads))
        return self._search_there(q, k, rows, own, recall, stream, mapped)

    def _known(self) -> frozenset[str]:
        """Return the search's own parameters; those of codes beside kept rows change nothing."""
        return self.parameters if self._index.refine is None else self.parameters | _REFINING

    def _read(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return the search's own parameters, checked, and those that the index has by default."""
        return self._index._read_params("search", own)

    def _reaching(self, recall: Any, k: int, n: int) -> dict[str, Any]:
        """Return the parameters that reach a recall for n queries; none where none is asked for."""
        return {} if recall is None else params_reaching(self._index, as_recall(recall), k, n)

    def _search_here(
        self, queries: Queries, k: int, rows: Any, own: Mapping[str, Any], threads: int
    ) -> SearchResult:
        q = queries.rows
        if not np.isfinite(q).all():
            where = int(np.argwhere(~np.isfinite(q))[0, 0])
            raise ValueError(f"q: got NaN or infinity in row {where}, expected finite numbers")
        keep, address = uploaded(q, self.device, self.stream)
        place = (address, *q.shape, q.shape[1], "float32")
        there, beyond = DeviceMatrix(place, False, keep), None
        if queries.plan is not None:
            dim, on = self._core.dim, self.stream
            made = transforms.unmapped if self.fuses_maps else transforms.mapped
            there, beyond = made(there, queries.plan, dim, self.device, on, checks=True)
        with reading(self.device, self.stream):  # of a filter that is there
            found = self._run(None, there, k, rows, own, self.stream)
        ids, scores, counts = map(self._downloaded, found)
        is_beyond = None if beyond is None else self._downloaded(beyond)
        library().synchronize(self.device, self.stream)
        if queries.map is not None and is_beyond is not None and is_beyond.any():
            map_queries(queries.map, q, threads)  # which says where
        return SearchResult(ids, scores, counts)

    def _search_there(
        self,
        q: Any,
        k: int,
        rows: Any,
        own: dict[str, Any],
        recall: Any,
        stream: Any,
        mapped: tuple[Any, Any, Any],
    ) -> SearchResult:
        device = device_of(q, "q", otherwise=self.device)
        if device != self.device:
            raise ValueError(
                f"q: got an array on cuda:{device}, expected one on cuda:{self.device}, where the "
                "rows of the index are"
            )
        on = owner_of(q).current_stream(device) if stream is None else as_stream(stream, device)
        dim, fuses = self._core.dim, self.fuses_maps
        with reading(device, on):
            there, lead = transforms.queries_there("q", q, dim, mapped, device, on, fuses=fuses)
            own |= self._reaching(recall, k, there.place[1])
            return transforms.shaped(self._run(q, there, k, rows, own, on), lead)

    def _run(
        self,
        caller: Any,
        q: DeviceMatrix,
        k: int,
        rows: Any,
        own: Mapping[str, Any],
        stream: int,
    ) -> SearchResult:
        def enqueued(filter_rows: Any) -> SearchResult:
            copy = self._current()
            # After the copy of the rows, and before they are freed.
            library().wait_for(self.device, stream, self.stream)
            mask = self._mask(filter_rows, copy, stream)
            try:
                return self._enqueue(owner_of(caller), q, copy, k, mask, own, stream)
            finally:  # a search that fails halfway may read the copy all the same
                library().wait_for(self.device, self.stream, stream)

        return enqueued(rows) if is_on_device(rows) else self._live.masked(rows, enqueued)

    def _mask(self, rows: Any, copy: Any, stream: int) -> Any:
        """Return a filter on the device as :meth:`_enqueue` takes it."""
        return mask_on_device(rows, copy.row_count, self.device, stream)

    def add(
        self, rows: NDArray[Any], labels: NDArray[np.int64] | None, replace: bool, threads: int
    ) -> None:
        """Add rows to the index, as its native object takes them; the device may help."""
        self._core.add(rows, labels, replace, threads)

    def _downloaded(self, array: Any) -> NDArray[Any]:
        out = np.empty(array.shape, array.dtype)
        library().download(out.reshape(-1), array._address, self.device, self.stream)
        return out

    def _current(self) -> Copy:
        """Return a copy of the index as it is now."""
        copy = self._copy
        if copy.version == self._live.version:
            return copy
        with self._live.unchanging() as version:
            if self._copy.version != version:
                self._copy = self._copied(version)
            return self._copy
