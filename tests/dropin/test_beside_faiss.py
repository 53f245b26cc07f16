"""The same calls on FAISS itself give the same, where it is installed."""

from __future__ import annotations

from typing import Any

import nearfield.faiss as ours
import numpy as np
import pytest

theirs = pytest.importorskip(
    "faiss", reason="faiss-cpu is not installed; its conventions are fixed"
)
D = 8


def history(faiss: Any, kind: str, metric: int) -> list[Any]:
    """Return what a program sees that adds, searches, removes and reconstructs."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((300, D)).astype(np.float32)
    q = rng.standard_normal((7, D)).astype(np.float32)
    seen: list[Any] = []
    if kind == "flat":
        index = faiss.IndexFlat(D, metric)
    elif kind == "ivf":
        index = faiss.IndexIVFFlat(faiss.IndexFlat(D, metric), D, 3, metric)
        index.nprobe = 3
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(D, 16, metric)
        index.hnsw.efConstruction, index.hnsw.efSearch = 200, 300
    else:
        index = faiss.IndexIDMap2(faiss.IndexFlat(D, metric))
    seen += [index.is_trained, index.ntotal, index.d, index.metric_type]
    seen += [] if kind == "ivf" else list(index.search(q, 2))
    index.train(x)
    seen.append(index.is_trained)
    if kind == "map":
        index.add_with_ids(x, np.arange(300) * 7)
    else:
        index.add(x)
    if kind == "ivf":
        index.make_direct_map()
        seen += [index.nlist, index.quantizer.ntotal]
    seen += [index.ntotal, *index.search(q, 5), *index.search(q, k=310)]
    seen += [index.reconstruct(14), index.reconstruct_batch(np.array([7, 0]))]
    seen += [] if kind == "map" else [index.reconstruct_n(0, 10)]
    if kind in ("flat", "map"):
        seen += [index.remove_ids(np.array([0, 7, 70, 100000])), index.ntotal, *index.search(q, 9)]
    index.reset()
    seen += [index.ntotal, index.is_trained, *index.search(q, 3)]
    return seen


@pytest.mark.parametrize("metric", [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "map"])
def test_a_program_sees_the_same(kind: str, metric: int) -> None:
    mine, other = history(ours, kind, metric), history(theirs, kind, metric)
    assert len(mine) == len(other)
    for a, b in zip(mine, other, strict=True):
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        else:
            assert a == b


def test_names_and_constants() -> None:
    assert (ours.METRIC_L2, ours.METRIC_INNER_PRODUCT) == (
        theirs.METRIC_L2,
        theirs.METRIC_INNER_PRODUCT,
    )
    on_gpu = {name for name in ours.__all__ if "Gpu" in name or "gpu" in name}
    new = {"IdVector", "ParameterSpace", "Int32Vector", "bruteForceKnn"}
    new |= {name for name in ours.__all__ if name.startswith("INDICES")}
    missing = [n for n in ours.__all__ if n not in on_gpu | new and not hasattr(theirs, n)]
    assert not missing
    assert (ours.IndexHNSWFlat(4).hnsw.efSearch, theirs.IndexHNSWFlat(4, 32).hnsw.efSearch) == (
        16,
        16,
    )
    x = np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)
    y = x.copy()
    ours.normalize_L2(x)
    theirs.normalize_L2(y)
    np.testing.assert_allclose(x, y, rtol=1e-6)
    for a, b in zip(ours.knn(x, x, 3), theirs.knn(x, x, 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
