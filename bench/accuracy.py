"""How many rows survive the scan, and how many are scored again: python -m bench.accuracy.

The numbers do not depend on the machine. They follow from the formulas of docs/accuracy.md, written
here once more in NumPy, and from the data:

kept      pairs whose upper bound reaches the k-th largest lower bound of all rows, per query:
          what is left when the scan ends
rechecked exact scores per query: the k pairs with the largest upper bounds, and every other one
          whose upper bound reaches the k-th of those exact scores
share     rechecked / rows

Usage: python -m bench.accuracy --data FOLDER [--queries 200] [--k 10 100] [--limit 127] [SET ...]
Sets are folders with base.npy and queries.npy, see bench/README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SETS = {"minilm-debian": "cosine", "glove100": "cosine", "sift": "l2"}
BLOCK_ROWS = 256  # rows that share one pair of error constants
BATCH = 25
UP = 1 + 1e-6
UPPER_SLACK, LOWER_SLACK = 2.0**-20, 2.0**-18  # of float32 sums, see docs/accuracy.md


@dataclass(frozen=True)
class Rows:
    """Codes and constants of the rows: x = s (c + r)."""

    metric: str
    values: NDArray[np.generic]  # as stored
    codes: NDArray[np.float32]  # integers, for an exact float32 product
    scale: Array  # s, or s / |x| for cosine
    bias: Array  # l2: -|x|^2 / 2, else 0
    code_norm: Array  # largest |c| of the row's block
    residual: Array  # largest |r| of the row's block


def block_maximum(x: Array) -> Array:
    """Replace every value by the largest one of its block."""
    starts = np.arange(0, len(x), BLOCK_ROWS)
    return np.repeat(np.maximum.reduceat(x, starts), BLOCK_ROWS)[: len(x)] * UP


def encode(base: NDArray[np.generic], metric: str) -> Rows:
    """Make byte codes. Rows of uint8 under l2 are their own codes, moved by 128."""
    x = base.astype(np.float64)
    if base.dtype == np.uint8:
        codes, step, residual = x - 128, np.ones(len(x)), np.zeros(len(x))
    else:
        step = np.maximum(np.abs(x).max(axis=1) / 127, 2.0**-100)
        codes = np.rint(x / step[:, None])
        residual = np.linalg.norm(x / step[:, None] - codes, axis=1)
    code_norm = np.linalg.norm(codes, axis=1)
    scale, bias = step, np.zeros(len(x))
    if metric == "cosine":
        scale = step / np.linalg.norm(x, axis=1)
    elif metric == "l2":
        length = code_norm if base.dtype == np.uint8 else np.linalg.norm(x, axis=1)
        bias = -0.5 * length**2
    return Rows(
        metric,
        base,
        codes.astype(np.float32),
        scale,
        bias,
        block_maximum(code_norm),
        block_maximum(residual),
    )


@dataclass(frozen=True)
class Query:
    """One query and the bounds of all its pairs, in units of its step t: q = t (p + d)."""

    values: Array
    step: float
    upper: Array
    lower: Array


def bounds(rows: Rows, queries: Array, limit: int) -> Iterator[Query]:
    """Yield every query with its bounds."""
    integral = rows.values.dtype == np.uint8
    centred = queries - 128 if integral else queries
    for first in range(0, len(queries), BATCH):
        q = centred[first : first + BATCH]
        fits = (q == np.rint(q)) & (q >= -limit - 1) & (q <= limit)
        exact = integral and bool(fits.all())
        step = np.ones(len(q)) if exact else np.abs(q).max(axis=1) / limit
        p = np.rint(q / step[:, None])
        length = np.linalg.norm(q / step[:, None], axis=1)
        error = np.linalg.norm(q / step[:, None] - p, axis=1) + 1e-9 * length
        products = p.astype(np.float32) @ rows.codes.T
        for i in range(len(q)):
            margin = np.zeros(len(rows.codes))
            if not exact:
                sum_of_errors = error[i] * UP * rows.code_norm + length[i] * UP * rows.residual
                margin = np.floor(sum_of_errors) + 1
            bias = rows.bias / step[i]
            upper = rows.scale * (products[i] + margin) + bias * (1 - UPPER_SLACK)
            slack = LOWER_SLACK * (np.abs(upper) + np.abs(bias))
            lower = upper - 2 * margin * rows.scale - slack
            yield Query(queries[first + i], float(step[i]), upper, lower)


def exact_scores(rows: Rows, query: Query, ids: NDArray[np.int64]) -> Array:
    """Return exact scores in the units of the bounds."""
    x = rows.values[ids].astype(np.float64)
    if rows.metric == "cosine":
        return (x @ query.values) / np.linalg.norm(x, axis=1) / query.step
    q = query.values - 128
    difference = ((x - 128 - q) ** 2).sum(axis=1)
    return 0.5 * ((q @ q) - difference) / query.step


def survivors(rows: Rows, query: Query, k: int) -> tuple[int, int]:
    """Return how many pairs are kept, and how many are scored exactly."""
    floor = np.partition(query.lower, -k)[-k]
    threshold = floor - abs(floor) * UPPER_SLACK
    kept = np.flatnonzero(query.upper >= threshold)
    order = kept[np.argsort(-query.upper[kept], kind="stable")]
    kth = np.sort(exact_scores(rows, query, order[:k]))[0]
    rest = query.upper[order[k:]]
    return len(kept), k + int((rest + np.abs(rest) * LOWER_SLACK >= kth).sum())


def measure(name: str, folder: Path, queries: int, ks: list[int], limit: int) -> Iterator[str]:
    """Yield the table's lines of one set."""
    rows = encode(np.load(folder / "base.npy"), SETS[name])
    q = np.load(folder / "queries.npy")[:queries].astype(np.float64)
    found: dict[int, list[tuple[int, int]]] = {k: [] for k in ks}
    for query in bounds(rows, q, limit):
        for k in ks:
            found[k].append(survivors(rows, query, k))
    n = len(rows.codes)
    for k in ks:
        kept, again = np.array(found[k]).T
        yield (
            f"| {name} | {n:,} | {k} | {kept.mean():,.1f} | {np.percentile(kept, 99):,.0f} "
            f"| {again.mean():,.1f} | {np.percentile(again, 99):,.0f} | {again.mean() / n:.4%} |"
        )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--limit", type=int, default=127, help="largest query code (63: AVX2)")
    args = parser.parse_args()
    unknown = sorted(set(args.sets) - set(SETS))
    if unknown:
        parser.error(f"unknown sets {unknown}, expected of {', '.join(SETS)}")
    print("| set | rows | k | kept | 99 % | rechecked | 99 % | share |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.sets or SETS:
        for line in measure(name, args.data / name, args.queries, args.k, args.limit):
            print(line, flush=True)


if __name__ == "__main__":
    main()
