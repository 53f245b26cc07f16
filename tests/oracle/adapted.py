"""What corpus adapters mean: rows mapped one by one, in float64, and a judge for results."""

from __future__ import annotations

import numpy as np
from oracle import dense

SHARE = 2.0**-40
"""What scores may be off by, as a share of the lengths behind them: folding is done in float64."""


def low_rank(x: np.ndarray, u: np.ndarray, v: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Return ``c + weight * u @ v.T @ c`` of every row c."""
    return x + weight * ((x @ v.astype(np.longdouble)) @ u.astype(np.longdouble).T)


def matrix(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return ``w @ c`` of every row c."""
    return x @ w.astype(np.longdouble).T


class Judge:
    """Accepts answers that an exact search of the mapped rows could give.

    `rows` before and `mapped` after, as float64 or wider; `size` bounds how the map lengthens
    what is between, `unit` says that scores are of rows divided by their own length.
    """

    def __init__(
        self,
        q: np.ndarray,
        rows: np.ndarray,
        mapped: np.ndarray,
        metric: str,
        size: float,
        share: float = SHARE,
    ) -> None:
        wide = q.astype(np.longdouble)
        mapped = mapped.astype(np.longdouble)
        lengths, after = dense.norms(rows.astype(np.longdouble)), dense.norms(mapped)
        # What a map leaves of a row only by rounding is nothing.
        mapped = np.where((after > 2.0**-21 * (1 + size) * lengths)[:, None], mapped, 0)
        after = dense.norms(mapped)
        self.metric = metric
        self.scores = dense.scores(wide, mapped, metric, np.longdouble)
        self.key = dense.goodness(self.scores, metric)
        reach = dense.norms(wide)[:, None] * ((1 + size) * lengths)[None, :]
        if metric == "cosine":
            ratio = (1 + size) * np.divide(
                lengths, after, out=np.zeros_like(after), where=after > 0
            )
            reach = np.broadcast_to(ratio + ratio**2, self.key.shape)
        elif metric == "l2":
            reach = reach + ((1 + size) * lengths) ** 2 + dense.norms(wide)[:, None] ** 2
        self.slack = np.float64(reach) * share + 1e-290

    def check(
        self,
        ids: np.ndarray,
        scores: np.ndarray,
        counts: np.ndarray,
        rows: np.ndarray | None = None,
    ) -> None:
        """Raise unless these are the best of `rows` (all, where None), best first."""
        allowed = np.arange(self.key.shape[1]) if rows is None else rows
        for i in range(len(ids)):
            n = min(ids.shape[1], len(allowed))
            assert counts[i] == n, (i, counts[i], n)
            mine = ids[i, :n]
            assert len(set(mine.tolist())) == n
            assert np.isin(mine, allowed).all()
            best = np.sort(self.key[i, allowed])[::-1][:n]
            slack = self.slack[i, mine]
            worst = np.maximum(slack, np.max(self.slack[i]))
            assert (np.abs(self.key[i, mine] - best) <= 2 * worst).all(), (
                i,
                mine,
                np.float64(self.key[i, mine] - best),
                np.float64(worst),
            )
            expected = np.float64(self.scores[i, mine])
            near = np.abs(np.float64(scores[i, :n]) - expected)
            assert (near <= 2.0**-22 * np.abs(expected) + 4 * np.float64(slack)).all(), (
                i,
                scores[i, :n],
                expected,
            )
