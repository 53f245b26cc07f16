"""Files with right checksums that say something wrong, each a change to a file that is right."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from reliability import adapter_lies, coding_lies, graph_lies
from reliability import container as c
from reliability.container import Container, Section

Lie = tuple[str, Container]
MOST = 2**64 - 1
NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))


def of_meta(true: Container) -> Iterator[Lie]:
    """Yield every field of the meta section out of range or at odds with the rest."""
    said = true.meta()
    n, dim = said["count"], said["dim"]
    wrong = {
        "kind": tuple({0, 1, 2, 3, 4, 2**32 - 1} - {said["kind"]}),
        "kind_version": (0, 2, 2**32 - 1),
        "metric": (3, 4, 255, 2**31, 2**32 - 1),
        "dtype": (5, 255, 2**32 - 1, (said["dtype"] + 1) % 5, (said["dtype"] + 2) % 5),
        "dim": (0, 1, dim - 1, dim + 1, 65536, 65537, 2**31, 2**32, 2**32 + dim, 2**63, MOST),
        "count": (0, 1, n - 1, n + 1, 2**31, 2**32 - 2, 2**32 - 1, 2**32 + n, 2**63, MOST),
        "next_label": (-1, -(2**63), -n, 2**62 + 1, 2**63 - 1, 2**63 - n),
        "has_labels": (2, 255, 2**32, MOST),
    }
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {value}", true.with_meta(**{name: value})
    if not said["has_labels"]:
        yield "labels promised", true.with_meta(has_labels=1)
        for value in (0, n - 1):
            yield f"next label {value} in use", true.with_meta(next_label=value)
    for a, b in ((2**32, 2**32), (2**33, 2**31), (65536, 2**48), (1, n * dim), (n * dim, 1)):
        yield f"dim {a}, count {b}", true.with_meta(dim=a, count=b)
    yield "dim 0, count 0", true.with_meta(dim=0, count=0)
    data = true.find(c.META).data
    for size in (0, 1, 47, 49, 96):
        cut = (data * 2)[:size]
        yield f"meta of {size} bytes", true.with_section(c.META, data=cut, cols=size)
    yield "meta of u64", true.with_section(c.META, element=c.U64, cols=6)
    yield "no meta", true.without(c.META)


def of_rows(true: Container) -> Iterator[Lie]:
    """Yield rows that are missing, of another type or shape, or not finite."""
    rows = true.find(c.ROWS)
    n, dim, data = rows.rows, rows.cols, rows.data
    width = len(data) // n
    yield "no rows", true.without(c.ROWS)
    yield "rows missing, codes instead", true.with_section(c.ROWS, type=c.CODES)
    yield "one row short", true.with_section(c.ROWS, rows=n - 1, data=data[:-width])
    yield "one row more", true.with_section(c.ROWS, rows=n + 1, data=data + data[:width])
    yield "transposed", true.with_section(c.ROWS, rows=dim, cols=n)
    yield "one column", true.with_section(c.ROWS, rows=n * dim, cols=1)
    yield "no columns", true.with_section(c.ROWS, cols=0, data=b"")
    yield "empty", true.with_section(c.ROWS, rows=0, cols=0, data=b"")
    yield "bytes", true.with_section(c.ROWS, element=c.BYTES, cols=width)
    same = {c.F32: c.U32, c.F16: c.BF16, c.BF16: c.F16, c.I8: c.U8, c.U8: c.I8}
    yield "another element", true.with_section(c.ROWS, element=same[rows.element])
    if rows.element == c.F32:
        for name, bad in (("nan", NAN), ("inf", INF), ("-inf", INF[:3] + b"\xff")):
            for at in (0, len(data) // 8 * 4, len(data) - 4):
                changed = data[:at] + bad + data[at + 4 :]
                yield f"{name} at {at}", true.with_section(c.ROWS, data=changed)
    if rows.element in (c.F16, c.BF16):
        for name, bad in (("inf", 0x7C00), ("nan", 0x7E01), ("bf16 inf", 0x7F80)):
            if name.startswith("bf16") == (rows.element == c.BF16):
                changed = data[:-2] + struct.pack("<H", bad)
                yield name, true.with_section(c.ROWS, data=changed)


def of_labels(true: Container) -> Iterator[Lie]:
    """Yield labels that are reserved, repeated, missing or of another type or number."""
    labels = true.find(c.LABELS)
    n, data = labels.rows, labels.data
    for at in (0, n // 2, n - 1):
        changed = data[: 8 * at] + struct.pack("<q", -(2**63)) + data[8 * at + 8 :]
        yield f"reserved label at {at}", true.with_section(c.LABELS, data=changed)
    yield "twice, next", true.with_section(c.LABELS, data=data[:8] + data[:-8])
    yield "twice, far", true.with_section(c.LABELS, data=data[:-8] + data[:8])
    yield "all the same", true.with_section(c.LABELS, data=data[:8] * n)
    yield "no labels", true.without(c.LABELS)
    yield "one short", true.with_section(c.LABELS, rows=n - 1, data=data[:-8])
    yield "one more", true.with_section(c.LABELS, rows=n + 1, data=data + b"\x07" * 8)
    yield "of u64", true.with_section(c.LABELS, element=c.U64)
    yield "of f64", true.with_section(c.LABELS, element=c.F64)
    yield "of bytes", true.with_section(c.LABELS, element=c.BYTES, cols=8)
    yield "in a row", true.with_section(c.LABELS, rows=1, cols=n)
    yield "two columns", true.with_section(c.LABELS, cols=2, data=data + data)


def of_lists(true: Container) -> Iterator[Lie]:
    """Yield lists that do not add up or lack what makes them lists."""
    nlist, n = true.find(c.LIST_SIZES).rows, true.find(c.ARRIVAL).rows
    sizes = struct.unpack(f"<{nlist}I", true.find(c.LIST_SIZES).data)

    def sized(values: list[int], **more: int) -> Container:
        data = struct.pack(f"<{len(values)}I", *values)
        return true.with_section(c.LIST_SIZES, **{"rows": len(values), "data": data, **more})

    yield "no list sizes", true.without(c.LIST_SIZES)
    yield "no lists", sized([])
    yield "a row less", sized([sizes[0] - 1, *sizes[1:]])
    yield "a row more", sized([sizes[0] + 1, *sizes[1:]])
    yield "sizes that add up modulo 2**32", sized([sizes[0] + 2**31, sizes[1] + 2**31, *sizes[2:]])
    yield "a list of 2**32 - 1", sized([2**32 - 1, *sizes[1:]])
    yield "all sizes 2**32 - 1", sized([2**32 - 1] * nlist)
    yield "a list more", sized([*sizes, 0])
    yield "a list less", sized([sizes[0] + sizes[1], *sizes[2:]])
    yield "one list", sized([n])
    yield "sizes in a row", sized(list(sizes), rows=1, cols=nlist)
    yield "sizes of no columns", sized([], rows=nlist, cols=0)
    yield "sizes of u64", true.with_section(c.LIST_SIZES, element=c.U64, data=bytes(8 * nlist))
    yield "sizes of f32", true.with_section(c.LIST_SIZES, element=c.F32)
    yield "flat, but with lists", true.with_meta(kind=1)
    without_lists = true.with_meta(kind=1).without(c.LIST_SIZES)
    yield "flat, but rows came otherwise", without_lists
    yield from _of_arrival(true)
    yield from _of_centroids(true)
    for name, rows, data in (("no", 0, b""), ("two", 2, bytes(16))):
        yield f"{name} seeds", true.with_section(c.SEED, rows=rows, data=data)
    yield "seed left out", true.without(c.SEED)
    yield "seed of i64", true.with_section(c.SEED, element=c.I64)
    yield "seed of bytes", true.with_section(c.SEED, element=c.BYTES, cols=8)


def of_groups(true: Container) -> Iterator[Lie]:
    """Yield groups that do not hold the centroids, and sections of another shape."""
    nlist = true.find(c.CENTROIDS).rows
    groups = true.find(c.GROUP_SIZES).rows
    sizes = list(struct.unpack(f"<{groups}I", true.find(c.GROUP_SIZES).data))

    def grouped(values: list[int], **more: int) -> Container:
        data = struct.pack(f"<{len(values)}I", *values)
        return true.with_section(c.GROUP_SIZES, **{"rows": len(values), "data": data, **more})

    yield "no groups", grouped([])
    yield "an empty group", grouped([*sizes, 0])
    yield "an empty group first", grouped([0, *sizes])
    yield "only empty groups", grouped([0] * nlist)
    yield "a centroid in no group", grouped([sizes[0] - 1, *sizes[1:]])
    yield "a centroid too many", grouped([*sizes[:-1], sizes[-1] + 1])
    yield "a group too many", grouped([*sizes, 1])
    yield "a group too few", grouped(sizes[:-1])
    yield "more groups than centroids", grouped([1] * (nlist + 1))
    yield "very many groups", grouped([0] * 100_000 + [nlist])
    yield "groups that add up modulo 2**32", grouped([nlist + 1, 2**31, 2**31 - 1])
    yield "a group of 2**32 - 1", grouped([2**32 - 1])
    yield "groups in a row", grouped(sizes, rows=1, cols=groups)
    yield "groups of no columns", grouped([], rows=groups, cols=0)
    wide = struct.pack(f"<{groups}Q", *sizes)
    yield "groups of u64", true.with_section(c.GROUP_SIZES, element=c.U64, data=wide)
    yield "groups of f32", true.with_section(c.GROUP_SIZES, element=c.F32)
    yield "groups of i64", true.with_section(c.GROUP_SIZES, element=c.I64, data=wide)


def _of_arrival(true: Container) -> Iterator[Lie]:
    n, data = true.find(c.ARRIVAL).rows, true.find(c.ARRIVAL).data
    for at in (0, n // 2, n - 1):
        for value in (n, n + 1, 2**31, 2**32 - 1):
            changed = data[: 4 * at] + struct.pack("<I", value) + data[4 * at + 4 :]
            yield f"row {at} came as {value}", true.with_section(c.ARRIVAL, data=changed)
    yield "two came together", true.with_section(c.ARRIVAL, data=data[:4] + data[:-4])
    yield "all came together", true.with_section(c.ARRIVAL, data=bytes(4 * n))
    yield "no arrival", true.without(c.ARRIVAL)
    yield "arrival one short", true.with_section(c.ARRIVAL, rows=n - 1, data=data[:-4])
    yield (
        "arrival one more",
        true.with_section(c.ARRIVAL, rows=n + 1, data=data + struct.pack("<I", n)),
    )
    yield "arrival in a row", true.with_section(c.ARRIVAL, rows=1, cols=n)
    yield "arrival of i64", true.with_section(c.ARRIVAL, element=c.I64, data=bytes(8 * n))
    yield "arrival of f32", true.with_section(c.ARRIVAL, element=c.F32)


def _of_centroids(true: Container) -> Iterator[Lie]:
    section = true.find(c.CENTROIDS)
    nlist, dim, data = section.rows, section.cols, section.data
    for name, bad in (("nan", NAN), ("inf", INF), ("-inf", INF[:3] + b"\xff")):
        for at in (0, len(data) - 4):
            changed = data[:at] + bad + data[at + 4 :]
            yield f"centroids {name} at {at}", true.with_section(c.CENTROIDS, data=changed)
    yield "no centroids", true.without(c.CENTROIDS)
    yield "empty centroids", true.with_section(c.CENTROIDS, rows=0, data=b"")
    fewer = data[: -4 * dim]
    yield "a centroid less", true.with_section(c.CENTROIDS, rows=nlist - 1, data=fewer)
    more = data + bytes(4 * dim)
    yield "a centroid more", true.with_section(c.CENTROIDS, rows=nlist + 1, data=more)
    yield "centroids in a row", true.with_section(c.CENTROIDS, rows=1, cols=nlist * dim)
    yield "centroids of u32", true.with_section(c.CENTROIDS, element=c.U32)
    yield "centroids of f64", true.with_section(c.CENTROIDS, element=c.F64, data=data + data)
    narrow = true.with_section(c.CENTROIDS, cols=dim - 1, data=bytes(4 * nlist * (dim - 1)))
    yield "centroids of other columns", narrow


def of_tuning(true: Container) -> Iterator[Lie]:
    """Yield settings out of range, in two places at once, and sections of another shape."""
    section = true.find(c.TUNING)
    settings = [list(one) for one in c.SETTING.iter_unpack(section.data)]
    nlist = true.find(c.LIST_SIZES).rows if true.has(c.LIST_SIZES) else 0
    nan, inf = float("nan"), float("inf")
    wrong = {
        0: (0,),
        1: (0,),
        2: (*([0] if nlist else []), nlist + 1, 2**31, 2**32 - 1),
        5: (nan, inf, -inf, -0.5),
        6: (nan, inf, 0.0, -0.5, 1.0000001, 2.0, settings[-1][8] + 1e-9),
        7: (nan, inf, -inf, -0.5, 1.0000001, settings[-1][8] - 1e-9),
        8: (nan, inf, -0.5, 2.0, settings[-1][6] - 1e-9),
        9: (nan, inf, -inf, -1.0),
        10: (0, 2**32, 2**63, MOST),
    }

    def told(values: list[list[Any]]) -> Container:
        data = b"".join(c.SETTING.pack(*one) for one in values)
        return true.with_section(c.TUNING, rows=len(values), data=data)

    for position, values in wrong.items():
        for value in values:
            changed = [*settings[-1][:position], value, *settings[-1][position + 1 :]]
            yield f"setting field {position}: {value}", told([*settings[:-1], changed])
    yield "a setting twice", told([*settings, settings[1]])
    yield "no settings", told([])
    many = [[i + 1, *settings[0][1:]] for i in range(4097)]
    yield "too many settings", told(many)
    yield "settings of u64", true.with_section(c.TUNING, element=c.U64, cols=8)
    yield "settings in a row", true.with_section(c.TUNING, rows=1, cols=len(section.data))
    short = section.data[: 63 * len(settings)]
    yield "short settings", true.with_section(c.TUNING, cols=63, data=short)
    yield "settings of no bytes", true.with_section(c.TUNING, cols=0, data=b"")


def of_table(true: Container) -> Iterator[Lie]:
    """Yield every field of every table entry wrong, and sections that do not tile the file."""
    for kind in (section.type for section in true.sections):
        section = true.find(kind)
        length = len(section.data)
        first = -(-(64 + 48 * len(true.sections)) // 64) * 64
        wrong = {
            1: (10, 255, 2**32 - 1),
            2: (0, 1, 63, 64, first + 1, first + 4096, 2**31, 2**63, MOST, MOST - length + 1),
            3: (0, 1, length - 1, length + 1, 2**31, 2**32, 2**63, MOST),
            4: (0, section.rows + 1, 2**32, 2**62, 2**63, MOST),
            5: (section.cols + 1, 2**32, 2**62, 2**63, MOST),
            6: (0, 1),
            7: (1, 2**31, 2**32 - 1),
        }
        right = {3: length, 4: section.rows, 5: section.cols, 6: c.crc32c(section.data)}
        for position, values in wrong.items():
            for value in values:
                if value == right.get(position) or not 0 <= value <= MOST:
                    continue  # of a section without contents
                changed = true.with_section(kind, entry={position: value})
                yield f"section {kind}, field {position}: {value}", changed
        for rows, cols in ((2**63, 2), (2**32, 2**32), (MOST, MOST), (2**61, 8)):
            changed = true.with_section(kind, entry={4: rows, 5: cols, 3: 0})
            yield f"section {kind}: {rows} x {cols} overflows", changed
        yield f"section {kind} of type 0", true.with_section(kind, type=0)
        twin = replace(true, sections=[*true.sections, section])
        yield f"section {kind} twice", twin
    yield "padding", replace(true, padding=b"\1")
    yield "tail", replace(true, tail=b"\0")
    yield "long tail", replace(true, tail=bytes(5000))
    many = [Section(1000 + i, c.BYTES, 1, 1, b"x") for i in range(256)]
    yield "too many sections", replace(true, sections=true.sections + many)
    yield "no sections", replace(true, sections=[])


def of_header(true: Container) -> Iterator[Lie]:
    """Yield headers that ask for another reader or do not fit the file."""
    wrong = {
        0: (b"\x89NFX\n\x1a\n\0", b"\x89NFY\r\n\x1a\n", bytes(8)),
        2: (0, 2, 2**32 - 1),
        3: (1, 2, 2**63),
        5: (0, 63, 64, 2**32, MOST),
        6: (0, 1, len(true.sections) - 1, len(true.sections) + 1, 256, 257, 2**32 - 1),
        7: (0, 1),
        9: (1, 2**32 - 1),
        10: (1, 2**31),
    }
    for position, values in wrong.items():
        for value in values:
            yield f"header field {position}: {value!r}", replace(true, header={position: value})
    yield "version 0", replace(true, header={1: 0, 2: 0})
    yield "newer format", replace(true, header={1: 2, 2: 2, 8: 0x00020500})


def all_of(true: Container) -> Iterator[Lie]:
    """Yield every lie about a file."""
    yield from of_meta(true)
    if true.has(c.ROWS):
        yield from of_rows(true)
    if true.has(c.QUANTIZER):
        yield from coding_lies.of_codes(true)
        yield from coding_lies.of_quantizer(true)
    if true.has(c.LABELS):
        yield from of_labels(true)
    if true.meta()["kind"] == 2:
        yield from of_lists(true)
    if true.has(c.GROUP_SIZES):
        yield from of_groups(true)
    if true.meta()["kind"] == 3:
        yield from graph_lies.of_graph(true)
    if any(section.type == c.TUNING for section in true.sections):
        yield from of_tuning(true)
    if true.has(c.CORPUS_ADAPTERS):
        yield from adapter_lies.of_adapters(true)
    yield from of_table(true)
    yield from of_header(true)


def truths(true: Container) -> Iterator[Lie]:
    """Yield unusual files that a reader of this version must open."""
    extra = Section(c.USER_METADATA, c.BYTES, 1, 9, b'{"a": 1}\n')
    yield "as it was", true
    yield "user metadata", replace(true, sections=[*true.sections, extra])
    yield "user metadata first", replace(true, sections=[extra, *true.sections])
    unknown = Section(77777, c.F64, 2, 3, bytes(48))
    yield "an unknown section", replace(true, sections=[*true.sections, unknown])
    yield "another order", replace(true, sections=true.sections[::-1])
    yield "a later format this reader understands", replace(true, header={1: 2})
    yield "features that may be ignored", replace(true, header={4: 2**63 + 5})
    yield "a release number", replace(true, header={8: 0x00630000})
    yield "later default labels", true.with_meta(next_label=2**40)
    if true.has(c.QUANTIZER):
        yield from coding_lies.truths(true)
    if true.meta()["kind"] == 3:
        yield from graph_lies.truths(true)
    if true.has(c.CORPUS_ADAPTERS):
        yield from adapter_lies.truths(true)
    if true.meta()["kind"] == 2:
        nlist = true.find(c.CENTROIDS).rows
        zero = bytes(len(true.find(c.CENTROIDS).data))
        yield "centroids all zero", true.with_section(c.CENTROIDS, data=zero)
        one = c.SETTING.pack(
            2**32 - 1, 2**32 - 1, 1, 2**32 - 1, 2**32 - 1, 3e38, 5e-324, 1, 1, 0, 1
        )
        odd = Section(c.TUNING, c.BYTES, 1, 64, one)
        others = [section for section in true.sections if section.type != c.TUNING]
        yield "not tuned", replace(true, sections=others)
        yield "tuned to something odd", replace(true, sections=[*others, odd])
        most = b"".join(struct.pack("<I", i + 1) + one[4:] for i in range(4096))
        all_k = Section(c.TUNING, c.BYTES, 4096, 64, most)
        yield "tuned for every k", replace(true, sections=[*others, all_k])
        for sizes in ([nlist], [1] * nlist):
            data = struct.pack(f"<{len(sizes)}I", *sizes)
            groups = Section(c.GROUP_SIZES, c.U32, len(sizes), 1, data)
            others = [section for section in true.sections if section.type != c.GROUP_SIZES]
            yield f"{len(sizes)} groups", replace(true, sections=[*others, groups])
        yield "in no groups", true.without(c.GROUP_SIZES)
        yield "another seed", true.with_section(c.SEED, data=b"\xff" * 8)
        if true.has(c.QUANTIZER):
            return  # codes about huge centroids are of rows that no quantizer takes
        huge = struct.pack("<f", 3e38) * (len(zero) // 4)
        yield "huge centroids", true.with_section(c.CENTROIDS, data=huge)
