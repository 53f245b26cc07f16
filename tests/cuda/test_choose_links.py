"""Links of a new graph on the shim: those of the rule's definition, and back, ties included."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Shim, ShimCompiler, is_noticed, noisy

NOTHING = 0xFFFFFFFF
THREADS = 64


class Rows(NamedTuple):
    """Rows in bytes, as the engine's ByteRows has them."""

    codes: np.ndarray  # excess 128, padded with 128 to a multiple of 64
    terms: np.ndarray  # scale, sum and square, as 3 uint32 a row
    by_distance: bool

    def distances(self) -> np.ndarray:
        """Return how far every row is from every other, float32."""
        v = self.codes.astype(np.int64) - 128
        scale = self.terms[:, 0].view(np.float32).astype(np.float64)
        inner = np.multiply.outer(scale, scale) * (v @ v.T)
        if not self.by_distance:
            return (-inner).astype(np.float32)
        squares = scale * scale * (v * v).sum(axis=1)
        return np.maximum(0, np.add.outer(squares, squares) - 2 * inner).astype(np.float32)


def some_rows(rng: np.random.Generator, count: int) -> Rows:
    """Few different elements and scales: equal rows, equal distances, slack just reached."""
    dim = int(rng.integers(1, 150))
    codes = np.full((count, -(-dim // 64) * 64), 128, np.uint8)
    codes[:, :dim] += rng.integers(-2 if dim < 20 else -127, 3, (count, dim)).astype(np.uint8)
    v = codes.astype(np.int32) - 128
    terms = np.empty((count, 3), np.uint32)
    terms[:, 0] = rng.choice(np.float32([1, 1, 1, 0.3, 0]), count).view(np.uint32)
    sums, squares = v.sum(axis=1, dtype=np.int32), (v * v).sum(axis=1, dtype=np.int32)
    terms[:, 1], terms[:, 2] = sums.view(np.uint32), squares.view(np.uint32)
    return Rows(noisy(codes, rng), noisy(terms, rng), bool(rng.integers(2)))


def chosen(near: list[int], d: np.ndarray, u: int, slack: np.float32, most: int) -> list[int]:
    """Return what the rule chooses of different candidates, nearest first."""
    kept: list[int] = []
    for c in sorted(near, key=lambda c: (d[u, c], c)):
        if len(kept) < most and not any(slack * d[s, c] <= d[u, c] for s in kept):
            kept.append(c)
    return kept


def led_back(
    links: list[list[int]], d: np.ndarray, slack: np.float32, width: int, considered: int
) -> list[list[int]]:
    """Return the links in both directions."""
    out = []
    for v, own in enumerate(links):
        offered = {u for u, of in enumerate(links) if v in of}
        near = sorted({*own} | offered, key=lambda c: (d[v, c], c))[:considered]
        out.append(near if len(near) <= width else chosen(near, d, v, slack, width))
    return out


def check(shim: Shim, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(2, 50)), int(rng.integers(1, 7))
    rows, slack = some_rows(rng, n), np.float32(rng.choice([1, 1.1]))
    given = rows.codes, np.uint64(rows.codes.shape[1]), rows.terms, np.uint32(rows.by_distance)
    d = rows.distances()

    k = int(rng.integers(1, n + 1))
    nearest = np.array([rng.permutation(n)[:k] for _ in range(n)], np.int64)
    nearest[rng.random(nearest.shape) < 0.2] = -1
    counts = rng.integers(0, 9, n) * (rng.random(n) < 0.5)
    begin = np.concatenate([[0], np.cumsum(counts)])
    far = rng.integers(0, n, begin[-1])
    keys = GuardedArray((n, width), np.uint64, rng)
    cut = int(rng.integers(1, n))
    for first, end in ((0, cut), (cut, n)):
        room = k + int(counts[first:end].max())
        area = -(-9 * room // 8) * 8
        held = GuardedArray((end - first) * area, np.uint8, rng) if seed % 2 else None
        some = begin[first : end + 1] - begin[first]
        shim.launch(
            *("choose_links", (end - first,), (THREADS,), *given, slack, np.uint32(first)),
            *(noisy(nearest[first:end], rng), np.uint32(k), noisy(some.astype(np.uint32), rng)),
            *(noisy(far[begin[first] : begin[end]].astype(np.uint32), rng), np.uint32(room)),
            *(None if held is None else held.array, np.uint32(width), keys.array),
            shared=0 if held is not None else area,
            seed=seed,
        )
        if held is not None:
            held.check()
    found = keys.check()
    expected = [
        chosen(list({*nearest[u], *far[begin[u] : begin[u + 1]]} - {-1, u}), d, u, slack, width)
        for u in range(n)
    ]
    assert [[int(~key & 0xFFFFFFFF) for key in of if key] for of in found.tolist()] == expected
    check_back(shim, (rows, slack, found), expected, seed)


def check_back(
    shim: Shim, given: tuple[Rows, np.float32, np.ndarray], links: list[list[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed + 1000)
    rows, slack, keys = given
    n, width = keys.shape
    counts = np.zeros(n, np.uint32)
    size = np.uint64(keys.size), np.uint32(width)
    grid = (-(-keys.size // THREADS),), (THREADS,)
    shim.launch("count_links", *grid, keys, *size, counts, seed=seed)
    offers = np.bincount([v for of in links for v in of], minlength=n)
    np.testing.assert_array_equal(counts, offers + [len(of) for of in links])

    considered, cut = int(rng.integers(width, 3 * width + 1)), int(rng.integers(1, n))
    out = []
    for first, end in ((0, cut), (cut, n)):
        begin = np.concatenate([[0], np.cumsum(counts[first:end])]).astype(np.uint32)
        placed = GuardedArray(int(begin[-1]), np.uint64, rng)
        of_slice = np.uint32(first), np.uint32(end - first), noisy(begin, rng)
        already = np.zeros(end - first, np.uint32)
        shim.launch("place_links", *grid, keys, *size, *of_slice, already, placed.array, seed=seed)
        np.testing.assert_array_equal(already, counts[first:end])
        room, kept = int(rng.integers(1, 20)), GuardedArray((end - first, width), np.uint32, rng)
        shim.launch(
            *("link_back", (end - first,), (THREADS,)),
            *(rows.codes, np.uint64(rows.codes.shape[1]), rows.terms, np.uint32(rows.by_distance)),
            *(slack, of_slice[2], placed.array, np.uint32(room), np.uint32(considered)),
            *(np.uint32(width), kept.array),
            shared=8 * room + 2 * considered,
            seed=seed,
        )
        placed.check()
        out += [[int(i) for i in of if i != NOTHING] for of in kept.check()]
        assert all(NOTHING not in of[: (of != NOTHING).sum()] for of in kept.array)
    assert out == led_back(links, rows.distances(), slack, width, considered)


def test_the_links_of_the_definition(shim: Shim) -> None:
    for seed in range(60):
        check(shim, seed)


FAULTS = {
    "as far is not left out": (
        "slack * between <= distance_of(links[i])",
        "slack * between < distance_of(links[i])",
    ),
    "no slack": ("slack * between <=", "between <="),
    "ties to the larger node": (
        "return key_of(-distance, node);",
        "return key_of(-distance, ~node);",
    ),
    "what is there twice is chosen twice": ("|| (i > 0 && links[i] == links[i - 1])", ""),
    "a node linked to itself": ("id >= 0 && id != node", "id >= 0"),
    "no far rows": (": i64{others[i - k]};", ": -1;"),
    "a far row too many": ("if (i < count) id =", "if (i <= count) id ="),
    "a lane's part of a product": ("step < static_cast<i32>(kLanesOfPair)", "step < 2"),
    "the padding counts": ("p.word[w] ^ kSigns", "p.word[w]"),
    "distance off by a product": ("- 2.0 * inner", "- inner"),
    "no barrier after some are left out": (
        "is_out[i] = 1;\n            }\n        }\n        __syncthreads();",
        "is_out[i] = 1;\n            }\n        }",
    ),
    "no barrier before the first is left out": (
        "__syncthreads();  // before any of them is left out",
        "",
    ),
    "all are considered": ("different < considered; ++end", "true; ++end"),
    "one too few is considered": (
        "different < considered; ++end",
        "different + 1 < considered; ++end",
    ),
    "what fits is chosen from": ("if (different > width) {", "if (different > 0) {"),
    "links back of the wrong length": ("link_to(distance_of(key), from)", "link_to(0.0f, from)"),
    "places from before": (
        "for (u32 i = n + threadIdx.x; i < most; i += blockDim.x) to[i] = 0;",
        "",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(compiler: ShimCompiler, fault: str) -> None:
    planted = compiler.planted("choose_links.cu", FAULTS[fault])
    assert is_noticed(lambda seed: check(planted, seed), 60), "nobody noticed"
