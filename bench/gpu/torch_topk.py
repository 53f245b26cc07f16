"""Top-k by inner product in plain torch, as a good user would write it: the baselines on a GPU.

`matmul_topk` is the usual way: a product with float32 results, then `torch.topk`, in chunks of
rows so that the scores fit into memory, and a merge. `group_topk` is a stronger one: only the
maximum of every 32 scores is selected from, and the rows of the best groups are scored again. It
writes and reads the scores once, where `torch.topk` reads them several times.

Both take any device and give the best ids first; ties come in any order, as torch leaves them.
For cosine similarity the caller passes unit vectors. Neither is exact to the last bit, and neither
promises the same order for another chunk: that is what they are faster for.

Source: own; group maxima as in TPU-KNN (arXiv 2206.14286).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["group_topk", "matmul_topk"]

CHUNK = 500_000
"""Rows a chunk: 10,000 queries of it have 20 GB of scores."""
GROUP = 32
RESCORED_BYTES = 2**30
"""Bytes of gathered rows at a time."""


def scores(queries: Tensor, rows: Tensor) -> Tensor:
    """Return float32 inner products of 16- or 32-bit vectors.

    Without ``out_dtype`` a product of bfloat16 is rounded to bfloat16, and ranks are wrong.
    """
    import torch

    if queries.dtype == torch.float32:
        return queries @ rows.T
    if queries.device.type != "cuda":  # where torch has no such product
        return queries.float() @ rows.float().T
    return torch.mm(queries, rows.T, out_dtype=torch.float32)


def matmul_topk(
    queries: Tensor, rows: Tensor, k: int, *, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Return ids and scores, (n_queries, k), by a matrix product and `torch.topk`."""
    import torch

    found, ids = [], []
    for first in range(0, len(rows), chunk):
        part = scores(queries, rows[first : first + chunk])
        best = part.topk(min(k, part.shape[1]), dim=1)
        found.append(best.values)
        ids.append(best.indices + first)
    best = torch.cat(found, dim=1).topk(k, dim=1)
    return torch.cat(ids, dim=1).gather(1, best.indices), best.values


def group_topk(
    queries: Tensor, rows: Tensor, k: int, *, chunk: int = CHUNK, group: int = GROUP
) -> tuple[Tensor, Tensor]:
    """Return ids and scores, (n_queries, k), by group maxima and a second look at k groups."""
    import torch

    if chunk % group:
        raise ValueError(f"chunk: got {chunk}, expected a multiple of {group}")
    maxima = torch.cat(
        [
            _maxima(scores(queries, rows[first : first + chunk]), group)
            for first in range(0, len(rows), chunk)
        ],
        dim=1,
    )
    groups = maxima.topk(min(k, maxima.shape[1]), dim=1).indices
    at_once = max(1, RESCORED_BYTES // (groups.shape[1] * group * rows[:1].nbytes))
    parts = [
        _rescored(queries[i : i + at_once], rows, groups[i : i + at_once], k, group)
        for i in range(0, len(queries), at_once)
    ]
    ids, found = zip(*parts, strict=True)
    return torch.cat(ids), torch.cat(found)


def _maxima(part: Tensor, group: int) -> Tensor:
    """Return the best score of every group; the last may be shorter."""
    import torch

    whole = part.shape[1] // group * group
    best = part[:, :whole].view(len(part), -1, group).amax(dim=2)
    if whole == part.shape[1]:
        return best
    return torch.cat([best, part[:, whole:].amax(dim=1, keepdim=True)], dim=1)


def _rescored(
    queries: Tensor, rows: Tensor, groups: Tensor, k: int, group: int
) -> tuple[Tensor, Tensor]:
    """Return the k best rows of each query's groups."""
    import torch

    members = torch.arange(group, device=rows.device)
    ids = (groups[:, :, None] * group + members).flatten(1)
    missing = ids >= len(rows)
    gathered = rows[ids.clamp(max=len(rows) - 1)].float()
    found = torch.bmm(gathered, queries.float()[:, :, None])[:, :, 0]
    best = found.masked_fill(missing, -torch.inf).topk(k, dim=1)
    return ids.gather(1, best.indices), best.values
