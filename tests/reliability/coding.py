"""The documented `quantizer` section, written a second time; trained quantizers by formulas."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

KEEPS_ROWS, RESIDUAL = 1, 2


@dataclass
class Array:
    """One trained array; `data` may say something else than `rows` and `cols` do."""

    name: bytes
    rows: int
    cols: int
    data: bytes


@dataclass
class Coding:
    """What the section says; `count` overrides the number of arrays."""

    name: bytes
    arrays: list[Array]
    flags: int = 0
    version: int = 1
    count: int | None = None
    tail: bytes = b""

    def packed(self) -> bytes:
        """Return the bytes of the section."""
        count = len(self.arrays) if self.count is None else self.count
        out = struct.pack("<III", self.version, self.flags, count) + _named(self.name)
        for array in self.arrays:
            out += _named(array.name) + struct.pack("<QQ", array.rows, array.cols) + array.data
        return out + self.tail

    def with_array(self, at: int, **changes: Any) -> Coding:
        """Return a copy with one array changed."""
        arrays = [replace(a, **changes) if i == at else a for i, a in enumerate(self.arrays)]
        return replace(self, arrays=arrays)


def _named(name: bytes) -> bytes:
    return struct.pack("<I", len(name)) + name


def parsed_coding(data: bytes) -> Coding:
    """Read a section that is known to be right."""
    at = 0

    def take(n: int) -> bytes:
        nonlocal at
        at += n
        return data[at - n : at]

    def number() -> int:
        return int(struct.unpack("<I", take(4))[0])

    version, flags, count = number(), number(), number()
    name, arrays = take(number()), []
    for _ in range(count):
        label = take(number())
        rows, cols = struct.unpack("<QQ", take(16))
        arrays.append(Array(label, rows, cols, take(4 * rows * cols)))
    assert at == len(data)
    return Coding(name, arrays, flags, version)


def trained(name: str, dim: int, numbers: np.ndarray) -> list[Array]:
    """Return arrays that a quantizer may have been trained to, made of integers of -127..127."""
    drawn = (np.resize(numbers, 4096) / 16).astype("<f4")

    def array(label: str, values: np.ndarray) -> Array:
        values = np.atleast_2d(values).astype("<f4")
        return Array(label.encode(), *values.shape, values.tobytes())

    if name.startswith("sq"):
        return [array("low", drawn[:dim] - 9), array("high", drawn[dim : 2 * dim] + 9)]
    if name.startswith("rabitq"):
        return [array("centre", drawn[:dim] / 16), array("seed", np.array([1, 2, 65535, 0]))]
    m, bits = map(int, name.partition("pq")[2].split("x"))
    books = array("codebooks", np.resize(drawn, (m << bits, dim // m)))
    if name.startswith("pq"):
        return [books]
    normal = drawn[:dim].astype(np.float64) + 0.5
    mirror = np.eye(dim) - 2 * np.outer(normal, normal) / (normal * normal).sum()
    return [array("rotation", mirror), books]
