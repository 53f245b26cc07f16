"""Small indexes made from formulas: the same bytes on every machine and with every release."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import nearfield as nf
import numpy as np
from nearfield import _core
from reliability import container as c
from reliability.coding import KEEPS_ROWS, RESIDUAL, Coding, trained

METRICS = ("l2", "ip", "cosine")
STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
KINDS = [(metric, storage) for metric in METRICS for storage in STORAGES]
TUNED = ("l2", "uint8", True, 5)
GROUPED = ("ip", "float16", False, 6)
LISTED = [
    *(("l2", "float32", False, 3), ("ip", "int8", True, 4), ("cosine", "bfloat16", True, 2)),
    *(TUNED, GROUPED),
]
"""Indexes of inverted lists: metric, storage, with labels, lists.

One of them has been tuned, one has its centroids in groups.
"""
GROUP_SIZES = (2, 1, 3)
"""Of that index."""
SETTINGS = [
    (3, 1, 1, 0, 0, 0.0, 0.75, 0.875, 0.75, 2**-14, 24),
    (3, 1, 5, 0, 0, 0.0, 1.0, 1.0, 1.0, 2**-10, 24),
    (3, 200, 5, 0, 0, 0.0, 1.0, 1.0, 1.0, 2**-12, 24),
    (7, 1, 3, 20, 30, 0.0, 0.5, 0.75, 0.625, 2**-13, 24),
]
"""What that index was tuned to, as the core takes it; it has neither rerank nor ef_search."""
CODED = [
    ("l2", "sq8", False, 0),
    ("ip", "pq2x4-float16", True, 0),
    ("l2", "opq2x5-bfloat16", False, 0),
    ("cosine", "rabitq4-residual", False, 3),
    ("l2", "pq2x4-residual", True, 3),
    ("ip", "sq4-int8", True, 2),
    ("l2", "rabitq1-float32", False, 0),
    ("cosine", "rabitq3-float16-residual", True, 3),
]
"""Indexes of small codes, written as a quantizer, `residual` and the type of kept rows, if any."""


class Links(int):
    """Links of a graph's nodes, where an index of lists has their number."""

    def __repr__(self) -> str:
        return f"m{int(self)}"

    __str__ = __repr__


TUNED_GRAPH = ("l2", "bfloat16", True, Links(4))
GRAPHS = [
    *(("l2", "float32", False, Links(3)), ("ip", "int8", True, Links(2)), TUNED_GRAPH),
    *(("cosine", "rabitq4-float16", True, Links(2)), ("ip", "sq8", False, Links(3))),
]
"""Graphs, one of them tuned: metric, storage, with labels, links."""
GRAPH_SETTINGS = [
    (3, 1, 0, 0, 1, 0.0, 0.75, 0.875, 0.75, 2**-14, 24),
    (3, 200, 0, 9, 12, 0.0, 1.0, 1.0, 1.0, 2**-12, 24),
    (7, 1, 0, 0, 2**32 - 1, 0.0, 1.0, 1.0, 1.0, 2**-13, 24),
]
"""What that one was tuned to."""
ADAPTED = [
    *(("l2", "float32-adapted", True, 0), ("cosine", "sq8-adapted", False, 3)),
    ("cosine", "float16-adapted", True, Links(2)),
]
"""Indexes that have corpus adapters, one of every kind."""
LOW_RANK, MATRIX = "tenant", "größer 大"
"""Their names: c + u v^T c, w c."""
SHARES: list[Any] = [LOW_RANK, MATRIX, {LOW_RANK: 0.5}, {MATRIX: -0.25, LOW_RANK: 1}]
"""What searches of them ask for."""


class Storage(NamedTuple):
    """What a storage of these samples means."""

    quantizer: str
    refine: str | None
    residual: bool
    adapted: bool

    @property
    def kept(self) -> str:
        """Type of the rows as they come."""
        return self.refine or (self.quantizer if self.quantizer in STORAGES else "float32")


def parts_of(storage: str) -> Storage:
    """Read a storage: a type, or how rows are coded."""
    quantizer, *rest = storage.split("-")
    refine = next((part for part in rest if part in STORAGES), None)
    return Storage(quantizer, refine, "residual" in rest, "adapted" in rest)


def numbers(count: int, seed: int) -> np.ndarray:
    """Return integers of -127..127 from a linear congruential generator."""
    state = np.uint64(seed * 2 + 1)
    out = np.empty(count, np.int64)
    with np.errstate(over="ignore"):
        for i in range(count):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            out[i] = int(state >> np.uint64(40)) % 255 - 127
    return out


def rows_of(storage: str, n: int, dim: int, seed: int = 1) -> np.ndarray:
    """Return rows that every storage type holds exactly, as that type (bfloat16 as float32)."""
    whole = numbers(n * dim, seed).reshape(n, dim)
    if storage == "int8":
        return whole.astype(np.int8)
    if storage == "uint8":
        return (whole + 127).astype(np.uint8)
    return (whole / 16).astype(np.float16 if storage == "float16" else np.float32)


def queries_of(n: int, dim: int, seed: int = 2) -> np.ndarray:
    """Return float32 queries."""
    return (numbers(n * dim, seed).reshape(n, dim) / 8 + 0.5).astype(np.float32)


def labels_of(n: int) -> np.ndarray:
    """Return unique labels of every magnitude and both signs, none in order."""
    ranks = np.arange(n, dtype=np.int64)
    labels = (ranks * 7919 % 104729) * (1 - 2 * (ranks % 2))
    labels[:3] = [2**63 - 1, -(2**63) + 1, 2**40]
    return labels


def factors_of(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return u and v of one adapter, w of the other."""
    u, v = (numbers(2 * dim, seed).reshape(dim, 2) / 256 for seed in (7, 8))
    w = np.eye(dim) + numbers(dim * dim, 9).reshape(dim, dim) / 512
    return u.astype(np.float32), v.astype(np.float32), w.astype(np.float32)


def centroids_of(storage: str, nlist: int, dim: int) -> np.ndarray:
    """Return centroids of inverted lists among such rows."""
    return rows_of(parts_of(storage).kept, nlist, dim, seed=5).astype(np.float32) + np.float32(0.25)


def empty_lists(
    metric: str, storage: str, centroids: np.ndarray, groups: Sequence[int] = ()
) -> nf.IVFIndex:
    """Return an empty index of lists with these centroids: what training finds may change.

    `groups`: centroids of each group, for coarse="hierarchical".
    """
    nlist, dim = centroids.shape
    sizes = struct.pack(f"<{len(groups)}I", *groups)
    index = _opened(
        *_without_rows(2, metric, storage, dim),
        c.Section(c.ARRIVAL, c.U32, 0, 1, b""),
        c.Section(c.LIST_SIZES, c.U32, nlist, 1, bytes(4 * nlist)),
        c.Section(c.SEED, c.U64, 1, 1, struct.pack("<Q", 3)),
        c.Section(c.CENTROIDS, c.F32, nlist, dim, centroids.astype("<f4").tobytes()),
        *([c.Section(c.GROUP_SIZES, c.U32, len(groups), 1, sizes)] if groups else []),
    )
    assert isinstance(index, nf.IVFIndex)
    return index


def _without_rows(kind: int, metric: str, storage: str, dim: int) -> list[c.Section]:
    """Return what every empty index has."""
    quantizer, refine, residual, _ = parts_of(storage)
    kept = STORAGES.index(parts_of(storage).kept)
    said = c.ROW_META.pack(kind, 1, METRICS.index(metric), kept, dim, 0, 0, 0)
    sections = [c.Section(c.META, c.BYTES, 1, 48, said)]
    if quantizer in STORAGES or refine:
        sections.append(c.Section(c.ROWS, (c.F32, c.F16, c.BF16, c.I8, c.U8)[kept], 0, dim, b""))
    if quantizer not in STORAGES:
        flags = (KEEPS_ROWS if refine else 0) | (RESIDUAL if residual else 0)
        coding = Coding(quantizer.encode(), trained(quantizer, dim, numbers(4096, 6)), flags)
        data = coding.packed()
        sections.append(c.Section(c.QUANTIZER, c.BYTES, 1, len(data), data))
        size = _core.Quantizer(quantizer, dim).code_size
        sections.append(c.Section(c.CODES, c.U8, 0, size, b""))
    return sections


def _opened(*sections: c.Section) -> nf.Index:
    """Return the index of a file with these sections."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "empty.nf")
        with open(path, "wb") as file:
            file.write(c.sealed(c.Container([*sections])))
        return nf.load(path)


def empty(metric: str, storage: str, dim: int) -> nf.FlatIndex:
    """Return an empty flat index; what its quantizer was trained to is made from formulas."""
    if storage.removesuffix("-adapted") in STORAGES:
        return nf.FlatIndex(dim, metric, quantizer=parts_of(storage).kept)
    index = _opened(*_without_rows(1, metric, storage, dim))
    assert isinstance(index, nf.FlatIndex)
    return index


def empty_graph(metric: str, storage: str, dim: int, m: int) -> nf.HNSWIndex:
    """Return an empty graph; what its quantizer was trained to is made from formulas."""
    index = _opened(
        *_without_rows(3, metric, storage, dim),
        c.Section(c.GRAPH, c.BYTES, 1, 32, c.GRAPH_META.pack(m, 20, 3, 1.0, 1, 0)),
    )
    assert isinstance(index, nf.HNSWIndex)
    return index


def build(metric: str, storage: str, labelled: bool, n: int, dim: int, nlist: int = 0) -> nf.Index:
    """Build an index of `n` live rows, one more having been removed; nlist 0: a flat one."""
    index: Any
    if isinstance(nlist, Links):
        index = empty_graph(metric, storage, dim, nlist)
    elif nlist:
        groups = GROUP_SIZES if (metric, storage, labelled, nlist) == GROUPED else ()
        index = empty_lists(metric, storage, centroids_of(storage, nlist, dim), groups)
    else:
        index = empty(metric, storage, dim)
    if parts_of(storage).adapted:
        u, v, w = factors_of(dim)
        index.add_corpus_adapter(LOW_RANK, u, v)
        index.add_corpus_adapter(MATRIX, w)
    rows: Any = rows_of(parts_of(storage).kept, n + 1, dim)
    if not labelled:
        index.add(rows[:n])
        return index
    if (metric, storage, labelled, nlist) == TUNED:
        index._core.add_tuning(SETTINGS)
    if (metric, storage, labelled, nlist) == TUNED_GRAPH:
        index._core.add_tuning(GRAPH_SETTINGS)
    labels = labels_of(n + 1)
    index.add(rows, ids=labels)
    index.remove([labels[n // 2]])
    return index
