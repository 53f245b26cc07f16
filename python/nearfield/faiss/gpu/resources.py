"""What FAISS's callers pass for a GPU's memory and streams: accepted, and not needed.

Memory comes from the caller's allocator or the driver's pool, and work goes to the current stream
of the queries' library.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["GpuResourcesVector", "Int32Vector", "StandardGpuResources"]

_Item = TypeVar("_Item")


class StandardGpuResources:
    """Resources of a GPU; every setting is accepted and none changes anything."""

    def setTempMemory(self, size: int) -> None:
        """Accept a size in bytes."""

    def noTempMemory(self) -> None:
        """Accept."""

    def setPinnedMemory(self, size: int) -> None:
        """Accept a size in bytes."""

    def setDefaultStream(self, device: int, stream: object) -> None:
        """Accept a stream: that of a call is the current one of the queries' library."""

    def setDefaultNullStreamAllDevices(self) -> None:
        """Accept."""

    def setLogMemoryAllocations(self, enable: bool) -> None:
        """Accept."""


class _Vector(list[_Item], Generic[_Item]):
    def push_back(self, item: _Item) -> None:
        """Add an item at the end."""
        self.append(item)

    def at(self, i: int) -> _Item:
        """Return an item."""
        return self[i]

    def size(self) -> int:
        """Return how many there are."""
        return len(self)


class GpuResourcesVector(_Vector[StandardGpuResources]):
    """Resources of several GPUs."""


class Int32Vector(_Vector[int]):
    """Numbers of GPUs."""
