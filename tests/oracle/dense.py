"""What the answers are: dense search by definition, in float64, and a judge for results.

Nothing here is fast and nothing here is shared with the engine. The judge uses `np.longdouble`
(64 mantissa bits on x86-64) to decide which of two rows is really nearer: an engine that orders by
float64 scores may swap two rows only where their exact scores are closer than a few float64 ulps of
the sum of absolute products, and never two rows with the same contents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MISSING = -(2**63)
ULPS = 4
EPS64 = 2.0**-52


def widen(rows: np.ndarray, storage: str) -> np.ndarray:
    """Return stored rows as float64; bfloat16 rows come as uint16."""
    if storage == "bfloat16":
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float64)


def dot(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Inner products, (n_queries, n)."""
    return q @ x.T


def squared_l2(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Squared distances by direct differences, (n_queries, n)."""
    out = np.empty((len(q), len(x)), q.dtype)
    for i, query in enumerate(q):
        difference = x - query
        out[i] = (difference * difference).sum(axis=1)
    return out


def norms(x: np.ndarray) -> np.ndarray:
    """Euclidean norms of rows."""
    return np.sqrt((x * x).sum(axis=1))


def cosine(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cosine similarities; 0 where either vector is zero."""
    lengths = norms(q)[:, None] * norms(x)[None, :]
    return np.divide(dot(q, x), lengths, out=np.zeros_like(lengths), where=lengths > 0)


def scores(q: np.ndarray, x: np.ndarray, metric: str, dtype: Any = np.float64) -> np.ndarray:
    """Return the public scores: similarity for ip and cosine, squared distance for l2."""
    by_metric = {"ip": dot, "l2": squared_l2, "cosine": cosine}
    return by_metric[metric](q.astype(dtype), x.astype(dtype))


def magnitudes(q: np.ndarray, x: np.ndarray, metric: str) -> np.ndarray:
    """Return the sum of absolute products behind each score: the scale of its rounding error."""
    if metric == "l2":
        return scores(q, x, "l2")
    total = dot(np.abs(q.astype(np.float64)), np.abs(x.astype(np.float64)))
    if metric == "ip":
        return total
    lengths = norms(q.astype(np.float64))[:, None] * norms(x.astype(np.float64))[None, :]
    return np.divide(total, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def goodness(s: np.ndarray, metric: str) -> np.ndarray:
    """Return scores with larger meaning nearer."""
    return -s if metric == "l2" else s


def topk(
    q: np.ndarray,
    x: np.ndarray,
    k: int,
    metric: str,
    mask: np.ndarray | None = None,
    exclude_self: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, float64 scores and counts, ties by smaller row."""
    every = scores(q, x, metric)
    ids = np.full((len(q), k), MISSING, np.int64)
    best = np.full((len(q), k), np.nan)
    counts = np.zeros(len(q), np.int64)
    for i in range(len(q)):
        live = np.ones(len(x), bool) if mask is None else mask.copy()
        if exclude_self:
            live[i] = False
        rows = np.flatnonzero(live)
        order = rows[np.argsort(-goodness(every[i, rows], metric), kind="stable")][:k]
        counts[i] = len(order)
        ids[i, : len(order)] = order
        best[i, : len(order)] = every[i, order]
    return ids, best, counts


def range_search(
    q: np.ndarray, x: np.ndarray, threshold: float, metric: str, mask: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return for every query the rows at least as good as the threshold, best first."""
    every = goodness(scores(q, x, metric), metric)
    limit = -threshold if metric == "l2" else threshold
    found = []
    for row in every:
        rows = np.flatnonzero((row >= limit) & (True if mask is None else mask))
        found.append(rows[np.argsort(-row[rows], kind="stable")])
    return found


def contents(x: np.ndarray) -> np.ndarray:
    """Return one number per row, equal for rows with equal values."""
    _, group = np.unique(x + 0.0, axis=0, return_inverse=True)
    return group.reshape(-1)


class Judge:
    """Holds exact scores of one problem and accepts or refuses results for it.

    `exact` says that every partial sum is exact in float64 (small integers): the order must then be
    the oracle's to the last id. `rotated`: queries were rotated, and rounded to float32,
    before they were scored against rows that were about so long (per query, if an array).
    """

    def __init__(
        self,
        q: np.ndarray,
        x: np.ndarray,
        metric: str,
        exact: bool = False,
        rotated: Any = 0.0,
    ) -> None:
        self.metric, self.exact = metric, exact and metric != "cosine"
        self.scores = scores(q, x, metric, np.longdouble)
        self.key = goodness(self.scores, metric)
        self.slack = ULPS * EPS64 * magnitudes(q, x, metric)
        if np.any(rotated):
            # Subnormal elements lose more than a share of themselves.
            lengths = norms(q.astype(np.longdouble))[:, None] + 2.0**-125
            reach = (lengths + rotated) ** 2 if metric == "l2" else lengths * rotated
            self.slack = self.slack + 2.0**-20 * reach
        self.group = contents(x)

    def check(
        self,
        ids: np.ndarray,
        found: np.ndarray,
        counts: np.ndarray,
        k: int,
        mask: np.ndarray | None = None,
        queries: np.ndarray | None = None,
        exclude_self: bool = False,
    ) -> None:
        """Raise AssertionError unless (ids, found, counts) is the answer to `queries`."""
        rows = np.arange(len(self.key)) if queries is None else queries
        assert ids.shape == found.shape == (len(rows), k)
        assert ids.dtype == np.int64
        assert found.dtype == np.float32
        for i, query in enumerate(rows):
            live = np.ones(self.key.shape[1], bool) if mask is None else mask.copy()
            if exclude_self:
                live[query] = False
            count = int(counts[i])
            assert count == min(k, int(live.sum())), f"query {query}: count {count}"
            assert (ids[i, count:] == MISSING).all(), f"query {query}: ids after the count"
            assert np.isnan(found[i, count:]).all(), f"query {query}: scores after the count"
            self._check_ids(int(query), ids[i, :count], live)
            self._check_scores(int(query), ids[i, :count], found[i, :count])

    def _check_ids(self, query: int, ids: np.ndarray, live: np.ndarray) -> None:
        assert len(np.unique(ids)) == len(ids), f"query {query}: an id twice"
        assert live[ids].all(), f"query {query}: a row that may not answer"
        key, slack = self.key[query], self.slack[query]
        if self.exact:
            rows = np.flatnonzero(live)
            expected = rows[np.lexsort((rows, -key[rows]))][: len(ids)]
            wrong = np.flatnonzero(ids != expected)
            assert not wrong.size, (
                f"query {query}, rank {wrong[:1]}: {ids[wrong[:1]]}, expected "
                + (f"{expected[wrong[:1]]}")
            )
            return
        if not len(ids):
            return
        # A row whose terms cancel may stand anywhere its own rounding error takes it.
        least, most = key - slack, key + slack
        later = np.maximum.accumulate(least[ids][::-1])[::-1]
        late = np.flatnonzero(most[ids] < later)
        assert not late.size, f"query {query}, rank {late[:1]}: row {ids[late[:1]]} comes too early"
        live[ids] = False
        others = np.flatnonzero(live)
        if others.size:
            best = others[np.argmax(least[others])]
            assert least[best] <= most[ids].min(), f"query {query}: row {best} is missing"
        self._check_twins(query, ids, others)

    def _check_twins(self, query: int, ids: np.ndarray, others: np.ndarray) -> None:
        """Rows of equal contents come by id, and none is left out for a later one."""
        group = self.group[ids]
        order = np.argsort(group, kind="stable")
        same = np.diff(group[order]) == 0
        assert (np.diff(ids[order])[same] > 0).all(), f"query {query}: equal rows out of order"
        last = np.full(self.group.max() + 1, -1)
        np.maximum.at(last, group, ids)
        passed = others[others < last[self.group[others]]]
        assert not passed.size, f"query {query}: row {passed[:1]} lost to an equal later row"

    def _check_scores(self, query: int, ids: np.ndarray, found: np.ndarray) -> None:
        true, slack = self.scores[query, ids], self.slack[query, ids]
        assert not np.isnan(found).any(), f"query {query}: NaN score"
        largest = np.finfo(np.float32).max
        with np.errstate(over="ignore"):
            error = np.abs(found.astype(np.longdouble) - true)
        # Beyond float32's range the score is the largest number or infinity, with the right sign.
        beyond = (np.abs(true) > largest) & (np.abs(found) >= largest)
        right = np.sign(found) == np.sign(true)
        allowed = 2.0**-23 * np.abs(true) + slack + 2.0**-149
        bad = np.flatnonzero(~(error <= allowed) & ~(beyond & right))
        assert not bad.size, f"query {query}: score {found[bad[:1]]}, expected {true[bad[:1]]}"
