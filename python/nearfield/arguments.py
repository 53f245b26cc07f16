"""Checks of scalar arguments: counts, names, thresholds.

Each returns the plain value or raises naming the argument, what was got and what was expected.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from . import _core

__all__ = [
    "Metric",
    "as_flag",
    "as_metric",
    "as_positive",
    "as_real",
    "as_threads",
    "check_result_size",
    "choose",
    "refuse_transform",
]

Metric = Literal["l2", "ip", "cosine"]

_LARGEST = 2**63 - 1


def as_positive(value: Any, *, name: str, largest: int = _LARGEST) -> int:
    """Return `value` as an int in ``[1, largest]``; bools and floats are refused."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got the bool {value}, expected an integer >= 1")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: got {value!r} of type {type(value).__name__}, expected an integer >= 1"
        ) from None
    if not 1 <= number <= largest:
        limit = "" if largest == _LARGEST else f" and <= {largest}"
        raise ValueError(f"{name}: got {number}, expected an integer >= 1{limit}")
    return number


def as_threads(value: Any) -> int:
    """Return the thread count the core takes: 0 (its default) for None."""
    return 0 if value is None else as_positive(value, name="threads", largest=_core.MAX_THREADS)


def as_real(value: Any, *, name: str) -> float:
    """Return `value` as a float; NaN, bools, strings and arrays are refused."""
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    if not is_number or isinstance(value, bool):
        raise TypeError(
            f"{name}: got {value!r} of type {type(value).__name__}, expected a real number"
        )
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name}: got {value}, which is outside the range of float64") from None
    if number != number:
        raise ValueError(f"{name}: got NaN, expected a real number")
    return number


def choose(value: Any, allowed: Sequence[str], *, name: str) -> str:
    """Return `value` if it is one of the `allowed` names."""
    names = ", ".join(repr(choice) for choice in allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name}: got a {type(value).__name__}, expected one of {names}")
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, expected one of {names}")
    return str(value)


def as_metric(value: Any) -> Metric:
    """Return `value` if it names a metric."""
    choose(value, ("l2", "ip", "cosine"), name="metric")
    metric: Metric = value
    return metric


def as_flag(value: Any, *, name: str) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got a {type(value).__name__}, expected True or False")
    return bool(value)


def refuse_transform(transform: Any) -> None:
    """Accept only None: this version has no transforms."""
    if transform is not None:
        raise TypeError(
            f"transform: got {type(transform).__name__}, expected None: transforms are not "
            "available in this version; apply it to the vectors before the call"
        )


def check_result_size(n_queries: int, k: int, n_rows: int) -> None:
    """Refuse a result that this machine's memory cannot hold, before anything is allocated."""
    needed = n_queries * k * 12
    if needed < 2**24:
        return
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        installed = 2**40
    if needed > installed // 2:
        advice = "pass fewer queries per call"
        if k > n_rows:
            advice = f"only {n_rows} rows exist: use k={max(n_rows, 1)}"
        raise ValueError(
            f"k: got {k} for {n_queries} queries, a result of {needed / 2**30:.1f} GiB, expected "
            f"at most half of the {installed / 2**30:.1f} GiB of memory; {advice}"
        )
