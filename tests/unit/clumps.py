"""Rows in clumps, and indexes over them, for the tests of inverted lists and graphs."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import nearfield as nf
import numpy as np

METRICS = ("l2", "ip", "cosine")
STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
DTYPES: dict[str, Any] = {**{name: name for name in STORAGES}, "bfloat16": ml_dtypes.bfloat16}


def rows_of(storage: str, n: int, dim: int, seed: int = 0) -> Any:
    """Return rows in a few clumps, as values that the storage type holds exactly."""
    rng = np.random.default_rng(seed)
    middles = rng.integers(20, 60, (7, dim))
    whole = middles[rng.integers(0, 7, n)] + rng.integers(-20, 21, (n, dim))
    return (whole if storage in ("int8", "uint8") else whole - 40).astype(DTYPES[storage])


def ivf(x: Any, nlist: int = 12, metric: Any = "l2", ids: Any = None, **kwargs: Any) -> nf.IVFIndex:
    index = nf.IVFIndex(np.shape(x)[1], nlist, metric, **kwargs)
    index.train(x)
    index.add(x, ids)
    return index


def graph(x: Any, m: int = 8, metric: Any = "l2", ids: Any = None, **kwargs: Any) -> nf.HNSWIndex:
    index = nf.HNSWIndex(np.shape(x)[1], m, metric, **{"ef_construction": 60, **kwargs})
    if not index.is_trained:
        index.train(x)
    index.add(x, ids)
    return index


def flat_of(index: nf.Index, x: Any, ids: Any = None) -> nf.FlatIndex:
    flat = nf.FlatIndex(index.dim, index.metric, quantizer=index.quantizer)
    flat.add(x, ids)
    return flat


def state(index: nf.Index) -> tuple[Any, ...]:
    return index.ids.tolist(), index.reconstruct(index.ids).tolist()


def assert_same(found: Any, expected: Any) -> None:
    for name, got, wanted in zip(found._fields, found, expected, strict=True):
        assert np.array(got).tobytes() == np.array(wanted).tobytes(), name


def homes(index: nf.IVFIndex) -> np.ndarray:
    """Return the list of every row, by the definition."""
    rows = index.reconstruct(index.ids)
    return nf.topk(rows, index.centroids, 1, index.metric).ids[:, 0]
