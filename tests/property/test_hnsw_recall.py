"""Real data: what graphs find, beside exact search and beside the graph of the definition."""

from __future__ import annotations

from functools import cache
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle.hnsw import Hnsw
from property.test_datasets import DATA, SETS, opened

K, QUERIES = 10, 300


@cache
def slice_of(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows from all over a set, and queries."""
    data = opened(name)
    spread = np.linspace(0, len(data.base) - 1, count).astype(int)
    step = len(data.queries) // QUERIES
    return data.base[spread].astype(np.float32), data.queries[::step][:QUERIES].astype(np.float32)


@cache
def clusters(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what lies like real rows, where there are none."""
    rng = np.random.default_rng(7)
    middles = rng.standard_normal((100, 64), dtype=np.float32)
    drawn = middles[rng.integers(0, 100, count + QUERIES)]
    points = drawn + np.float32(0.7) * rng.standard_normal(drawn.shape, dtype=np.float32)
    return points[:count], points[count:]


def rows_and_queries(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    there = (DATA / name / "gt_ids.npy").is_file()
    return slice_of(name, count) if there else clusters(count)


def recall(ids: np.ndarray, rows: np.ndarray, queries: np.ndarray, metric: Any) -> float:
    """Return the share of the nearest rows found, those as near as the last one counted."""
    exact = nf.topk(queries, rows, len(rows), metric)
    scores = np.empty_like(exact.scores)
    np.put_along_axis(scores, exact.ids, exact.scores, axis=1)
    found, last = np.take_along_axis(scores, ids, axis=1), exact.scores[:, K - 1, None]
    return float((found <= last if metric == "l2" else found >= last).mean())


@pytest.mark.parametrize("storage", ["float32", "float16", "sq8"])
@pytest.mark.parametrize("name", SETS)
def test_recall(name: str, storage: str) -> None:
    rows, queries = rows_and_queries(name, 5000)
    metric: Any = SETS[name]
    index = nf.HNSWIndex(rows.shape[1], 16, metric, ef_construction=100, quantizer=storage)
    index.train(rows)
    index.add(rows)
    reached = {
        ef: recall(index.search(queries, K, ef_search=ef).ids, rows, queries, metric)
        for ef in (16, 64, 128, 5000)
    }
    lost = 1.0 - reached[5000]  # by what is stored, not by the graph
    assert lost == 0 or storage != "float32"
    assert lost <= 0.05
    assert reached[64] >= 0.9 - lost
    assert reached[128] >= 0.95 - lost
    assert reached[16] <= reached[64] + 0.005 <= reached[128] + 0.01


@pytest.mark.parametrize("name", SETS)
def test_recall_by_margin(name: str) -> None:
    rows, queries = rows_and_queries(name, 5000)
    metric: Any = SETS[name]
    index = nf.HNSWIndex(rows.shape[1], 16, metric, ef_construction=100)
    index.add(rows)
    reached = [
        recall(index.search(queries, K, margin=margin).ids, rows, queries, metric)
        for margin in (0.02, 0.05, 0.1, 0.15)
    ]
    assert reached == sorted(reached)
    assert reached[1] >= 0.9
    assert reached[3] >= 0.98


@pytest.mark.parametrize("name", SETS)
def test_recall_through_filters(name: str) -> None:
    rows, queries = rows_and_queries(name, 5000)
    metric: Any = SETS[name]
    index = nf.HNSWIndex(rows.shape[1], 16, metric, ef_construction=100)
    index.add(rows)
    rng = np.random.default_rng(1)
    direction = rng.standard_normal(rows.shape[1])
    for share in (0.9, 0.5, 0.2, 0.05, 0.01):
        apart = np.argsort(rows @ direction)[: int(share * len(rows))]  # all on one side
        for chosen in (rng.permutation(len(rows))[: int(share * len(rows))], apart):
            chosen = np.sort(chosen)
            found = index.search(queries, K, filter=chosen, ef_search=128)
            assert (found.counts == K).all()
            within = np.searchsorted(chosen, found.ids)
            assert (chosen[within] == found.ids).all()
            assert recall(within, rows[chosen], queries, metric) >= 0.9


@pytest.mark.parametrize(("m", "ef_construction"), [(8, 40), (16, 100)])
@pytest.mark.parametrize("name", SETS)
def test_not_below_the_graph_of_the_definition(name: str, m: int, ef_construction: int) -> None:
    """At equal m, ef_construction and breadth."""
    rows, queries = slice_of(name, 2000)
    metric: Any = SETS[name]
    index = nf.HNSWIndex(rows.shape[1], m, metric, ef_construction=ef_construction)
    index.add(rows)
    assert index.stats()["reachable"] >= 0.99 * len(rows)
    reference = Hnsw(rows, m, ef_construction, metric)
    for ef in (32, 64, 128):
        ours, theirs = (
            recall(ids, rows, queries, metric)
            for ids in (
                index.search(queries, K, ef_search=ef).ids,
                reference.search(queries, K, ef),
            )
        )
        assert ours >= theirs - 0.01, f"ef {ef}"


@pytest.mark.parametrize("name", ["minilm-debian"])
def test_recall_after_rows_have_come_and_gone(name: str) -> None:
    """As good as a graph made at once of the rows that are left."""
    rows, queries = slice_of(name, 5000)
    metric: Any = SETS[name]
    index = nf.HNSWIndex(rows.shape[1], 16, metric, ef_construction=100)
    index.add(rows[:2500])
    live = list(range(2500))
    for first in range(2500, 5000, 250):
        index.add(rows[first : first + 250], ids=np.arange(first, first + 250))
        live += range(first, first + 250)
        gone = live[::12]
        assert index.remove(gone) == len(gone)
        live = sorted(set(live) - set(gone))
    fresh = nf.HNSWIndex(rows.shape[1], 16, metric, ef_construction=100)
    fresh.add(rows[live], ids=live)
    for ef in (32, 128):
        changed, made = (
            recall(np.searchsorted(live, one.search(queries, K, ef_search=ef).ids), rows[live],
                   queries, metric)
            for one in (index, fresh)
        )  # fmt: skip
        assert changed >= made - 0.02, f"ef {ef}"
        assert changed >= {32: 0.85, 128: 0.95}[ef]
