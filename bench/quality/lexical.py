"""BM25 beside dense search, and both fused.

BM25 in Lucene's form (k1 1.2, b 0.75), words of two characters at least, English stop words left
out, no stemming. Fusion of the two lists of 100:

* "rrf": sum of 1 / (60 + rank) over the lists that have the row;
* "weighted": w * dense + (1 - w) * BM25, the scores of each list scaled to [0, 1] by its own least
  and largest score, 0 for a row that is not in it. w is the best of 0, 0.1, ..., 1 by nDCG@10 on
  the training part.

Rows of equal score are ordered by their number. Source: Robertson and Zaragoza (2009); Cormack,
Clarke and Büttcher, "Reciprocal rank fusion" (SIGIR 2009); bm25s (Lù, 2024).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

from bench.quality.kept import keep
from bench.quality.scores import by_query
from bench.quality.task import Vectors, digest

LISTED = 100
K1, B = 1.2, 0.75
RRF_K = 60
WEIGHTS = tuple(step / 10 for step in range(11))

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Listed:
    """The best rows of each query, best first, and their scores; ids below 0 are no rows."""

    ids: Ids
    scores: Floats

    def __getitem__(self, rows: Any) -> Listed:
        return Listed(self.ids[rows], self.scores[rows])


def dense(queries: Vectors, corpus: Vectors) -> Listed:
    """Best `LISTED` rows of every query by cosine."""
    found = nf.topk(queries, corpus, min(LISTED, len(corpus)), metric="cosine")
    return Listed(found.ids, found.scores.astype(np.float64))


def bm25(queries: Sequence[str], corpus: Sequence[str], folder: Path | None = None) -> Listed:
    """Best `LISTED` rows of every query; rows that share no word with it are left out.

    Parameters
    ----------
    queries, corpus : sequence of str
    folder : Path, optional
        Where answers are kept, by a digest of the texts.

    Raises
    ------
    ModuleNotFoundError
        bm25s is not installed; the message holds the pip line.
    """
    if folder is None:
        return _bm25(queries, corpus)
    path = folder / f"bm25-{digest(queries, digest(corpus), str(K1), str(B))}.npz"
    if not path.is_file():
        listed = _bm25(queries, corpus)
        keep(path, ids=listed.ids, scores=listed.scores)
    with np.load(path) as found:
        return Listed(found["ids"], found["scores"])


def _bm25(queries: Sequence[str], corpus: Sequence[str]) -> Listed:
    try:
        bm25s: Any = importlib.import_module("bm25s")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "BM25 needs bm25s; install it with: pip install -r bench/quality/requirements.txt"
        ) from error
    quiet = {"show_progress": False}
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index(bm25s.tokenize(list(corpus), stopwords="en", **quiet), **quiet)
    asked = bm25s.tokenize(list(queries), stopwords="en", return_ids=False, **quiet)
    width = min(LISTED, len(corpus))
    ids = np.full((len(queries), width), -1, dtype=np.int64)
    scores = np.zeros((len(queries), width))
    for row, words in enumerate(asked):
        if not words:
            continue
        every = np.asarray(index.get_scores(words), dtype=np.float64)
        best = _best(every, width)
        best = best[every[best] > 0]
        ids[row, : len(best)], scores[row, : len(best)] = best, every[best]
    return Listed(ids, scores)


def _best(scores: Floats, width: int) -> Ids:
    """The `width` largest, in order; equal ones by their number."""
    least = np.partition(scores, len(scores) - width)[len(scores) - width]
    rows = np.flatnonzero(scores >= least)
    return rows[np.lexsort((rows, -scores[rows]))][:width]


def beside(dense: Listed, words: Listed, weight: float) -> dict[str, tuple[Ids, float | None]]:
    """What stands beside plain dense search in a table, with the weight of the dense list."""
    return {
        "BM25": (words.ids, None),
        "base + BM25, rrf": (rrf(dense, words), None),
        "base + BM25, weighted": (weighted(dense, words, weight), weight),
    }


def rrf(a: Listed, b: Listed) -> Ids:
    """Rows of both lists by reciprocal rank."""
    ranks = 1.0 / (RRF_K + 1 + np.arange(LISTED))
    return _merge(
        [
            Listed(part.ids, np.broadcast_to(ranks[: part.ids.shape[1]], part.ids.shape))
            for part in (a, b)
        ]
    )


def weighted(dense: Listed, words: Listed, weight: float) -> Ids:
    """Rows of both lists by weighted sum of scaled scores."""
    parts = []
    for part, factor in ((dense, weight), (words, 1 - weight)):
        real = part.ids >= 0
        low = np.where(real, part.scores, np.inf).min(axis=1, keepdims=True)
        high = np.where(real, part.scores, -np.inf).max(axis=1, keepdims=True)
        # A list of one row, or of equal scores, counts in full.
        span = np.where(high > low, high - low, 1.0)
        scaled = np.where(high > low, (part.scores - low) / span, 1.0)
        parts.append(Listed(part.ids, np.where(real, factor * scaled, 0.0)))
    return _merge(parts)


def best_weight(dense: Listed, words: Listed, relevant: Sequence[Sequence[int]]) -> float:
    """The weight of the dense list with the largest mean nDCG@10; the larger one of equals."""
    means = {
        weight: by_query(weighted(dense, words, weight), relevant)["ndcg@10"].mean()
        for weight in WEIGHTS
    }
    return max(means, key=lambda weight: (round(means[weight], 12), weight))


def _merge(parts: Sequence[Listed]) -> Ids:
    """Sum the scores of equal rows; the best `LISTED` by score, then by number."""
    ids = np.concatenate([part.ids for part in parts], axis=1)
    scores = np.concatenate([part.scores for part in parts], axis=1)
    merged = np.full((len(ids), LISTED), -1, dtype=np.int64)
    for row in range(len(ids)):
        real = ids[row] >= 0
        rows, inverse = np.unique(ids[row][real], return_inverse=True)
        total = np.bincount(inverse, weights=scores[row][real], minlength=len(rows))
        order = np.lexsort((rows, -total))[:LISTED]
        merged[row, : len(order)] = rows[order]
    return merged
