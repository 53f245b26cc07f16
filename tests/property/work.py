"""What runs inside a level's process: builds, searches, returns the arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import nearfield as nf
import numpy as np
from nearfield import _core

Answer = tuple[np.ndarray, np.ndarray, np.ndarray]


class Run(NamedTuple):
    """One way to ask: how many of the queries per call, and with what."""

    k: int
    batch: int = 64
    threads: int = 1
    mask: np.ndarray | None = None
    direct: bool = False  # nf.topk instead of an index
    exclude_self: bool = False


def typed(rows: np.ndarray, storage: str) -> Any:
    """Return rows as a user would hold them; uint16 carries bfloat16."""
    if storage == "bfloat16":
        import ml_dtypes

        return rows.view(ml_dtypes.bfloat16)
    return rows


def isa() -> str:
    """Return the level in use."""
    return nf.isa()


def build(rows: np.ndarray, storage: str, metric: str) -> nf.FlatIndex:
    """Build an index in uneven pieces, as users do."""
    index = nf.FlatIndex(rows.shape[1], metric, quantizer=storage)
    for part in np.split(rows, [len(rows) // 3, len(rows) // 3 + 1]):
        index.add(typed(part, storage))
    return index


def answers(
    rows: np.ndarray, storage: str, metric: str, queries: np.ndarray, runs: list[Run]
) -> list[Answer]:
    """Answer all queries once per run, in batches of the run's size."""
    index = build(rows, storage, metric)
    results = []
    for run in runs:
        parts = [queries[i : i + run.batch] for i in range(0, len(queries), run.batch)]
        results.append(_joined([_search(index, rows, storage, part, run) for part in parts]))
    return results


def _search(
    index: nf.FlatIndex, rows: np.ndarray, storage: str, queries: np.ndarray, run: Run
) -> nf.SearchResult:
    if run.direct:
        return nf.topk(
            queries,
            typed(rows, storage),
            run.k,
            index.metric,
            filter=run.mask,
            exclude_self=run.exclude_self,
            threads=run.threads,
        )
    return index.search(queries, run.k, filter=run.mask, threads=run.threads)


def _joined(parts: list[nf.SearchResult]) -> Answer:
    ids, scores, counts = zip(*parts, strict=True)
    return np.concatenate(ids), np.concatenate(scores), np.concatenate(counts)


def ranges(
    rows: np.ndarray,
    storage: str,
    metric: str,
    queries: np.ndarray,
    threshold: float,
    threads: int,
    mask: np.ndarray | None = None,
) -> Answer:
    """Answer a range search."""
    index = build(rows, storage, metric)
    return tuple(index.range_search(queries, threshold, filter=mask, threads=threads))


def missing() -> int:
    """Return the native module's own constant."""
    return _core.MISSING
