"""Codes on a device: what quantizers encode and decode there, :class:`PlacedCodes`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .. import _core
from .arrays import DeviceMatrix, as_device_matrix, device_of
from .holding import reading
from .library import library
from .owners import owner_of
from .streams import as_stream

__all__ = ["PlacedCodes", "taken_for_training", "train"]


def train(quantizer: _core.Quantizer, rows: DeviceMatrix, seed: int, device: int, on: int) -> None:
    """Train a product quantizer on rows on a device; waits.

    Raises
    ------
    TypeError, ValueError
        Another kind, NaN or infinity, too few rows.
    DeviceError
        The device fails or has too little memory.
    """
    library().train_quantizer(quantizer, rows.place, seed, device, on)


@contextlib.contextmanager
def taken_for_training(x: Any, stream: Any) -> Iterator[tuple[DeviceMatrix, int, int]]:
    """Give rows on a device, its number and the stream they are read on."""
    device, owner = device_of(x, "x"), owner_of(x)
    on = owner.current_stream(device) if stream is None else as_stream(stream, device)
    with reading(device, on):
        yield as_device_matrix(x, name="x", device=device, stream=on), device, on


class PlacedCodes:
    """A trained quantizer's arrays on one device, in a stream of their own.

    Parameters
    ----------
    quantizer : _core.Quantizer
        ``sq8``, ``sq4``, or ``pq`` of 4 or 8 bits a part.
    device : int

    Raises
    ------
    ValueError
        Another kind, or parts too wide for the device.
    DeviceError
        No device, or too little memory on it.
    """

    def __init__(self, quantizer: _core.Quantizer, device: int) -> None:
        self._device, self._dim, self._code_size = device, quantizer.dim, quantizer.code_size
        stream = library().Stream(device)
        self._codes = library().Codes(quantizer, device, stream.handle)
        self._stream = stream  # the last attribute: freed after what was made on it

    def encode(self, x: Any, stream: Any) -> Any:
        """Return the codes of rows on the device, as an array there; nothing waits."""
        with self._taken(x, "x", self._dim, stream) as (rows, owner, on):
            n = rows.place[1]
            codes, at = owner.empty((n, self._code_size), "uint8", self._device, on)
            needed = self._codes.scratch_bytes(rows.place)
            scratch, scratch_at = owner.empty((max(needed, 1),), "uint8", self._device, on)
            if n:
                self._ordered(on, self._codes.encode, rows.place, at, scratch_at)
            del scratch
        return owner.finished(codes)

    def decode(self, codes: Any, stream: Any) -> Any:
        """Return the rows of codes on the device, as an array there; nothing waits."""
        with self._taken(codes, "codes", self._code_size, stream) as (bytes_, owner, on):
            dtype = bytes_.place[4]
            if dtype != "uint8":
                raise TypeError(f"codes: got {dtype}, expected uint8 as encode() returns it")
            n = bytes_.place[1]
            rows, at = owner.empty((n, self._dim), "float32", self._device, on)
            if n:
                self._ordered(on, self._codes.decode, bytes_.place, at)
        return owner.finished(rows)

    @contextlib.contextmanager
    def _taken(self, array: Any, name: str, columns: int, stream: Any) -> Iterator[Any]:
        device, owner = device_of(array, name), owner_of(array)
        on = owner.current_stream(device) if stream is None else as_stream(stream, device)
        with reading(device, on):
            there = as_device_matrix(array, name=name, device=device, stream=on, dim=columns)
            if there.one_vector:
                raise ValueError(f"{name}: got shape ({columns},), expected (n, {columns})")
            yield there, owner, on

    def _ordered(self, stream: int, call: Any, *arguments: Any) -> None:
        """Enqueue a call after the copy of the quantizer's arrays, and before they are freed."""
        library().wait_for(self._device, stream, self._stream.handle)
        call(*arguments, self._device, stream)
        library().wait_for(self._device, self._stream.handle, stream)
