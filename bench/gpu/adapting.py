"""Cases of transforms: a million rows through low-rank adapters, one for all or many of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.check import Check
from bench.gpu.records import Box
from bench.gpu.timing import Case, Run

ROWS, DIM, RANK = 1_000_000, 1024, 16
HOW_MANY = (1, 64, 4096)
FEW_AT_ONCE = 64  # torch's way takes a launch and more for every adapter


def adapters(check: Check, box: Box) -> Iterator[Case]:
    """Yield a case for each number of adapters."""
    rows, dim = (60, 24) if check.there.small else (ROWS, DIM)
    rank = 3 if check.there.small else RANK
    x = check.there.random(rows, dim, "bfloat16", seed=1)
    for many in HOW_MANY:
        name = f"adapters, 1M x {DIM} bf16 r={RANK}, {many} of them" + ", skewed" * (many > 1)
        count = min(many, 5) if check.there.small else many
        low_rank = Adapters(np.random.default_rng(many), count, rows, dim, rank)
        given = (check, x, low_rank)
        yield Case(
            name,
            {"cuda": partial(by_cuda, *given), "triton": partial(by_triton, *given)},
            {"torch": partial(by_torch, *given)} if many <= FEW_AT_ONCE else {},
            operations=4.0 * rows * dim * rank,
            nbytes=4.0 * rows * dim,
            moved={"cuda": 6.0 * rows * dim},  # its results are float32
        )


class Adapters:
    """Parameters of low-rank adapters, and which is each row's: a few take most of them."""

    def __init__(
        self, rng: np.random.Generator, count: int, rows: int, dim: int, rank: int
    ) -> None:
        scale = dim**-0.5
        self.down = rng.standard_normal((count, rank, dim), dtype=np.float32) * np.float32(scale)
        self.up = rng.standard_normal((count, dim, rank), dtype=np.float32) * np.float32(scale)
        self.ids = np.minimum(rng.zipf(1.2, rows) - 1, count - 1)

    def transforms(self) -> list[Any]:
        """Return them as nearfield has them."""
        import nearfield as nf

        return [nf.transforms.LowRank(a, b) for a, b in zip(self.down, self.up, strict=True)]


def by_cuda(check: Check, x: Any, low_rank: Adapters) -> Run:
    """Our CUDA kernels: float32 out, and not of unit length."""
    import nearfield as nf

    transforms, many = nf.transforms, low_rank.transforms()
    if len(many) == 1:
        return lambda _: many[0](x)
    ids = check.there.put(low_rank.ids.astype(np.int64))
    return lambda _: transforms.apply(x, many, transform_ids=ids)


def by_triton(check: Check, x: Any, low_rank: Adapters) -> Run:
    """Our Triton kernels."""
    check.need_torch()
    import nearfield.triton as nt

    many = nt.Adapters(low_rank.transforms(), check.there.place)
    ids = check.there.put(low_rank.ids.astype(np.int64))
    dtype = check.there.torch.bfloat16
    return lambda _: nt.adapt(x, many, transform_ids=ids, normalize=True, dtype=dtype)


def by_torch(check: Check, x: Any, low_rank: Adapters) -> Run:
    """torch, rows of one adapter after another: two products, a sum and a division."""
    check.need_torch()
    torch = check.there.torch
    down, up = (check.there.put(part).to(torch.bfloat16) for part in (low_rank.down, low_rank.up))
    order = np.argsort(low_rank.ids, kind="stable")
    parts = [
        check.there.put(part)
        for part in np.split(order, np.cumsum(np.bincount(low_rank.ids, minlength=len(down)))[:-1])
    ]
    out = torch.empty_like(x)

    def once(_: int) -> Any:
        for a, b, rows in zip(down, up, parts, strict=True):
            mine = x[rows]
            y = mine + mine @ a.T @ b.T
            out[rows] = y / y.norm(dim=1, keepdim=True)
        return out

    return once
