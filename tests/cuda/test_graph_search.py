"""Graph search on the shim: the walk that its definition makes, step by step, ties included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
NOTHING = 0xFFFFFFFF


def walk(
    scores: np.ndarray, links: np.ndarray, entries: np.ndarray, beam: int, picks: int, rounds: int
) -> list[int]:
    """Return the beam of one query by definition: best first, ties by smaller row."""
    seen: set[int] = set()
    held: list[int] = []
    open_rows: set[int] = set()

    def take(rows: list[int]) -> None:
        nonlocal held, open_rows
        new = dict.fromkeys(r for r in rows if r < len(scores) and r not in seen)
        seen.update(new)
        open_rows.update(new)
        held = sorted([*held, *new], key=lambda r: (-scores[r], r))[:beam]
        open_rows &= set(held)

    take(list(entries))
    for _ in range(rounds):
        picked = [r for r in held if r in open_rows][:picks]
        if not picked:
            break
        open_rows -= set(picked)
        take([int(r) for row in picked for r in links[row]])
    return held


def launch(
    shim: Shim,
    seed: int,
    stored: str,
    metric: str,
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    shape: tuple[int, int, int, int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and rows; data: queries, rows, links, entries; shape: beam ... k."""
    rng = np.random.default_rng(seed)
    queries, rows, links, entries = (noisy(part, rng) for part in data)
    (count, dim), (_, degree) = queries.shape, links.shape
    beam, picks, rounds, rerank, k = shape
    wide = rows.astype(np.float32).astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    scale = (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    table = 64
    while table < 2 * (entries.shape[1] + rounds * picks * degree):
        table *= 2
    visited = GuardedArray((count, table), np.uint32, rng) if rng.integers(2) else None
    keys, ids = GuardedArray((count, k), np.float64, rng), GuardedArray((count, k), np.uint32, rng)
    most = max(entries.shape[1], picks * degree)
    shared = 16 * rerank + 8 * (beam + most) + 4 * (dim + picks + 1)
    shim.launch(
        *(f"graph_search_{stored}", (count,), (32 * int(rng.integers(1, 4)),), queries),
        *(np.uint64(dim), rows, np.uint64(dim), np.uint32(len(rows)), np.uint32(dim)),
        *(np.uint32(METRICS[metric]), scale, norms, links, np.uint32(degree), entries),
        *(np.uint32(entries.shape[1]), *map(np.uint32, shape)),
        *(visited and visited.array, np.uint32(table), keys.array, ids.array),
        shared=shared + (0 if visited else 4 * table),
        seed=seed,
    )
    if visited:
        visited.check()
    return keys.check(), ids.check()


def check(shim: Shim, seed: int, stored: str, metric: str) -> None:
    """Whole numbers: float32 sums are exact, so the walk is the definition's, step by step."""
    rng = np.random.default_rng(seed)
    count, dim, degree = (
        int(rng.integers(1, 200)),
        int(rng.integers(1, 40)),
        int(rng.integers(1, 9)),
    )
    rows = rng.integers(-3, 4, (count, dim)).astype(DTYPES[stored])
    queries = rng.integers(-3, 4, (3, dim)).astype(np.float32)
    links = rng.integers(0, count, (count, degree)).astype(np.uint32)
    links[rng.random(links.shape) < 0.1] = NOTHING
    entries = rng.integers(0, count, (3, int(rng.integers(1, 9)))).astype(np.uint32)
    beam, picks, rounds = (
        int(rng.integers(1, 50)),
        int(rng.integers(1, 5)),
        int(rng.integers(1, 30)),
    )
    rerank = int(rng.integers(1, beam + 3))
    k = int(rng.integers(1, rerank + 3))
    shape = (beam, picks, rounds, rerank, k)
    got = launch(shim, seed, stored, metric, (queries, rows, links, entries), shape)
    wide = rows.astype(np.float32).astype(np.float64)
    keys = keys_of(queries, wide, metric)
    rough = keys_of(queries, wide, "ip" if metric == "cosine" else metric).astype(np.float32)
    if metric == "cosine":
        norms = np.sqrt((wide * wide).sum(axis=1))
        rough = rough * (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    for q in range(3):
        held = walk(rough[q], links, entries[q], beam, picks, rounds)[:rerank]
        best = sorted(held, key=lambda r: (-keys[q, r], r))[:k]
        np.testing.assert_array_equal(got[1][q, : len(best)], best)
        np.testing.assert_array_equal(got[0][q, : len(best)], keys[q, best])
        assert (got[1][q, len(best) :] == NOTHING).all()


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("stored", DTYPES)
def test_the_walk_of_the_definition(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        check(shim, seed, stored, metric)

    run()


def test_a_graph_of_nearest_rows_leads_to_them(shim: Shim) -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((600, 16)).astype(np.float32)
    queries = rng.standard_normal((10, 16)).astype(np.float32)
    wide = rows.astype(np.float64)
    links = np.argsort(-keys_of(rows, wide, "l2"), axis=1)[:, 1:17].astype(np.uint32)
    links[:, 12:] = rng.integers(0, 600, (600, 4))
    entries = rng.integers(0, 600, (10, 8)).astype(np.uint32)
    keys, ids = launch(shim, 0, "f32", "l2", (queries, rows, links, entries), (64, 2, 60, 32, 10))
    exact = keys_of(queries, wide, "l2")
    wanted = np.argsort(-exact, axis=1)[:, :10]
    assert (
        np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(ids, wanted, strict=True)]) > 0.95
    )
    np.testing.assert_array_equal(keys, np.take_along_axis(exact, ids.astype(np.int64), axis=1))


FAULTS = {
    "a row is seen twice": ("if (before == row) return false;", "if (before == row) return true;"),
    "rows are picked again": ("keys[at] = key & ~1ull;", ""),
    "no barrier after the pick": (
        "if (warp_id() == 0) pick();\n            __syncthreads();",
        "if (warp_id() == 0) pick();",
    ),
    "the last pick is left out": ("found * graph.degree", "(found - 1) * graph.degree"),
    "ties go to the larger row": ("0x7fffffffu - row", "row"),
    "a link to nowhere is followed": ("row < graph.rows && is_new", "is_new"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("graph_search.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32", "l2"), 15), "nobody noticed"
