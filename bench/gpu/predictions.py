"""What was predicted before anything ran on a GPU, and how far a figure is from it.

Milliseconds on one H200: arithmetic from 4.3 TB/s and 790 TFLOP/s, or judgement; nothing measured.
A miss of more than a fifth either way is to be explained before anything is tuned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MISS = 0.20
PREDICTED_MS = {
    ("top-100, 10000 x 10M x 768 bf16", "cuda thresholds"): 245.0,
    ("top-100, 10000 x 10M x 768 bf16", "cuda groups"): 300.0,
    ("top-100, 10000 x 10M x 768 bf16", "triton"): 300.0,
    ("top-100, 10000 x 10M x 768 bf16", "triton int8"): 145.0,
    ("top-100, 10000 x 10M x 768 bf16", "torch mm + topk"): 1100.0,
    ("top-100, 10000 x 10M x 768 bf16", "torch group maxima"): 450.0,
    ("top-100, 1 x 10M x 768 bf16", "cuda groups"): 3.9,
    ("top-100, 1 x 10M x 768 bf16", "triton"): 3.9,
    ("top-100, 1 x 10M x 768 bf16", "torch mm + topk"): 4.3,
    ("top-100, 32 x 10M x 768 bf16", "cuda groups"): 3.9,
    ("top-100, 32 x 10M x 768 bf16", "triton"): 3.9,
    ("top-100, 32 x 10M x 768 bf16", "torch mm + topk"): 8.0,
    ("adapters, 1M x 1024 bf16 r=16, 1 of them", "cuda"): 1.2,
    ("adapters, 1M x 1024 bf16 r=16, 1 of them", "triton"): 1.5,
    ("adapters, 1M x 1024 bf16 r=16, 1 of them", "torch"): 6.0,
    ("adapters, 1M x 1024 bf16 r=16, 64 of them, skewed", "cuda"): 1.2,
    ("adapters, 1M x 1024 bf16 r=16, 64 of them, skewed", "triton"): 1.5,
    ("adapters, 1M x 1024 bf16 r=16, 4096 of them, skewed", "cuda"): 1.2,
    ("adapters, 1M x 1024 bf16 r=16, 4096 of them, skewed", "triton"): 1.5,
    (
        "IVF bfloat16, 10M x 768, 8192 lists, nprobe=64, 10000 queries, k=100",
        "cuda",
    ): 7.0,
    ("k-means step, 10M x 768 bf16, 4096 clusters", "cuda"): 90.0,
    ("k-means step, 10M x 768 bf16, 4096 clusters", "triton"): 90.0,
    ("PQ encode, 10M x 768 bf16, m=96", "cuda"): 42.0,
    ("PQ encode, 10M x 768 bf16, m=96", "triton"): 42.0,
}


def predicted(case: str, kernel: str) -> float | None:
    """Return the milliseconds that were predicted, None for no prediction."""
    return PREDICTED_MS.get((case, kernel))


def missed(ms: float | None, wanted: float | None) -> str | None:
    """Return by how much a time misses its prediction, None within a fifth."""
    if ms is None or wanted is None or abs(ms / wanted - 1) <= MISS:
        return None
    return f"{ms / wanted:.2f} of what was predicted"


def misses(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return what is to be explained, a line for every row that missed."""
    return [
        f"{row['case']}, {row['kernel']}: {row['ms']:.3g} ms, {row['miss']}"
        for row in rows
        if row.get("miss")
    ]
