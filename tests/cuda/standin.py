"""The stand-in driver from Python: memory of its devices, foreign arrays, its counters."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_DLPACK_TYPES = {"f": 2, "i": 0, "u": 1, "b": 6}


class Standin:
    """Calls into the library that plays the driver."""

    def __init__(self, library: Path) -> None:
        self.path = library
        self._library = ctypes.CDLL(str(library))
        self._library.standin_calls.restype = ctypes.c_long
        self._library.standin_launches.restype = ctypes.c_long

    def calls(self, function: str) -> int:
        """Return how often a function of the driver was called."""
        return int(self._library.standin_calls(function.encode()))

    @property
    def launches(self) -> int:
        """How many kernels have run."""
        return int(self._library.standin_launches())

    @property
    def live_blocks(self) -> int:
        """Blocks of device memory that are not freed."""
        return int(self._library.standin_live_blocks())

    def violations(self) -> str:
        """Return what was done wrong with memory since the last call."""
        text = ctypes.create_string_buffer(4096)
        self._library.standin_violations(text, 4096)
        return text.value.decode()

    def finish(self, device: int = 0) -> None:
        """Run all that is enqueued."""
        self._library.standin_finish(device)

    def forgive(self) -> None:
        """Forget that a kernel failed."""
        self._library.standin_forgive()

    @contextmanager
    def on(self, device: int) -> Iterator[None]:
        """Make a device current on this thread."""
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxPushCurrent", context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent", ctypes.byref(context))

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the driver, which must succeed."""
        assert getattr(self._library, function)(*arguments) == 0, function

    def allocate(self, nbytes: int, device: int = 0) -> int:
        """Return the address of new memory."""
        address = ctypes.c_uint64()
        with self.on(device):
            self.call("cuMemAlloc", ctypes.byref(address), ctypes.c_size_t(max(nbytes, 1)))
        return address.value

    def free(self, address: int, device: int = 0) -> None:
        """Give memory back."""
        with self.on(device):
            self.call("cuMemFree", ctypes.c_uint64(address))

    def stream(self, device: int = 0) -> int:
        """Return the handle of a new stream that does not wait for the legacy one."""
        handle = ctypes.c_void_p()
        with self.on(device):
            self.call("cuStreamCreate", ctypes.byref(handle), 1)
        assert handle.value is not None
        return handle.value

    def synchronize(self, stream: int, device: int = 0) -> None:
        """Run what a stream has to do, and what that waits for."""
        with self.on(device):
            self.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def destroy(self, stream: int) -> None:
        """Destroy a stream."""
        self.call("cuStreamDestroy", ctypes.c_void_p(stream))

    def enqueue_copy(self, address: int, array: np.ndarray, stream: int, device: int = 0) -> None:
        """Let a stream write an array to the device, when it comes to it."""
        with self.on(device):
            self.call(
                "cuMemcpyHtoDAsync",
                ctypes.c_uint64(address),
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_size_t(array.nbytes),
                ctypes.c_void_p(stream),
            )


class Produced:
    """An array of a foreign library, in memory of a stand-in device; freed with it."""

    def __init__(
        self,
        standin: Standin,
        array: Any,
        *,
        device: int = 0,
        stream: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        self.standin, self.device, self.stream = standin, device, stream
        self.array = np.asarray(array)  # its strides are the array's on the device too
        self.bfloat16 = bfloat16
        base = np.lib.array_utils.byte_bounds(self.array) if self.array.size else (0, 0)
        self.nbytes = base[1] - base[0]
        self.address = standin.allocate(self.nbytes, device)
        if self.array.size:
            whole = (ctypes.c_char * self.nbytes).from_address(base[0])
            if stream is None:
                ctypes.memmove(self.address, whole, self.nbytes)
            else:
                copied = np.frombuffer(whole, np.uint8).copy()
                standin.enqueue_copy(self.address, copied, stream, device)

    def __del__(self) -> None:
        self.standin.free(self.address, self.device)


class InterfaceArray(Produced):
    """By ``__cuda_array_interface__``, as Numba's and older CuPy's arrays."""

    extra: dict[str, Any] = {}  # noqa: RUF012 - read only

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        plain = self.array.flags.c_contiguous
        return {
            "shape": self.array.shape,
            "typestr": self.array.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None if plain else self.array.strides,
            "stream": self.stream,
            **self.extra,
        }


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_exports: dict[int, Any] = {}  # by address, until the consumer is done with them


def open_exports() -> int:
    """Return how many exported tensors nobody has given back."""
    return len(_exports)


@_DELETER
def _give_back(address: int) -> None:
    del _exports[address]


class DlpackArray(Produced):
    """By DLPack. Orders the consumer's stream after its own, as the protocol asks."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.device)

    def __dlpack__(self, *, stream: Any = None) -> Any:
        if self.stream is not None and stream not in (-1, self.stream):
            event = ctypes.c_void_p()
            with self.standin.on(self.device):
                self.standin.call("cuEventCreate", ctypes.byref(event), 2)
                self.standin.call("cuEventRecord", event, ctypes.c_void_p(self.stream))
                self.standin.call("cuStreamWaitEvent", ctypes.c_void_p(stream or 1), event, 0)
        array = self.array
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        strides = (ctypes.c_int64 * array.ndim)(*(s // array.itemsize for s in array.strides))
        code = 4 if self.bfloat16 else _DLPACK_TYPES[array.dtype.kind]
        tensor = _Tensor(
            self.address, 2, self.device, array.ndim, code, 8 * array.itemsize, 1, shape, strides
        )
        tensor.deleter = ctypes.cast(_give_back, ctypes.c_void_p).value
        _exports[ctypes.addressof(tensor)] = (tensor, shape, strides, self)
        return _new_capsule(ctypes.addressof(tensor), b"dltensor", None)


def contents(array: Any, standin: Standin) -> np.ndarray:
    """Return what a result of nearfield's own kind holds, once its stream is done: no other is."""
    described = array.__cuda_array_interface__
    standin.synchronize(described["stream"], int(array.device.partition(":")[2]))
    out = np.empty(described["shape"], described["typestr"])
    if out.size:
        ctypes.memmove(out.ctypes.data, described["data"][0], out.nbytes)
    return out
