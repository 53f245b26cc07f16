"""The reference graph: its parts by hand, its laws, and its recall beside hnswlib's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from oracle import hnsw
from oracle.hnsw import Hnsw

DATA = Path(
    os.environ.get("NEARFIELD_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
SETS = {"minilm-debian": "cosine", "glove100": "cosine", "sift": "l2"}
K, COUNT, M, EF_CONSTRUCTION = 10, 2000, 12, 80


def clumps(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = 3.0 * rng.standard_normal((9, dim))
    return middles[rng.integers(0, 9, count)] + rng.standard_normal((count, dim))


def real(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows from all over a set, and queries."""
    if not (DATA / name / "base.npy").is_file():
        pytest.skip(f"no data set {name} in {DATA}; set NEARFIELD_DATA")
    base, queries = (
        np.load(DATA / name / f"{part}.npy", mmap_mode="r") for part in ("base", "queries")
    )
    spread = np.linspace(0, len(base) - 1, COUNT).astype(int)
    return np.array(base[spread], np.float32), np.array(queries[:300], np.float32)


def recall(ids: np.ndarray, queries: np.ndarray, rows: np.ndarray, metric: str) -> float:
    scores = hnsw.distances(queries.astype(float), rows.astype(float), metric)
    kth = np.sort(scores, axis=1)[:, K - 1 : K]
    return float((np.take_along_axis(scores, ids, axis=1) <= kth + 1e-6 * np.abs(kth)).mean())


def assert_sound(graph: Hnsw) -> None:
    """Raise unless levels, degrees and links are as they must be."""
    assert len(graph.links) == max(graph.levels) + 1
    assert graph.levels[graph.entry] == max(graph.levels)
    for level, links in enumerate(graph.links):
        assert sorted(links) == np.flatnonzero(graph.levels >= level).tolist()
        for row, others in links.items():
            assert len(others) <= graph.most_links(level)
            assert len({*others, row}) == len(others) + 1
            assert {*others} <= links.keys()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_distances_order_rows_as_scores_do(metric: str) -> None:
    queries, rows = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 2.0], [0, 0]])
    cosines = [[-0.6, 0, 0], [-11 / 125**0.5, -4 / 20**0.5, 0]]
    expected = {"l2": [[20, 5, 1], [8, 1, 5]], "ip": [[-3, 0, 0], [-11, -4, 0]], "cosine": cosines}
    assert np.allclose(hnsw.distances(queries, rows, metric), expected[metric], atol=1e-15)


def test_links_are_chosen_on_different_sides() -> None:
    points = np.array([[0.0], [1.0], [2.0], [-3.0], [-3.5], [-7.0]])
    graph = Hnsw(points, m=4, levels=np.zeros(6))
    assert graph._select(0, [5, 4, 3, 2, 1], 4, 0) == [1, 3]  # -7 is nearer to -3 than to 0
    assert graph._select(0, [5, 4, 3, 2, 1], 1, 0) == [1]
    graph.keep_pruned = True
    assert graph._select(0, [5, 4, 3, 2, 1], 4, 0) == [1, 3, 2, 4]
    assert graph._select(0, [5, 4, 3, 2, 1], 2, 0) == [1, 3]


def test_candidates_are_extended_by_their_neighbours() -> None:
    graph = Hnsw(np.array([[0.0], [1.0], [-1.5], [4.0]]), m=4, levels=np.zeros(4))
    assert graph.links[0][3] == [1]
    assert graph._select(0, [3], 4, 0) == [3]
    graph.extend_candidates = True
    assert graph._select(0, [3], 4, 0) == [1]
    graph.links[0][1] = [0, 2, 3]
    assert graph._select(0, [1], 4, 0) == [1, 2]


def test_equal_rows_and_few_candidates_are_kept_where_hnswlib_keeps_them() -> None:
    same = np.array([[0.0], [1.0], [1.0], [1.5]])
    strict, lenient = (Hnsw(same, m=3, levels=np.zeros(4), lenient=word) for word in (False, True))
    assert strict._select(3, [1, 2], 2, 0) == [1]
    assert strict._select(1, [2, 0], 2, 0) == [2]
    assert lenient._select(1, [2, 0], 2, 0) == [2, 0]
    assert lenient._select(0, [1, 3], 3, 0) == [1, 3]
    assert lenient._select(0, [1, 3], 2, 0) == [1]


def test_levels_thin_out_by_m() -> None:
    levels = hnsw.draw_levels(100_000, 16, seed=3)
    assert np.mean(levels >= 1) == pytest.approx(1 / 16, rel=0.05)
    assert np.mean(levels >= 2) == pytest.approx(1 / 256, rel=0.15)
    assert (levels == hnsw.draw_levels(100_000, 16, seed=3)).all()
    assert (levels != hnsw.draw_levels(100_000, 16, seed=4)).any()


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_few_rows(count: int) -> None:
    graph = Hnsw(clumps(9)[:count], m=4, ef_construction=20)
    found = graph.search(clumps(3), K, 20)
    assert found.shape == (3, K)
    for ids in found:
        assert sorted(ids[:count].tolist()) == list(range(count))
        assert (ids[count:] == hnsw.MISSING).all()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("options", [{}, {"keep_pruned": True}, {"extend_candidates": True}])
def test_graphs_are_sound_and_wide_searches_exact(metric: str, options: dict[str, bool]) -> None:
    rows, queries = clumps(400), clumps(20, seed=1)
    graph = Hnsw(rows, m=8, ef_construction=40, metric=metric, **options)
    assert_sound(graph)
    exact = np.argsort(hnsw.distances(queries, rows, metric), axis=1, kind="stable")[:, :K]
    reached = graph.reachable()
    for ids, truth in zip(graph.search(queries, K, len(rows)), exact, strict=True):
        assert set(truth) & reached <= set(ids)
    if metric != "ip":  # short rows are nobody's nearest by inner product
        assert len(reached) >= 0.99 * len(rows)


def test_what_no_link_leads_to_is_not_reachable() -> None:
    graph = Hnsw(clumps(50), m=4, ef_construction=20, levels=np.zeros(50))
    assert graph.entry == 0
    cut = 17
    for others in graph.links[0].values():
        others[:] = [row for row in others if row != cut]
    assert graph.reachable() == set(range(50)) - {cut}
    assert cut not in graph.search(graph.rows[cut], K, 50)


@pytest.mark.parametrize("name", SETS)
def test_recall_on_real_rows(name: str) -> None:
    rows, queries = real(name)
    graph = Hnsw(rows, M, EF_CONSTRUCTION, SETS[name])
    assert_sound(graph)
    assert len(graph.reachable()) >= 0.99 * COUNT
    found = [
        recall(graph.search(queries, K, ef), queries, rows, SETS[name]) for ef in (10, 40, 160)
    ]
    assert found == sorted(found)
    assert found[0] >= 0.8
    assert found[1] >= 0.95
    assert found[2] >= 0.99


@pytest.mark.parametrize("name", SETS)
def test_hnswlib_makes_the_same_kind_of_graph(name: str) -> None:
    hnswlib = pytest.importorskip("hnswlib")
    rows, queries = real(name)
    metric = SETS[name]
    graph = Hnsw(rows, M, EF_CONSTRUCTION, metric, lenient=True)
    peer = hnswlib.Index(metric, rows.shape[1])
    peer.init_index(COUNT, ef_construction=EF_CONSTRUCTION, M=M)
    peer.add_items(rows, num_threads=1)
    for ef in (16, 64):
        peer.set_ef(ef)
        theirs = peer.knn_query(queries, K, num_threads=1)[0].astype(np.int64)
        ours = graph.search(queries, K, ef)
        reached = [recall(ids, queries, rows, metric) for ids in (ours, theirs)]
        assert reached[0] == pytest.approx(reached[1], abs=0.02)
