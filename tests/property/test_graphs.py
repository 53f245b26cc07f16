"""What holds for a graph however its rows came: every node is reached, files do not depend on
threads, and rows that come and go cost no recall.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from property.test_datasets import opened
from property.test_hnsw_recall import K, recall, slice_of

METRICS = ("l2", "ip", "cosine")


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).standard_normal((12, 24), dtype=np.float32)
    spread = np.float32(0.1) * rng.standard_normal((count, 24), dtype=np.float32)
    return middles[rng.integers(0, 12, count)] + spread


def duplicated(count: int, seed: int = 0) -> np.ndarray:
    """Return few different rows, one of them very often."""
    rng = np.random.default_rng(seed)
    chosen = np.where(rng.random(count) < 0.4, 0, rng.integers(0, 40, count))
    return clustered(40, seed=1)[chosen]


def lengthy(count: int, seed: int = 0) -> np.ndarray:
    """Return rows of very different lengths."""
    lengths = np.exp(2 * np.random.default_rng(seed).standard_normal((count, 1)))
    return clustered(count, seed) * lengths.astype(np.float32)


def assert_all_reached(index: nf.HNSWIndex) -> None:
    stats = index.stats()
    assert stats["reachable"] == stats["levels"][0]


@pytest.mark.parametrize("rows_of", [clustered, duplicated, lengthy])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("m", [2, 4, 16])
def test_every_node_is_reached(metric: Any, rows_of: Any, m: int) -> None:
    bulk = nf.HNSWIndex(24, m, metric, ef_construction=40)
    bulk.add(rows_of(3000))
    assert_all_reached(bulk)
    for batch in range(3):
        bulk.add(rows_of(200, seed=batch + 5))
        assert_all_reached(bulk)
    rng = np.random.default_rng(2)
    for share in (0.05, 0.15, 0.3, 0.6):
        gone = rng.permutation(bulk.ids)[: int(share * len(bulk))]
        bulk.remove(gone)
        assert_all_reached(bulk)
        bulk.add(rows_of(50, seed=77))
        assert_all_reached(bulk)


@pytest.mark.parametrize("rows_of", [clustered, duplicated, lengthy])
@pytest.mark.parametrize("metric", METRICS)
def test_every_node_is_reached_after_rows_came_one_by_one(metric: Any, rows_of: Any) -> None:
    index = nf.HNSWIndex(24, 4, metric, ef_construction=40)
    for number, row in enumerate(rows_of(700)):
        index.add(row[None])
        if number % 97 == 0:
            assert_all_reached(index)
    assert_all_reached(index)
    index.remove(range(0, 700, 3))
    assert_all_reached(index)
    index.add(rows_of(1, seed=3))
    assert_all_reached(index)


@pytest.mark.parametrize("rows_of", [clustered, duplicated])
@pytest.mark.parametrize("metric", METRICS)
def test_files_are_the_same_for_any_number_of_threads(
    metric: Any, rows_of: Any, tmp_path: Path
) -> None:
    files: dict[str, set[bytes]] = {"bulk": set(), "inserted": set(), "removed": set()}
    for threads in (1, 2, 3):
        nf.set_num_threads(threads)
        index = nf.HNSWIndex(24, 8, metric, ef_construction=60, seed=4)

        def note(state: str, index: nf.HNSWIndex = index) -> None:
            index.save(tmp_path / "graph.nf", durable=False)
            files[state].add((tmp_path / "graph.nf").read_bytes())

        index.add(rows_of(3000))
        note("bulk")
        index.add(rows_of(300, seed=1), threads=threads)
        index.add(rows_of(200, seed=2))
        note("inserted")
        index.remove(range(0, 3000, 5))
        note("removed")
        assert index.stats()["removed"] == 0
    assert {state: len(found) for state, found in files.items()} == dict.fromkeys(files, 1)


@pytest.mark.slow
def test_recall_after_all_rows_were_replaced_ten_times() -> None:
    """As good as a graph that is made at once of the rows that are left."""
    every, _ = slice_of("minilm-debian", 8000)
    # Of 300 queries a share varies by half of what is allowed here.
    queries = opened("minilm-debian").queries[::2].astype(np.float32)
    rng = np.random.default_rng(1)
    index = nf.HNSWIndex(every.shape[1], 16, "cosine", ef_construction=100)
    live = np.arange(4000)
    index.add(every[live])
    for _ in range(100):
        gone = rng.permutation(live)[:400]
        left = np.setdiff1d(live, gone)
        new = rng.permutation(np.setdiff1d(np.arange(8000), live))[:400]
        assert index.remove(gone) == 400
        index.add(every[new], ids=new)
        live = np.sort(np.concatenate([left, new]))
    assert_all_reached(index)
    assert index.ids.size == 4000
    fresh = nf.HNSWIndex(every.shape[1], 16, "cosine", ef_construction=100)
    fresh.add(every[live], ids=live)
    for ef in (16, 32, 64, 128):
        changed, made = (
            recall(np.searchsorted(live, one.search(queries, K, ef_search=ef).ids), every[live],
                   queries, "cosine")
            for one in (index, fresh)
        )  # fmt: skip
        print(f"ef {ef}: {changed:.4f} after changes, {made:.4f} made at once")
        assert changed >= made - 0.01, f"ef {ef}"
