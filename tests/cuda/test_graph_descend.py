"""The way down a graph of levels on the shim: the node that its definition comes to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_graph_search import DTYPES, NOTHING
from cuda.test_scan import keys_of


class Levels(NamedTuple):
    """The levels above the rows, the lowest first; see graph_descend.cu."""

    node_rows: np.ndarray
    below: np.ndarray
    links: np.ndarray
    starts: np.ndarray


def some_levels(rng: np.random.Generator, count: int) -> Levels:
    node_rows, below, links, starts = [], [], [], [0]
    width = int(rng.integers(1, 6))
    rows = np.arange(count)
    for _ in range(int(rng.integers(0, 4))):
        numbers = np.sort(rng.permutation(len(rows))[: max(len(rows) // 2, 1)])
        rows = rows[numbers]
        here = rng.integers(0, len(rows), (len(rows), width))
        here[rng.random(here.shape) < 0.2] = NOTHING
        node_rows.append(rows)
        below.append(numbers)
        links.append(here)
        starts.append(starts[-1] + len(rows))
    if len(node_rows) == 0:
        return Levels(
            *(np.zeros(0, np.uint32),) * 2, np.zeros((0, width), np.uint32), np.uint32(starts)
        )
    parts = (np.concatenate(part).astype(np.uint32) for part in (node_rows, below, links))
    return Levels(*parts, np.uint32(starts))


def descended(scores: np.ndarray, levels: Levels) -> int:
    """Return the row of one query by definition."""
    upper = len(levels.starts) - 1
    if upper == 0:
        return int(np.lexsort((np.arange(len(scores)), -scores))[0])

    def nearest(numbers: list[int], at: slice) -> int:
        return min(numbers, key=lambda i: (-scores[levels.node_rows[at][i]], i))

    at = slice(levels.starts[upper - 1], levels.starts[upper])
    node = nearest(list(range(at.stop - at.start)), at)
    for level in range(upper - 2, -1, -1):
        node = int(levels.below[at][node])
        at = slice(levels.starts[level], levels.starts[level + 1])
        while True:
            led = [int(i) for i in levels.links[at][node] if i < at.stop - at.start]
            better = nearest([node, *led], at)
            if better == node:
                break
            node = better
    return int(levels.below[at][node])


def check(shim: Shim, seed: int, stored: str, metric: str) -> None:
    """Whole numbers: float32 sums are exact, so the way is the definition's."""
    rng = np.random.default_rng(seed)
    count, dim, queries = int(rng.integers(1, 150)), int(rng.integers(1, 40)), 3
    rows = rng.integers(0 if stored == "u8" else -3, 4, (count, dim)).astype(DTYPES[stored])
    q = rng.integers(-3, 4, (queries, dim)).astype(np.float32)
    levels, unit = some_levels(rng, count), np.float32(rng.choice([0.5, 1]))
    wide = rows.astype(np.float32).astype(np.float64)
    norms = np.sqrt((wide * wide).sum(axis=1))
    scale = (1 / np.where(norms > 0, norms, 1)).astype(np.float32)
    entries = GuardedArray(queries, np.uint32, rng)
    shim.launch(
        *(f"graph_descend_{stored}", (queries,), (32 * int(rng.integers(1, 4)),), noisy(q, rng)),
        *(np.uint64(dim), noisy(rows, rng), np.uint64(dim), np.uint32(count), np.uint32(dim)),
        *(np.uint32(METRICS[metric]), unit, scale, *(noisy(part, rng) for part in levels)),
        *(np.uint32(len(levels.starts) - 1), np.uint32(levels.links.shape[1]), entries.array),
        shared=4 * dim,
        seed=seed,
    )
    rough = keys_of(q, wide, "ip" if metric == "cosine" else metric).astype(np.float32)
    if metric == "cosine":
        rough = rough * scale
    found = entries.check()
    assert found.tolist() == [descended(rough[i], levels) for i in range(queries)]


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("stored", DTYPES)
def test_the_way_of_the_definition(shim: Shim, stored: str, metric: str) -> None:
    for seed in range(6):
        check(shim, seed, stored, metric)


def test_a_mask_in_another_order(shim: Shim) -> None:
    rng = np.random.default_rng(3)
    mask, order = rng.integers(0, 2, 300).astype(np.uint8), rng.permutation(300).astype(np.uint32)
    out = GuardedArray(300, np.uint8, rng)
    shim.launch("ordered_mask", (3,), (128,), mask, order, np.uint32(300), out.array)
    np.testing.assert_array_equal(out.check(), mask[order])


FAULTS = {
    "the top is not looked through": ("i < count; i += blockDim", "i < count / 2; i += blockDim"),
    "one warp decides": ("best = bests[w] > best ? bests[w] : best;", "best = bests[0];"),
    "no barrier before the best is read": (
        "bests[warp_id()] = mine;\n        __syncthreads();",
        "bests[warp_id()] = mine;",
    ),
    "no walk on the way": ("number = walk(level, number);", ""),
    "the last link is left out": ("i < levels.width;", "i + 1 < levels.width;"),
    "a step too far down": ("return levels.below[number];", "return number;"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("graph_descend.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed, "f32", "l2"), 15), "nobody noticed"
