"""nDCG@k and hit@k per query, from the rows that a search returned.

As trec_eval has them: gain is the grade, the discount log2(rank + 1), the ideal all judged rows;
`nearfield.evaluate` gives the same means (a test compares them) but needs a further package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .judgements import Judgements

__all__ = ["METRICS", "per_query"]

CUTOFFS = (1, 3, 5, 10)
METRICS = (*(f"ndcg@{k}" for k in CUTOFFS), "hit@1", "hit@10")

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


def per_query(judgements: Judgements, queries: _Ints, found: _Ints) -> dict[str, _Floats]:
    """Return the measures of each query, by their names in `METRICS`.

    Parameters
    ----------
    judgements : Judgements
    queries : ndarray of int64, shape (n,)
        Query rows, each with a relevant row.
    found : ndarray of int64, shape (n, at least 1)
        Corpus rows, best first; `nearfield.MISSING` where there is none.
    """
    gains = np.where(found >= 0, judgements.grades(queries[:, None], np.maximum(found, 0)), 0)
    ideal = _ideal_gains(judgements, queries, max(CUTOFFS))
    values = {f"ndcg@{k}": _dcg(gains, k) / _dcg(ideal, k) for k in CUTOFFS}
    values |= {f"hit@{k}": (gains[:, :k] > 0).any(axis=1).astype(float) for k in (1, 10)}
    return values


def _ideal_gains(judgements: Judgements, queries: _Ints, k: int) -> _Ints:
    relevant = judgements.relevant
    gains = np.zeros((queries.size, k), np.int64)
    for at, query in enumerate(queries.tolist()):
        grades = judgements.grade[relevant.offsets[query] : relevant.offsets[query + 1]]
        best = np.sort(grades)[::-1][:k]
        gains[at, : best.size] = best
    return gains


def _dcg(gains: _Ints, k: int) -> _Floats:
    best = gains[:, :k]
    total: _Floats = best @ (1 / np.log2(np.arange(2, best.shape[1] + 2)))
    return total
