"""What a call has taken of its caller's stays until the device has read it: :func:`reading`.

A call returns before its work has run, and its caller may free an array at once. Where the array's
library would then give the memory away too early, the array itself is kept here until an event that
was recorded after the work has passed. Later calls look, without waiting, and let go.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import DeviceError
from .library import library
from .owners import owner_of

__all__ = ["held", "let_go", "reading", "taken"]


class _Reading:
    """Arrays that one call has taken."""

    def __init__(self, device: int, stream: int) -> None:
        self.place = (device, stream)
        self.kept: list[Any] = []
        self.event: Any = None

    def keep(self, kept: Any) -> None:
        if self.event is None:  # before any work reads, so that a failure leaves none behind
            self.event = library().Event(self.place[0])
        self.kept.append(kept)


class _Call(threading.local):
    now: _Reading | None = None


_call = _Call()
_held: list[_Reading] = []  # changed by single steps only: no lock that a fork could leave taken
# When Python ends nobody reads results any more, and what frees arrays may end before this module.
atexit.register(_held.clear)


@contextlib.contextmanager
def reading(device: int, stream: int) -> Iterator[None]:
    """Keep what is taken inside until the work that is enqueued inside is done.

    One inside another is a part of it: all its work is before the end of the outer one's stream.
    """
    if _call.now is not None:
        yield
        return
    let_go()
    _call.now = now = _Reading(device, stream)
    try:
        yield
    finally:
        _call.now = None
        if now.event is not None:
            _keep_until_done(now)


def _keep_until_done(now: _Reading) -> None:
    try:
        now.event.record(*now.place)
    except DeviceError:  # nothing else is left that tells when the work is done
        with contextlib.suppress(DeviceError):
            library().synchronize(*now.place)
        raise
    _held.append(now)


def taken(array: Any, keep: Any, device: int, stream: int) -> None:
    """Say that the call reads an array of the caller's; keep: what its memory lives by."""
    assert _call.now is not None, "arrays are taken inside of reading()"
    if not owner_of(array).read_on(array, device, stream):
        _call.now.keep(keep)


def let_go() -> None:
    """Free what work that is done by now has read; nothing waits."""
    for one in [one for one in _held if one.event.is_done()]:
        with contextlib.suppress(ValueError):  # another thread was quicker
            _held.remove(one)


def held() -> int:
    """Return for how many calls arrays are kept."""
    return len(_held)
