"""Which lists are looked into, and which of their rows may answer, on the shim against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.scan_pipeline import METRICS
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy
from cuda.test_scan import keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

NOTHING = 0xFFFFFFFF


class Groups:
    """Groups of lists, some of which are looked into for so many lists."""

    def __init__(self, rng: np.random.Generator, lists: int, queries: int) -> None:
        self.count = int(rng.integers(1, lists + 1))
        cuts = np.sort(rng.choice(np.arange(1, lists), self.count - 1, replace=False))
        self.offsets = np.array([0, *cuts, lists, lists], np.uint32)
        self.ranking = np.stack([rng.permutation(self.count) for _ in range(queries)])
        certain = np.cumsum(np.sort(np.diff(self.offsets[:-1])))  # lists of any so many groups
        least = np.searchsorted(certain, np.arange(1, lists + 1)) + 1
        self.looked_into = np.where(2 * least < self.count, least, 0).astype(np.uint32)

    def arguments(self, case: Case) -> tuple[np.ndarray | np.generic, ...]:
        """Return what widen_probes is told of them."""
        ranks = case.out((case.queries, case.lists), np.uint32)
        shape = (self.ranking, np.uint32(self.count), self.offsets)
        return (*shape, self.looked_into, ranks.array)

    def near(self, ranking: np.ndarray, query: int, lists: int) -> np.ndarray:
        """Return the lists that are looked at for so many of them, in order."""
        within = self.looked_into[lists - 1] or self.count
        chosen = self.ranking[query, :within]
        return ranking[np.isin(np.searchsorted(self.offsets[1:-1], ranking, "right"), chosen)]


class Case:
    """Lists of rows, some empty, the last one always; probes of some queries."""

    def __init__(self, shim: Shim | Overlaid, seed: int) -> None:
        self.shim, self.seed = shim, seed
        self.rng = rng = np.random.default_rng(seed)
        self.lists = int(rng.integers(1, 60))
        sizes = rng.integers(0, 9, self.lists) * rng.integers(0, 9, self.lists)
        self.offsets = np.zeros(self.lists + 2, np.uint32)
        self.offsets[1:-1], self.offsets[-1] = np.cumsum(sizes), sizes.sum()
        self.rows = max(int(self.offsets[-1]), 1)
        self.queries = int(rng.integers(1, 9))
        self.nprobe = int(rng.integers(1, rng.choice([2, self.lists + 1])))
        self.ranking = np.stack([rng.permutation(self.lists) for _ in range(self.queries)])
        self.ranking[rng.random(self.queries) < 0.1] = np.iinfo(np.int64).min  # not finite
        self.groups = Groups(rng, self.lists, self.queries) if seed % 3 else None

    def out(self, shape: tuple[int, ...] | int, dtype: type) -> GuardedArray:
        return GuardedArray(shape, dtype, self.rng)

    def launch(self, name: str, count: int, each: int, *arguments: np.ndarray | np.generic | None):
        """Launch blocks of 64 threads, each of which takes `each` things of `count`."""
        given = [noisy(a, self.rng) if isinstance(a, np.ndarray) else a for a in arguments[:-1]]
        last = arguments[-1]
        self.shim.launch(name, (-(-count // each),), (64,), *given, last, seed=self.seed)

    def probes(self, found: np.ndarray | None = None) -> np.ndarray:
        """Return what name_probes makes of the nearest lists."""
        count = self.queries * self.nprobe
        out = self.out((self.queries, self.nprobe), np.uint32)
        if found is not None:
            found = np.ascontiguousarray(found)
        lists = np.uint32(self.lists)
        self.launch("name_probes", count, 64, found, np.uint64(count), lists, out.array)
        return out.check()


def check_names(shim: Shim | Overlaid, seed: int) -> None:
    case = Case(shim, seed)
    nearest = case.ranking[:, : case.nprobe]
    expected = np.where(nearest < 0, case.lists, nearest)
    np.testing.assert_array_equal(case.probes(nearest), expected)
    case.nprobe = case.lists
    np.testing.assert_array_equal(case.probes(), [np.arange(case.lists)] * case.queries)


def check_margin(shim: Shim | Overlaid, seed: int) -> None:
    case, rng = Case(shim, seed), np.random.default_rng(seed + 1)
    metric = ("ip", "l2", "cosine")[seed % 3]
    dim, stride = int(rng.integers(1, 50)), 60
    centroids = rng.standard_normal((case.lists, stride)).astype(np.float32)
    queries = rng.standard_normal((case.queries, dim)).astype(np.float32)
    given = case.probes(case.ranking[:, : case.nprobe])
    probes, far = case.out(given.shape, np.uint32), case.out(given.shape, np.float64)
    probes.array[...] = given
    margin = float(rng.choice([0.0, 0.3, 2.0, 50.0]))
    shim.launch(
        *("leave_out_far", (case.queries,), (128,), noisy(queries, rng), np.uint32(dim)),
        *(noisy(centroids, rng), np.uint64(stride), np.uint32(case.lists)),
        *(np.uint32(METRICS[metric]), np.float64(margin), probes.array, np.uint32(case.nprobe)),
        far.array,
        seed=seed,
    )
    kind = "l2" if metric == "l2" else "ip"
    keys = keys_of(queries, centroids[:, :dim].astype(np.float64), kind)
    away = np.sqrt(-keys) if kind == "l2" else -keys
    norms = np.sqrt(np.diag(keys_of(queries, queries.astype(np.float64), "ip")))
    for q in range(case.queries):
        mine = np.append(away[q], np.inf)[given[q]]
        limit = mine.min() + margin * (1.0 if kind == "l2" else norms[q])
        np.testing.assert_array_equal(
            probes.check()[q], np.where(mine > limit, case.lists, given[q])
        )
        np.testing.assert_array_equal(far.check()[q], mine)


def check_masks(shim: Shim | Overlaid, seed: int) -> None:
    case = Case(shim, seed)
    rng, n = case.rng, case.rows
    names, order = (rng.permutation(n).astype(np.uint32) for _ in range(2))
    mask = (rng.integers(0, 3, n)).astype(np.uint8)
    bias = rng.standard_normal(n).astype(np.float32) if seed % 2 else None
    masked = case.out(n, np.uint32), case.out(n, np.float32)
    shim.launch(
        *("mask_rows", (-(-n // 64),), (64,), names, order, mask, bias, np.uint32(n)),
        *(masked[0].array, masked[1].array),
        seed=seed,
    )
    answers = mask[order] != 0
    plain = np.zeros(n, np.float32) if bias is None else bias
    np.testing.assert_array_equal(masked[0].check(), np.where(answers, names, NOTHING))
    np.testing.assert_array_equal(masked[1].check(), np.where(answers, plain, -np.inf))
    allowed, lists = case.out(case.lists + 1, np.uint32), case.lists + 1
    case.launch(
        *("count_allowed", lists, 2, order, mask, case.offsets, np.uint32(lists)), allowed.array
    )
    counts = [answers[a:b].sum() for a, b in zip(case.offsets[:-1], case.offsets[1:], strict=True)]
    np.testing.assert_array_equal(allowed.check(), counts)


def check_open(shim: Shim | Overlaid, seed: int) -> None:
    case = Case(shim, seed)
    rng, lists = case.rng, np.uint32(case.lists)
    sizes = np.diff(case.offsets)
    allowed = None if seed % 2 else (sizes * rng.random(len(sizes))).astype(np.uint32)
    holds = sizes if allowed is None else allowed
    probes = case.probes(case.ranking[:, : case.nprobe])
    probes[rng.random(probes.shape) < 0.2] = case.lists
    held, total = holds[probes].sum(axis=1), int(holds.sum())
    k = np.uint32(rng.choice([0, held[0], held[0] + 1, rng.integers(1, total + 2), total + 1]))
    counts, capacity = rng.integers(0, 9, case.queries).astype(np.uint32), np.uint32(6)
    found = case.out(case.queries, np.uint32)
    shape = (np.uint32(case.queries), np.uint32(case.nprobe))
    case.launch(
        *("find_open", case.queries, 2, probes, *shape, case.offsets, allowed, k, counts),
        *(capacity, lists, found.array),
    )
    is_open = (counts > capacity) | (held < k)
    np.testing.assert_array_equal(found.check(), np.where(is_open, case.lists, 0))
    ranking = case.ranking if k else None
    most = case.lists if k else case.nprobe
    wide = case.out((case.queries, most), np.uint32)
    groups = case.groups if k else None
    case.launch(
        *("widen_probes", case.queries, 2, found.array, probes, *shape, ranking, lists),
        *(groups.arguments(case) if groups else (None, np.uint32(0), None, None, None)),
        *(case.offsets, allowed, k, np.uint32(most), wide.array),
    )
    for q, got in enumerate(wide.check()):
        chosen = list(probes[q]) if is_open[q] else []
        if is_open[q] and held[q] < k and case.ranking[q, 0] >= 0:
            count = case.nprobe
            while True:
                count = min(4 * count, case.lists)
                near = groups.near(case.ranking[q], q, count) if groups else case.ranking[q]
                chosen = list(near[:count])
                if count == case.lists or holds[chosen].sum() >= k:
                    break
        np.testing.assert_array_equal(got, chosen + [case.lists] * (most - len(chosen)))


CHECKS = {
    "names": check_names,
    "margin": check_margin,
    "masks": check_masks,
    "open": check_open,
}


@pytest.mark.parametrize("part", CHECKS)
def test_lists_are_chosen(shim: Shim, part: str) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        CHECKS[part](shim, seed)

    run()


FAULTS = {
    "distances are read before they are there": (
        *("margin", "    __syncthreads();\n    double own", "    double own"),
    ),
    "the nearest of a thread's own": ("margin", "t < kThreads; ++t) own", "t < 1; ++t) own"),
    "a list at the margin is left out": ("margin", "] > limit", "] >= limit"),
    "a missing list has a distance": ("margin", "if (list < lists) {", "{"),
    "a mask in the order of lists": ("masks", "= mask[order[row]]", "= mask[row]"),
    "rows that may not answer count": ("masks", "if (mask[order[row]] != 0) ++count", "++count"),
    "enough is too little": ("open", "|| held < k", "|| held <= k"),
    "every list of the nearest groups": ("open", "is_near && place < wide", "is_near"),
    "one group too many": ("open", "ranks[list] < within", "ranks[list] <= within"),
    "groups of the round before": ("open", "looked_into[added - 1]", "looked_into[nprobe - 1]"),
    "ranks are read before they are there": ("open", "        __syncwarp();\n    }", "    }"),
    "twice as many lists": ("open", "wide * 4", "wide * 2"),
    "a query that has enough is widened": ("open", " && rows.of_all(before, nprobe) < k", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    part, old, new = FAULTS[fault]
    faulty = Overlaid(compiler.planted("choose_lists.cu", (old, new)), shim)
    assert is_noticed(lambda seed: CHECKS[part](faulty, seed), 200), "nobody noticed"
