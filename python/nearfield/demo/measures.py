"""What the demo measures: quality over all docstrings, speed beside peers, and a saved index.

Quality: every distinct question is asked once; relevant is every document that has this question,
and every other document with the same source (so that a copy is not a wrong answer). Speed: the
contenders take turns within each round, and the median over the rounds is reported.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .stdlib import Document

__all__ = ["Questions", "Reload", "Timing", "collect_questions", "reload_check", "time_search"]

Vectors = NDArray[np.float32]
_Found = tuple[NDArray[np.int64], NDArray[np.float32]]
_BLOCK = 1_024  # queries per NumPy matrix product: keeps its score matrix in reach of the cache
_SINGLE_QUERIES = 200


@dataclass(frozen=True)
class Questions:
    """Distinct questions and, for each, the row numbers of its relevant documents."""

    texts: list[str]
    relevant: list[set[int]]

    @property
    def qrels(self) -> dict[int, list[int]]:
        """The judgements as `nearfield.evaluate` takes them."""
        return {at: sorted(rows) for at, rows in enumerate(self.relevant)}


def collect_questions(documents: Sequence[Document]) -> Questions:
    """Gather the distinct questions of `documents`."""
    same_source: dict[str, set[int]] = defaultdict(set)
    askers: dict[str, set[int]] = defaultdict(set)
    for row, document in enumerate(documents):
        same_source[document.source].add(row)
        if document.question is not None:
            askers[document.question].add(row)
    relevant = [
        set().union(*(same_source[documents[row].source] for row in rows))
        for rows in askers.values()
    ]
    return Questions(list(askers), relevant)


@dataclass(frozen=True)
class Timing:
    """Median seconds of one contender for one batch size."""

    name: str
    batch: int
    seconds: float

    @property
    def queries_per_second(self) -> float:
        """Queries answered per second."""
        return self.batch / self.seconds


def time_search(
    index: Any, documents: Vectors, queries: Vectors, k: int = 10, rounds: int = 5
) -> tuple[list[Timing], list[str]]:
    """Time exact cosine search, one query at a time and all at once.

    Parameters
    ----------
    index : FlatIndex
        Holds `documents`.
    documents, queries : ndarray
        (n, dim) and (m, dim) float32.
    k : int
        Neighbours per query.
    rounds : int
        How often each contender runs; they take turns.

    Returns
    -------
    list of Timing
        Batch 1 first, nearfield first.
    list of str
        Peers that are not installed.
    """
    rows, asked = _unit(documents), _unit(queries)
    contenders: dict[str, Callable[[Vectors], _Found]] = {
        "nearfield": lambda q: index.search(q, k)[:2],
        "NumPy": lambda q: numpy_search(rows, q, k),
    }
    absent = []
    if importlib.util.find_spec("faiss") is None:
        absent.append("faiss-cpu")
    else:
        contenders["faiss-cpu"] = _faiss_search(rows, k)
    timings = []
    singles = [asked[at : at + 1] for at in range(min(_SINGLE_QUERIES, len(asked)))]
    for batches in (singles, [asked]):
        seconds = _take_turns(contenders, batches, rounds)
        size = len(batches[0])
        timings += [Timing(name, size, median(times)) for name, times in seconds.items()]
    return timings, absent


def numpy_search(rows: Vectors, queries: Vectors, k: int) -> _Found:
    """Exact inner-product search as it is usually written: matmul, argpartition, sort."""
    k = min(k, len(rows))
    ids = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for first in range(0, len(queries), _BLOCK):
        block = queries[first : first + _BLOCK] @ rows.T
        best = np.argpartition(-block, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(block, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        ids[first : first + _BLOCK] = np.take_along_axis(best, order, axis=1)
        scores[first : first + _BLOCK] = np.take_along_axis(values, order, axis=1)
    return ids, scores


@dataclass(frozen=True)
class Reload:
    """A saved and reopened index."""

    file_bytes: int
    save_seconds: float
    load_seconds: float
    identical: bool


def reload_check(index: Any, queries: Vectors, k: int = 10) -> Reload:
    """Save `index`, load it again, and compare every id and score of its answers."""
    from ..files import load

    with tempfile.TemporaryDirectory(prefix="nearfield-demo-") as folder:
        path = os.path.join(folder, "stdlib.nf")
        begin = time.perf_counter()
        index.save(path)
        saved = time.perf_counter()
        again = load(path)
        loaded = time.perf_counter()
        size = os.path.getsize(path)
        before, after = index.search(queries, k), again.search(queries, k)
    same_ids = np.array_equal(before.ids, after.ids)
    identical = same_ids and np.array_equal(before.scores, after.scores, equal_nan=True)
    return Reload(size, saved - begin, loaded - saved, identical)


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, np.float32(1e-30)), dtype=np.float32)


def _faiss_search(rows: Vectors, k: int) -> Callable[[Vectors], _Found]:
    faiss = importlib.import_module("faiss")
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)

    def search(queries: Vectors) -> _Found:
        scores, ids = flat.search(queries, k)
        return ids, scores

    return search


def _take_turns(
    contenders: dict[str, Callable[[Vectors], _Found]], batches: list[Vectors], rounds: int
) -> dict[str, list[float]]:
    """Return, by contender, seconds per batch in each round; the first round only warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, search in contenders.items():
            begin = time.perf_counter()
            for batch in batches:
                search(batch)
            if turn:
                seconds[name].append((time.perf_counter() - begin) / len(batches))
    return seconds
