"""Token ids of a batch of texts: :class:`Tokens`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_floats, as_labels

__all__ = ["Tokens"]


class Tokens:
    """Token ids of many rows in one array, and where each row begins (CSR).

    Row ``i`` holds ``ids[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    ids : array_like of int, shape (m,)
        Token ids of all rows, one after the other; repeated ids are fine.
    offsets : array_like of int, shape (n + 1,)
        From 0 to m, never falling.
    weights : array_like, shape (m,), optional
        One number per id; finite.

    Raises
    ------
    TypeError, ValueError
        Wrong types or shapes, a negative id, offsets that do not fit, NaN or infinity.

    Examples
    --------
    >>> import nearfield as nf
    >>> len(nf.Tokens([7, 9, 9, 3], offsets=[0, 3, 4]))
    2
    """

    __slots__ = ("ids", "offsets", "weights")

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32] | None

    def __init__(
        self, ids: ArrayLike, offsets: ArrayLike, weights: ArrayLike | None = None
    ) -> None:
        self.ids = _read_only(as_labels(ids, name="ids"))
        if self.ids.size and self.ids.min() < 0:
            at = int(np.argmin(self.ids >= 0))
            raise ValueError(f"ids: got {self.ids[at]} at {at}, expected token ids from 0 on")
        self.offsets = _read_only(as_labels(offsets, name="offsets"))
        _check_offsets(self.offsets, self.ids.size)
        self.weights = None if weights is None else _as_weights(weights, self.ids.size)

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __repr__(self) -> str:
        beside = "" if self.weights is None else ", weighted"
        return f"Tokens({self.ids.size} ids in {len(self)} rows{beside})"


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    owned = array.copy()
    owned.flags.writeable = False
    return owned


def _check_offsets(offsets: NDArray[np.int64], size: int) -> None:
    if offsets.size == 0 or offsets[0] != 0 or offsets[-1] != size:
        ends = "nothing" if offsets.size == 0 else f"{offsets[0]} to {offsets[-1]}"
        raise ValueError(f"offsets: got {ends}, expected 0 to {size}, the number of ids")
    falls = np.flatnonzero(np.diff(offsets) < 0)
    if falls.size:
        at = int(falls[0])
        raise ValueError(
            f"offsets: got {offsets[at]} and then {offsets[at + 1]} at {at}, expected numbers "
            "that never fall"
        )


def _as_weights(weights: ArrayLike, size: int) -> NDArray[np.float32]:
    if size == 0 and np.shape(weights) == (0,):
        return _read_only(np.empty(0, np.float32))
    array = as_floats(weights, name="weights", ndim=1)
    if array.shape != (size,):
        raise ValueError(f"weights: got shape {array.shape}, expected ({size},), one per id")
    return array
