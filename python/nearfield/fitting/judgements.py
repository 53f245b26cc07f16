"""Judgements as arrays: which corpus rows are relevant to which query rows, and with which grade.

Ids match as text, as in :func:`nearfield.evaluate`: 7 and "7" are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluate import judged_of

__all__ = ["Judgements", "Pairs", "number_ids", "read_judgements"]

_Ints = NDArray[np.int64]


class Pairs:
    """A set of pairs (query row, item), sorted; the items of a query, and who is a member.

    Parameters
    ----------
    query, item : ndarray of int64, shape (n,)
        Both from 0 on; a pair may come more than once.
    n_queries, n_items : int
        One more than the largest value each may have.
    """

    def __init__(self, query: _Ints, item: _Ints, n_queries: int, n_items: int) -> None:
        self._n_items = n_items
        self.keys = np.unique(query * n_items + item)
        self.query, self.item = self.keys // n_items, self.keys % n_items
        self.offsets = np.searchsorted(self.query, np.arange(n_queries + 1))

    def find(self, query: _Ints, item: _Ints) -> _Ints:
        """Return the place of each pair in `keys`, -1 where it is not a member (shapes align)."""
        keys = query * self._n_items + item
        if not self.keys.size:
            return np.full(keys.shape, -1, np.int64)
        place = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return np.where(self.keys[place] == keys, place, -1)

    def of(self, queries: _Ints) -> tuple[_Ints, _Ints]:
        """Return the pairs of some queries as (position in `queries`, item)."""
        return expand(self.offsets[queries], self.offsets[queries + 1], self.item)

    def counts(self, queries: _Ints) -> _Ints:
        """Return how many items each of some queries has."""
        counts: _Ints = self.offsets[queries + 1] - self.offsets[queries]
        return counts


def expand(first: _Ints, last: _Ints, values: _Ints) -> tuple[_Ints, _Ints]:
    """Return (i, v) for every v in ``values[first[i]:last[i]]``, in order."""
    lengths = last - first
    owner = np.repeat(np.arange(lengths.size), lengths)
    within = np.arange(owner.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, values[first[owner] + within]


class Judgements:
    """The relevant rows (grade above 0) of every query.

    Parameters
    ----------
    query, row, grade : ndarray of int64, shape (n,)
    n_queries, n_rows : int
    """

    def __init__(self, query: _Ints, row: _Ints, grade: _Ints, n_queries: int, n_rows: int) -> None:
        relevant = grade > 0
        query, row, grade = query[relevant], row[relevant], grade[relevant]
        self.relevant = Pairs(query, row, n_queries, n_rows)
        self.grade = np.zeros(self.relevant.keys.size, np.int64)
        self.grade[self.relevant.find(query, row)] = grade
        self.n_queries, self.n_rows = n_queries, n_rows

    @property
    def queries(self) -> _Ints:
        """Rows of the queries that have a relevant row, ascending."""
        return np.unique(self.relevant.query)

    def grades(self, queries: _Ints, rows: _Ints) -> _Ints:
        """Return the grade of each pair (shapes align); 0 where it is not judged relevant."""
        place = self.relevant.find(queries, rows)
        return np.where(place >= 0, self.grade[place], 0) if self.grade.size else place * 0


def number_ids(ids: Sequence[Any] | None, n: int, name: str) -> dict[str, int]:
    """Return the row of every id; row numbers where `ids` is None."""
    names = list(map(str, range(n))) if ids is None else [str(one) for one in ids]
    if len(names) != n:
        raise ValueError(f"{name}: got {len(names)} ids for {n} rows, expected one per row")
    rows = dict(zip(names, range(n), strict=True))
    if len(rows) != n:
        twice = next(one for at, one in enumerate(names) if rows[one] != at)
        raise ValueError(f"{name}: {twice!r} stands there twice, expected distinct ids")
    return rows


def read_judgements(
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
    query_rows: Mapping[str, int],
    corpus_rows: Mapping[str, int],
) -> Judgements:
    """Turn qrels into arrays.

    Raises
    ------
    TypeError, ValueError
        As :func:`nearfield.evaluate`; unknown ids (some are named).
    """
    judged = judged_of(qrels)
    documents = {document for grades in judged.values() for document in grades}
    for kind, known, wanted in (("query", query_rows, judged), ("corpus", corpus_rows, documents)):
        _refuse_unknown(kind, known, wanted)
    triples = [
        (query_rows[query], corpus_rows[document], grade)
        for query, grades in judged.items()
        for document, grade in grades.items()
    ]
    table = np.asarray(triples, dtype=np.int64).reshape(-1, 3)
    if not (table[:, 2] > 0).any():
        raise ValueError("qrels: got no relevant document, expected some with a grade above 0")
    query, row, grade = table.T
    return Judgements(query, row, grade, len(query_rows), len(corpus_rows))


def _refuse_unknown(kind: str, known: Mapping[str, int], wanted: Iterable[str]) -> None:
    unknown = [one for one in wanted if one not in known]
    if unknown:
        some = ", ".join(map(repr, sorted(unknown)[:3]))
        raise ValueError(
            f"qrels: got {len(unknown)} unknown {kind} ids ({some}), expected those of {kind}_ids "
            f"(by default the {len(known)} row numbers)"
        )
