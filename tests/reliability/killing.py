"""Runs inside a child: forks writers, kills them at random times, and looks at what is left."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from collections import Counter
from typing import Any

import nearfield as nf
import numpy as np
from reliability.samples import Links, centroids_of, empty, empty_graph, empty_lists

VERSIONS = 6
_COUNTS = struct.Struct("<QQ")


def version(number: int, rows: int, nlist: int, storage: str = "float32") -> nf.Index:
    """Return an index that differs from every other version, in size too; nlist 0: a flat one."""
    rng = np.random.default_rng(number)
    index: nf.Index
    if isinstance(nlist, Links):
        index = empty_graph("l2", storage, 32, nlist)
    elif nlist:
        index = empty_lists("l2", storage, centroids_of(storage, nlist, 32))
    else:
        index = empty("l2", storage, 32)
    n = rows - 37 * number
    index.add(rng.standard_normal((n, 32)), ids=np.arange(n) + 1_000_000 * number)
    return index


def write_forever(path: str, indexes: list[nf.Index], shared: mmap.mmap, durable: bool) -> None:
    """Save one version after the other, noting each start and each end."""
    started, _ = _COUNTS.unpack(shared[: _COUNTS.size])
    while True:
        started += 1
        shared[:8] = struct.pack("<Q", started)
        indexes[started % VERSIONS].save(path, durable=durable)
        shared[8:16] = struct.pack("<Q", started)


def phase(folder: str, sizes: set[int], old: bool, between: bool) -> str:
    """Return where a kill landed, told by the temporary that it left."""
    left = [name for name in os.listdir(folder) if name.endswith(".nftmp")]
    if left:
        size = max(os.path.getsize(os.path.join(folder, name)) for name in left)
        if size == 0:
            return "temporary created, nothing written"
        return "whole temporary, before the rename" if size in sizes else "in the middle of writing"
    if between:
        return "between two saves"
    return "before the temporary" if old else "after the rename"


def rounds(
    folder: str,
    kills: int,
    rows: int,
    durable: bool,
    seed: int,
    nlist: int,
    storage: str,
    m: int = 0,
) -> dict[str, Any]:
    """Kill `kills` writers; after each the file must be the last finished or the next version."""
    path = os.path.join(folder, "index.nf")
    kind = Links(m) if m else nlist
    indexes = [version(number, rows, kind, storage) for number in range(VERSIONS)]
    contents = []
    for index in indexes:
        index.save(path, durable=False)
        with open(path, "rb") as file:
            contents.append(file.read())
    assert len(set(contents)) == VERSIONS
    sizes = {len(content) for content in contents}
    shared, rng = mmap.mmap(-1, _COUNTS.size), random.Random(seed)
    start = time.monotonic()
    for _ in range(3):
        indexes[0].save(path, durable=durable)
    span = max(0.002, (time.monotonic() - start) / 3) * 3
    shared[: _COUNTS.size] = _COUNTS.pack(0, 0)
    phases: Counter[str] = Counter()
    wrong: list[Any] = []
    for _ in range(kills):
        writer = os.fork()
        if writer == 0:
            try:
                write_forever(path, indexes, shared, durable)
            finally:
                os._exit(1)
        time.sleep(rng.random() * span)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        started, finished = _COUNTS.unpack(shared[: _COUNTS.size])
        with open(path, "rb") as file:
            found = file.read()
        allowed = {started % VERSIONS, finished % VERSIONS}
        which = contents.index(found) if found in contents else None
        if which not in allowed:
            wrong.append([started, finished, which, len(found)])
        phases[phase(folder, sizes, which == finished % VERSIONS, started == finished)] += 1
        nf.load(path)
        # The count goes on from the version that is there.
        shared[: _COUNTS.size] = _COUNTS.pack(
            *[finished if which == finished % VERSIONS else started] * 2
        )
    indexes[0].save(path, durable=durable)
    return {"wrong": wrong, "phases": phases, "litter": sorted(os.listdir(folder)), "kills": kills}
