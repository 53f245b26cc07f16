"""Cases of indexes that are searched on the device: flat, IVF, and graphs of either side.

They are small enough to be built within the check; recall is against a flat index of the same rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from bench.gpu.check import Check
from bench.gpu.records import Box
from bench.gpu.timing import Case, Run

K = 10
QUERIES = 10_000
COMPARED = 64
CENTRES = 1000  # rows lie around these, or lists and graphs would have nothing to find


def graphs(check: Check, box: Box) -> Iterator[Case]:
    """Yield cases of graphs, built on the CPU and on the device."""
    small = check.there.small
    rows, queries = clustered(*((300, 16, 20) if small else (100_000, 256, QUERIES)))
    for where, build in (("the CPU", hnsw), ("the device", partial(hnsw_there, check))):
        for ef in (20,) if small else (64, 200):
            name = f"HNSW of {where}, ef={ef}"
            yield from _cases(check, box, rows, queries, name, build, {"ef_search": ef}, 0)


def indexes(check: Check, box: Box) -> Iterator[Case]:
    """Yield a case an index; what building took is a row of its own."""
    small = check.there.small
    n, dim = (400, 16) if small else (1_000_000, 256)
    rows, queries = clustered(n, dim, 20 if small else QUERIES)
    yield from _cases(check, box, rows, queries, "flat", flat, {}, n)
    lists = 8 if small else 1024
    for storage in ("float32", "sq8", "rabitq4"):
        for nprobe in (2,) if small else (16, 64):
            build = partial(ivf, lists=lists, storage=storage)
            name = f"IVF {storage}, {lists} lists, nprobe={nprobe}"
            params = {"nprobe": nprobe}
            yield from _cases(check, box, rows, queries, name, build, params, n * nprobe // lists)


def clustered(n: int, dim: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and queries around common centres."""
    rng = np.random.default_rng(9)
    centres = rng.standard_normal((min(CENTRES, n // 8), dim), dtype=np.float32)
    both = rng.standard_normal((n + count, dim), dtype=np.float32)
    both += 2 * centres[rng.integers(0, len(centres), n + count)]
    return both[:n], both[n:]


def flat(rows: np.ndarray) -> Any:
    import nearfield as nf

    index = nf.FlatIndex(rows.shape[1], "l2")
    index.add(rows)
    return index


def ivf(rows: np.ndarray, *, lists: int, storage: str) -> Any:
    import nearfield as nf

    index = nf.IVFIndex(rows.shape[1], lists, "l2", quantizer=storage)
    index.train(rows[: 64 * lists])
    index.add(rows)
    return index


def hnsw(rows: np.ndarray) -> Any:
    import nearfield as nf

    index = nf.HNSWIndex(rows.shape[1], 16, "l2", ef_construction=100)
    index.add(rows)
    return index


def hnsw_there(check: Check, rows: np.ndarray) -> Any:
    """Build a graph whose neighbours are found on the device."""
    import nearfield as nf

    index = nf.HNSWIndex(rows.shape[1], 16, "l2", ef_construction=100)
    there = index.to(f"cuda:{check.there.device}")
    there.add(rows)
    return there.to("cpu")


_built: dict[Any, Any] = {}


def _cases(
    check: Check,
    box: Box,
    rows: np.ndarray,
    queries: np.ndarray,
    name: str,
    build: Callable[[np.ndarray], Any],
    params: dict[str, Any],
    scanned: int,
) -> Iterator[Case]:
    """Yield a case, once its index is built, and the same for the next case of it."""
    key = (*name.split(",")[:2], len(rows)) if "IVF" in name else (name.split(",")[0], len(rows))
    if key not in _built:
        _built.clear()
        start = time.monotonic()
        _built[key] = build(rows)
        what = ",".join(name.split(",")[: 2 if "IVF" in name else 1])
        check.add(box.name, f"building {what}", seconds=time.monotonic() - start)
    index = _built[key]
    sets = [np.roll(queries, i, axis=0) for i in range(3)]
    size = f"{len(queries)} x {len(rows)} x {rows.shape[1]}"
    yield Case(
        f"{name}, {size}, k={K}",
        {
            "cuda" if scan == "groups" else f"cuda {scan}": partial(
                on_device, check, index, sets, params, scan
            )
            for scan in (("groups", "thresholds", "bytes") if name == "flat" else ("groups",))
        },
        {"cpu": partial(on_cpu, index, sets, params)},
        operations=2.0 * len(queries) * scanned * rows.shape[1],
        wanted=partial(nearest, rows, queries[:COMPARED]),
        waits=frozenset({"cpu"}),
        seconds=10.0,
    )


def on_device(
    check: Check, index: Any, sets: list[np.ndarray], params: dict[str, Any], scan: str
) -> Run:
    """The index on the device, asked for arrays that are there; scan: how rows are looked at."""
    chosen = mock.patch.dict(os.environ, {"NEARFIELD_CUDA_SCAN": scan})
    with chosen:
        there = index.to(f"cuda:{check.there.device}")
    asked = [check.there.put(np.ascontiguousarray(one)) for one in sets]

    def once(i: int) -> Any:
        with chosen:
            return there.search(asked[i % len(asked)], k=K, **params)

    return once


def on_cpu(index: Any, sets: list[np.ndarray], params: dict[str, Any]) -> Run:
    """The index where it was built."""
    return lambda i: index.search(sets[i % len(sets)], k=K, **params)


def nearest(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the ids of a flat search."""
    import nearfield as nf

    return np.asarray(nf.topk(queries, rows, k=K, metric="l2").ids)
