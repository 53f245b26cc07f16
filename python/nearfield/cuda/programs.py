"""Transforms as programs of steps on a device: :class:`Program`, :func:`resident`.

A transform never changes, so its steps and arrays are copied to a device once, when it is first
used there, and freed with it. Factors are multiplied in as the CPU engine does.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .library import library

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["Needs", "Program", "needs_of", "programs_read", "resident", "stream_of_programs"]

# As cuda/kernels/row_maps.cuh numbers them.
_DIAGONAL, _NORMALISE, _ACTIVATE, _AFFINE, _RESIDUAL, _MODULATE = range(6)
_ACTIVATIONS = {"relu": 2, "leaky_relu": 3, "tanh": 4, "sigmoid": 5}
_SOFTMAX = 1
_NO_ARRAY = 0xFFFFFFFF
_ENTRY_BYTES, _STEP_BYTES = 32, 32
_PRODUCT_BLOCK, _THREADS = 128, 128  # of cuda/kernels/engine_math.cuh and cuda/search/row_map.cpp


class _Step(NamedTuple):
    kind: int
    activation: int = 0
    outputs: int = 0
    width: int = 0
    inner: NDArray[np.float32] | None = None
    inner_bias: NDArray[np.float32] | None = None
    outer: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None

    @property
    def arrays(self) -> tuple[NDArray[np.float32] | None, ...]:
        return (self.inner, self.inner_bias, self.outer, self.bias)


class Needs(NamedTuple):
    """What a block of threads needs of memory for a program, see ``cuda/search/row_map.h``."""

    widest: int
    hidden: int = 0
    partials: int = 0
    has_spare: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            max(self.widest, other.widest),
            max(self.hidden, other.hidden),
            max(self.partials, other.partials),
            self.has_spare or other.has_spare,
        )


class Program(NamedTuple):
    """A transform on a device.

    Attributes
    ----------
    address : int
        Of its entry in a table of one.
    entry : tuple of int
        The entry: address of the steps, how many, address of the arrays.
    keep : object
        Their memory.
    """

    address: int
    entry: tuple[int, int, int]
    keep: Any


_resident: weakref.WeakKeyDictionary[Transform, dict[int, Program]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@functools.cache
def stream_of_programs(device: int) -> Any:
    """Return the stream that programs are copied and freed on."""
    return library().Stream(device)


@contextlib.contextmanager
def programs_read(device: int, stream: int) -> Iterator[None]:
    """Order what is enqueued on `stream` after the copy of programs and before they are freed."""
    programs = stream_of_programs(device).handle
    library().wait_for(device, stream, programs)
    try:
        yield
    finally:  # what fails halfway may read them all the same
        library().wait_for(device, programs, stream)


def resident(transform: Transform, device: int) -> Program:
    """Return a transform's program on a device, copied there at the first call.

    Work that reads it must run after what is on :func:`stream_of_programs`, and before what is
    enqueued there afterwards.
    """
    with _lock:
        programs = _resident.setdefault(transform, {})
        if device not in programs:
            programs[device] = _copied(_steps(transform), device)
        return programs[device]


def needs_of(transform: Transform, dim: int) -> Needs:
    """Return what rows of `dim` columns need."""
    needs = Needs(dim)
    for step in _steps(transform):
        given = step.outputs or dim
        needs |= Needs(
            max(dim, given),
            step.width,
            max(_partials(dim, step.width or given), _partials(step.width, given)),
            step.kind in (_AFFINE, _MODULATE),
        )
        dim = given
    return needs


def _partials(depth: int, outputs: int) -> int:
    blocks = -(-depth // _PRODUCT_BLOCK)
    return blocks * outputs if outputs < _THREADS and blocks > 1 else 0


def _copied(steps: list[_Step], device: int) -> Program:
    places, size = [], 0
    for step in steps:
        own = []
        for array in step.arrays:
            own.append(_NO_ARRAY if array is None else size)
            size += 0 if array is None else array.size
        places.append(own)
    stream = stream_of_programs(device).handle
    steps_at, floats_at = _ENTRY_BYTES, _ENTRY_BYTES + _STEP_BYTES * len(steps)
    there = library().DeviceArray((floats_at + 4 * size,), "uint8", device, stream)
    entry = (there._address + steps_at, len(steps), there._address + floats_at)
    head = np.zeros(_ENTRY_BYTES // 8, np.uint64)
    head[:3] = entry
    table = [
        (step.kind, step.activation, step.outputs, step.width, *own)
        for step, own in zip(steps, places, strict=True)
    ]
    arrays = [array.reshape(-1) for step in steps for array in step.arrays if array is not None]
    parts = [head, np.array(table, np.uint32).reshape(-1), *arrays]
    whole = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts])
    library().upload(there, whole, 0)
    return Program(there._address, entry, there)


def _steps(transform: Transform) -> list[_Step]:
    return list(_each_step(transform))


def _each_step(transform: Any) -> Iterable[_Step]:
    kind = transform.kind
    if kind == "chain":
        for part in transform.transforms:
            yield from _each_step(part)
    elif kind == "diagonal":
        yield _Step(_DIAGONAL, outer=transform.w)
    elif kind == "normalize":
        yield _Step(_NORMALISE)
    elif kind == "activation":
        yield _Step(_ACTIVATE, _ACTIVATIONS[transform.activation])
    elif kind == "affine":
        out_dim = int(transform.out_dim)
        yield _Step(_AFFINE, outputs=out_dim, outer=_by_depth(transform.w), bias=transform.b)
    elif kind == "lexical":
        keeps_length = int(transform.normalize)
        yield _Step(_MODULATE, keeps_length, outer=transform.weight, bias=transform.bias)
    else:
        yield _RESIDUALS[kind](transform)


def _low_rank(t: Any) -> _Step:
    inner, outer = _by_depth(t.a), _by_depth(t.b, t.scale)
    return _Step(_RESIDUAL, width=len(t.a), inner=inner, outer=outer, bias=t.bias)


def _key_value(t: Any) -> _Step:
    inner = _by_depth(t.keys, 1.0 / t.temperature)
    return _Step(_RESIDUAL, _SOFTMAX, width=len(t.keys), inner=inner, outer=t.values)


def _residual_mlp(t: Any) -> _Step:
    return _Step(
        _RESIDUAL,
        _ACTIVATIONS[t.activation],
        width=len(t.w1),
        inner=_by_depth(t.w1),
        inner_bias=t.b1,
        outer=_by_depth(t.w2, t.gate),
        bias=None if t.b2 is None else _times(t.b2, t.gate),
    )


_RESIDUALS = {"low_rank": _low_rank, "key_value": _key_value, "residual_mlp": _residual_mlp}


def _by_depth(matrix: NDArray[np.float32], factor: float = 1.0) -> NDArray[np.float32]:
    """Return a matrix of outputs x inputs with the inputs first."""
    return _times(matrix, factor).T


def _times(array: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    return (array.astype(np.float64) * factor).astype(np.float32)
