"""k-means by its definition: float64 NumPy, one row after the other.

The rules the engine follows as well: ties go to the smaller number; inertia is the sum of squared
distances of rows to the centroids they were assigned to, before those move. An empty cluster keeps
its centroid here: tests choose starts that leave none empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def assign(x: Array, centroids: Array, *, spherical: bool = False) -> NDArray[np.int64]:
    """Return the number of the nearest centroid of every row."""
    labels = np.empty(len(x), np.int64)
    for i, row in enumerate(x):
        if spherical:
            scores = centroids @ row
        else:
            scores = -((centroids - row) ** 2).sum(axis=1)
        labels[i] = int(np.argmax(scores))
    return labels


def inertia(x: Array, centroids: Array, labels: NDArray[np.int64]) -> float:
    """Return the sum of squared distances of rows to their centroids."""
    return float(((x - centroids[labels]) ** 2).sum())


def means(x: Array, labels: NDArray[np.int64], k: int, *, spherical: bool = False) -> Array:
    """Return the mean of every cluster, none of them empty."""
    centroids = np.stack([x[labels == j].mean(axis=0) for j in range(k)])
    if spherical:
        centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return centroids


def even_cost(x: Array, centroids: Array, size: int) -> float:
    """Return the least sum of squared distances when every centroid gets `size` rows.

    By successive shortest paths (Bellman-Ford over clusters), one row after the other.
    """
    k = len(centroids)
    costs = ((x[:, None] - centroids[None]) ** 2).sum(axis=2)
    labels = np.full(len(x), -1)
    for row in range(len(x)):
        # moved[a, b]: what the cheapest row of a costs more in b; a row may come in at any cluster.
        away, who = np.full((k, k), np.inf), np.zeros((k, k), int)
        for a in range(k):
            rows = np.flatnonzero(labels == a)
            if len(rows):
                more = costs[rows] - costs[rows, a][:, None]
                away[a], who[a] = more.min(axis=0), rows[more.argmin(axis=0)]
        way, came = costs[row].copy(), np.full(k, -1)
        for _ in range(k):
            for a in range(k):
                better = way[a] + away[a] < way - 1e-12
                way[better], came[better] = (way[a] + away[a])[better], a
        room = np.bincount(labels[labels >= 0], minlength=k) < size
        to = int(np.argmin(np.where(room, way, np.inf)))
        while came[to] >= 0:
            moved, to_next = who[came[to], to], int(came[to])
            labels[moved], to = to, to_next
        labels[row] = to
    return float(costs[np.arange(len(x)), labels].sum())


def lloyd(
    x: Array, start: Array, iterations: int, *, spherical: bool = False
) -> tuple[Array, list[float]]:
    """Return the centroids after some iterations and the inertia seen by each."""
    centroids = start.astype(np.float64)
    if spherical:
        centroids = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    seen = []
    for _ in range(iterations):
        labels = assign(x, centroids, spherical=spherical)
        seen.append(inertia(x, centroids, labels))
        for j in range(len(centroids)):
            members = x[labels == j]
            if len(members):
                centroids[j] = members.mean(axis=0)
                if spherical:
                    centroids[j] /= np.linalg.norm(centroids[j])
        # The engine keeps float32 centroids between iterations.
        centroids = centroids.astype(np.float32).astype(np.float64)
    return centroids, seen
