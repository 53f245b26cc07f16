"""What indexes on several devices share: their places, and what goes between them.

Streams wait for each other on the devices; the host waits for nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import DeviceError
from ..arrays import DeviceMatrix
from ..library import library
from ..owners import Owner
from .base import Resident

if TYPE_CHECKING:
    from ...index import Index

__all__ = ["OnSeveral", "brought", "dense_queries", "join", "queries_brought"]


class OnSeveral(Resident):
    """An index on several devices, with a stream on each.

    Parameters
    ----------
    index : Index
        One that the kind takes.
    devices : tuple of int
        Numbers of the devices, each once. Queries and results on a device are on the first.

    Raises
    ------
    DeviceError
        No such device, or too little memory on one.
    """

    def __init__(self, index: Index, devices: tuple[int, ...]) -> None:
        self._devices = devices
        self._away = [library().Stream(device) for device in devices[1:]]
        super().__init__(index, devices[0])

    @property
    def devices(self) -> tuple[int, ...]:
        """All of them."""
        return self._devices

    @property
    def _places(self) -> list[tuple[int, int]]:
        """Every device and its stream."""
        streams = [self.stream, *(int(stream.handle) for stream in self._away)]
        return list(zip(self._devices, streams, strict=True))


def dense_queries(owner: Owner, q: DeviceMatrix, home: tuple[int, int]) -> DeviceMatrix:
    """Return queries as they are copied: float32, one behind the other."""
    _, n, dim, stride, dtype = q.place
    if dtype == "float32" and stride == dim:
        return q
    keep, at = owner.empty((max(n, 1), dim), "float32", *home)
    library().widen(q.place, at, home)
    return DeviceMatrix((at, n, dim, dim, "float32"), q.one_vector, keep)


def join(home: tuple[int, int], places: Sequence[tuple[int, int]]) -> None:
    """Let a stream wait for other devices: what they read and write of it is not freed before."""
    failures = []
    for place in places:
        try:
            library().follow(home, place)
        except DeviceError as error:
            failures.append(error)
            with contextlib.suppress(DeviceError):
                library().synchronize(*place)  # nothing else is left to order the two
    if failures:
        raise failures[0]


def brought(there: tuple[int, int], home: tuple[int, int], address: int, nbytes: int) -> Any:
    """Return an array on a device, to which its stream copies memory of another."""
    array = library().DeviceArray((max(nbytes, 1),), "uint8", *there)
    library().copy_between((there[0], array._address), (home[0], address), nbytes, there)
    return array


def queries_brought(q: DeviceMatrix, there: tuple[int, int], home: tuple[int, int]) -> DeviceMatrix:
    """Return dense queries on another device, as :func:`brought`."""
    address, n, dim, _, dtype = q.place
    queries = brought(there, home, address, 4 * n * dim)
    return DeviceMatrix((queries._address, n, dim, dim, dtype), False, queries)
