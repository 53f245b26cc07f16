"""First pass of a search: queries made ready, and an upper bound for every group of rows.

What the margins are: see `rows.py`. A product of n terms in float32 is off by at most
(n + 8) 2^-22 of the lengths: tensor cores drop up to two units in the last place an addition (Fasi
et al., "Numerical behavior of NVIDIA tensor cores", 2021). tf32 drops 13 bits of both factors,
int8 sums are exact. Everything after the product is within 2^-21. Source of the rest: own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .launching import (
    GROUP,
    batch_tile,
    capability,
    descriptor,
    has_tma,
    is_interpreted,
    packages,
    processors,
)
from .rows import Rows

__all__ = ["PreparedQueries", "bounds", "margins_of", "prepare", "scaled"]

AFTER_PRODUCT = 2.0**-21
TF32 = 2.0**-9 + 2.0**-20
SLACK = 1 + 2.0**-16  # the bounds' own arithmetic


class PreparedQueries(NamedTuple):
    """Queries as the first pass takes them: q' of `values` is near `factors` times the query."""

    exact: Any
    values: Any
    factors: Any
    squares: Any
    margins: Any

    def some(self, which: Any) -> PreparedQueries:
        """Return the queries of the given numbers."""
        return PreparedQueries(*(part[which] for part in self))


def prepare(q: Any, rows: Rows, precision: str) -> PreparedQueries:
    """Round float32 queries to what the rows are multiplied with, and bound what that costs."""
    torch, _ = packages()
    exact = q.double()
    most = exact.abs().amax(dim=1)
    if rows.scan == "int8":
        factor = (127 / most.clamp(min=2.0**-100)).clamp(max=2.0**100)
        values = (exact * factor[:, None]).round().clamp(-127, 127).to(torch.int8)
    else:
        # A power of two brings the largest element to [1, 2): exact but for what underflows.
        exponent = (1 - torch.frexp(most).exponent).clamp(-126, 126)
        factor = torch.ldexp(torch.ones_like(most), exponent)
        values = (exact * factor[:, None]).to(rows.codes.dtype)
    squares = exact.square().sum(dim=1)
    factor = torch.where(most > 0, factor, 1.0)
    length = factor * squares.sqrt()
    left = (values.double() - exact * factor[:, None]).norm(dim=1)
    margins = margins_of(rows, length, left, factor, precision)
    if rows.metric != "l2":
        first_rows_win = torch.tensor([0.0, 0.0, -1.0, 0.0], device=q.device)
        margins = torch.where((most > 0)[:, None], margins, first_rows_win)
    return PreparedQueries(q, values.contiguous(), factor.float(), squares, margins.contiguous())


def margins_of(rows: Rows, length: Any, left: Any, factor: Any, precision: str) -> Any:
    """Return a, b, c, d per query: the bound is a N + b R + c + d N^2, see the kernel."""
    torch, _ = packages()
    share = AFTER_PRODUCT
    if rows.scan != "int8":
        share += (rows.dim + 8) * 2.0**-22
    if precision == "tf32":
        share += TF32
    a = share * (length + left) + left
    b = (length + left).clamp(min=1.0)
    zero = torch.zeros_like(factor)
    c, d = (factor * 2.0**-120, factor * 2.0**-21) if rows.metric == "l2" else (zero, zero)
    return (torch.stack([a, b, c, d], dim=1) * SLACK).float()


def bounds(prepared: PreparedQueries, rows: Rows, precision: str) -> Any:
    """Return the upper bounds, shape (n_queries, n_groups), float32."""
    torch, triton = packages()
    from .kernels.maxima import maxima

    q, x = prepared.values, rows.codes
    upper = torch.empty(len(q), rows.n_groups, dtype=torch.float32, device=q.device)
    tma = has_tma(q) and has_tma(x)
    simulate = is_interpreted()
    tile = batch_tile(len(q), x.element_size(), capability(x), tma or rows.dim % 16 == 0)
    tiles = triton.cdiv(len(q), tile.queries) * triton.cdiv(rows.n, tile.rows)
    unused = rows.lengths
    maxima[(min(tiles, processors(q) * (2 if tile.rows_first else 1)),)](
        descriptor(q, tile.queries, tile.columns) if tma else q,
        descriptor(x, tile.rows, tile.columns) if tma else x,
        unused if rows.weights is None else rows.weights,
        unused if rows.biases is None else rows.biases,
        prepared.factors, rows.lengths, rows.residuals, prepared.margins, upper,
        len(q), rows.n, rows.dim, rows.n_groups,
        WEIGHTED=rows.weights is not None, BIASED=rows.biases is not None,
        INTEGER=rows.scan == "int8", PRECISION=precision, SIMULATE=simulate, TMA=tma,
        ROWS_FIRST=tile.rows_first, BQ=tile.queries, BR=tile.rows, BD=tile.columns, GROUP=GROUP,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return upper


def scaled(score: Any, prepared: PreparedQueries, metric: str) -> Any:
    """Return exact scores as the first pass has them, rounded down."""
    factor = prepared.factors.double()
    if metric == "l2":
        smaller = prepared.squares * (1 - 2.0**-40) + score * (1 + 2.0**-40)
        return 0.5 * factor * smaller
    if metric == "cosine":
        score = score * prepared.squares.sqrt()
    return factor * score * (1 - 2.0**-40 * score.sign())
