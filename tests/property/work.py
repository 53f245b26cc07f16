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
    nprobe: int = 0  # lists to look into; 0: the index has none
    exclude_self: bool = False
    rerank: int = 0  # of how many rows, the best by code, kept rows are scored; 0: the default
    epsilon: float | None = None  # deviations that bounds by signs allow for; None: the default


class Plan(NamedTuple):
    """An index whose rows a quantizer codes."""

    quantizer: str
    metric: str
    nlist: int = 0  # 0: flat
    residual: bool = False
    refine: str | None = None

    def made(self, dim: int, quantizer: Any = None) -> nf.FlatIndex | nf.IVFIndex:
        """Return the index, empty; quantizer: another object than the one it names."""
        coding = {"quantizer": quantizer or self.quantizer, "refine": self.refine}
        if not self.nlist:
            return nf.FlatIndex(dim, self.metric, **coding)
        return nf.IVFIndex(dim, self.nlist, self.metric, residual=self.residual, **coding)


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
    return _all_runs(build(rows, storage, metric), rows, storage, queries, runs)


def listed(
    path: str, rows: np.ndarray, storage: str, queries: np.ndarray, runs: list[Run]
) -> tuple[list[int], list[Answer]]:
    """Add rows in pieces to the lists of a file; return the list sizes and answers as above."""
    index = nf.load(path)
    assert isinstance(index, nf.IVFIndex)
    for part in np.split(rows, [len(rows) // 2, len(rows) // 2 + 1, len(rows) - 30]):
        index.add(typed(part, storage))
    return index.list_sizes.tolist(), _all_runs(index, rows, storage, queries, runs)


def coded(
    plan: Plan, rows: np.ndarray, queries: np.ndarray, runs: list[Run]
) -> tuple[np.ndarray, list[Answer]]:
    """Train on the rows, add them in pieces; return what the index holds of them, and answers."""
    index = plan.made(rows.shape[1])
    index.train(rows)
    for part in np.split(rows, [len(rows) // 3, len(rows) // 3 + 1]):
        index.add(part)
    held = index.reconstruct(np.arange(len(rows)))
    return held, _all_runs(index, rows, "float32", queries, runs)


def _all_runs(
    index: nf.Index, rows: np.ndarray, storage: str, queries: np.ndarray, runs: list[Run]
) -> list[Answer]:
    results = []
    for run in runs:
        parts = [queries[i : i + run.batch] for i in range(0, len(queries), run.batch)]
        results.append(_joined([_search(index, rows, storage, part, run) for part in parts]))
    return results


def _search(
    index: nf.Index, rows: np.ndarray, storage: str, queries: np.ndarray, run: Run
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
    params: dict[str, Any] = {
        name: n for name, n in (("nprobe", run.nprobe), ("rerank", run.rerank)) if n
    }
    if run.epsilon is not None:
        params["epsilon"] = run.epsilon
    return index.search(queries, run.k, filter=run.mask, threads=run.threads, **params)


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
