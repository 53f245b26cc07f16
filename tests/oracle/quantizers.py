"""What quantizers do, by definition, in float64: encode, decode, score. Loops welcome."""

from __future__ import annotations

import numpy as np


def unpack(codes: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """Return (n, m) numbers of nbits each; bits are counted from the lowest of the first byte."""
    bits = np.unpackbits(codes, axis=1, bitorder="little")[:, : m * nbits]
    weights = 2 ** np.arange(nbits, dtype=np.int64)
    return bits.reshape(len(codes), m, nbits).astype(np.int64) @ weights


def pack(numbers: np.ndarray, nbits: int) -> np.ndarray:
    """Return codes of (n, m) numbers."""
    n, m = numbers.shape
    bits = (numbers[:, :, None] >> np.arange(nbits)) & 1
    return np.packbits(bits.reshape(n, m * nbits).astype(np.uint8), axis=1, bitorder="little")


def scalar_cells(low: np.ndarray, high: np.ndarray, bits: int) -> np.ndarray:
    """Return the width of a cell in every dimension."""
    return (high.astype(np.float64) - low) / 2**bits


def scalar_encode(x: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int) -> np.ndarray:
    """Return the number of the cell of every value; outside the range, the nearest cell."""
    width = scalar_cells(low, high, bits)
    numbers = np.zeros(x.shape, np.int64)
    for k in np.flatnonzero(width):
        cell = np.floor((x[:, k].astype(np.float64) - low[k]) / width[k])
        numbers[:, k] = np.clip(cell, 0, 2**bits - 1)
    return numbers


def scalar_decode(numbers: np.ndarray, low: np.ndarray, high: np.ndarray, bits: int) -> np.ndarray:
    """Return the middles of the cells."""
    return low + (numbers + 0.5) * scalar_cells(low, high, bits)


def product_distances(x: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Return (n, m, k) squared distances of sub-vectors to centroids."""
    m, k, width = codebooks.shape
    out = np.empty((len(x), m, k))
    for j in range(m):
        part = x[:, j * width : (j + 1) * width].astype(np.float64)
        for c in range(k):
            out[:, j, c] = ((part - codebooks[j, c]) ** 2).sum(axis=1)
    return out


def product_encode(x: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Return the nearest centroid of every sub-vector, the first of equal ones."""
    return product_distances(x, codebooks).argmin(axis=2)


def product_decode(numbers: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """Return the centroids side by side."""
    parts = [codebooks[j, numbers[:, j]] for j in range(len(codebooks))]
    return np.concatenate(parts, axis=1).astype(np.float64)


def product_scores(
    q: np.ndarray, numbers: np.ndarray, codebooks: np.ndarray, metric: str
) -> np.ndarray:
    """Return (n_queries, n) scores as sums of one table entry per sub-space."""
    m, _, width = codebooks.shape
    out = np.zeros((len(q), len(numbers)))
    for i, query in enumerate(q.astype(np.float64)):
        for j in range(m):
            part = query[j * width : (j + 1) * width]
            if metric == "ip":
                table = codebooks[j].astype(np.float64) @ part
            else:
                table = ((codebooks[j] - part) ** 2).sum(axis=1)
            out[i] += table[numbers[:, j]]
    return out
