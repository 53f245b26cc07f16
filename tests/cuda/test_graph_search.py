"""Graph search on the shim: the walk that its definition makes, step by step, ties included."""

from __future__ import annotations

from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = {
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i8": np.int8,
    "u8": np.uint8,
}
NOTHING = 0xFFFFFFFF


class Limits(NamedTuple):
    """How far a walk goes, and what may answer."""

    beam: int
    picks: int
    rounds: int
    horizon: int
    stretch: np.float32
    length: np.float32
    answering: int
    mask: np.ndarray | None
    rerank: int
    k: int


def walk(
    scores: np.ndarray, top: np.float32, links: np.ndarray, entries: np.ndarray, limits: Limits
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
        held = sorted([*held, *new], key=lambda r: (-scores[r], r))[: limits.beam]
        open_rows &= set(held)

    take(list(entries))
    for _ in range(limits.rounds):
        least = np.float32(-np.inf)
        if 0 < limits.horizon <= len(held):
            off = max(top - scores[held[limits.horizon - 1]], np.float32(0))
            least = top - limits.stretch * off
        picked = [r for r in held if r in open_rows and scores[r] >= least][: limits.picks]
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
    limits: Limits,
    unit: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and rows; data: queries, rows, links, entries."""
    rng = np.random.default_rng(seed)
    queries, rows, links, entries = (noisy(part, rng) for part in data)
    (count, dim), (_, degree) = queries.shape, links.shape
    wide = rows.astype(np.float32).astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    scale = (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    table = 64
    while table < 2 * (entries.shape[1] + limits.rounds * limits.picks * degree):
        table *= 2
    visited = GuardedArray((count, table), np.uint32, rng) if rng.integers(2) else None
    keys = GuardedArray((count, limits.k), np.float64, rng)
    ids = GuardedArray((count, limits.k), np.uint32, rng)
    most = max(entries.shape[1], limits.picks * degree)
    shared = 16 * limits.rerank + 8 * (limits.beam + most) + 4 * (dim + limits.picks + 1)
    whole = (*map(np.uint32, limits[:4]), limits.stretch, limits.length)
    shim.launch(
        *(f"graph_search_{stored}", (count,), (32 * int(rng.integers(1, 4)),), queries),
        *(np.uint64(dim), rows, np.uint64(dim), np.uint32(len(rows)), np.uint32(dim)),
        *(np.uint32(METRICS[metric]), np.float32(unit), scale, norms, links, np.uint32(degree)),
        *(entries, np.uint32(entries.shape[1]), *whole, np.uint32(limits.answering), limits.mask),
        *(np.uint32(limits.rerank), np.uint32(limits.k), visited and visited.array),
        *(np.uint32(table), keys.array, ids.array),
        shared=shared + (0 if visited else 4 * table),
        seed=seed,
    )
    if visited:
        visited.check()
    return keys.check(), ids.check()


def some_limits(rng: np.random.Generator, count: int) -> Limits:
    beam, picks, rounds = (int(rng.integers(1, most)) for most in (50, 5, 30))
    rerank = int(rng.integers(1, beam + 3))
    return Limits(
        *(beam, picks, rounds, int(rng.integers(0, beam + 1))),
        *(np.float32(rng.choice([1, 1.5, 2, 8])), np.float32(rng.choice([0.5, 1, 4]))),
        int(rng.integers(count // 2, count + 1)),
        noisy((rng.random(count) < 0.6).astype(np.uint8), rng) if rng.integers(2) else None,
        *(rerank, int(rng.integers(1, rerank + 3))),
    )


def check(shim: Shim, seed: int, stored: str, metric: str) -> None:
    """Whole numbers: float32 sums are exact, so the walk is the definition's, step by step."""
    rng = np.random.default_rng(seed)
    count, dim, degree = (int(rng.integers(1, most)) for most in (200, 40, 9))
    rows = rng.integers(0 if stored == "u8" else -3, 4, (count, dim)).astype(DTYPES[stored])
    queries = rng.integers(-3, 4, (3, dim)).astype(np.float32)
    links = rng.integers(0, count, (count, degree)).astype(np.uint32)
    links[rng.random(links.shape) < 0.1] = NOTHING
    entries = rng.integers(0, count, (3, int(rng.integers(1, 9)))).astype(np.uint32)
    limits, unit = some_limits(rng, count), np.float32(rng.choice([0.25, 1, 2]))
    got = launch(shim, seed, stored, metric, (queries, rows, links, entries), limits, unit)
    wide = rows.astype(np.float32).astype(np.float64)
    keys = keys_of(queries, wide, metric)
    rough = keys_of(queries, wide, "ip" if metric == "cosine" else metric).astype(np.float32)
    rough *= unit * unit
    if metric == "cosine":
        norms = np.sqrt((wide * wide).sum(axis=1))
        rough = rough * (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    tops = np.sqrt((queries * queries).sum(axis=1) * unit * unit) * limits.length
    if metric == "l2":
        tops[:] = 0
    answers = np.arange(count) < limits.answering
    if limits.mask is not None:
        answers &= limits.mask != 0
    for q in range(3):
        held = walk(rough[q], tops[q], links, entries[q], limits)[: limits.rerank]
        best = sorted((r for r in held if answers[r]), key=lambda r: (-keys[q, r], r))[: limits.k]
        np.testing.assert_array_equal(got[1][q, : len(best)], best)
        np.testing.assert_array_equal(got[0][q, : len(best)], keys[q, best])
        assert (got[1][q, len(best) :] == NOTHING).all()


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("stored", DTYPES)
def test_the_walk_of_the_definition(shim: Shim, stored: str, metric: str) -> None:
    @settings(max_examples=6, deadline=None, derandomize=True)
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
    limits = Limits(64, 2, 60, 0, np.float32(1), np.float32(1), 600, None, 32, 10)
    keys, ids = launch(shim, 0, "f32", "l2", (queries, rows, links, entries), limits)
    exact = keys_of(queries, wide, "l2")
    wanted = np.argsort(-exact, axis=1)[:, :10]
    assert (
        np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(ids, wanted, strict=True)]) > 0.95
    )
    np.testing.assert_array_equal(keys, np.take_along_axis(exact, ids.astype(np.int64), axis=1))


def test_queries_that_found_too_few(shim: Shim) -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 6, 200)
    keys = np.where(np.arange(5) < counts[:, None], rng.standard_normal((200, 5)), -np.inf)
    lengths = GuardedArray(200, np.uint32, rng)
    shim.launch(
        *("find_short_answers", (2,), (128,), noisy(keys, rng), np.uint32(5), np.uint32(3)),
        *(np.uint32(200), np.uint32(77), lengths.array),
    )
    np.testing.assert_array_equal(lengths.check(), np.where(counts < 3, 77, 0))


FAULTS = {
    "a row is seen twice": ("if (before == row) return false;", "if (before == row) return true;"),
    "rows are picked again": ("keys[at] = key & ~1ull;", ""),
    "no barrier after the pick": (
        "if (warp_id() == 0) pick(top);\n            __syncthreads();",
        "if (warp_id() == 0) pick(top);",
    ),
    "the last pick is left out": ("found * graph.degree", "(found - 1) * graph.degree"),
    "walks end too far away": ("key >= least", "true"),
    "a row that may not answer does": (
        "if (key != 0 && answers.takes(row_of(key)))",
        "if (key != 0)",
    ),
    "a link to nowhere is followed": ("row < graph.rows && is_new", "is_new"),
    "what is not live answers": ("row < answering && ", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("graph_search.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32", "l2"), 15), "nobody noticed"
