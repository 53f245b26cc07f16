"""The documented file format, written a second time: a reader and writer that share no code.

`sealed` makes a file whose checksums are right whatever it claims, which is what a test of
`validate()` needs: checksums find damage, only validation finds lies.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

MAGIC = b"\x89NFX\r\n\x1a\n"
META, ROWS, CODES, LABELS, TOMBSTONES, USER_METADATA = 1, 2, 3, 6, 7, 100
LIST_SIZES, CENTROIDS, ARRIVAL, SEED, QUANTIZER, GROUP_SIZES, TUNING = 8, 9, 10, 11, 14, 15, 20
GRAPH, GRAPH_CENTRE, GRAPH_NODES, GRAPH_LINKS, GRAPH_LEVELS = 16, 17, 18, 19, 21
CORPUS_ADAPTERS = 22
RELEASE = 0x00000100  # the first release that reads version 1
BYTES, F32, F16, BF16, I8, U8, U32, I64, U64, F64 = range(10)
ELEMENT_BYTES = (1, 4, 2, 2, 1, 1, 4, 8, 8, 8)
HEADER, ENTRY = struct.Struct("<8sIIQQQIII2I"), struct.Struct("<IIQQQQII")
SETTING = struct.Struct("<IIIIIfddddQ")
ROW_META = struct.Struct("<IIIIQQqQ")
GRAPH_META = struct.Struct("<IIQdII")
GRAPH_FIELDS = ("m", "ef_construction", "seed", "unit", "by_distance", "levels")
ROW_FIELDS = (
    *("kind", "kind_version", "metric", "dtype", "dim", "count", "next_label", "has_labels"),
)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the checksum of RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass
class Section:
    """A section; `entry` overrides fields of its table entry by position."""

    type: int
    element: int
    rows: int
    cols: int
    data: bytes
    entry: dict[int, int] = field(default_factory=dict)


@dataclass
class Container:
    """What a file says; `header` overrides fields of the header by position."""

    sections: list[Section]
    header: dict[int, Any] = field(default_factory=dict)
    padding: bytes = b"\0"
    tail: bytes = b""

    def has(self, kind: int) -> bool:
        """Return whether there is a section of a type."""
        return any(section.type == kind for section in self.sections)

    def find(self, kind: int) -> Section:
        """Return the section of a type."""
        return next(section for section in self.sections if section.type == kind)

    def meta(self) -> dict[str, int]:
        """Return the fields of the meta section."""
        return dict(zip(ROW_FIELDS, ROW_META.unpack(self.find(META).data), strict=True))

    def with_meta(self, **fields: int) -> Container:
        """Return a copy whose meta section says something else."""
        data = ROW_META.pack(*{**self.meta(), **fields}.values())
        return self.with_section(META, data=data)

    def graph(self) -> dict[str, Any]:
        """Return the fields of the graph section."""
        return dict(zip(GRAPH_FIELDS, GRAPH_META.unpack(self.find(GRAPH).data), strict=True))

    def with_graph(self, **fields: Any) -> Container:
        """Return a copy whose graph section says something else."""
        data = GRAPH_META.pack(*{**self.graph(), **fields}.values())
        return self.with_section(GRAPH, data=data)

    def with_section(self, kind: int, **changes: Any) -> Container:
        """Return a copy with one section changed."""
        sections = [replace(s, **changes) if s.type == kind else s for s in self.sections]
        return replace(self, sections=sections)

    def without(self, kind: int) -> Container:
        """Return a copy that lacks a section."""
        return replace(self, sections=[s for s in self.sections if s.type != kind])


def parsed(data: bytes) -> Container:
    """Read a file that is known to be right."""
    count = HEADER.unpack_from(data)[6]
    sections = []
    for i in range(count):
        kind, element, offset, length, rows, cols, crc, _ = ENTRY.unpack_from(data, 64 + 48 * i)
        content = data[offset : offset + length]
        assert crc32c(content) == crc
        sections.append(Section(kind, element, rows, cols, content))
    return Container(sections)


def sealed(container: Container) -> bytes:
    """Return the bytes of a file: placed by the rules, overridden as asked, checksums right."""
    end = 64 + 48 * len(container.sections)
    entries, contents = b"", b""
    for section in container.sections:
        align = 4096 if len(section.data) >= 4096 else 64
        offset = -(-end // align) * align
        fields = [
            *(section.type, section.element, offset, len(section.data)),
            *(section.rows, section.cols, section.entry.get(6) or crc32c(section.data), 0),
        ]
        for position, value in section.entry.items():
            fields[position] = value
        entries += ENTRY.pack(*fields)
        contents += container.padding * (offset - end) + section.data
        end = offset + len(section.data)
    count = len(container.sections)
    length = end + len(container.tail)
    head = [MAGIC, 1, 1, 0, 0, length, count, crc32c(entries), RELEASE, 0, 0]
    for position, value in container.header.items():
        head[position] = value
    packed = HEADER.pack(*head)
    return packed + struct.pack("<I", crc32c(packed)) + entries + contents + container.tail
