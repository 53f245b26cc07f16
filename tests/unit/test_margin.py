"""Lists left out because they are much further than the nearest: `margin`."""

from __future__ import annotations

import math
from typing import Any

import nearfield as nf
import numpy as np
import pytest

N, DIM, NLIST = 2000, 12, 24


def index_of(metric: Any, **more: Any) -> tuple[nf.IVFIndex, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    middles = rng.standard_normal((40, DIM)) * 3
    x = (middles[rng.integers(40, size=N)] + rng.standard_normal((N, DIM))).astype(np.float32)
    q = (middles[rng.integers(40, size=50)] + 2 * rng.standard_normal((50, DIM))).astype(np.float32)
    index = nf.IVFIndex(DIM, NLIST, metric, **more)
    index.train(x)
    index.add(x)
    return index, x, q


def allowed(index: nf.IVFIndex, x: np.ndarray, q: np.ndarray, nprobe: int, margin: float) -> Any:
    """Return which rows a query may find: those of lists that are near enough."""
    centres = index.centroids.astype(np.float64)

    def far(rows: np.ndarray) -> np.ndarray:
        wide = rows.astype(np.float64)
        if index.metric == "l2":
            return np.linalg.norm(wide[:, None] - centres, axis=2)
        return -(wide @ centres.T) / np.linalg.norm(wide, axis=1, keepdims=True)

    home = far(x).argmin(axis=1)
    distances = far(q)
    order = np.argsort(distances, axis=1)[:, :nprobe]
    near = distances <= distances.min(axis=1, keepdims=True) + margin
    chosen = np.zeros_like(near)
    np.put_along_axis(chosen, order, True, axis=1)
    return (chosen & near)[:, home]


@pytest.mark.parametrize("more", [{}, {"quantizer": "pq6x4", "refine": "float32"}], ids=str)
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_only_lists_within_the_margin_answer(metric: Any, more: Any) -> None:
    index, x, q = index_of(metric, **more)
    extra = {"rerank": N} if more else {}
    exact = nf.FlatIndex(DIM, metric)
    exact.add(x)
    scale = 1.5 if metric == "l2" else 0.15
    seen = 0
    for nprobe, margin in ((6, scale), (NLIST, scale), (NLIST, 3 * scale)):
        rows = allowed(index, x, q, nprobe, margin)
        found = index.search(q, 3, nprobe=nprobe, margin=margin, **extra)
        for i in np.flatnonzero(rows.sum(axis=1) >= 3):
            expected = exact.search(q[i], 3, filter=rows[i])
            assert found.ids[i].tolist() == expected.ids.tolist()
            assert found.scores[i].tolist() == expected.scores.tolist()
            seen += 1
        for size, threads in ((1, 1), (7, 2), (50, 1)):
            part = index.search(q[:size], 3, nprobe=nprobe, margin=margin, threads=threads, **extra)
            assert part.ids.tolist() == found.ids[:size].tolist()
    assert seen > 100


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_wide_and_narrow_margins(metric: Any) -> None:
    index, _, q = index_of(metric)
    wide = index.search(q, 5, nprobe=9, margin=1e9)
    assert wide.ids.tolist() == index.search(q, 5, nprobe=9).ids.tolist()
    narrow = index.search(q, 5, nprobe=9, margin=0)
    assert narrow.ids.tolist() == index.search(q, 5, nprobe=1).ids.tolist()
    # Too few rows in the lists that are left: others are looked into as well.
    everything = index.search(q, N, nprobe=2, margin=0)
    assert (everything.counts == N).all()
    many = index.search(q, 400, nprobe=9, margin=0)
    assert (many.counts == 400).all()
    limit = float(np.median(wide.scores))
    hits = index.range_search(q, limit, nprobe=1)
    assert index.range_search(q, limit, nprobe=9, margin=0).ids.tolist() == hits.ids.tolist()


def test_margins_that_are_none() -> None:
    index, _, q = index_of("l2")
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin: got"):
            index.search(q, margin=bad)
    with pytest.raises(TypeError, match="margin: got '1'"):
        index.search(q, margin="1")
    with pytest.raises(TypeError, match="unknown parameters 'margin'"):
        nf.FlatIndex(2).search(np.float32([1, 2]), margin=1.0)
