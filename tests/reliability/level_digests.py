"""Runs in a level's process: digests of answers, every way of asking compared with the first."""

from __future__ import annotations

import hashlib
from typing import Any

import nearfield as nf
import numpy as np

WAYS = [(1, 12), (7, 21), (64, 130), (1000, 1000)]


def digest(ids: np.ndarray, scores: np.ndarray, k: int) -> str:
    """Hash the first k results of every query."""
    sha = hashlib.sha256(np.ascontiguousarray(ids[:, :k]).tobytes())
    sha.update(np.ascontiguousarray(scores[:, :k]).tobytes())
    return sha.hexdigest()


def digests(rows: np.ndarray, queries: np.ndarray, metric: str, direct: bool) -> dict[str, str]:
    """Return a digest per number of queries and k; raise where batch or threads change a bit.

    The longest answer holds the shorter ones as its beginning, so that one stands for all.
    """
    index = nf.FlatIndex(rows.shape[1], metric, quantizer=rows.dtype.name)
    index.add(rows)
    n = len(rows)
    whole = index.search(queries, k=n, threads=2)
    out = {}
    for k in (1, 10, 100, 1000, n):
        for batch, count in WAYS:
            asked = queries[:count]
            expected = digest(whole.ids[:count], whole.scores[:count], k)
            for threads in (1, 2):
                parts: list[Any] = []
                for first in range(0, len(asked), batch):
                    part = asked[first : first + batch]
                    if direct:
                        parts.append(nf.topk(part, rows, k, metric, threads=threads))
                    else:
                        parts.append(index.search(part, k, threads=threads))
                ids = np.concatenate([part.ids for part in parts])
                scores = np.concatenate([part.scores for part in parts])
                way = f"batch {batch}, {threads} threads, k {k}"
                assert digest(ids, scores, k) == expected, f"{nf.isa()}: {way} differs"
            out[f"{count} queries, k {k}"] = expected
    return out
