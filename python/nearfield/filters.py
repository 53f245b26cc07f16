"""Which rows may answer: the ``filter=`` argument of every search.

A filter names rows by position (a boolean mask) or by label (an array of ids, a ``range``), or
combines those. It becomes one boolean mask over the live rows.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import as_labels, to_numpy

__all__ = ["Filter", "LabelSpace", "as_mask"]


class Filter:
    """A set of rows that may answer, built once and combined with ``&``, ``|`` and ``~``.

    Parameters
    ----------
    rows : array_like of bool, array_like of int, set of int, range or Filter
        A boolean mask by row (its length must equal the number of live rows), ids (labels; row
        numbers for :func:`nearfield.topk`) or a range of ids. Ids that do not exist match
        nothing.

    Notes
    -----
    Immutable, and safe to use from any number of threads. An array is not copied: change it after
    the filter was made and the filter changes.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> index = nf.FlatIndex(1)
    >>> index.add(np.float32([[0], [1], [2], [3]]))
    >>> even = nf.Filter([0, 2])
    >>> index.search(np.float32([0]), k=4, filter=~even & nf.Filter(range(3))).counts
    np.int64(1)
    """

    __slots__ = ("_operands", "_operator")

    _operands: tuple[Any, ...]
    _operator: str

    def __init__(self, rows: Any) -> None:
        if isinstance(rows, Filter):
            self._operator, self._operands = rows._operator, rows._operands
            return
        self._operator, self._operands = _leaf(rows, "rows")

    @classmethod
    def _combine(cls, operator: str, *operands: Filter) -> Filter:
        combined = cls.__new__(cls)
        combined._operator, combined._operands = operator, operands
        return combined

    def __and__(self, other: Any) -> Filter:
        if not isinstance(other, Filter):
            return NotImplemented
        return Filter._combine("&", self, other)

    def __or__(self, other: Any) -> Filter:
        if not isinstance(other, Filter):
            return NotImplemented
        return Filter._combine("|", self, other)

    def __invert__(self) -> Filter:
        return Filter._combine("~", self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self._operator, self._operands))

    def __repr__(self) -> str:
        what = {"&": "and", "|": "or", "~": "not"}.get(self._operator, self._operator)
        if self._operator == "range":
            what = repr(self._operands[0])
        elif self._operator in ("ids", "mask"):
            what = f"{len(self._operands[0])} {what}"
        return f"<nearfield.Filter: {what}>"


def _rebuild(operator: str, operands: tuple[Any, ...]) -> Filter:
    rebuilt = Filter.__new__(Filter)
    rebuilt._operator, rebuilt._operands = operator, operands
    return rebuilt


class LabelSpace:
    """The labels of the live rows, in row order.

    Parameters
    ----------
    size : int
        Number of live rows.
    labels : ndarray of int64, optional
        Their labels; the row numbers themselves if None.
    """

    __slots__ = ("labels", "size")

    def __init__(self, size: int, labels: NDArray[np.int64] | None = None) -> None:
        self.size = size
        self.labels = labels

    def mask_of_ids(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Rows whose label is among `ids`; unknown ids match nothing."""
        if self.labels is not None:
            found: NDArray[np.bool_] = np.isin(self.labels, ids)
            return found
        mask = np.zeros(self.size, np.bool_)
        mask[ids[(ids >= 0) & (ids < self.size)]] = True
        return mask

    def mask_of_range(self, ids: range) -> NDArray[np.bool_]:
        """Rows whose label is in the range."""
        if not ids:  # len() fails beyond sys.maxsize
            return np.zeros(self.size, np.bool_)
        low, high = min(ids[0], ids[-1]), max(ids[0], ids[-1])
        labels = np.arange(self.size) if self.labels is None else self.labels
        first, last = max(low, -(2**63)), min(high, 2**63 - 1)
        mask: NDArray[np.bool_] = (labels >= first) & (labels <= last)
        step = abs(ids.step)
        if step > 1:
            # Modulo 2**64 the difference is right even where int64 would overflow.
            offset = labels.astype(np.uint64) - np.uint64(low % 2**64)
            mask &= offset % np.uint64(step) == 0 if step < 2**64 else offset == 0
        return mask


def as_mask(rows: Any, space: LabelSpace) -> NDArray[np.bool_] | None:
    """Turn a ``filter=`` argument into a boolean mask over the live rows.

    Parameters
    ----------
    rows : None, array_like of bool or int, set of int, range or Filter
        As :class:`Filter`; None lets every row answer.
    space : LabelSpace
        The live rows.

    Returns
    -------
    ndarray of bool, shape (n_rows,), or None

    Raises
    ------
    TypeError
        Not one of the kinds above.
    ValueError
        A mask whose length is not the number of live rows.
    """
    if rows is None:
        return None
    if not isinstance(rows, Filter):
        return _leaf_mask(*_leaf(rows, "filter"), space)
    # An explicit stack: a filter combined in a long loop must not hit the recursion limit.
    pending: list[tuple[Filter, bool]] = [(rows, False)]
    masks: list[NDArray[np.bool_]] = []
    while pending:
        node, operands_done = pending.pop()
        if node._operator not in ("&", "|", "~"):
            masks.append(_leaf_mask(node._operator, node._operands, space))
        elif not operands_done:
            pending.append((node, True))
            pending.extend((operand, False) for operand in reversed(node._operands))
        elif node._operator == "~":
            masks.append(~masks.pop())
        else:
            right, left = masks.pop(), masks.pop()
            masks.append(left & right if node._operator == "&" else left | right)
    return masks.pop()


def _leaf(rows: Any, name: str) -> tuple[str, tuple[Any, ...]]:
    """Classify a filter argument as ``mask``, ``ids`` or ``range``."""
    if isinstance(rows, range):
        return "range", (rows,)
    if isinstance(rows, (str, bytes, dict, bool, int, float, np.generic, slice)) or callable(rows):
        raise TypeError(
            f"{name}: got a {type(rows).__name__}, expected a boolean mask by row, an array of "
            "ids, a range or an nf.Filter"
        )
    array, _ = to_numpy(list(rows) if isinstance(rows, Set) else rows, name)
    if array.dtype.kind == "b":
        if array.ndim != 1:
            raise ValueError(f"{name}: got a mask of shape {array.shape}, expected (n_rows,)")
        return "mask", (array,)
    return "ids", (as_labels(rows, name=name),)


def _leaf_mask(kind: str, operands: tuple[Any, ...], space: LabelSpace) -> NDArray[np.bool_]:
    rows = operands[0]
    if kind == "range":
        return space.mask_of_range(rows)
    if kind == "ids":
        return space.mask_of_ids(rows)
    if rows.shape[0] != space.size:
        raise ValueError(
            f"filter: got a mask of {rows.shape[0]} rows, expected {space.size}, the number of "
            "live rows; to choose by label pass an array of ids"
        )
    return np.ascontiguousarray(rows)
