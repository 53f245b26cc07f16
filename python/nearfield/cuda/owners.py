"""Who owns the arrays of a call: its current stream, and results as arrays of its kind.

Results and the memory a search works in come from the owner's allocator (torch's cache, CuPy's
pool), on the stream the search runs on, so that the pools do not fight over a device's memory.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Protocol

from .library import library
from .streams import LEGACY

__all__ = ["Owner", "owner_of"]


class Owner(Protocol):
    """A library of arrays on devices."""

    def current_stream(self, device: int) -> int:
        """Return the handle of the stream its work goes to now."""

    def empty(
        self, shape: tuple[int, ...], dtype: str, device: int, stream: int
    ) -> tuple[Any, int]:
        """Return an array that is not filled, for work on `stream`, and its address."""

    def read_on(self, array: Any, device: int, stream: int) -> bool:
        """Say that work on `stream` reads an array of the caller's.

        True where its memory is then given away no earlier, whenever the caller frees it; False
        where the array has to be kept until the work is done.
        """

    def finished(self, array: Any) -> Any:
        """Return what the caller gets for an array of :meth:`empty`."""


class _Own:
    """Arrays of nearfield's own kind."""

    def current_stream(self, device: int) -> int:
        return LEGACY

    def empty(
        self, shape: tuple[int, ...], dtype: str, device: int, stream: int
    ) -> tuple[Any, int]:
        array = library().DeviceArray(shape, dtype, device, stream)
        return array, array._address

    def read_on(self, array: Any, device: int, stream: int) -> bool:
        # Ours are freed in the order of their stream; of others' nothing is known.
        return isinstance(array, library().DeviceArray) and array._stream == stream

    def finished(self, array: Any) -> Any:
        return array


class _Jax(_Own):
    # JAX's streams are its own: a search is never on one of them, so its arrays are always kept.
    def finished(self, array: Any) -> Any:
        return importlib.import_module("jax.dlpack").from_dlpack(array)


class _Torch:
    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]

    def current_stream(self, device: int) -> int:
        return int(self._torch.cuda.current_stream(device).cuda_stream) or LEGACY

    def empty(
        self, shape: tuple[int, ...], dtype: str, device: int, stream: int
    ) -> tuple[Any, int]:
        kind, place = getattr(self._torch, dtype), f"cuda:{device}"
        with self._on(device, stream):
            array = self._torch.empty(shape, dtype=kind, device=place)
        return array, array.data_ptr()

    def read_on(self, array: Any, device: int, stream: int) -> bool:
        # torch sees whether that is the stream the tensor was made on, and then does nothing.
        array.record_stream(self._stream(device, stream))
        return True

    def _stream(self, device: int, stream: int) -> Any:
        cuda = self._torch.cuda  # whose ExternalStream(0) would be a new stream
        if stream == LEGACY:
            return cuda.default_stream(device)
        return cuda.ExternalStream(stream, device=device)

    def _on(self, device: int, stream: int) -> Any:
        if stream == self.current_stream(device):
            return contextlib.nullcontext()
        return self._torch.cuda.stream(self._stream(device, stream))

    def finished(self, array: Any) -> Any:
        return array


class _Cupy:
    def __init__(self) -> None:
        self._cupy: Any = sys.modules["cupy"]

    def current_stream(self, device: int) -> int:
        with self._cupy.cuda.Device(device):
            return int(self._cupy.cuda.get_current_stream().ptr) or LEGACY

    def empty(
        self, shape: tuple[int, ...], dtype: str, device: int, stream: int
    ) -> tuple[Any, int]:
        cuda = self._cupy.cuda
        on: Any = contextlib.nullcontext()
        if stream != self.current_stream(device):
            on = cuda.ExternalStream(0 if stream == LEGACY else stream, device)
        with cuda.Device(device), on:
            array = self._cupy.empty(shape, dtype=dtype)
        return array, array.data.ptr

    def read_on(self, array: Any, device: int, stream: int) -> bool:
        # CuPy's pool gives memory away in the order of the stream that an array was made on: the
        # current one, as for any of CuPy's own kernels.
        return stream == self.current_stream(device)

    def finished(self, array: Any) -> Any:
        return array


def owner_of(obj: Any) -> Owner:
    """Return the library an array belongs to; nearfield itself where it is none that is known."""
    root = type(obj).__module__.partition(".")[0]
    torch = getattr(sys.modules.get("torch"), "Tensor", None)
    if torch is not None and isinstance(obj, torch):
        return _Torch()
    if root == "cupy" and "cupy" in sys.modules:
        return _Cupy()
    if root in ("jax", "jaxlib") and "jax" in sys.modules:
        return _Jax()
    return _Own()
