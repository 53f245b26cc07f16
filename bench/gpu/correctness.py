"""Phase 3: results against float64: sizes, types and metrics, hard data, forced fall-backs.

Each search runs twice for equal bits. Ids may differ here within the band of rounding; the order of
equal rows is compared with the CPU engine's.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from bench.gpu.check import NOT_THERE, Check, reason
from bench.gpu.defined import as_bits, bits_of, verdict
from bench.gpu.records import Box

METRICS = ("ip", "l2", "cosine")
TYPES = ("float32", "bfloat16", "float16", "int8", "uint8")
SIZES = ((1, 997, 64, 1), (31, 997, 96, 10), (128, 65_537, 384, 100), (31, 65_537, 768, 1000),
         (1000, 65_537, 1024, 10), (128, 1_000_000, 96, 100))  # fmt: skip
DRY_SIZES = ((1, 50, 16, 5), (9, 130, 33, 10))


def run(check: Check, box: Box) -> None:
    """Compare every case."""
    sizes = DRY_SIZES if check.there.dry else SIZES
    for size, dtype, metric in itertools.product(sizes, TYPES, METRICS):
        if not box.left(3):
            check.add("correctness", "cut", reason="no time left")
            return
        m, n, dim, k = size
        rng = np.random.default_rng(n + dim)
        rows, queries = bits_of(rng, (n, dim), dtype), bits_of(rng, (m, dim), dtype)
        rows[n // 2 :: 7] = rows[: len(rows[n // 2 :: 7])]  # ties
        rows[3] = 0
        case = f"{m} x {n} x {dim} {dtype} {metric} k={k}"
        if check.records.has("correctness", case):
            continue
        check.judge("correctness", case, compare(check, queries, rows, dtype, metric, k))
    hard_data(check, box)
    placements(check)
    check_engine(check)
    if not check.there.dry:
        triton_cases(check, box)


def compare(
    check: Check, queries: np.ndarray, rows: np.ndarray, dtype: str, metric: str, k: int
) -> str:
    """Search twice and return what is wrong, "" for nothing."""
    import nearfield as nf

    there = check.there
    arrays = [there.put(array, dtype == "bfloat16") for array in (queries, rows)]
    twice = []
    for _ in range(2):
        found = nf.topk(*arrays, k=k, metric=metric)
        twice.append([there.get(part) for part in found])
    wrong = verdict(twice[0], there.defined(*arrays, metric), metric, k)
    if not all(np.array_equal(*pair, equal_nan=True) for pair in zip(*twice, strict=True)):
        wrong = wrong or "two runs differ"
    return wrong


def kinds_of_data(rng: np.random.Generator, n: int, dim: int) -> dict[str, np.ndarray]:
    """Return rows that make a scan look twice: its lists overflow and its bounds are wide."""
    plain = rng.standard_normal((n, dim), dtype=np.float32)
    few = plain[rng.integers(0, 3, n)]
    wild = plain.copy()
    wild[:, 5] *= 300
    odd = plain.copy()
    odd[n // 3], odd[n // 2, 0] = 0, np.nan
    return {
        "clustered": few + np.float32(1e-3) * plain,
        "all rows equal: every list overflows": np.tile(plain[:1], (n, 1)),
        "an outlier dimension": wild,
        "a row of NaN and one of zeros": odd,
    }


def hard_data(check: Check, box: Box) -> None:
    """Search data on which short ways must fall back to longer ones."""
    n, dim, k = (200, 24, 7) if check.there.dry else (65_537, 768, 100)
    rng = np.random.default_rng(5)
    queries = rng.standard_normal((9, dim), dtype=np.float32)
    for kind, rows in kinds_of_data(rng, n, dim).items():
        for dtype in ("float32", "bfloat16"):
            if not box.left(3):
                check.add("correctness", "cut", reason="no time left")
                return
            given = as_bits(queries, dtype), as_bits(rows, dtype)
            check.judge("correctness", f"{kind}, {dtype}", compare(check, *given, dtype, "l2", k))


def placements(check: Check) -> None:
    """A stream of the caller's own, and rows that start at an odd address."""
    import nearfield as nf

    there, rng = check.there, np.random.default_rng(6)
    rows, queries = (bits_of(rng, (n, 20), "float32") for n in (300, 4))
    here = nf.topk(queries, rows, k=5)
    there_rows, there_queries = there.put(rows), there.put(queries)
    if not there.dry:
        there.torch.cuda.synchronize()
    stream = there.other_stream()
    found = nf.topk(there_queries, there_rows, k=5, stream=stream)
    if not there.dry:
        stream.synchronize()
    check.judge("correctness", "a stream of one's own", _differs(check, found, here))
    if there.dry:
        return
    odd = there.put(np.concatenate([np.zeros(1, np.float32), rows.reshape(-1)]))[1:].view(300, 20)
    found = nf.topk(there_queries, odd, k=5)
    check.judge("correctness", "rows at an odd address", _differs(check, found, here))


def check_engine(check: Check) -> None:
    """The CPU engine's ids, ties by id included."""
    import nearfield as nf

    rng = np.random.default_rng(7)
    n, dim = (150, 16) if check.there.dry else (20_000, 384)
    rows, queries = rng.integers(-2, 3, (n, dim)), rng.standard_normal((16, dim))
    rows, queries = rows.astype(np.float32), queries.astype(np.float32)
    rows[n // 2 :] = rows[: n - n // 2]
    for metric in METRICS:
        found = nf.topk(check.there.put(queries), check.there.put(rows), k=20, metric=metric)
        fault = _differs(check, found, nf.topk(queries, rows, k=20, metric=metric))
        check.judge("correctness", f"ids of the CPU engine, {metric}", fault)


def _differs(check: Check, found: Any, wanted: Any) -> str:
    same = np.array_equal(check.there.get(found.ids), wanted.ids)
    return "" if same else "other ids than the CPU engine's"


def triton_cases(check: Check, box: Box) -> None:
    """bench.gpu.triton_check, case by case."""
    from bench.gpu.triton_check import cases

    try:
        for name, fault in cases("cuda", small=False):
            check.judge("correctness", f"Triton: {name}", fault)
            if not box.left(3):
                check.add(
                    "correctness", "cut", reason="no time left: bench.gpu.triton_check has all"
                )
                return
    except NOT_THERE as error:
        check.add("correctness", "Triton", reason=f"not there: {reason(error)}")
