"""Top-k by inner product as other libraries do it, on the same memory: torch, CuPy, JAX.

Each function prepares what is timed and raises ImportError where the package is missing. CuPy and
JAX keep all scores of a batch, so they are asked for small ones only.
"""

from __future__ import annotations

import os
from typing import Any

from bench.gpu.check import Check
from bench.gpu.timing import Run


def torch_matmul(check: Check, queries: list[Any], rows: Any, k: int) -> Run:
    """torch's product with float32 results, and its topk."""
    check.need_torch()
    from bench.gpu.torch_topk import matmul_topk

    return lambda i: matmul_topk(queries[i % len(queries)], rows, k)


def torch_groups(check: Check, queries: list[Any], rows: Any, k: int) -> Run:
    """torch by maxima of groups."""
    check.need_torch()
    from bench.gpu.torch_topk import group_topk

    return lambda i: group_topk(queries[i % len(queries)], rows, k)


def cupy_argpartition(check: Check, queries: list[Any], rows: Any, k: int) -> Run:
    """CuPy's product and argpartition, in float16: CuPy has no bfloat16."""
    check.need_torch()
    import cupy

    x = cupy.from_dlpack(rows.half())
    q = [cupy.from_dlpack(one.half()) for one in queries]

    def once(i: int) -> Any:
        scores = (q[i % len(q)] @ x.T).astype(cupy.float32)
        best = cupy.argpartition(-scores, k, axis=1)[:, :k]
        return cupy.take_along_axis(scores, best, axis=1).argsort(axis=1)

    return once


def jax_top_k(
    check: Check, queries: list[Any], rows: Any, k: int, *, approximate: bool = False
) -> Run:
    """JAX's product with float32 results and `top_k`, or `approx_max_k` as a reference."""
    check.need_torch()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp

    if jax.default_backend() != "gpu":
        raise ImportError(f"JAX runs on {jax.default_backend()} here; pip install 'jax[cuda13]'")
    choose = jax.lax.approx_max_k if approximate else jax.lax.top_k

    @jax.jit
    def best(q: Any, x: Any) -> Any:
        return choose(jnp.matmul(q, x.T, preferred_element_type=jnp.float32), k)

    x = jax.dlpack.from_dlpack(rows)
    q = [jax.dlpack.from_dlpack(one) for one in queries]
    return lambda i: jax.block_until_ready(best(q[i % len(q)], x))
