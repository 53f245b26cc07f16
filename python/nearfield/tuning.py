"""Measuring which search parameters reach which recall: :func:`tune`, :class:`Tuning`."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import as_positive, as_real, as_threads
from .arrays import STORAGES, as_queries

if TYPE_CHECKING:
    from ._core import _Setting
    from .index import Index
    from .result import SearchResult

__all__ = ["TunedSetting", "Tuning", "as_recall", "params_reaching", "tune"]

STANDARD_LEVELS = (0.8, 0.9, 0.95, 0.98, 0.99)
"""Levels that are recorded beside those asked for."""

_FEWEST_QUERIES = 32
_SINGLE, _SMALL = 1, 32
_FEWEST_FOR_LARGE = 128  # queries from which all of them make a batch size of their own
_STANDARD_ERRORS = 1.645  # one-sided 95 %
_LONGEST_PASS, _ENOUGH_TIME, _MOST_PASSES = 0.5, 0.1, 5
_PARAMETERS = ("nprobe", "rerank", "ef_search", "margin")  # in the order of the core's settings
_EVERY_ROW = 2**32 - 1  # as a breadth: no index has more rows
_WIDEST = 2048
_WIDEST_OF_MARGIN = 1024
_MARGINS = tuple(step / 128 for step in (4, 6, 8, 10, 12, 14, 16, 20, 24, 32))  # float32, exactly


class TunedSetting(NamedTuple):
    """What one level of recall is answered with.

    Attributes
    ----------
    k : int
        Results per query.
    batch : int
        Queries of a call.
    level : float
        The recall it may be chosen for.
    params : dict of str to int or float
        Search parameters; empty where the index has none. An `ef_search` of ``2**32 - 1`` stands
        for every row.
    recall : float
        Mean recall that was measured.
    lower : float
        Lower bound of the recall of all queries like the sample's; at least `level`.
    seconds : float
        Time of a query in such a batch.
    rows : int
        Rows of the index when it was measured.
    """

    k: int
    batch: int
    level: float
    params: dict[str, float]
    recall: float
    lower: float
    seconds: float
    rows: int


@dataclass(frozen=True)
class Tuning(Sequence[TunedSetting]):
    """The settings an index was tuned to, by k, batch and level; prints as a table.

    Attributes
    ----------
    settings : tuple of TunedSetting
    """

    settings: tuple[TunedSetting, ...]

    def __len__(self) -> int:
        return len(self.settings)

    def __getitem__(self, at: Any) -> Any:
        return self.settings[at]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Return one line per setting."""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in cells
        )

    def cells(self) -> list[tuple[str, ...]]:
        """Return the table, its heads first, as text."""
        heads = ("k", "batch", "level", "parameters", "recall", "at least", "us/query")
        return [heads, *map(_cells_of, self.settings)]


def _cells_of(setting: TunedSetting) -> tuple[str, ...]:
    params = " ".join(
        f"{name}={'all' if value == _EVERY_ROW else value}"
        for name, value in setting.params.items()
    )
    return (
        *(str(setting.k), str(setting.batch), f"{setting.level:g}", params or "none"),
        *(f"{setting.recall:.4f}", f"{setting.lower:.4f}", f"{setting.seconds * 1e6:.1f}"),
    )


def as_recall(value: Any, *, name: str = "recall") -> float:
    """Return `value` as a float in ``(0, 1]``."""
    recall = as_real(value, name=name)
    if not 0 < recall <= 1:
        raise ValueError(f"{name}: got {recall}, expected a number in (0, 1]")
    return recall


def setting_of(row: _Setting, names: Collection[str]) -> TunedSetting:
    """Return a setting of the core, with those parameters that an index has."""
    k, batch, *values, level, recall, lower, seconds, rows = row
    params = {
        name: value
        for name, value in zip(_PARAMETERS, values, strict=True)
        if value and name in names
    }
    return TunedSetting(k, batch, level, params, recall, lower, seconds, int(rows))


def params_reaching(index: Index, recall: float, k: int, n: int) -> dict[str, float]:
    """Return the parameters that reach a recall for n queries, by what tuning has found."""
    if not index._search_params and index.quantizer in STORAGES:
        return {}  # every search is exhaustive and exact
    setting = setting_of(index._core.setting_for(k, recall, n), index._search_params)
    if not setting.rows <= 2 * len(index) <= 4 * setting.rows:
        warnings.warn(
            f"the index was tuned with {setting.rows} rows and has {len(index)} now: what "
            "reached this recall then may not do so any more; run nf.tune again",
            stacklevel=3,
        )
    return setting.params


def tune(
    index: Index,
    queries: ArrayLike,
    recall: float | Sequence[float] = 0.95,
    k: int = 10,
    *,
    truth: ArrayLike | None = None,
    threads: int | None = None,
) -> Tuning:
    """Measure which search parameters reach which recall, and store the answer in the index.

    Afterwards ``index.search(q, k, recall=0.95)`` chooses the parameters, for any level and any
    ``k`` up to this one. The table is saved with the index. Tuning again for the same `k` replaces
    what was there, other `k` stay.

    Parameters
    ----------
    index : Index
        An index with its rows.
    queries : array_like, shape (n, dim)
        Queries like those to come, not rows of the index, drawn at random: the first of a sorted
        file are not like the others. At least 32; with 1,000, recall is known to about 0.01. The
        time of a query is measured for one query a call, for 32 and, from 128 on, for all of them,
        so give as many as later batches will have.
    recall : float or sequence of float, default 0.95
        Levels in ``(0, 1]``. 0.8, 0.9, 0.95, 0.98 and 0.99 are recorded as well where that does not
        take longer than the levels asked for. 1 means exhaustive search.
    k : int, default 10
        Results per query: recall is the share of the `k` nearest rows that are found. A row as near
        as the k-th counts.
    truth : array_like of int, shape (n, at least k), optional
        Labels of the nearest rows from elsewhere, best first. By default they come from the index's
        own exhaustive search: exact where rows are stored as they are. Where rows are codes, recall
        is then relative to what the codes can say, and only `truth` shows what they lose.
    threads : int, optional
        Threads of the searches; use what later searches will.

    Returns
    -------
    Tuning
        What was measured for every k, level and batch size the index is tuned for.

    Raises
    ------
    ValueError
        Too few queries, an empty index, `k` larger than the index.
    NotTrainedError
        The index is not trained.

    Notes
    -----
    A setting is chosen for a level when the lower end of the recall's one-sided 95 % confidence
    interval reaches it (normal approximation over the queries, the standard error being at least
    that of one row missed in all): of the settings that do, the fastest in batches of that size.
    Exhaustive search is one of them, and in large batches often the fastest.

    Settings are tried from the cheapest on until they are slower than one that reaches everything
    asked for. Recall is measured without a filter and over the rows there are now: after larger
    changes tune again. A search warns when the index has more than twice or less than half as many
    rows as then.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rng = np.random.default_rng(0)
    >>> index = nf.IVFIndex(16, nlist=64)
    >>> rows = rng.standard_normal((4000, 16), dtype=np.float32)
    >>> index.train(rows); index.add(rows)
    >>> tuning = nf.tune(index, rng.standard_normal((200, 16), dtype=np.float32), recall=0.9)
    >>> sorted({setting.batch for setting in tuning})
    [1, 32, 200]
    >>> index.search(rows[:5], k=10, recall=0.9).ids[:, 0]
    array([0, 1, 2, 3, 4])
    """
    asked = _levels(recall)
    k = as_positive(k, name="k")
    as_threads(threads)
    wanted, _ = as_queries(queries, name="queries", dim=index.dim)
    rows = len(index)
    if wanted.shape[0] < _FEWEST_QUERIES:
        raise ValueError(
            f"queries: got {wanted.shape[0]}, expected at least {_FEWEST_QUERIES} like those to "
            "come: fewer say nothing about recall"
        )
    if k > rows:
        raise ValueError(f"k: got {k} for an index of {rows} rows, expected at most as many")
    meter = _Meter(index, wanted, k, threads, _as_truth(truth, wanted.shape[0], k))
    measured = _climb(meter, asked)
    settings = list(_chosen(measured, {*asked, *STANDARD_LEVELS, 1.0}))
    best = max(one.lower for one in measured)
    if not settings:
        least = min(*asked, *STANDARD_LEVELS)
        raise ValueError(
            f"truth: no setting reaches a recall of {least:g} of it; the best is sure to reach "
            f"{best:.3f}"
        )
    if max(asked) > max(level for _, level, _ in settings):
        warnings.warn(
            f"recall {max(asked):g} is not reached: the best setting is sure to reach {best:.3f}",
            stacklevel=2,
        )
    index._core.add_tuning([_row_of(k, batch, level, one, rows) for batch, level, one in settings])
    tuning = index.tuning
    assert tuning is not None
    return tuning


class _Measured(NamedTuple):
    params: dict[str, float]
    recall: float
    lower: float
    seconds: dict[int, float]
    exhaustive: bool


class _Meter:
    """Measures settings; the first one it is given is exhaustive and becomes the truth."""

    def __init__(
        self,
        index: Index,
        queries: NDArray[np.float32],
        k: int,
        threads: int | None,
        truth: NDArray[np.int64] | None,
    ) -> None:
        self.index, self.k = index, k
        self._queries, self._threads, self._truth = queries, threads, truth
        self._best: SearchResult | None = None
        n = queries.shape[0]
        self._batches = [_SINGLE, _SMALL] if n < _FEWEST_FOR_LARGE else [_SINGLE, _SMALL, n]

    def measure(self, params: dict[str, float]) -> _Measured:
        """Return recall and times of one setting."""
        found = self._search(self._queries, params)
        exhaustive = self._best is None
        certain = "epsilon" not in self.index._search_params
        if exhaustive:
            surely: dict[str, Any] = {} if certain else {"epsilon": math.inf}
            self._best = found if certain else self._search(self._queries, params | surely)
        shares = self._shares(found)
        mean = float(shares.mean())
        own = exhaustive and certain and self._truth is None
        lower = mean if own else _lower_bound(shares, self.k)
        seconds = {batch: self._seconds(batch, params) for batch in self._batches}
        return _Measured(params, mean, lower, seconds, exhaustive)

    def _search(self, queries: NDArray[np.float32], params: dict[str, Any]) -> SearchResult:
        asked: dict[str, Any] = {"threads": self._threads, **params}
        return self.index.search(queries, self.k, **asked)

    def _shares(self, found: SearchResult) -> NDArray[np.float64]:
        """Return the recall of every query."""
        if self._truth is not None:
            hits = (found.ids[:, :, None] == self._truth[:, None, :]).any(axis=2)
        else:
            assert self._best is not None
            last = self._best.scores[:, -1:]
            hits = found.scores <= last if self.index.metric == "l2" else found.scores >= last
        shares: NDArray[np.float64] = hits.mean(axis=1, dtype=np.float64)
        return shares

    def _seconds(self, batch: int, params: dict[str, float]) -> float:
        """Return the time of a query in batches of one size: the least of a few passes."""
        n = self._queries.shape[0]
        calls = max(1, min(n, _SMALL) // batch) if batch < _SMALL else min(4, n // batch)
        firsts = [n * call // calls for call in range(calls)]
        best, begin = math.inf, time.perf_counter()
        for done in range(_MOST_PASSES):
            start = time.perf_counter()
            asked = 0
            for first in firsts:
                first = min(first, n - batch)
                self._search(self._queries[first : first + batch], params)
                asked += batch
                if asked >= 4 and time.perf_counter() - start > _LONGEST_PASS:
                    break
            now = time.perf_counter()
            best = min(best, (now - start) / asked)
            if now - begin > (_ENOUGH_TIME if done else _LONGEST_PASS):
                break
        return best


def _row_of(k: int, batch: int, level: float, one: _Measured, rows: int) -> _Setting:
    nprobe, rerank, ef_search = (int(one.params.get(name, 0)) for name in _PARAMETERS[:3])
    shares = (level, one.recall, one.lower)
    params = (nprobe, rerank, ef_search, one.params.get("margin", 0.0))
    return (k, batch, *params, *shares, one.seconds[batch], rows)


def _climb(meter: _Meter, asked: list[float]) -> list[_Measured]:
    """Measure the exhaustive setting, then others from the cheapest on, while more can pay."""
    *cheaper, exhaustive = _ladder(meter.index, meter.k)
    measured = [meter.measure(params) for params in exhaustive[::-1]]  # the truth comes first
    needed = max((level for level in asked if level < 1), default=0.0)
    for ladder in (_ladder_of_margins(meter.index, meter.k), cheaper):
        _climb_one(meter, ladder, needed, measured)
    return measured


def _climb_one(
    meter: _Meter,
    ladder: list[list[dict[str, float]]],
    needed: float,
    measured: list[_Measured],
) -> None:
    begin, reached_after = time.perf_counter(), math.inf
    for rung in ladder:
        here: list[_Measured] = []
        for params in rung:
            here.append(meter.measure(params))
            # What rescores more must still add something.
            if len(here) > 1 and here[-1].recall < here[-2].recall + 0.0005:
                break
        measured += here
        spent = time.perf_counter() - begin
        if _cannot_be_beaten(measured, here, needed):
            reached_after = min(reached_after, spent)
            if _cannot_be_beaten(measured, here, max(needed, *STANDARD_LEVELS)):
                break
        if spent > 2 * reached_after:
            break


def _cannot_be_beaten(measured: list[_Measured], rung: list[_Measured], level: float) -> bool:
    """Whether one that reaches the level is no slower than this rung, for every batch size."""
    return all(
        min((one.seconds[batch] for one in measured if one.lower >= level), default=math.inf)
        <= min(one.seconds[batch] for one in rung)
        for batch in rung[0].seconds
    )


def _ladder(index: Index, k: int) -> list[list[dict[str, float]]]:
    """Return the settings to try, rising: by how far they look, then by how much they rescore."""
    rows = len(index)
    if "ef_search" in index._search_params:
        breadths = _rungs(k, max(k, min(rows, _WIDEST)))
        walks: list[list[dict[str, float]]] = [
            [{"ef_search": ef, "rerank": most} for most in sorted({min(2 * k, ef), ef})]
            for ef in breadths
        ]
        return [*walks, [{"ef_search": _EVERY_ROW}]]
    looks: list[dict[str, float]] = [{}]
    scores: list[dict[str, float]] = [{}]
    if "nprobe" in index._search_params:
        looks = [{"nprobe": probes} for probes in _rungs(1, getattr(index, "nlist", 1))]
    if "rerank" in index._search_params:
        scores = [{"rerank": most} for most in sorted({min(rows, k << i) for i in range(7)})]
    return [[look | score for score in scores] for look in looks]


def _ladder_of_margins(index: Index, k: int) -> list[list[dict[str, float]]]:
    """Return the settings of a graph whose walks end by a margin."""
    if "ef_search" not in index._search_params or "margin" not in index._search_params:
        return []
    return [
        [
            {"ef_search": max(k, _WIDEST_OF_MARGIN), "margin": margin, "rerank": most * k}
            for most in (2, 4, 8)
        ]
        for margin in _MARGINS
    ]


def _rungs(first: int, last: int) -> Iterator[int]:
    """Yield first, last and between them 1, 2, 3, 4, 6, 8, 12, ... as far as they lie there."""
    small = (value << shift for shift in itertools.count() for value in (2, 3))
    yield first
    for value in itertools.takewhile(lambda value: value < last, small):
        if value > first:
            yield value
    if last > first:
        yield last


def _chosen(
    measured: list[_Measured], levels: set[float]
) -> Iterator[tuple[int, float, _Measured]]:
    """Yield the fastest setting of every batch size and level."""
    for batch in measured[0].seconds:
        for level in sorted(levels):
            able = [
                one
                for one in measured
                if one.lower >= level and (level < 1 or (one.exhaustive and one.recall == 1))
            ]
            if able:
                yield batch, level, min(able, key=lambda one: one.seconds[batch])


def _lower_bound(shares: NDArray[np.float64], k: int) -> float:
    n = shares.shape[0]
    mean, deviation = float(shares.mean()), float(shares.std(ddof=1))
    error: float = max(deviation / float(np.sqrt(n)), 1 / (n * k))
    return max(0.0, mean - _STANDARD_ERRORS * error)


def _levels(recall: Any) -> list[float]:
    values = recall if isinstance(recall, (list, tuple, np.ndarray)) else [recall]
    if len(values) == 0:
        raise ValueError("recall: got no level, expected at least one")
    return sorted({as_recall(value) for value in values})


def _as_truth(truth: ArrayLike | None, n: int, k: int) -> NDArray[np.int64] | None:
    if truth is None:
        return None
    ids = np.asarray(truth)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"truth: got an array of {ids.dtype}, expected integers")
    if ids.ndim != 2 or ids.shape[0] != n or ids.shape[1] < k:
        raise ValueError(
            f"truth: got shape {ids.shape}, expected ({n}, {k}) or more columns, the labels of the "
            "nearest rows of every query"
        )
    return ids[:, :k].astype(np.int64)
