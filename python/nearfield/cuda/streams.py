"""A caller's stream, however it is given, as the driver's handle."""

from __future__ import annotations

from typing import Any

from .library import library

__all__ = ["LEGACY", "as_stream"]

LEGACY = 1
"""The stream that every device has; 0 means the same."""


def as_stream(stream: Any, device: int) -> int:
    """Return the handle of a stream that exists on the device.

    Parameters
    ----------
    stream : int or object
        A handle (0 and 1: the legacy stream, 2: the thread's), or a stream of torch, CuPy, or any
        library whose streams have ``__cuda_stream__``.
    device : int
        The device it must belong to.

    Raises
    ------
    TypeError
        No stream.
    DeviceError
        It does not exist, or belongs to another device.
    """
    handle = stream
    if hasattr(stream, "__cuda_stream__"):
        handle = stream.__cuda_stream__()[1]
    else:
        for attribute in ("cuda_stream", "ptr"):
            handle = getattr(stream, attribute, handle)
    if isinstance(handle, bool) or not isinstance(handle, int) or not 0 <= handle < 2**64:
        raise TypeError(
            f"stream: got {stream!r}, expected None, a handle (an integer), or a stream of torch "
            "or CuPy"
        )
    handle = handle or LEGACY
    library().check_stream(device, handle)
    return handle
