"""Scores by query, and intervals for their means and differences.

nDCG as trec_eval has it: gain is the grade (here 1), discount log2(rank + 1), ideal from all
judgements. Intervals: percentile bootstrap of the mean, over queries, or over whole groups, which
is wider where the queries of a package are alike.

Source: Järvelin and Kekäläinen (2002); Sakai, "Evaluating evaluation metrics based on the
bootstrap" (SIGIR 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (1, 3, 5, 10)
NAMES = (*(f"ndcg@{k}" for k in CUTOFFS), "hit@1")
DEPTH = max(CUTOFFS)

Floats = NDArray[np.float64]


def by_query(ids: NDArray[np.int64], relevant: Sequence[Sequence[int]]) -> dict[str, Floats]:
    """Every measure of `NAMES` for every query.

    Parameters
    ----------
    ids : ndarray
        (n, at least 10) answers, best first.
    relevant : sequence of sequence of int
        Relevant rows of each query.
    """
    if len(ids) != len(relevant) or ids.shape[1] < DEPTH:
        raise ValueError(
            f"ids: got shape {ids.shape}, expected ({len(relevant)}, at least {DEPTH})"
        )
    hits = np.array(
        [np.isin(row[:DEPTH], rows) for row, rows in zip(ids, relevant, strict=True)], dtype=float
    ).reshape(-1, DEPTH)
    discount = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    known = np.array([len(set(rows)) for rows in relevant], dtype=np.intp)
    scores = {
        f"ndcg@{k}": (hits[:, :k] @ discount[:k]) / ideal[np.minimum(known, k)] for k in CUTOFFS
    }
    scores["hit@1"] = hits[:, 0].copy()
    return scores


def interval(
    values: Floats,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    samples: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of the mean of `values`, resampling them or, if given, whole groups."""
    rng = np.random.default_rng(seed)
    if groups is None:
        sums, sizes = np.asarray(values, dtype=float), np.ones(len(values))
    else:
        inverse = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
        sums, sizes = np.bincount(inverse, weights=values), np.bincount(inverse).astype(float)
    means = np.empty(samples)
    for at in range(samples):
        drawn = rng.integers(0, len(sums), len(sums))
        means[at] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
