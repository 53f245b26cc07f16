"""The case of a large inverted file: 10 million rows of 768 columns in 8192 lists, or what fits.

Rows are made on the device, around common centres, as they are added: its lists are found there,
the index keeps them on the host, and a copy goes back. Adding ends when its share of the time is
used or the device is full; the case is called by the rows that are there then. Recall is against an
exact search of the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.check import NOT_THERE, Check, reason
from bench.gpu.defined import as_bits
from bench.gpu.records import Box
from bench.gpu.timing import Case, Run

ROWS, DIM, LISTS, NPROBE, K = 10_000_000, 768, 8192, 64, 100
BLOCK = 1_000_000
TRAINED = 300_000
QUERIES, COMPARED, CENTRES = 10_000, 64, 20_000
SHARE = 0.5  # of the box that is left, for building
BYTES_A_ROW = 2 * 2 * DIM + 64  # the index's rows and those that recall is found in


def large_lists(check: Check, box: Box) -> Iterator[Case]:
    """Yield the one case, once its index is built."""
    import nearfield as nf

    small, name = check.there.small, f"IVF bfloat16, {ROWS // BLOCK}M x {DIM}, {LISTS} lists"
    lists, nprobe, k = (6, 3, 5) if small else (LISTS, NPROBE, K)
    try:
        made = Rows(check, *((3, 60, 16, 9) if small else (fitting(check), BLOCK, DIM, CENTRES)))
        index = nf.IVFIndex(made.dim, lists, "l2", quantizer="bfloat16")
        built(check, box, index, made, 60 if small else TRAINED)
    except NOT_THERE as error:
        check.add(box.name, name, note=f"not there: {reason(error)}")
        return
    rows = made.count if small else f"{made.count // BLOCK}M"
    shown = f"{ROWS // BLOCK}M" if small else rows  # a dry run stands for the whole
    queries = [made.around(7 + i, 9 if small else QUERIES) for i in range(3)]
    yield Case(
        f"IVF bfloat16, {shown} x {DIM}, {LISTS} lists, nprobe={NPROBE}, {QUERIES} queries, k={K}",
        {"cuda": partial(searched, check, index, queries, k, nprobe)},
        operations=2.0 * len(queries[0]) * made.count * nprobe / lists * made.dim,
        nbytes=2.0 * made.count * made.dim,
        wanted=partial(nearest, check, made, queries[0][:COMPARED], k),
        seconds=15.0,
    )


def fitting(check: Check) -> int:
    """Return how many blocks fit into three quarters of the device's free memory."""
    free = check.there.torch.cuda.mem_get_info()[0]
    return max(min(ROWS, int(0.75 * free / BYTES_A_ROW)) // BLOCK, 1)


class Rows:
    """Blocks of rows around centres; `kept` is what was added, in bfloat16 on the device."""

    def __init__(self, check: Check, blocks: int, block: int, dim: int, centres: int) -> None:
        self.there, self.blocks, self.block, self.dim = check.there, blocks, block, dim
        self.count = 0
        self._centres = np.random.default_rng(9).standard_normal((centres, dim), dtype=np.float32)
        self._parts: list[Any] = []

    def around(self, seed: int, count: int) -> np.ndarray:
        """Return rows as the index takes them, of values that bfloat16 holds."""
        rng = np.random.default_rng(seed)
        near = rng.integers(0, len(self._centres), count)
        if self.there.dry:
            noise = rng.standard_normal((count, self.dim), dtype=np.float32)
            bits = as_bits(self._centres[near] + noise, "bfloat16")
            return (bits.astype(np.uint32) << 16).view(np.float32)
        torch = self.there.torch
        rows = self.there.put(self._centres)[self.there.put(near)]
        chance = torch.Generator(self.there.place).manual_seed(seed)
        noise = torch.empty_like(rows).normal_(generator=chance)
        return rows.add_(noise).bfloat16().float().cpu().numpy()

    def keep(self, rows: np.ndarray) -> None:
        """Take note of rows that were added."""
        self.count += len(rows)
        self._parts.append(self.there.put(as_bits(rows, "bfloat16"), True))

    def parts(self) -> list[Any]:
        """Return what was added, block by block."""
        return self._parts


def built(check: Check, box: Box, index: Any, made: Rows, trained: int) -> None:
    """Train and fill the index, lists found on the device; what it took is a row."""
    where, start = f"cuda:{check.there.device}", time.monotonic()
    index.train(made.around(100, trained), device=where)
    took = time.monotonic() - start
    check.add(box.name, f"training {index.nlist} lists of {trained} rows", seconds=took)
    until = time.monotonic() + SHARE * box.seconds_left
    start = time.monotonic()
    for number in range(made.blocks):
        now = time.monotonic()
        if number and now + (now - start) / number > until:
            check.add(box.name, "cut: fewer rows in lists", rows=made.count)
            break
        rows = made.around(number, made.block)
        index.add(rows, device=where)
        made.keep(rows)
    took = time.monotonic() - start
    check.add(box.name, f"adding {made.count} rows to lists", seconds=took)


def searched(check: Check, index: Any, queries: list[np.ndarray], k: int, nprobe: int) -> Run:
    """Our CUDA kernels."""
    there = index.to(f"cuda:{check.there.device}")
    asked = [check.there.put(one) for one in queries]
    return lambda i: there.search(asked[i % len(asked)], k=k, nprobe=nprobe)


def nearest(check: Check, made: Rows, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the best rows, block by block on the device."""
    import nearfield as nf

    asked, ids, scores, first = check.there.put(queries), [], [], 0
    for part in made.parts():
        found = nf.topk(asked, part, k=k, metric="l2")
        ids.append(check.there.get(found.ids) + first)
        scores.append(check.there.get(found.scores))
        first += made.block
    order = np.argsort(np.concatenate(scores, axis=1), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.concatenate(ids, axis=1), order, axis=1)
