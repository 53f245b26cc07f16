"""How many queries of searches were scored exactly after all: :func:`counted_fallbacks`.

A scan proves its answer for nearly every query; the others are scored over all rows, which gives
the same results later. The host is never told, so a number on the device says it on request.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .library import library
from .search import uploaded

__all__ = ["Fallbacks", "counted_fallbacks"]


class Fallbacks:
    """A number on a device, in a stream of its own; it stays there as long as the process."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._stream = library().Stream(device)
        self._array, self.address = uploaded(np.zeros(1, np.uint32), device, self._handle)
        library().synchronize(device, self._handle)

    @property
    def _handle(self) -> int:
        return int(self._stream.handle)

    def after(self, stream: int) -> int:
        """Return what all searches have counted that are on a stream by now; waits for them."""
        library().wait_for(self._device, self._handle, stream)
        out = np.empty(1, np.uint32)
        library().download(out, self.address, self._device, self._handle)
        library().synchronize(self._device, self._handle)
        return int(out[0])


@functools.cache
def _fallbacks(device: int) -> Fallbacks:
    return Fallbacks(device)


@contextlib.contextmanager
def counted_fallbacks(device: int) -> Iterator[Any]:
    """Let searches that are enqueued inside, by whatever thread, count on the device.

    Yields
    ------
    Fallbacks
        It counts on from search to search, and from one use to the next.
    """
    counter = _fallbacks(device)
    library().count_fallbacks_at(device, counter.address)
    try:
        yield counter
    finally:
        library().count_fallbacks_at(device, 0)
