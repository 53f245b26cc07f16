"""Is one system better than another: the paired bootstrap over queries.

Cost: ``resamples * n`` random numbers, 0.1 s for 10,000 resamples of 1,000 queries.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import as_positive, as_real, as_seed

__all__ = ["BootstrapInterval", "paired_bootstrap"]

_BLOCK = 1 << 22  # random numbers drawn at a time


class BootstrapInterval(NamedTuple):
    """The mean per-query difference of two systems and its interval.

    Attributes
    ----------
    mean : float
        Mean of ``a - b`` over the queries.
    low, high : float
        Ends of the percentile interval of that mean.
    confidence : float
        Share of resamples the interval holds, 0.95 by default.
    n : int
        Queries.
    """

    mean: float
    low: float
    high: float
    confidence: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Return the mean and the interval as one would write them down."""
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def paired_bootstrap(
    a: ArrayLike | Mapping[Any, float],
    b: ArrayLike | Mapping[Any, float],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """Return the interval of the mean per-query difference ``a - b``.

    Queries are drawn with replacement, both systems' values of a query together: what makes a query
    hard for both does not widen the interval.

    Parameters
    ----------
    a, b : array_like of float, shape (n,), or mapping
        One value per query of each system, in the same order; or ``{query id: value}`` with the
        same queries, such as :func:`nearfield.evaluate_per_query` returns per metric.
    resamples : int, default 10000
        How often the queries are drawn anew.
    confidence : float, default 0.95
        Share of the resampled means inside the interval, between 0 and 1.
    seed : int, default 0
        Same seed, same interval.

    Returns
    -------
    BootstrapInterval
        ``mean``, ``low``, ``high``, ``confidence``, ``n``; `clear` tells whether 0 is outside.

    Raises
    ------
    ValueError
        Different queries or lengths, fewer than two queries, NaN or infinity.

    Examples
    --------
    >>> import nearfield as nf
    >>> found = nf.paired_bootstrap([1.0, 1.0, 0.5, 1.0], [0.5, 1.0, 0.0, 0.5])
    >>> found.mean, found.clear
    (0.375, True)
    """
    first, second = _paired(a, b)
    resamples = as_positive(resamples, name="resamples")
    confidence = as_real(confidence, name="confidence")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}, expected a number between 0 and 1")
    difference = first - second
    n = difference.shape[0]
    rng = np.random.default_rng(as_seed(seed))
    means = np.empty(resamples)
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        means[start : start + rows] = difference[rng.integers(0, n, (rows, n))].mean(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return BootstrapInterval(float(difference.mean()), float(low), float(high), confidence, n)


def _paired(a: Any, b: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(a, Mapping) != isinstance(b, Mapping):
        raise TypeError(
            f"b: got a {type(b).__name__} beside a {type(a).__name__}, expected two mappings or "
            "two arrays"
        )
    if isinstance(a, Mapping):
        if set(a) != set(b):
            only = sorted(map(repr, set(a) ^ set(b)))[:3]
            raise ValueError(f"b: {', '.join(only)} stands in one of the two, expected in both")
        a, b = list(a.values()), [b[query] for query in a]
    first, second = _values(a, "a"), _values(b, "b")
    if first.shape != second.shape:
        raise ValueError(
            f"b: got {second.shape[0]} values beside {first.shape[0]} of a, expected one per query"
        )
    if first.shape[0] < 2:
        raise ValueError(f"a: got {first.shape[0]} values, expected at least two queries")
    return first, second


def _values(values: Any, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected numbers, one per query ({error})") from None
    if array.ndim != 1:
        raise ValueError(f"{name}: got shape {array.shape}, expected (n,), one value per query")
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name}: value {at} is {array[at]}, expected finite numbers")
    return array
