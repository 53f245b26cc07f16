"""Rows sorted by a number each (adapter, cluster) and cut into pieces of one number.

All on the device and without waiting for it: there are at most n / size + kinds pieces, and pieces
past the last are empty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .launching import packages

__all__ = ["Segments", "segments"]


class Segments(NamedTuple):
    """Positions are places in `order`; piece p has `count[p]` of them from `first[p]` on."""

    order: Any
    first: Any
    count: Any
    kind: Any
    first_piece: Any
    totals: Any


def segments(kinds: Any, n_kinds: int, size: int) -> Segments:
    """Cut rows into pieces of at most `size` rows of one kind, kinds ascending, rows in order."""
    torch, _ = packages()
    order = kinds.argsort(stable=True)
    totals = torch.zeros(n_kinds, dtype=torch.int64, device=kinds.device)
    totals.scatter_add_(0, kinds, torch.ones_like(kinds))
    zero = torch.zeros(1, dtype=torch.int64, device=kinds.device)
    start = torch.cat([zero, totals.cumsum(0)])
    first_piece = torch.cat([zero, ((totals + size - 1) // size).cumsum(0)])
    piece = torch.arange(len(kinds) // size + n_kinds, device=kinds.device)
    kind = torch.searchsorted(first_piece, piece, right=True) - 1
    exists = kind < n_kinds
    kind = kind.clamp(max=n_kinds - 1)
    first = start[kind] + (piece - first_piece[kind]) * size
    count = torch.where(exists, (start[kind + 1] - first).clamp(0, size), 0)
    return Segments(order, torch.where(exists, first, 0), count, kind, first_piece, totals)
