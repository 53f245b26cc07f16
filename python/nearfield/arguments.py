"""Checks of scalar arguments: counts, names, thresholds.

Each returns the plain value or raises naming the argument, what was got and what was expected.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Callable, Sequence, Sized
from typing import Any, Literal

import numpy as np

from . import _core

__all__ = [
    "LARGEST_DIM",
    "Metric",
    "Reader",
    "as_deviations",
    "as_flag",
    "as_margin",
    "as_metric",
    "as_natural",
    "as_path",
    "as_positive",
    "as_real",
    "as_seed",
    "as_threads",
    "check_result_size",
    "choose",
    "most_memory",
    "naming",
]

Metric = Literal["l2", "ip", "cosine"]

Reader = Callable[..., Any]
"""Checks one argument: called with its value, and with its name as `name`."""

LARGEST_DIM = 2**16
"""Columns a vector may have: so many products of two bytes sum up within 32 bits."""

_LARGEST = 2**63 - 1


def as_positive(value: Any, *, name: str, least: int = 1, largest: int = _LARGEST) -> int:
    """Return `value` as an int in ``[least, largest]``; bools and floats are refused."""
    if type(value) is int and least <= value <= largest:
        return value  # what nearly every call brings
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got the bool {value}, expected an integer >= {least}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: got {value!r} of type {type(value).__name__}, expected an integer >= {least}"
        ) from None
    if not least <= number <= largest:
        limit = "" if largest == _LARGEST else f" and <= {largest}"
        raise ValueError(f"{name}: got {number}, expected an integer >= {least}{limit}")
    return number


def as_deviations(value: Any, *, name: str) -> float:
    """Return `value` as a float, 0 to infinity."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(
            f"{name}: got {value!r} of type {type(value).__name__}, expected a number >= 0"
        )
    number = float(value)
    if not number >= 0.0:
        raise ValueError(f"{name}: got {number}, expected a number >= 0")
    return number


def as_natural(value: Any, *, name: str) -> int:
    """Return `value` as an int in ``[0, 2**63)``; bools and floats are refused."""
    if not isinstance(value, (bool, np.bool_)) and value == 0:
        return 0
    return as_positive(value, name=name)


def as_threads(value: Any) -> int:
    """Return the thread count the core takes: 0 (its default) for None."""
    return 0 if value is None else as_positive(value, name="threads", largest=_core.MAX_THREADS)


def as_seed(value: Any) -> int:
    """Return `value` as an int in ``[0, 2**64)``; bools and floats are refused."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"seed: got the bool {value}, expected an integer >= 0")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"seed: got {value!r} of type {type(value).__name__}, expected an integer >= 0"
        ) from None
    if not 0 <= number < 2**64:
        raise ValueError(f"seed: got {number}, expected an integer >= 0 and < 2**64")
    return number


def as_real(value: Any, *, name: str) -> float:
    """Return `value` as a finite float; bools, strings and arrays are refused."""
    is_number = isinstance(value, (numbers.Real, np.integer, np.floating))
    if not is_number or isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{name}: got {value!r} of type {type(value).__name__}, expected a real number"
        )
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name}: got {value}, which is outside the range of float64") from None
    if not math.isfinite(number):
        got = "NaN" if math.isnan(number) else number
        raise ValueError(f"{name}: got {got}, expected a finite number")
    return number


def as_margin(value: Any, *, name: str) -> float:
    """Return `value` as a finite float of at least 0."""
    if type(value) is float and 0.0 <= value < math.inf:
        return value  # what nearly every call brings
    number = as_real(value, name=name)
    if number < 0:
        raise ValueError(f"{name}: got {value!r}, expected a number of at least 0")
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


def as_path(value: Any, *, name: str) -> str:
    """Return a str, bytes or ``os.PathLike`` as a str that can name a file.

    File names need not be UTF-8: hand ``os.fsencode`` of it to the core.
    """
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise TypeError(
            f"{name}: got a {type(value).__name__}, expected a str or os.PathLike"
        ) from None
    if not path or "\0" in path:
        got = "an empty string" if not path else f"{path!r}, which holds a NUL byte"
        raise ValueError(f"{name}: got {got}, expected the name of a file")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: got {path!r}, which cannot name a file ({error})") from None
    return path


def naming(error: ValueError, *, query: str, row: str) -> ValueError:
    """Put the argument's name before the core's message about a query, a row or too few rows.

    The core counts the vectors it is given and does not know what the caller called them.
    """
    message = str(error)
    for word, name in (("query ", query), ("row ", row), ("got ", row)):
        if message.startswith(word):
            return ValueError(f"{name}: {message}")
    return error


def check_result_size(n_queries: int, k: int, rows: Sized) -> None:
    """Refuse a result that this machine's memory cannot hold, before anything is allocated."""
    needed = (n_queries or 1) * k * 12
    if needed < 2**24:
        return
    most = most_memory()
    if needed > most:
        advice = "pass fewer queries per call"
        if k > len(rows):
            advice = f"only {len(rows)} rows exist: use k={max(len(rows), 1)}"
        raise ValueError(
            f"k: got {k} for {n_queries} queries, a result of {needed / 2**30:.1f} GiB, expected "
            f"at most half of the {2 * most / 2**30:.1f} GiB of memory; {advice}"
        )


def most_memory() -> int:
    """Return the bytes that one array may take: half of what the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 2**39
