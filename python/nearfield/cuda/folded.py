"""Corpus adapters on a device, for searches of rows as one has them: :class:`Foldings`.

Rows stay as they are: queries are folded on the device, and what is left of the adapter on the side
of rows is a length each, which the CPU engine computes (decision 0014).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arguments import as_threads
from .label_order import by_label
from .search import uploaded

if TYPE_CHECKING:
    from .._core import Index

__all__ = ["Folding", "Foldings"]

_MOST = 8  # as many mixtures as the CPU engine remembers


class Folding(NamedTuple):
    """An adapter on the device, and the rows of the index that it describes.

    Attributes
    ----------
    adapted : object
        The CPU engine's; another one once adapters change, or rows are added.
    version : int
        Of the rows: lengths are those of the rows that were there.
    place : tuple of int
        Addresses of its factors, weights and lengths, and the rank.
    keep : object
        Their memory.
    """

    adapted: Any
    version: int
    place: tuple[int, int, int, int, int]
    keep: Any


class Foldings:
    """The adapters of an index that were last asked for, on one device."""

    def __init__(self, core: Index, device: int, stream: int) -> None:
        self._core, self._device, self._stream = core, device, stream
        self._known: list[Folding] = []
        self._lock = threading.Lock()

    def of(self, shares: Sequence[tuple[str, float]], version: int) -> Folding | None:
        """Return what a search asks for; None where it changes nothing. Rows must not change."""
        adapted = self._core.adapted_rows(list(shares), as_threads(None))
        if adapted is None:
            return None
        with self._lock:
            for known in self._known:
                if known.adapted is adapted and known.version == version:
                    return known
            made = self._copied(adapted, version)
            self._known = [*self._known[1 - _MOST :], made]
            return made

    def _copied(self, adapted: Any, version: int) -> Folding:
        rank, left = adapted.rank, adapted.left
        if left.size:
            left = np.ascontiguousarray(left.reshape(rank, -1).T)
        lengths, (_, order) = self._core.lengths(adapted), by_label(self._core.labels())
        if lengths.size and order is not None:
            lengths = lengths[order]
        parts = [left, adapted.weights, adapted.right, lengths]
        there = [
            uploaded(part, self._device, self._stream) if part.size else None for part in parts
        ]
        at = [0 if part is None else part[1] for part in there]
        return Folding(adapted, version, (at[0], at[1], at[2], at[3], rank), there)
