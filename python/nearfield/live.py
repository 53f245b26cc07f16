"""The live rows of an index, seen by filters while other threads add and remove."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _core
from .filters import LabelSpace, as_mask

__all__ = ["LiveRows"]

_OPTIMISTIC_TRIES = 8

_Answer = TypeVar("_Answer")


class LiveRows:
    """Ties the mask of a filtered search to the rows it was made for.

    A filter is turned into a mask by row, so a change of the rows between making the mask and
    using it would choose the wrong ones. Changes count a version up; a filtered search runs
    without a lock and is thrown away if the version moved.

    Parameters
    ----------
    core : _core.Index
        The native index.
    """

    __slots__ = ("_change_lock", "_core", "_space", "_version")

    def __init__(self, core: _core.Index) -> None:
        self._core = core
        self._change_lock = threading.RLock()  # a search that holds changes back may look again
        self._version = 0  # odd while rows change
        self._space: tuple[int, LabelSpace] | None = None

    def change(self, action: Callable[[], _Answer]) -> _Answer:
        """Run an action that adds or removes rows."""
        with self._change_lock:
            self._version += 1
            try:
                return action()
            finally:
                self._version += 1

    @property
    def version(self) -> int:
        """A number that changes whenever rows do."""
        return self._version

    @contextlib.contextmanager
    def unchanging(self) -> Iterator[int]:
        """Hold changes back; yields the version that stays."""
        with self._change_lock:
            yield self._version

    def masked(self, rows: Any, run: Callable[[NDArray[np.bool_] | None], _Answer]) -> _Answer:
        """Run a search with the mask of the filter `rows`.

        After a few tries that met changes, changes wait for one search.
        """
        if rows is None:
            return run(None)
        for _ in range(_OPTIMISTIC_TRIES):
            version = self._version
            if version % 2:
                break
            try:
                answer = run(as_mask(rows, self._labels_at(version)))
            except ValueError:
                if self._version == version:
                    raise
                continue
            if self._version == version:
                return answer
        with self._change_lock:
            return run(as_mask(rows, self._labels_at(self._version)))

    def _labels_at(self, version: int) -> LabelSpace:
        cached = self._space
        if cached is not None and cached[0] == version:
            return cached[1]
        labels = self._core.labels()
        size = int(labels.shape[0])
        numbered = size == 0 or (labels[0] == 0 and bool((np.diff(labels) == 1).all()))
        space = LabelSpace(size, None if numbered else labels)
        if self._version == version:
            self._space = (version, space)
        return space
