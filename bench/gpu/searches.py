"""Cases of exact search: small and large batches, narrow rows, bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from bench.gpu import others as rivals_of
from bench.gpu.check import Check
from bench.gpu.records import Box
from bench.gpu.timing import Case, Run

Size = tuple[int, int, int, str, int]
"""Queries, rows, columns, type, k."""

TEN_MILLION, MILLION = 10_000_000, 1_000_000
PROMISED: tuple[Size, ...] = (
    (10_000, TEN_MILLION, 768, "bfloat16", 100),
    *((m, TEN_MILLION, 768, "bfloat16", 100) for m in (1, 32)),
    (10_000, MILLION, 768, "bfloat16", 100),
    *((m, MILLION, 768, "bfloat16", 100) for m in (1, 32)),
)
OTHERS: tuple[Size, ...] = (
    *((m, MILLION, 768, "bfloat16", 100) for m in (8, 128)),
    (10_000, MILLION, 128, "bfloat16", 100),
    (10_000, MILLION, 768, "int8", 100),
    (32, MILLION, 768, "uint8", 100),
    *((m, TEN_MILLION, 768, "bfloat16", 100) for m in (8, 128)),
    (10_000, TEN_MILLION, 768, "bfloat16", 10),
    (1000, TEN_MILLION, 768, "bfloat16", 100),
)
QUERY_SETS = 3
COMPARED = 64  # queries whose ids are compared
NAMES = {"bfloat16": "bf16", "int8": "int8", "uint8": "uint8"}
AT_MOST_SCORES = 128 * MILLION  # for libraries that keep them all


def promised(check: Check, box: Box) -> Iterator[Case]:
    """Yield the cases that goals are stated for."""
    yield from _cases(check, PROMISED)


def others(check: Check, box: Box) -> Iterator[Case]:
    """Yield the other cases."""
    yield from _cases(check, OTHERS)


def _cases(check: Check, sizes: tuple[Size, ...]) -> Iterator[Case]:
    """Yield cases; rows stay where they are while cases want the same."""
    held: tuple[Any, Any] = (None, None)
    for m, n, dim, dtype, k in sizes:
        name = f"top-{k}, {m} x {_short(n)} x {dim} {NAMES[dtype]}"
        scores = m * n
        if check.there.small:
            m, n, dim, k = min(m, 20), 300, min(dim, 24), min(k, 10)
        if held[0] != (n, dim, dtype):
            held = (None, None)
            check.there.free()
            held = ((n, dim, dtype), check.there.random(n, dim, dtype, seed=1))
        queries = [check.there.random(m, dim, dtype, seed=2 + i) for i in range(QUERY_SETS)]
        yield exact(check, name, queries, held[1], k, (m, n, dim, dtype), scores)


def _short(n: int) -> str:
    return f"{n // MILLION}M" if n >= MILLION else str(n)


def exact(
    check: Check,
    name: str,
    queries: list[Any],
    rows: Any,
    k: int,
    size: tuple[int, int, int, str],
    scores: int,
) -> Case:
    """Return a case of an exact search by inner product; scores: of the size that it stands for."""
    m, n, dim, dtype = size
    floats = dtype not in ("int8", "uint8")
    given = (check, queries, rows, k)
    ours = {"cuda groups": partial(by_cuda, *given, "groups")}
    rivals = {}
    if floats:
        ours |= {
            "cuda thresholds": partial(by_cuda, *given, "thresholds"),
            "triton": partial(by_triton, *given, "rows"),
            "triton int8": partial(by_triton, *given, "int8"),
        }
        rivals = {
            "torch mm + topk": partial(rivals_of.torch_matmul, *given),
            "torch group maxima": partial(rivals_of.torch_groups, *given),
        }
        if scores <= AT_MOST_SCORES:
            rivals |= {
                "cupy argpartition": partial(rivals_of.cupy_argpartition, *given),
                "jax top_k": partial(rivals_of.jax_top_k, *given),
                "jax approx_max_k": partial(rivals_of.jax_top_k, *given, approximate=True),
            }
    return Case(
        name,
        ours,
        rivals,
        operations=2.0 * m * n * dim,
        nbytes=n * dim * (2.0 if floats else 1.0),
        kind="bf16" if floats else "int8",
        wanted=partial(wanted_ids, *given),
        seconds=20.0 if scores > 10**10 else 4.0,
    )


def by_cuda(check: Check, queries: list[Any], rows: Any, k: int, scan: str) -> Run:
    """Our CUDA kernels, by one way of scanning."""
    import nearfield as nf
    from nearfield.cuda import search

    if scan != "groups":
        search.scan_choice  # noqa: B018 - AttributeError where there is one way only

    def once(i: int) -> Any:
        with mock.patch.dict(os.environ, {"NEARFIELD_CUDA_SCAN": scan}):
            return nf.topk(queries[i % len(queries)], rows, k=k, metric="ip")

    return once


def by_triton(check: Check, queries: list[Any], rows: Any, k: int, scan: str) -> Run:
    """Our Triton kernels; rows are prepared once."""
    check.need_torch()
    import nearfield.triton as nt

    prepared = nt.Rows(rows, "ip", scan=scan)
    return lambda i: nt.topk(queries[i % len(queries)], prepared, k)


def wanted_ids(check: Check, queries: list[Any], rows: Any, k: int) -> np.ndarray:
    """Return ids of the best rows of some queries, by torch in float32 or by definition."""
    if check.there.dry:
        every = np.tile(np.arange(len(rows.array)), (len(queries[0].array), 1))
        scores = check.there.defined(queries[0], rows, "ip").of(every)
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]
    from bench.gpu.torch_topk import matmul_topk

    some = queries[0][:COMPARED]
    if some.dtype.itemsize == 1:
        some, rows = some.half(), rows.half()  # whole numbers that half floats hold
    return check.there.get(matmul_topk(some, rows, k)[0])
