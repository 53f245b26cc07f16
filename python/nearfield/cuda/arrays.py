"""Arrays on a device, of whatever library, taken where they lie: :func:`as_device_matrix`.

DLPack comes first, ``__cuda_array_interface__`` where there is none. The producer's work is ordered
before ours on the device; the host waits for nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arrays import foreign_code, kind_of
from .holding import taken
from .library import library

__all__ = [
    "DeviceMatrix",
    "as_device_array",
    "as_device_matrix",
    "device_of",
    "is_on_device",
    "refuse_host_array",
]

_CUDA = 2  # DLPack's name for it
ELEMENTS = ("float32", "float16", "bfloat16", "int8", "uint8")


class DeviceMatrix(NamedTuple):
    """Where a matrix lies.

    Attributes
    ----------
    place : tuple
        ``(address, rows, cols, stride in elements, dtype name)``, as the native module takes it.
    one_vector : bool
        Whether it was a single vector.
    keep : object
        What must live until the work that reads it is enqueued.
    unmapped : tuple, optional
        Of queries that a search maps itself, which have no address yet: a ``RowMap`` of
        cuda/search/row_map.h, and the place of the rows that it takes.
    """

    place: tuple[int, int, int, int, str]
    one_vector: bool
    keep: Any
    unmapped: tuple[dict[str, int], tuple[int, int, int, int, str]] | None = None


class _Array(NamedTuple):
    address: int
    device: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None  # in elements
    keep: Any


def is_on_device(obj: Any) -> bool:
    """Tell whether an object is an array on a CUDA device."""
    if type(obj) is np.ndarray or isinstance(obj, (list, tuple)):
        return False
    if not hasattr(type(obj), "__dlpack_device__"):
        return hasattr(obj, "__cuda_array_interface__")
    try:
        return int(obj.__dlpack_device__()[0]) == _CUDA
    except Exception:  # whatever it is, whoever reads its elements says what is wrong with it
        return False


def device_of(obj: Any, name: str, *, otherwise: int = 0) -> int:
    """Return the number of the device that an array of :func:`is_on_device` is on.

    An empty array may have no address; it is then on the device `otherwise`.
    """
    if hasattr(type(obj), "__dlpack_device__"):
        with foreign_code(obj, name):
            return int(obj.__dlpack_device__()[1])
    address = _interface(obj, name)["data"][0]
    return int(library().device_of(address)) if address else otherwise


def as_device_matrix(
    obj: Any, *, name: str, device: int, stream: int, dim: int | None = None
) -> DeviceMatrix:
    """Take a matrix of vectors, rows one after another or a constant distance apart.

    Parameters
    ----------
    obj : array, shape (n, dim) or, with `dim`, (dim,)
        float32, float16, bfloat16, int8 or uint8.
    name : str
        Argument name for messages.
    device, stream : int
        Where and in which order it will be read.
    dim : int, optional
        Columns expected.

    Raises
    ------
    TypeError
        An element type that is not taken, or what is no array.
    ValueError
        Another device, shape or memory layout.
    """
    array = as_device_array(obj, name=name, device=device, stream=stream)
    if array.dtype not in ELEMENTS:
        raise TypeError(
            f"{name}: got {array.dtype} on cuda:{device}, expected one of {', '.join(ELEMENTS)}; "
            "convert with x.float() (torch) or x.astype('float32')"
        )
    shape, strides = array.shape, array.strides
    one_vector = len(shape) == 1 and dim is not None
    if one_vector:
        shape = (1, *shape)
        strides = None if strides is None else (shape[1], *strides)
    if len(shape) != 2 or shape[1] < 1 or dim not in (None, shape[1]):
        wanted = "(n, dim)" if dim is None else f"(n, {dim})"
        raise ValueError(f"{name}: got shape {array.shape}, expected {wanted}")
    row, column = strides or (shape[1], 1)
    apart = row if shape[0] > 1 else shape[1]
    if shape[0] > 0 and ((shape[1] > 1 and column != 1) or apart < shape[1]):
        raise ValueError(
            f"{name}: got strides {strides} (in elements) for shape {array.shape}, expected rows "
            "whose elements lie side by side; copy with x.contiguous() or cupy.ascontiguousarray(x)"
        )
    place = (array.address, shape[0], shape[1], apart, array.dtype)
    return DeviceMatrix(place, one_vector, array.keep)


def as_device_array(obj: Any, *, name: str, device: int, stream: int) -> _Array:
    """Take any array of the device; work enqueued on `stream` from now on sees what is in it.

    It is kept as long as that work reads it, where its library needs that (:mod:`.holding`).
    """
    here = device_of(obj, name, otherwise=device)
    if here != device:
        raise ValueError(
            f"{name}: got an array on cuda:{here}, expected one on cuda:{device}, where the others "
            "are; copy it there first"
        )
    if hasattr(type(obj), "__dlpack__"):
        array = _by_dlpack(obj, name, stream)
    else:
        array = _by_interface(obj, name, device, stream)
    taken(obj, array.keep, device, stream)
    return array


def _by_dlpack(obj: Any, name: str, stream: int) -> _Array:
    with foreign_code(obj, name):
        try:
            capsule = obj.__dlpack__(stream=stream, max_version=(1, 0))
        except TypeError:  # before DLPack 1.0
            capsule = obj.__dlpack__(stream=stream)
        address, kind, device, dtype, shape, strides, keeper = library().open_dlpack(capsule)
    if kind != _CUDA:
        raise TypeError(
            f"{name}: got a DLPack tensor on device type {kind}, expected {_CUDA}, CUDA"
        )
    return _Array(address, device, dtype, shape, strides, (obj, keeper))


def _by_interface(obj: Any, name: str, device: int, stream: int) -> _Array:
    described = _interface(obj, name)
    if described.get("mask") is not None:
        raise TypeError(f"{name}: got a masked array, expected one without a mask")
    dtype = np.dtype(described["typestr"])
    if not dtype.isnative:
        raise TypeError(f"{name}: got big-endian {dtype.name}, expected the machine's byte order")
    strides = described.get("strides")
    if strides is not None:
        if any(step % dtype.itemsize for step in strides):
            raise ValueError(
                f"{name}: got strides {strides} that are no multiples of {dtype.itemsize} bytes"
            )
        strides = tuple(step // dtype.itemsize for step in strides)
    producer = described.get("stream")
    if producer == 0:
        raise ValueError(f"{name}: its __cuda_array_interface__ has stream 0, expected None or 1")
    if producer is not None and producer != stream:
        library().wait_for(device, stream, producer)
    address = described["data"][0]
    return _Array(address, device, dtype.name, tuple(described["shape"]), strides, obj)


def _interface(obj: Any, name: str) -> dict[str, Any]:
    with foreign_code(obj, name):
        described = obj.__cuda_array_interface__
        if not {"shape", "typestr", "data"} <= set(described):
            raise TypeError("its __cuda_array_interface__ lacks shape, typestr or data")
        return dict(described)


def refuse_host_array(obj: Any, name: str, device: int, other: str) -> None:
    """Raise for an array that is not on a device where another argument is."""
    raise TypeError(
        f"{name}: got {kind_of(obj)} on the CPU, expected an array on cuda:{device} like {other}; "
        f"move it there, e.g. x.to('cuda:{device}') or cupy.asarray(x)"
    )
