"""Ids by row, growing at the end: :class:`IdVector`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdVector", "vector_to_array"]


class IdVector:
    """Ids by row, with the methods of a C++ vector that FAISS's callers use."""

    __slots__ = ("_room", "_size")

    def __init__(self, ids: NDArray[np.int64] | None = None) -> None:
        self._room = np.empty(0, np.int64) if ids is None else ids
        self._size = len(self._room)

    @property
    def array(self) -> NDArray[np.int64]:
        """All of them."""
        return self._room[: self._size]

    def append(self, ids: NDArray[np.int64]) -> None:
        """Add some at the end."""
        size = self._size + len(ids)
        if size > len(self._room):
            grown = np.empty(max(size, 2 * self._size), np.int64)
            grown[: self._size] = self.array
            self._room = grown
        self._room[self._size : size] = ids
        self._size = size

    def at(self, i: int) -> int:
        """Return one."""
        return int(self.array[i])

    def size(self) -> int:
        """Return how many there are."""
        return self._size

    def __len__(self) -> int:
        return self._size

    def __copy__(self) -> IdVector:
        return IdVector(self.array.copy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.array, dtype)


def vector_to_array(vector: Any) -> NDArray[Any]:
    """Return what a vector of an index holds, such as ``index.id_map``, as an array."""
    return np.array(vector)
