"""Where an index of FAISS's GPU names goes: :class:`Devices`."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from ...cuda.resident import can_be_placed
from ...errors import DeviceError
from ...index import Index as NativeIndex
from ...runtime import devices

__all__ = ["Devices", "all_devices", "first_device", "first_devices"]


def all_devices() -> list[int]:
    """Return the numbers of the GPUs there are."""
    return list(range(len(devices())))


def first_device() -> str:
    """Return the name of the first GPU, or, with a warning, that of the CPU."""
    if all_devices():
        return "cuda:0"
    _warn("there is no GPU (nearfield doctor says why)")
    return "cpu"


def first_devices(gpu: bool | int) -> str | list[str]:
    """Return the names of so many GPUs, True: of all, or, with a warning, that of the CPU.

    Raises
    ------
    ValueError
        Less than one. That there are not so many is said by whoever asks for one.
    """
    there = len(all_devices())
    count = there if isinstance(gpu, (bool, np.bool_)) or gpu == -1 else int(gpu)
    if count < 1 and there:
        raise ValueError(f"gpu: got {gpu!r}, expected True, False, -1 (all) or a number of GPUs")
    return [f"cuda:{number}" for number in range(count)] if there else first_device()


class Devices(NamedTuple):
    """GPUs that an index is to be searched on.

    Attributes
    ----------
    numbers : tuple of int
    shard : bool
        Whether rows are split over them.
    """

    numbers: tuple[int, ...]
    shard: bool = False

    def put(self, native: NativeIndex) -> NativeIndex:
        """Return an index as it is searched there, or on the CPU, with a warning, where it cannot.

        Raises
        ------
        DeviceError
            There are GPUs, but no such one, or it has too little memory.
        """
        there = all_devices()
        if not there:
            return native.to(first_device())
        for number in self.numbers:
            if number not in there:
                raise DeviceError(f"no device cuda:{number}: there are {len(there)}, from 0 on")
        names = [f"cuda:{number}" for number in self.numbers]
        if self.shard and len(names) > 1 and can_be_placed(native, len(names)):
            return native.to(names)
        if can_be_placed(native, 1):
            return native.to(names[0])
        _warn(f"{native!r} is not searched on GPUs yet")
        return native.to("cpu")

    def replicas(self, native: NativeIndex) -> tuple[NativeIndex, ...]:
        """Return an index that was :meth:`put`, on every GPU where each is to have all rows."""
        if self.shard or native.device == "cpu":
            return (native,)
        return (native, *(native.to(f"cuda:{number}") for number in self.numbers[1:]))


def _warn(why: str) -> None:
    warnings.warn(f"searches run on the CPU: {why}", RuntimeWarning, stacklevel=2)
