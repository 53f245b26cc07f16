"""What every fit works on: checked vectors, judgements and their split, and exact search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import as_threads
from ..arrays import finite_rows, to_numpy
from ..exact import topk
from ..flat import FlatIndex
from ..runtime import num_threads
from .judgements import Judgements, number_ids, read_judgements
from .measures import CUTOFFS, per_query
from .splits import Split, split_queries

__all__ = ["Task", "open_task"]

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Queries, corpus and judgements of one fit.

    Attributes
    ----------
    queries, corpus : ndarray of float32
    judgements : Judgements
    split : Split
    groups : ndarray of int64, shape (n,), or None
        Group of every corpus row, numbered from 0.
    names : list of str
        Ids of the queries.
    metric : {"cosine", "ip"}
    threads : int
    """

    queries: _Floats
    corpus: _Floats
    judgements: Judgements
    split: Split
    groups: _Ints | None
    names: list[str]
    metric: Any
    threads: int

    @cached_property
    def index(self) -> FlatIndex:
        """The corpus as it is."""
        index = FlatIndex(self.corpus.shape[1], self.metric)
        index.add(self.corpus)
        return index

    def nearest(self, queries: _Floats, k: int, corpus: _Floats | None = None) -> _Ints:
        """Return the `k` nearest rows, of the corpus or of what it was mapped to."""
        if corpus is None:
            return self.index.search(queries, k, threads=self.threads).ids
        return topk(queries, corpus, k, self.metric, threads=self.threads).ids

    def measures(
        self, part: _Ints, queries: _Floats, corpus: _Floats | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return every measure of each query row of `part`; `queries` holds their vectors."""
        found = self.nearest(queries, min(max(CUTOFFS), len(self.corpus)), corpus)
        return per_query(self.judgements, part, found)


def open_task(
    queries: ArrayLike,
    corpus: ArrayLike,
    qrels: Mapping[Any, Any],
    *,
    query_ids: Sequence[Any] | None,
    corpus_ids: Sequence[Any] | None,
    groups: ArrayLike | None,
    selection: float | Iterable[Any],
    test: float | Iterable[Any],
    metric: str,
    seed: int,
    threads: int | None,
) -> Task:
    """Check what a fit was given.

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, NaN or infinity, qrels with unknown ids, too few pairs for a split.
    """
    rows = finite_rows(corpus, name="corpus")
    asked = finite_rows(queries, name="queries", dim=rows.shape[1])
    query_rows = number_ids(query_ids, len(asked), "query_ids")
    corpus_rows = number_ids(corpus_ids, len(rows), "corpus_ids")
    judgements = read_judgements(qrels, query_rows, corpus_rows)
    numbered = None if groups is None else _numbered(groups, len(rows))
    split = split_queries(judgements, selection, test, query_rows, numbered, seed)
    return Task(
        queries=asked,
        corpus=rows,
        judgements=judgements,
        split=split,
        groups=numbered,
        names=list(query_rows),
        metric=metric,
        threads=as_threads(threads) or num_threads(),
    )


def _numbered(groups: ArrayLike, n: int) -> _Ints:
    array, _ = to_numpy(groups, "groups")
    if array.shape != (n,):
        raise ValueError(f"groups: got shape {array.shape}, expected ({n},), one per corpus row")
    try:
        _, numbers = np.unique(array, return_inverse=True)
    except TypeError:
        raise TypeError(
            "groups: got values that have no order, expected all numbers or text"
        ) from None
    return numbers.astype(np.int64)
