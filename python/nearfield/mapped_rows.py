"""Rows that are mapped into a file, some at a time, so that an interrupted call goes on later.

A folder holds ``rows.f32``, the mapped rows one after the other, and ``progress.json``: of which
mapping they are, how many there are and their checksum. The record is replaced after the rows are
synced, every few seconds and when a call is interrupted, so it never names rows that are not there.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from .durable import replace_durably
from .errors import CorruptFileError
from .progress import Progress, bar

__all__ = ["Blocks", "mapped_rows"]

_RECORD_SECONDS = 2.0
_READ_BYTES = 1 << 24


class Blocks(Protocol):
    """What is mapped."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def after(self, first: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield number and mapped values of the rows from `first` on, some at a time."""

    def fingerprint(self) -> str:
        """Return what tells this mapping from others."""


@contextmanager
def mapped_rows(
    folder: str, blocks: Blocks, dim: int, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Map what is not in the folder yet, and yield all of it."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "rows.f32"), "a+b") as file:
        _map_into(file, os.path.join(folder, "progress.json"), blocks, dim, progress)
        if len(blocks):
            yield np.memmap(file, np.float32, "r", shape=(len(blocks), dim))
        else:
            yield np.empty((0, dim), np.float32)


def _map_into(file: BinaryIO, record: str, blocks: Blocks, dim: int, progress: Progress) -> None:
    state: dict[str, Any] = {
        "format": 1,
        "fingerprint": blocks.fingerprint(),
        "rows": 0,
        "crc32": 0,
    }
    _resume(file, record, state, dim)
    file.truncate(state["rows"] * dim * 4)
    file.seek(0, os.SEEK_END)
    recorded = time.monotonic()
    try:
        with bar(len(blocks), "Mapping", "row", progress) as advance:
            if state["rows"]:
                advance(state["rows"])
            for start, block in blocks.after(state["rows"]):
                data = block.tobytes()
                file.write(data)
                # In one step, for an interrupt may come between two.
                state.update(rows=start + len(block), crc32=zlib.crc32(data, state["crc32"]))
                if time.monotonic() - recorded >= _RECORD_SECONDS:
                    _record(file, record, state)
                    recorded = time.monotonic()
                advance(len(block))
    finally:
        _record(file, record, state)


def _record(file: BinaryIO, record: str, state: dict[str, Any]) -> None:
    """Say how many rows are there, once they are."""
    file.flush()
    os.fsync(file.fileno())
    replace_durably(record, [json.dumps(state).encode()])


def _resume(file: BinaryIO, record: str, state: dict[str, Any], dim: int) -> None:
    """Take over what a call before this one has mapped, if there was one."""
    try:
        with open(record, "rb") as old:
            found = json.loads(old.read(4096))
            keys = found.keys() if isinstance(found, dict) else None
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):
        keys = None
    if keys != state.keys() or not all(type(found[key]) is int for key in ("rows", "crc32")):
        raise CorruptFileError(f"{record}: not a record of map_corpus; remove its folder")
    if any(found[key] != state[key] for key in ("format", "fingerprint")):
        raise ValueError(
            f"path: {os.path.dirname(record)} is left from mapping another index or by another "
            "transform; finish that, or remove the folder"
        )
    length = found["rows"] * dim * 4
    if (
        not 0 <= length <= os.fstat(file.fileno()).st_size
        or _crc_of(file, length) != found["crc32"]
    ):
        raise CorruptFileError(
            f"{file.name}: not the {found['rows']} rows that {record} names; remove their folder"
        )
    state.update(found)


def _crc_of(file: BinaryIO, length: int) -> int:
    file.seek(0)
    crc = 0
    while length > 0:
        data = file.read(min(length, _READ_BYTES))
        crc, length = zlib.crc32(data, crc), length - len(data)
    return crc
