"""Indexes on GPUs under FAISS's names: :class:`GpuIndexFlatL2` and the like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ...index import Index as NativeIndex
from ...result import SearchResult
from ..flat import IndexFlat
from ..hnsw import IndexHNSWFlat
from ..index import Index
from ..ivf import IndexIVFFlat
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .options import GpuIndexFlatConfig, GpuIndexIVFFlatConfig
from .placing import Devices

__all__ = [
    "ON_GPU",
    "GpuIndex",
    "GpuIndexFlat",
    "GpuIndexFlatIP",
    "GpuIndexFlatL2",
    "GpuIndexIVFFlat",
]


class GpuIndex(Index):
    """An index that is searched on a GPU; made by its kinds, or by ``index_cpu_to_gpu``."""

    _devices: Devices
    _replicas: tuple[NativeIndex, ...] = ()
    """The index on every GPU where each has all rows; the first is the one they are of."""

    def _placed(self, native: NativeIndex) -> NativeIndex:
        return self._devices.put(native)

    def _all_replicas(self) -> tuple[NativeIndex, ...]:
        if not self._replicas or self._replicas[0] is not self._native:
            self._replicas = self._devices.replicas(self._native)
        return self._replicas

    def _found(self, q: Any, k: int) -> SearchResult:
        """Let every GPU that has all rows answer a part of the queries."""
        replicas = self._all_replicas()[: max(len(q), 1)]
        if len(replicas) == 1 or not isinstance(q, np.ndarray):
            return super()._found(q, k)
        params = self._search_params()
        shares = np.array_split(q, len(replicas))
        with ThreadPoolExecutor(len(replicas)) as threads:
            found = threads.map(
                lambda native, share: native.search(share, k, **params), replicas, shares
            )
            return SearchResult(*map(np.concatenate, zip(*found, strict=True)))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_replicas", None)
        return state

    def getDevice(self) -> int:
        """Return the number of the first GPU."""
        return self._devices.numbers[0]


class GpuIndexFlat(GpuIndex, IndexFlat):
    """Exact search on a GPU.

    Parameters
    ----------
    res : StandardGpuResources
        Accepted.
    d : int or IndexFlat
        Columns of the vectors, or an index whose rows are copied.
    metric : int, default METRIC_L2
        Only beside a number of columns.
    config : GpuIndexFlatConfig, optional
        ``device`` and ``useFloat16``.

    Examples
    --------
    >>> import warnings, numpy as np, nearfield.faiss as faiss
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # where there is no GPU
    ...     index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), 2)
    >>> index.add(np.eye(2))
    >>> index.search(np.eye(2), 1)[1].ravel()
    array([0, 1])
    """

    def __init__(self, res: Any, d: Any, metric: Any = METRIC_L2, config: Any = None) -> None:
        if isinstance(metric, GpuIndexFlatConfig):
            metric, config = METRIC_L2, metric
        config = _config(config, GpuIndexFlatConfig)
        self._devices = Devices((config.device,))
        if config.useFloat16:
            self._stored = "float16"
        if not isinstance(d, Index):
            self._start(d, metric)
            return
        if not isinstance(d, IndexFlat):
            raise TypeError(f"index: got {d!r}, expected an IndexFlat")
        self._start(d.d, d.metric_type)
        self._append(d.reconstruct_n())


class GpuIndexFlatL2(GpuIndexFlat):
    """Squared Euclidean distances on a GPU; see :class:`GpuIndexFlat`."""

    def __init__(self, res: Any, d: Any, config: Any = None) -> None:
        super().__init__(res, _of_metric(d, METRIC_L2), METRIC_L2, config)


class GpuIndexFlatIP(GpuIndexFlat):
    """Inner products on a GPU; see :class:`GpuIndexFlat`."""

    def __init__(self, res: Any, d: Any, config: Any = None) -> None:
        super().__init__(res, _of_metric(d, METRIC_INNER_PRODUCT), METRIC_INNER_PRODUCT, config)


class GpuIndexIVFFlat(GpuIndex, IndexIVFFlat):
    """Inverted lists on a GPU.

    Parameters
    ----------
    res : StandardGpuResources
        Accepted.
    d, nlist, metric : int
        As :class:`IndexIVFFlat` takes them.
    config : GpuIndexIVFFlatConfig, optional
        ``device``.
    """

    def __init__(
        self, res: Any, d: int, nlist: int, metric: int = METRIC_L2, config: Any = None
    ) -> None:
        if isinstance(metric, GpuIndexIVFFlatConfig):
            metric, config = METRIC_L2, metric
        self._devices = Devices((_config(config, GpuIndexIVFFlatConfig).device,))
        self._start_lists(d, nlist, metric)


class _GpuIndexHNSWFlat(GpuIndex, IndexHNSWFlat):
    """A graph on a GPU, which FAISS has not."""


ON_GPU: dict[type[Index], type[GpuIndex]] = {
    IndexFlat: GpuIndexFlat,
    IndexIVFFlat: GpuIndexIVFFlat,
    IndexHNSWFlat: _GpuIndexHNSWFlat,
}
"""Kinds on the CPU, the base of all of its sort, and what they are on a GPU."""


def _config(config: Any, kind: type[Any]) -> Any:
    if config is None:
        return kind()
    if not isinstance(config, kind):
        raise TypeError(f"config: got {config!r}, expected a {kind.__name__}")
    return config


def _of_metric(d: Any, metric: int) -> Any:
    if isinstance(d, Index) and d.metric_type != metric:
        raise ValueError(f"index: got metric {d.metric_type}, expected {metric}")
    return d
