"""Ground truth and recall, aware of ties.

An answer is right when its *true* score is no worse than the exact k-th score. Data with duplicates
have many right answers at the boundary, and counting ids against one of them would punish methods
for another choice among equals. Scores are recomputed here in float64 from the ids alone, so a
method cannot raise its recall by reporting wrong scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# A float32 sum of a few hundred products is good to about 1e-6 of its size. Answers that differ by
# less than this are taken for ties.
RELATIVE_SLACK = 1e-5
IP_ABSOLUTE_SLACK = 1e-6
# Absolute slack of a squared distance, relative to the largest squared norm: about 1e-3 for SIFT
# descriptors (squared norm 512**2), next to nothing for unit vectors.
L2_ABSOLUTE_SLACK = 4e-9
_BLOCK = 256


def true_scores(base: Array, queries: Array, ids: Array, metric: str) -> Array:
    """Score the named rows for each query in float64.

    Parameters
    ----------
    base : ndarray, shape (n, dim)
    queries : ndarray, shape (q, dim)
    ids : ndarray of int, shape (q, k)
        Valid row numbers.
    metric : {"ip", "l2"}

    Returns
    -------
    ndarray of float64, shape (q, k)
        Inner products, or squared distances.
    """
    out = np.empty(ids.shape, dtype=np.float64)
    for first in range(0, len(ids), _BLOCK):
        part = slice(first, first + _BLOCK)
        rows = base[ids[part]].astype(np.float64)
        block = queries[part].astype(np.float64)
        if metric == "ip":
            out[part] = np.einsum("qkd,qd->qk", rows, block)
        else:
            out[part] = ((rows - block[:, None, :]) ** 2).sum(axis=2)
    return out


def exact_neighbours(base: Array, queries: Array, k: int, metric: str) -> tuple[Array, Array]:
    """Find the exact neighbours by brute force in float64, ties by smaller id.

    Returns
    -------
    ids : ndarray of int64, shape (q, k)
    scores : ndarray of float64, shape (q, k)
        Best first.
    """
    k = min(k, len(base))
    rows = base.astype(np.float64)
    norms = np.einsum("nd,nd->n", rows, rows)
    ids = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float64)
    for first in range(0, len(queries), _BLOCK):
        block = queries[first : first + _BLOCK].astype(np.float64)
        badness = -(block @ rows.T)
        if metric == "l2":
            badness = norms + 2.0 * badness + np.einsum("qd,qd->q", block, block)[:, None]
        worst = np.partition(badness, k - 1, axis=1)[:, k - 1]
        for row, values in enumerate(badness):
            # All rows at the boundary take part, so that the smaller id wins among equals.
            found = np.flatnonzero(values <= worst[row])
            order = np.argsort(values[found], kind="stable")[:k]
            ids[first + row] = found[order]
            scores[first + row] = values[found[order]]
    return ids, -scores if metric == "ip" else scores


def _repeated(ids: Array) -> Array:
    """Mark the second and later occurrences of an id within its row."""
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    again = np.zeros(ids.shape, dtype=bool)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    marked = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(marked, order, again, axis=1)
    return marked


def hits(
    answers: Array, base: Array, queries: Array, kth: Array, metric: str, largest_norm: float
) -> int:
    """Count the right answers.

    Parameters
    ----------
    answers : ndarray of int, shape (q, k)
        Ids as returned; negative or too large ones count as wrong, repeated ones count once.
    base, queries : ndarray
    kth : ndarray of float64, shape (q,)
        The exact k-th score of each query.
    metric : {"ip", "l2"}
    largest_norm : float
        Largest squared norm of the base, the scale of rounding for "l2".

    Returns
    -------
    int
        Between 0 and ``answers.size``.
    """
    ids = np.asarray(answers).astype(np.int64, copy=False)
    real = (ids >= 0) & (ids < len(base))
    safe = np.where(real, ids, 0)
    scores = true_scores(base, queries, safe, metric)
    edge = kth[:, None]
    if metric == "ip":
        good = scores >= edge - RELATIVE_SLACK * np.abs(edge) - IP_ABSOLUTE_SLACK
    else:
        good = scores <= edge * (1 + RELATIVE_SLACK) + L2_ABSOLUTE_SLACK * largest_norm
    return int((good & real & ~(_repeated(safe) & real)).sum())


def recall(answers: Array, base: Array, queries: Array, kth: Array, metric: str) -> float:
    """Share of right answers: ``hits`` over the number of answers asked for."""
    if not answers.size:
        raise ValueError(f"recall of no answers: got shape {answers.shape}, expected (q, k)")
    norm = float(np.einsum("nd,nd->n", base, base, dtype=np.float64).max()) if len(base) else 0.0
    return hits(answers, base, queries, kth, metric, norm) / answers.size
