"""Phase 7: one choice of the kernels changed at a time, with what was predicted of it beforehand.

A prediction is a share of the time of the kernels as they are. Nothing is kept of a variant.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from bench.gpu.check import NOT_THERE, Check, reason
from bench.gpu.predictions import missed
from bench.gpu.records import Box

SHAPE = (10_000, 1_000_000, 768, 100)
SMALL_SHAPE = (4, 100, 16, 5)
Variant = tuple[str, float, Callable[[], contextlib.AbstractContextManager[Any]]]


def run(check: Check, box: Box) -> None:
    """Time the search as it is, then every variant."""
    m, n, dim, k = SMALL_SHAPE if check.there.small else SHAPE
    rows = check.there.random(n, dim, "bfloat16", seed=1)
    queries = [check.there.random(m, dim, "bfloat16", seed=2 + i) for i in range(3)]
    for kernel, search, variants in (
        ("cuda", _cuda(queries, rows, k), CUDA),
        ("triton", _triton(check, queries, rows, k), TRITON),
    ):
        plain: float | None = None
        for name, share, changed in (("as it is", 1.0, contextlib.nullcontext), *variants):
            if not box.left(5):
                check.add("variants", f"{kernel}: {name}", note="cut: no time left")
                continue
            row: dict[str, Any] = {"predicted share": share}
            try:
                with changed():
                    ms = check.there.milliseconds(search())
            except NOT_THERE as error:
                row["note"] = f"not there: {reason(error)}"
            except Exception as error:  # a tile that does not fit, say
                row["note"] = f"FAILED: {reason(error)}"
            else:
                plain = ms if plain is None else plain
                row |= {"ms": ms, "note": "ran; a dry run has no times" if ms is None else None}
                if ms is not None and plain is not None:
                    row |= {"share": ms / plain, "miss": missed(ms / plain, share)}
            check.add("variants", f"{kernel}: {name}", **row)


def _cuda(queries: list[Any], rows: Any, k: int) -> Callable[[], Any]:
    def prepared() -> Any:
        import nearfield as nf

        return lambda i: nf.topk(queries[i % len(queries)], rows, k=k, metric="ip")

    return prepared


def _triton(check: Check, queries: list[Any], rows: Any, k: int) -> Callable[[], Any]:
    def prepared() -> Any:
        check.need_torch()
        import nearfield.triton as nt

        held = nt.Rows(rows, "ip")
        return lambda i: nt.topk(queries[i % len(queries)], held, k)

    return prepared


@contextlib.contextmanager
def scanned_by(name: str) -> Iterator[None]:
    """Let large batches be scanned in another way."""
    from nearfield.cuda import search

    search.scan_choice  # noqa: B018 - AttributeError where there is no choice
    with mock.patch.dict(os.environ, {"NEARFIELD_CUDA_SCAN": name}):
        yield


@contextlib.contextmanager
def tile(**changes: Any) -> Iterator[None]:
    """Give Triton's products another tile."""
    from nearfield.triton import bounds

    right = bounds.batch_tile
    with mock.patch.object(bounds, "batch_tile", lambda *given: right(*given)._replace(**changes)):
        yield


@contextlib.contextmanager
def group_of(rows: int) -> Iterator[None]:
    """Let as many rows share a bound; in every module that has taken the number."""
    import nearfield.triton.bounds
    import nearfield.triton.rows
    import nearfield.triton.search

    holders = (nearfield.triton.bounds, nearfield.triton.rows, nearfield.triton.search)
    with contextlib.ExitStack() as stack:
        for holder in holders:
            stack.enter_context(mock.patch.object(holder, "GROUP", rows))
        yield


CUDA: tuple[Variant, ...] = (
    ("thresholds instead of group maxima", 0.82, lambda: scanned_by("thresholds")),
)
TRITON: tuple[Variant, ...] = (
    ("2 stages", 1.15, lambda: tile(stages=2)),
    ("4 stages", 1.0, lambda: tile(stages=4)),
    ("4 warps", 1.3, lambda: tile(warps=4)),
    ("tiles of 128 rows", 1.15, lambda: tile(rows=128)),
    ("rows innermost", 1.1, lambda: tile(rows_first=True)),
    ("groups of 16", 1.0, lambda: group_of(16)),
    ("groups of 64", 1.0, lambda: group_of(64)),
)
