"""Three parts of the judged queries: what is fitted on, what chooses, and what is reported on.

The interval that a report prints is computed on the test part, which nothing was chosen by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..arguments import as_real
from .judgements import Judgements

__all__ = ["Split", "split_queries"]

_Ints = NDArray[np.int64]
_FEWEST = {"train": 16, "selection": 8, "test": 8}


@dataclass(frozen=True)
class Split:
    """Query rows of the three parts, each ascending."""

    train: _Ints
    selection: _Ints
    test: _Ints


def split_queries(
    judgements: Judgements,
    selection: float | Iterable[Any],
    test: float | Iterable[Any],
    query_rows: Mapping[str, int],
    groups: _Ints | None,
    seed: int,
) -> Split:
    """Divide the judged queries.

    Parameters
    ----------
    judgements : Judgements
    selection, test : float or iterable of query ids
        A share of the judged queries between 0 and 1, or the ids themselves.
    query_rows : mapping
        Row of every query id.
    groups : ndarray of int64, shape (n_rows,), optional
        Group of every corpus row: queries whose relevant rows share a group stay in one part.
    seed : int

    Raises
    ------
    ValueError
        Unknown or unjudged ids, ids in both parts, or too few queries in a part.
    """
    queries = judgements.queries
    family = _families(judgements, queries, groups)
    parts: dict[str, _Ints] = {}
    left = queries
    # Named parts first: what is drawn must leave them alone.
    for name, wanted, offset in sorted(
        (("test", test, 1), ("selection", selection, 2)), key=lambda part: not _are_ids(part[1])
    ):
        if _are_ids(wanted):
            part = _named(wanted, name, query_rows, queries, left)
        else:
            share = as_real(wanted, name=name)
            if not 0 < share < 1:
                raise ValueError(f"{name}: got {share}, expected a share between 0 and 1, or ids")
            count = round(share * queries.size)
            part = _drawn(left, family, count, np.random.default_rng([seed, offset]))
        parts[name] = np.sort(part)
        # What is akin to a held-out query must not be trained on either.
        akin = np.isin(family[left], np.unique(family[part]))
        left = left[~akin]
    parts["train"] = left
    for name, fewest in _FEWEST.items():
        if parts[name].size < fewest:
            raise ValueError(
                f"qrels: {queries.size} judged queries leave {parts[name].size} for the {name} "
                f"part, expected at least {fewest}; give more pairs, other shares"
                + ("" if groups is None else ", or finer groups")
            )
    return Split(parts["train"], parts["selection"], parts["test"])


def _are_ids(wanted: Any) -> TypeGuard[Iterable[Any]]:
    single = isinstance(wanted, (str, bytes)) or getattr(wanted, "ndim", 1) == 0
    return isinstance(wanted, Iterable) and not single


def _drawn(left: _Ints, family: _Ints, count: int, rng: np.random.Generator) -> _Ints:
    """Return whole families, in random order, as long as they fit into `count` queries."""
    order = rng.permutation(np.unique(family[left]))
    sizes = np.bincount(family[left], minlength=order.max(initial=0) + 1)[order]
    chosen = []
    for one, size in zip(order.tolist(), sizes.tolist(), strict=True):
        if size <= count:
            chosen.append(one)
            count -= size
        if count == 0:
            break
    return left[np.isin(family[left], chosen)]


def _named(
    ids: Iterable[Any], name: str, query_rows: Mapping[str, int], judged: _Ints, left: _Ints
) -> _Ints:
    names = [str(one) for one in ids]
    unknown = [one for one in names if one not in query_rows]
    if unknown:
        raise ValueError(f"{name}: got the unknown query id {unknown[0]!r}, expected known ones")
    rows = np.unique(np.asarray([query_rows[one] for one in names], dtype=np.int64))
    for wrong, fault in (
        (np.setdiff1d(rows, judged), "a query without a relevant document"),
        (np.setdiff1d(rows, left), "a query of the test part, or of a group in it"),
    ):
        if wrong.size:
            culprit = next(one for one in names if query_rows[one] == wrong[0])
            raise ValueError(f"{name}: {culprit!r} is {fault}, expected another one")
    return rows


def _families(judgements: Judgements, queries: _Ints, groups: _Ints | None) -> _Ints:
    """Return, by query row, a number that queries linked through groups have in common."""
    family = np.arange(judgements.n_queries)
    if groups is None:
        return family
    pairs = judgements.relevant
    group = groups[pairs.item]
    while True:
        # The least number of a group goes to its queries, the least of a query to its groups.
        least = np.full(int(groups.max()) + 1, judgements.n_queries)
        np.minimum.at(least, group, family[pairs.query])
        spread = family.copy()
        np.minimum.at(spread, pairs.query, least[group])
        if (spread == family).all():
            return family
        family = spread
