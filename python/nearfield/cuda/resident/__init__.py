"""Indexes on a device: :func:`moved`, and a class for each kind that can be searched there.

The index stays whole on the CPU. What a search reads is copied to the device once, and again when
the index has changed; searches run there. What fails on the device leaves the index as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from ..library import as_ordinals
from .base import Resident
from .code_shards import CodeShards
from .coded_lists import ResidentCodedLists
from .codes import ResidentCodes
from .graph import ResidentGraph
from .graph_replicas import GraphReplicas
from .list_shards import CodedListShards, ListShards
from .lists import ResidentLists
from .row_shards import RowShards
from .rows import ResidentRows
from .several import OnSeveral

if TYPE_CHECKING:
    from ...index import Index
    from ...placement import PlacedIndex

_Placed = TypeVar("_Placed", bound="PlacedIndex")

__all__ = ["KINDS", "Resident", "can_be_placed", "moved"]

KINDS: tuple[type[Resident], ...] = (
    ResidentRows,
    ResidentCodes,
    ResidentLists,
    ResidentCodedLists,
    ResidentGraph,
)
"""The first that takes an index holds it."""

KINDS_ON_MANY: tuple[type[OnSeveral], ...] = (
    RowShards,
    CodeShards,
    ListShards,
    CodedListShards,
    GraphReplicas,
)
"""The same on several devices."""


def moved(index: _Placed, device: object) -> _Placed:
    """Return an index that shares everything with `index` and is searched on `device`, or many."""
    ordinals = as_ordinals(device)
    here = index._resident
    if ordinals == (() if here is None else here.devices):
        return index
    resident = _resident(cast("Index", index), ordinals) if ordinals else None
    other = object.__new__(type(index))
    other.__dict__.update(index.__dict__)
    other._resident = resident
    return other


def _resident(index: Index, devices: tuple[int, ...]) -> Resident:
    if len(devices) > 1:
        for many in KINDS_ON_MANY:
            if many.takes(index):
                return many(index, devices)
    else:
        for kind in KINDS:
            if kind.takes(index):
                return kind(index, devices[0])
    raise TypeError(
        f"to: got {index!r}, expected {' or '.join(kind.what for kind in KINDS)}: "
        f"{type(index).__name__} is searched on the CPU only"
    )


def can_be_placed(index: Index, devices: int) -> bool:
    """Tell whether an index of its kind is searched on so many devices."""
    kinds = KINDS if devices == 1 else KINDS_ON_MANY
    return any(kind.takes(index) for kind in kinds)
