"""Lies about small codes: the quantizer, its arrays, the codes, and what they are about."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from reliability import container as c
from reliability.coding import KEEPS_ROWS, RESIDUAL, Array, Coding, parsed_coding
from reliability.container import Container, Section

Lie = tuple[str, Container]
MOST = 2**64 - 1
BAD_FLOATS = {name: struct.pack("<f", float(name)) for name in ("nan", "inf", "-inf")}
OTHER_NAMES = (
    *("", "x", "flat", "float32", "SQ8", "sq", "sq16", "sq08", "pq0x4", "pq3x4", "pq2x0", "pq2x13"),
    *("pq2x4x4", "pq-2x4", "pq99999999999x4", "rabitq0", "rabitq9", "rabitq", "opq", "sq8\0", "é"),
)


def with_coding(true: Container, coding: Coding) -> Container:
    """Return a copy whose quantizer section says something else."""
    return _with_bytes(true, coding.packed())


def _with_bytes(true: Container, data: bytes) -> Container:
    return true.with_section(c.QUANTIZER, data=data, cols=len(data))


def of_codes(true: Container) -> Iterator[Lie]:
    """Yield codes that are missing or of another shape."""
    codes = true.find(c.CODES)
    n, size, data = codes.rows, codes.cols, codes.data
    yield "no codes", true.without(c.CODES)
    yield "a code less", true.with_section(c.CODES, rows=n - 1, data=data[:-size])
    yield "a code more", true.with_section(c.CODES, rows=n + 1, data=data + data[:size])
    yield "wider codes", true.with_section(c.CODES, cols=size + 1, data=data + bytes(n))
    if size > 1:
        yield "narrower codes", true.with_section(c.CODES, cols=size - 1, data=data[:-n])
    yield "codes in a row", true.with_section(c.CODES, rows=1, cols=n * size)
    yield "codes as i8", true.with_section(c.CODES, element=c.I8)
    yield "codes as bytes", true.with_section(c.CODES, element=c.BYTES)
    yield "empty codes", true.with_section(c.CODES, rows=0, data=b"")
    if size % 4 == 0:
        yield "codes as f32", true.with_section(c.CODES, element=c.F32, cols=size // 4)


def of_quantizer(true: Container) -> Iterator[Lie]:
    """Yield every field of the section wrong, and sections at odds with it."""
    section = true.find(c.QUANTIZER)
    data, coding = section.data, parsed_coding(section.data)
    yield "no quantizer", true.without(c.QUANTIZER)
    yield "quantizer as u8", true.with_section(c.QUANTIZER, element=c.U8)
    yield "quantizer in a column", true.with_section(c.QUANTIZER, rows=len(data), cols=1)
    for size in (0, 1, 4, 11, 12, 15, len(data) // 2, len(data) - 4, len(data) - 1):
        yield f"quantizer cut to {size}", _with_bytes(true, data[:size])
    for tail in (b"\0", bytes(4), bytes(24)):
        yield f"{len(tail)} bytes more", with_coding(true, replace(coding, tail=tail))
    for version in (0, 2, 2**32 - 1):
        yield f"version {version}", with_coding(true, replace(coding, version=version))
    for flags in (4, 8, 2**31, 2**32 - 1, coding.flags | 4):
        yield f"flags {flags}", with_coding(true, replace(coding, flags=flags))
    yield from _of_flags(true, coding)
    arrays = len(coding.arrays)
    for count in (0, arrays - 1, arrays + 1, 16, 17, 2**31, 2**32 - 1):
        if count != arrays:
            yield f"{count} arrays", with_coding(true, replace(coding, count=count))
    yield "untrained", with_coding(true, replace(coding, arrays=[]))
    for name in (*map(str.encode, OTHER_NAMES), b"pq" + b"9" * 70, b"\xff\xfe"):
        yield f"quantizer {name!r}", with_coding(true, replace(coding, name=name))
    for other in (b"sq8", b"sq4", b"pq1x4", b"pq2x5", b"opq2x4", b"rabitq1", b"rabitq4"):
        if other != coding.name:
            yield f"quantizer {other!r}", with_coding(true, replace(coding, name=other))
    for length in (0, len(coding.name) - 1, len(coding.name) + 1, 65, 2**31, 2**32 - 1):
        changed = data[:12] + struct.pack("<I", length) + data[16:]
        yield f"a name of {length}", _with_bytes(true, changed)
    yield from _of_arrays(true, coding)


def _of_flags(true: Container, coding: Coding) -> Iterator[Lie]:
    """Yield flags that the rest of the file does not bear out."""
    if coding.flags & KEEPS_ROWS == 0:
        kept = replace(coding, flags=coding.flags | KEEPS_ROWS)
        yield "rows promised", with_coding(true, kept)
        yield "kept as f16, but not kept", true.with_meta(dtype=1)
        rows = Section(c.ROWS, c.F32, true.meta()["count"], true.meta()["dim"], b"")
        rows.data = bytes(4 * rows.rows * rows.cols)
        yield "rows nobody reads", replace(true, sections=[*true.sections, rows])
    else:
        yield "rows not promised", with_coding(true, replace(coding, flags=coding.flags ^ 1))
    about = with_coding(true, replace(coding, flags=coding.flags | RESIDUAL))
    if true.meta()["kind"] == 1:
        yield "a flat index about centroids", about
        empty = about.with_meta(count=0).with_section(c.CODES, rows=0, data=b"")
        if true.has(c.LABELS):
            empty = empty.with_section(c.LABELS, rows=0, data=b"")
        if true.has(c.ROWS):
            empty = empty.with_section(c.ROWS, rows=0, data=b"")
        yield "an empty flat index about centroids", empty
    else:
        yield "about centroids that are missing", about.without(c.CENTROIDS)


def _of_arrays(true: Container, coding: Coding) -> Iterator[Lie]:
    for i, array in enumerate(coding.arrays):
        where = array.name.decode()

        def lie(what: str, at: int = i, of: str = where, **changes: object) -> Lie:
            return f"{of}: {what}", with_coding(true, coding.with_array(at, **changes))

        for name in (b"", b"x", array.name + b"s", array.name.upper(), b"n" * 65):
            yield lie(f"named {name!r}", name=name)
        for rows in (0, array.rows - 1, array.rows + 1, 2**32, 2**62, 2**63, MOST):
            yield lie(f"{rows} rows", rows=rows)
            yield lie(f"{rows} rows, no columns", rows=rows, cols=0, data=b"")
        for cols in (0, array.cols - 1, array.cols + 1, 2**31, 2**61, 2**62, 2**63, MOST):
            yield lie(f"{cols} columns", cols=cols)
        if array.rows != array.cols:
            yield lie("transposed", rows=array.cols, cols=array.rows)
        yield lie("empty", rows=0, cols=0, data=b"")
        for name, bad in BAD_FLOATS.items():
            for at in (0, len(array.data) // 8 * 4, len(array.data) - 4):
                yield lie(f"{name} at {at}", data=array.data[:at] + bad + array.data[at + 4 :])
        if array.name == b"rotation":
            yield lie("all zero", data=bytes(len(array.data)))
            yield lie("twice as long", data=b"".join(_twice(array.data)))
        if array.name == b"seed":
            for value in (-1.0, 0.5, 65536.0):
                yield lie(f"{value}", data=struct.pack("<f", value) + array.data[4:])
        if array.name == b"centre":
            yield lie("3e38", data=struct.pack("<f", 3e38) * array.cols)
    twice = replace(coding, arrays=[*coding.arrays, coding.arrays[0]])
    yield "an array twice", with_coding(true, twice)
    more = replace(coding, arrays=[*coding.arrays, Array(b"more", 0, 0, b"")])
    yield "an empty array more", with_coding(true, more)


def _twice(data: bytes) -> Iterator[bytes]:
    for (value,) in struct.iter_unpack("<f", data):
        yield struct.pack("<f", 2 * value)


def truths(true: Container) -> Iterator[Lie]:
    """Yield unusual files that a reader must open."""
    coding, codes = parsed_coding(true.find(c.QUANTIZER).data), true.find(c.CODES)
    for byte in (0, 0x5A, 0x7F, 0xFF):
        changed = bytes([byte]) * len(codes.data)
        yield f"codes all {byte}", true.with_section(c.CODES, data=changed)
    for i, array in enumerate(coding.arrays):
        if array.name in (b"codebooks", b"low", b"centre"):
            still = coding.with_array(i, data=bytes(len(array.data)))
            if array.name != b"low":
                yield f"{array.name!r} all zero", with_coding(true, still)
