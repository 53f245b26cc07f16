"""Lies about corpus adapters: their names, maps and numbers, in a second writer of the section."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from reliability import container as c
from reliability.container import Container

Lie = tuple[str, Container]
LOW_RANK_FORM, MATRIX_FORM = 0, 1
NO_TEXTS = (
    *(b"\xff", b"\x80", b"a\0b", b"\0", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf"),
    *(
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
    ),
    *(b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3\x28", b"\xe2\x28\xa1", b"\xf0\x9f\x28\x80"),
)
TEXTS = (
    "a",
    "\x01",
    "é",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
)


@dataclass
class Adapter:
    """One adapter; `size` overrides the length of its name."""

    name: bytes
    form: int
    rank: int
    values: bytes
    size: int | None = None

    def packed(self) -> bytes:
        """Return its bytes."""
        size = len(self.name) if self.size is None else self.size
        head = struct.pack("<I", size) + self.name + struct.pack("<II", self.form, self.rank)
        return head + self.values


def parsed(data: bytes, dim: int) -> list[Adapter]:
    """Read a section that is known to be right."""
    version, count = struct.unpack_from("<II", data)
    assert version == 1
    at, out = 8, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        name = data[at + 4 : at + 4 + size]
        form, rank = struct.unpack_from("<II", data, at + 4 + size)
        at += 12 + size
        length = 4 * dim * rank * (2 if form == LOW_RANK_FORM else 1)
        out.append(Adapter(name, form, rank, data[at : at + length]))
        at += length
    assert at == len(data)
    return out


def told(true: Container, adapters: list[Adapter], version: int = 1, **more: Any) -> Container:
    """Return a copy that has these adapters; `count` and `tail` override what follows from them."""
    count = more.get("count", len(adapters))
    data = struct.pack("<II", version, count) + b"".join(a.packed() for a in adapters)
    return _with_bytes(true, data + more.get("tail", b""))


def _with_bytes(true: Container, data: bytes, **more: int) -> Container:
    return true.with_section(
        c.CORPUS_ADAPTERS, **{"data": data, "rows": 1, "cols": len(data), **more}
    )


def of_adapters(true: Container) -> Iterator[Lie]:
    """Yield every field of the section wrong, and sections of another shape."""
    data, dim = true.find(c.CORPUS_ADAPTERS).data, true.meta()["dim"]
    adapters = parsed(data, dim)
    yield "adapters as u8", true.with_section(c.CORPUS_ADAPTERS, element=c.U8)
    yield "adapters in a column", _with_bytes(true, data, rows=len(data), cols=1)
    for size in (0, 1, 4, 7, 8, 11, 12, 20, len(data) // 2, len(data) - 4, len(data) - 1):
        yield f"adapters cut to {size}", _with_bytes(true, data[:size])
    for tail in (b"\0", bytes(4), adapters[0].packed()[:-1]):
        yield f"{len(tail)} bytes behind adapters", told(true, adapters, tail=tail)
    for version in (0, 2, 2**32 - 1):
        yield f"adapters of version {version}", told(true, adapters, version)
    for count in (0, 1, 3, 2**31, 2**32 - 1):
        yield f"{count} adapters", told(true, adapters, count=count)
    yield "an adapter twice", told(true, [*adapters, adapters[0]])
    yield "a name twice", told(true, [replace(a, name=b"same") for a in adapters])
    for at, adapter in enumerate(adapters):
        for what, wrong in _of_adapter(adapter, dim):
            yield f"adapter {at}: {what}", told(true, [*adapters[:at], wrong, *adapters[at + 1 :]])


def _of_adapter(adapter: Adapter, dim: int) -> Iterator[tuple[str, Adapter]]:
    values, rank = adapter.values, adapter.rank
    for name in (b"", b"n" * 257, b"n" * 5000, *NO_TEXTS):
        yield f"named {name[:8]!r} x {len(name)}", replace(adapter, name=name)
    for size in (0, len(adapter.name) - 1, len(adapter.name) + 1, 257, 2**31, 2**32 - 1):
        yield f"a name of {size}", replace(adapter, size=size)
    for form in (1 - adapter.form, 2, 255, 2**32 - 1):
        yield f"form {form}", replace(adapter, form=form)
    for other in {0, 1, 2, dim - 1, dim, dim + 1, 2**16, 2**30, 2**31, 2**32 - 1} - {rank}:
        yield f"rank {other}", replace(adapter, rank=other)
    yield "a column less", replace(adapter, values=values[: -4 * dim])
    yield "a column more", replace(adapter, values=values + values[: 4 * dim])
    for bad in ("nan", "inf", "-inf"):
        element = struct.pack("<f", float(bad))
        for at in (0, len(values) // 8 * 4, len(values) - 4):
            changed = values[:at] + element + values[at + 4 :]
            yield f"{bad} at {at}", replace(adapter, values=changed)
    for size in (3e38, 2.0**41):
        large = struct.pack("<f", size) * (len(values) // 4)
        yield f"all {size}", replace(adapter, values=large)
    if adapter.form == MATRIX_FORM:
        for size in (2.0**-60, 1e-45):
            small = struct.pack("<f", size) * (len(values) // 4)
            yield f"all {size}", replace(adapter, values=small)


def truths(true: Container) -> Iterator[Lie]:
    """Yield unusual adapters that a reader must take."""
    dim = true.meta()["dim"]
    low_rank, matrix = parsed(true.find(c.CORPUS_ADAPTERS).data, dim)
    yield "no adapters", true.without(c.CORPUS_ADAPTERS)
    yield "a section of no adapters", told(true, [])
    yield "in the other order", told(true, [matrix, low_rank])
    one = low_rank.values[: 4 * dim]
    full = [replace(low_rank, rank=r, values=2 * r * one) for r in (1, dim)]
    for adapter in full:
        yield f"rank {adapter.rank}", told(true, [adapter, matrix])
    eye = np.eye(dim, dtype="<f4").tobytes()
    for what, adapter in {
        "nothing added": replace(low_rank, values=bytes(len(low_rank.values))),
        "everything zero": replace(matrix, values=bytes(len(matrix.values))),
        "the identity": replace(matrix, values=eye),
        "denormal factors": replace(low_rank, values=b"\1\0\0\0" * (len(low_rank.values) // 4)),
        "a name of 256 bytes": replace(matrix, name="é".encode() * 128),
        "rows to nothing": replace(
            low_rank, rank=dim, values=eye + (-np.eye(dim, dtype="<f4")).tobytes()
        ),
    }.items():
        yield what, told(true, [adapter])
    named = [replace(low_rank, name=text.encode("utf-8")) for text in TEXTS]
    yield "names of all lengths of letters", told(true, named)
    many = [replace(full[0], name=str(i).encode()) for i in range(300)]
    yield "300 adapters", told(true, many)
