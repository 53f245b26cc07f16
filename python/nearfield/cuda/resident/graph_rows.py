"""Rows that a graph leads to, on their way to a device: :func:`rows_there`.

Walks read rows in no order, so what is stored as codes is decoded once, when it is copied, and not
by every search (decision 0026).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..library import library
from ..search import address_of, uploaded

__all__ = ["GraphRows", "rows_there"]

_BLOCK_BYTES = 1 << 24


class GraphRows(NamedTuple):
    """Rows on a device by their number in the graph, dead ones included.

    Attributes
    ----------
    place : tuple
        Address, rows, columns, elements from one row to the next, and type.
    rotation : int
        Address of what queries are turned by, where decoded rows are; 0: they are not.
    keep : tuple
        What must live as long.
    """

    place: tuple[int, int, int, int, str]
    rotation: int
    keep: tuple[Any, ...]


def rows_there(core: Any, tables: Any, device: int, stream: int) -> GraphRows:
    """Copy the rows of a graph as they are stored; decode them there where codes alone are.

    Decoded rows are float32, the CPU's bits: 4 bytes a column, columns rounded up to 8. Codes pass
    through a block of 16 MB and do not stay.
    """
    if tables.are_codes and tables.count:
        return _decoded(tables, core.dim, device, stream)
    dim, dtype, count = core.dim, core.dtype, tables.count
    rows = library().DeviceArray((max(count, 1), dim), dtype, device, stream)
    row_bytes = rows.nbytes // max(count, 1)
    step = max(_BLOCK_BYTES // row_bytes, 1)
    for first in range(0, count, step):
        library().upload(rows, tables.rows(first, step).reshape(-1), first * row_bytes)
    return GraphRows((rows._address, count, dim, dim, dtype), 0, (rows,))


def _decoded(tables: Any, dim: int, device: int, stream: int) -> GraphRows:
    native, count, decoding = library(), tables.count, tables.decoding()
    size = decoding.code_size
    step = min(max(_BLOCK_BYTES // size, 1), count)
    codes = native.DeviceArray((step * size,), "uint8", device, stream)
    table, rotation = uploaded(decoding.table(), device, stream), None
    if len(decoding.rotation()):
        rotation = uploaded(decoding.rotation(), device, stream)
    turn = address_of(rotation)
    coded = native.CodedRows(decoding, codes._address, table[1], turn, step)
    rows = native.DeviceArray((count, coded.stride), "float32", device, stream)
    for first in range(0, count, step):
        block = tables.codes(first, step)
        native.upload(codes, block.reshape(-1), 0)  # once the block before it is decoded
        to = rows._address + 4 * coded.stride * first
        native.decode_rows(coded, len(block), to, device, stream)
    return GraphRows((rows._address, count, dim, coded.stride, "float32"), turn, (rows, rotation))
