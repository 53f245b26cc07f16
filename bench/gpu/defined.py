"""Scores by definition in float64, what random rows are made of, and whether results agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ROUNDING = 2e-6  # of float32 scores, in shares of the larger of the score and 1


class DefinedScores:
    """Scores of all queries and rows, larger is better, that are asked for what is needed of them.

    Parameters
    ----------
    rows : int
    best : callable
        k -> the k best scores of every query.
    of : callable
        ids, (n_queries, k) -> their scores.
    """

    def __init__(
        self,
        rows: int,
        best: Callable[[int], np.ndarray],
        of: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.rows, self.best, self.of = rows, best, of

    @classmethod
    def computed(cls, q: np.ndarray, x: np.ndarray, metric: str) -> DefinedScores:
        """Compute them with NumPy."""
        return cls.given(_scores(q, x, metric))

    @classmethod
    def given(cls, scores: np.ndarray) -> DefinedScores:
        """Take scores as they are; what is not finite does not answer."""
        scores = np.where(np.isfinite(scores), scores, -np.inf)
        return cls(
            scores.shape[1],
            lambda k: -np.sort(-scores, axis=1)[:, :k],
            lambda ids: np.take_along_axis(scores, ids, axis=1),
        )


def _scores(q: np.ndarray, x: np.ndarray, metric: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        products = q @ x.T
        if metric == "ip":
            return products
        if metric == "l2":
            return 2 * products - (q * q).sum(1)[:, None] - (x * x).sum(1)
        lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
        return np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0.0)


def bits_of(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Return random numbers of a type; bfloat16 as its bits."""
    if dtype in ("int8", "uint8"):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    return as_bits(rng.standard_normal(shape, dtype=np.float32), dtype)


def as_bits(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return float32 numbers as a type; bfloat16 as its bits, cut off."""
    if dtype == "bfloat16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


def verdict(found: Any, defined: DefinedScores, metric: str, k: int) -> str:
    """Compare ids outside the band of float32 rounding, and scores; "" where all is right."""
    ids, scores, counts = found
    best = defined.best(min(k, defined.rows))
    answers = np.isfinite(best)
    kept = best.shape[1]
    if not (counts == answers.sum(axis=1)).all():
        return "wrong counts"
    shown = ids[:, :kept]
    if ((shown < 0) | (shown >= defined.rows))[answers].any():
        return "ids out of range"
    if any(len(set(row[real])) != real.sum() for row, real in zip(shown, answers, strict=True)):
        return "an id twice"
    given = defined.of(np.where(answers, shown, 0))
    band = ROUNDING * np.maximum(np.abs(best), 1.0)
    off = np.abs(np.where(answers, given - np.where(answers, best, 0), 0.0))
    if (off[answers] > band[answers]).any():
        return f"an id whose score is {off.max():.3g} from the right one"
    goodness = -scores[:, :kept] if metric == "l2" else scores[:, :kept]
    return "" if (np.abs(goodness - given) <= band)[answers].all() else "scores off"
