"""Empty indexes of each library and kind, with the same settings for bench.filtered and .stream."""

from __future__ import annotations

from typing import Any

from bench.pareto.methods.base import required
from bench.pareto.methods.faiss_ivf import list_count

LINKS, EF_CONSTRUCTION = 16, 200  # of every graph


def nearfield(kind: str, dim: int, n: int, metric: str) -> Any:
    """Return one of our kinds, "flat", "ivf" or "hnsw", for `n` rows."""
    library = required("nearfield")
    if kind == "flat":
        return library.FlatIndex(dim, metric)
    if kind == "ivf":
        return library.IVFIndex(dim, list_count(n), metric)
    return library.HNSWIndex(dim, LINKS, metric, ef_construction=EF_CONSTRUCTION)


def faiss(spec: str, dim: int, n: int, metric: str, threads: int) -> Any:
    """Return what faiss makes of a factory string for `n` rows, and set its threads."""
    library = required("faiss")
    library.omp_set_num_threads(threads)
    kind = library.METRIC_INNER_PRODUCT if metric == "ip" else library.METRIC_L2
    index = library.index_factory(dim, spec.format(lists=list_count(n)), kind)
    if "HNSW" in spec:
        index.hnsw.efConstruction = EF_CONSTRUCTION
    return index


def hnswlib(dim: int, n: int, metric: str, **options: Any) -> Any:
    """Return hnswlib's graph for at most `n` rows."""
    index = required("hnswlib").Index(space="ip" if metric == "ip" else "l2", dim=dim)
    index.init_index(max_elements=n, ef_construction=EF_CONSTRUCTION, M=LINKS, **options)
    return index
