"""Cases of training: one step of k-means, and codes of product quantization."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.check import Check
from bench.gpu.defined import bits_of
from bench.gpu.records import Box
from bench.gpu.timing import Case, Run

ROWS, DIM, CLUSTERS, PARTS = 10_000_000, 768, 4096, 96
TRAINED = 50_000  # rows that codebooks come from
AT_ONCE = 200_000  # rows whose distances torch keeps


def clustering(check: Check, box: Box) -> Iterator[Case]:
    """Yield a step of k-means."""
    rows, dim, clusters = (200, 16, 12) if check.there.small else (ROWS, DIM, CLUSTERS)
    x = check.there.random(rows, dim, "bfloat16", seed=1)
    start = bits_of(np.random.default_rng(2), (clusters, dim), "float32")
    given = (check, x, check.there.put(start))
    yield Case(
        f"k-means step, 10M x {DIM} bf16, {CLUSTERS} clusters",
        {"cuda": partial(step_by_cuda, x, start), "triton": partial(step_by_triton, *given)},
        {"torch": partial(step_by_torch, *given), "flash-kmeans": partial(step_by_flash, *given)},
        operations=2.0 * rows * dim * clusters,
        nbytes=4.0 * rows * dim,
        waits=frozenset({"cuda", "flash-kmeans"}),
        seconds=8.0,
    )


def encoding(check: Check, box: Box) -> Iterator[Case]:
    """Yield codes of product quantization."""
    rows, dim, parts = (200, 16, 4) if check.there.small else (ROWS, DIM, PARTS)
    x = check.there.random(rows, dim, "bfloat16", seed=1)
    given = (check, x, quantizer(parts, dim, check.there.small))
    yield Case(
        f"PQ encode, 10M x {DIM} bf16, m={PARTS}",
        {"cuda": partial(encode_by_cuda, *given), "triton": partial(encode_by_triton, *given)},
        operations=2.0 * rows * dim * 256,
        nbytes=rows * (2.0 * dim + parts),
    )


def quantizer(parts: int, dim: int, small: bool) -> Any:
    """Return a product quantizer that was trained on the CPU."""
    import nearfield as nf

    chance = np.random.default_rng(3)
    rows = chance.standard_normal((600 if small else TRAINED, dim), dtype=np.float32)
    return nf.quant.ProductQuantizer(m=parts, nbits=4 if small else 8).train(rows)


def step_by_cuda(x: Any, start: np.ndarray) -> Run:
    """Our CUDA kernels: one step, and what it waits for."""
    import nearfield as nf

    kmeans = nf.KMeans(len(start), niter=1, tolerance=0.0)
    return lambda _: kmeans.fit(x, init=start)


def step_by_triton(check: Check, x: Any, centroids: Any) -> Run:
    """Our Triton kernels."""
    check.need_torch()
    import nearfield.triton as nt

    return lambda _: nt.update(x, nt.assign(x, centroids), centroids)


def step_by_torch(check: Check, x: Any, centroids: Any) -> Run:
    """torch: products in parts, argmax, and a sum by index."""
    check.need_torch()
    from bench.gpu.torch_topk import scores

    torch = check.there.torch
    half = centroids.to(x.dtype)
    bias = centroids.square().sum(1) / 2

    def once(_: int) -> Any:
        sums, counts = torch.zeros_like(centroids), torch.zeros_like(bias)
        for part in x.split(AT_ONCE):
            labels = (scores(part, half) - bias).argmax(dim=1)
            sums.index_add_(0, labels, part.float())
            counts += torch.bincount(labels, minlength=len(bias))
        return torch.where(counts[:, None] > 0, sums / counts[:, None], centroids)

    return once


def step_by_flash(check: Check, x: Any, centroids: Any) -> Run:
    """flash-kmeans, where it is installed."""
    check.need_torch()
    from flash_kmeans import batch_kmeans_Euclid

    start = centroids.to(x.dtype)[None]
    return lambda _: batch_kmeans_Euclid(
        x[None], n_clusters=len(centroids), max_iters=1, init_centroids=start
    )


def encode_by_cuda(check: Check, x: Any, pq: Any) -> Run:
    """Our CUDA kernel."""
    return lambda _: pq.encode(x)


def encode_by_triton(check: Check, x: Any, pq: Any) -> Run:
    """Our Triton kernel."""
    check.need_torch()
    import nearfield.triton as nt

    return lambda _: nt.encode(x, pq)
