"""Which rows a batch of queries is told apart from: global, in the batch, or random ones.

Global negatives are mined: the nearest rows of the whole corpus under the current transforms,
without those judged relevant or of the same group, by an exact search every few epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .judgements import Judgements, Pairs, expand

__all__ = ["NEGATIVES", "Candidates", "Negatives"]

NEGATIVES = ("global", "batch", "random")

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
_MOST_POSITIVES = (
    4  # of a query that bring themselves into a batch; others count where they turn up
)


class Candidates(NamedTuple):
    """What a batch is scored against.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Distinct corpus rows, ascending.
    positive : ndarray of bool, shape (n, m)
        Relevant to the query.
    spared : ndarray of bool, shape (n, m)
        No negative of the query: relevant, or of the group of a relevant row.
    """

    rows: _Ints
    positive: _Bools
    spared: _Bools


class Negatives:
    """Draws the candidates of batches.

    Parameters
    ----------
    judgements : Judgements
    groups : ndarray of int64, shape (n_rows,), optional
        Group of every corpus row.
    queries : ndarray of int64
        The query rows that are trained on.
    kind : {"global", "batch", "random"}
    per_query, pool : int
        Negatives drawn for a query of a batch, and from how many of its nearest (global).
    """

    def __init__(
        self,
        judgements: Judgements,
        groups: _Ints | None,
        queries: _Ints,
        kind: str,
        per_query: int,
        pool: int,
    ) -> None:
        self._relevant = judgements.relevant
        self._n_rows = judgements.n_rows
        self._queries = queries
        self._kind = kind
        self._per_query, self._pool = per_query, pool
        self._groups = groups
        self._related = None if groups is None else _related(judgements, groups)
        self._mined = np.empty((0, 0), np.int64)

    @property
    def are_mined(self) -> bool:
        """Whether `mine` has to be called before batches are drawn, and again now and then."""
        return self._kind == "global"

    def mine(self, search: Callable[[int], _Ints]) -> None:
        """Take the nearest rows of the training queries from ``search(k)``, best first."""
        own = self._relevant.counts(self._queries)
        found = search(min(self._pool + int(own.max()), self._n_rows))
        owner = self._queries[:, None]
        spared = self._relevant.find(owner, found) >= 0
        if self._related is not None and self._groups is not None:
            spared |= self._related.find(owner, self._groups[found]) >= 0
        # Where the pool is smaller than asked for, spared rows fill it up: they are masked anyway.
        order = np.argsort(spared, axis=1, kind="stable")
        self._mined = np.take_along_axis(found, order, axis=1)[:, : self._pool]

    def draw(self, batch: _Ints, rng: np.random.Generator) -> Candidates:
        """Return the candidates of a batch of positions in the training queries."""
        queries = self._queries[batch]
        owner, own = self._relevant.of(queries)
        drawn = [own[_some_of_each(owner, rng)]]
        if self._kind == "random":
            drawn.append(rng.integers(0, self._n_rows, batch.size * self._per_query))
        elif self._kind == "global":
            pool = self._mined.shape[1]
            place = rng.integers(0, pool, (batch.size, self._per_query))
            drawn.append(self._mined[batch[:, None], place].ravel())
        rows = np.unique(np.concatenate(drawn))
        place = np.minimum(np.searchsorted(rows, own), rows.size - 1)
        here = rows[place] == own
        positive = np.zeros((queries.size, rows.size), np.bool_)
        positive[owner[here], place[here]] = True
        return Candidates(rows, positive, self._spared(queries, rows, positive))

    def _spared(self, queries: _Ints, rows: _Ints, positive: _Bools) -> _Bools:
        if self._related is None or self._groups is None:
            return positive
        group = self._groups[rows]
        order = np.argsort(group, kind="stable")
        owner, wanted = self._related.of(queries)
        first = np.searchsorted(group[order], wanted, side="left")
        last = np.searchsorted(group[order], wanted, side="right")
        at, place = expand(first, last, order)
        spared = positive.copy()
        spared[owner[at], place] = True
        return spared


def _some_of_each(owner: _Ints, rng: np.random.Generator) -> _Ints:
    """Return the places of at most a few pairs of each owner; `owner` is ascending."""
    order = np.lexsort((rng.random(owner.size), owner))
    rank = np.arange(owner.size) - np.searchsorted(owner, owner, side="left")
    return order[rank < _MOST_POSITIVES]


def _related(judgements: Judgements, groups: _Ints) -> Pairs:
    """Return which groups belong to which query."""
    pairs = judgements.relevant
    return Pairs(pairs.query, groups[pairs.item], judgements.n_queries, int(groups.max()) + 1)
