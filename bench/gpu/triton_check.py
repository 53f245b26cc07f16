"""Check the Triton kernels on a device against float64, and print one line a case.

    python -m bench.gpu.triton_check                         # on a GPU: about a minute
    TRITON_INTERPRET=1 python -m bench.gpu.triton_check --device cpu --small

Every case compares with float64 arithmetic of torch on the same device. Scores must agree to
float32 rounding, ids wherever float64 tells two scores apart, and data with copies of rows must
come by id. Exit code 1 if anything is wrong. Source: own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import nearfield as nf
import numpy as np

__all__ = ["cases", "main"]


def cases(device: str, small: bool) -> Iterator[tuple[str, str]]:
    """Yield the name of every case and what is wrong with it, "" for nothing."""
    import torch

    torch.manual_seed(0)
    sizes = [(3, 97, 24, 3)] if small else [
        (1, 65_537, 768, 100), (32, 65_537, 96, 10), (1000, 99_991, 384, 100), (128, 997, 97, 1000),
        (300, 200_000, 768, 10),
    ]  # fmt: skip
    for n_queries, n, dim, k in sizes:
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            rows = torch.randn(n, dim, device=device).to(dtype)
            rows[n // 2 : n // 2 * 2] = rows[: n // 2].clone()
            queries = torch.randn(n_queries, dim, device=device).to(dtype)
            for metric in ("ip", "l2", "cosine"):
                for scan in ("rows", "int8"):
                    name = f"topk {n_queries} x {n} x {dim} k={k} {dtype} {metric} {scan}"
                    yield name, _topk(queries, rows, k, metric, scan)
    points, centers = (100, 40) if small else (200_000, 4096)
    x = torch.randn(points, 48, device=device)
    yield f"assign and update {points} x {centers}", _cluster(x, x[:centers].clone())
    yield f"adapt {points}", _adapt(x)
    yield f"encode {points}", _encode(x[: max(points // 4, 64)])


def _topk(queries: Any, rows: Any, k: int, metric: Any, scan: str) -> str:
    import nearfield.triton as nt

    found = nt.topk(queries, nt.Rows(rows, metric, scan=scan), k)
    sure = min(k, len(rows))
    q, x = queries.double(), rows.double()
    score = q @ x.T
    if metric == "l2":
        score = 2 * score - q.square().sum(1)[:, None] - x.square().sum(1)
    elif metric == "cosine":
        score = score / q.norm(dim=1)[:, None] / x.norm(dim=1)
    best = score.sort(dim=1, descending=True, stable=True)
    ids, scores = found.ids[:, :sure], found.scores[:, :sure]
    size = best.values.abs().amax() * 1e-12
    # Of two copies float64 products may differ in the last place, so scores are compared.
    if ((score.gather(1, ids) - best.values[:, :sure]).abs() > size).any():
        return "a better row is missing"
    given = -scores if metric == "l2" else scores
    if not _near(given.double(), best.values[:, :sure], 3e-7):
        return "scores are off"
    half = len(rows) // 2
    twin = (ids >= half) & (ids < 2 * half)
    first = stands_before(ids, ids - half)
    return "" if bool((~twin | first).all()) else "an equal row with a smaller id comes later"


def stands_before(ids: Any, wanted: Any) -> Any:
    """Tell of every wanted id whether it stands in an earlier column of its row."""
    import torch

    k = ids.shape[1]
    found = torch.zeros_like(ids, dtype=torch.bool)
    for distance in range(1, k):
        same = ids[:, : k - distance] == wanted[:, distance:]
        found[:, distance:] |= same
    return found


def _cluster(x: Any, centers: Any) -> str:
    import nearfield.triton as nt
    import torch

    labels = nt.assign(x, centers)
    for first in range(0, len(x), 4096):
        part = x[first : first + 4096].double()
        distance = torch.cdist(part, centers.double(), compute_mode="donot_use_mm_for_euclid_dist")
        mine = distance.gather(1, labels[first : first + 4096, None])[:, 0]
        if (mine > distance.amin(dim=1) * (1 + 1e-12) + 1e-12).any():
            return "a nearer centroid"
    means, counts = nt.update(x, labels, centers)
    again, _ = nt.update(x, labels, centers)
    if not torch.equal(means, again):
        return "other bits the second time"
    sums = torch.zeros(len(centers), x.shape[1], dtype=torch.float64, device=x.device)
    sums.index_add_(0, labels, x.double())
    full = counts > 0
    return "" if _near(means[full].double(), sums[full] / counts[full, None], 1e-6) else "means"


def _adapt(x: Any) -> str:
    import nearfield.triton as nt
    import torch

    rng = np.random.default_rng(0)
    dim = x.shape[1]
    for kind in ("low_rank", "key_value"):
        if kind == "low_rank":
            many: list[Any] = [
                nf.transforms.LowRank(
                    rng.standard_normal((16, dim)), rng.standard_normal((dim, 16))
                )
                for _ in range(3)
            ]
        else:
            shape = (40, dim)
            many = [
                nf.transforms.KeyValue(rng.standard_normal(shape) / 5, rng.standard_normal(shape))
                for _ in range(3)
            ]
        ids = torch.from_numpy(rng.integers(-1, 3, len(x))).to(x.device)
        found = nt.adapt(x, many, transform_ids=ids)
        for i, transform in enumerate(many):
            expected = torch.from_numpy(transform(x[ids == i].cpu().numpy())).to(x.device)
            if not _near(found[ids == i].double(), expected.double(), 2e-5):
                return f"{kind} {i}"
        if not torch.equal(found[ids == -1], x[ids == -1]):
            return f"{kind}: rows without a transform changed"
    return ""


def _encode(x: Any) -> str:
    import nearfield.triton as nt

    host = x.cpu().numpy()
    quantizer = nf.quant.ProductQuantizer(m=6, nbits=5).train(host)
    same = (nt.encode(x, quantizer).cpu().numpy() == quantizer.encode(host)).all()
    return "" if same else "codes differ from the CPU's"


def _near(a: Any, b: Any, share: float) -> bool:
    return bool(((a - b).abs() <= share * b.abs().amax()).all())


def main(arguments: list[str] | None = None) -> int:
    """Run every case; return the exit code."""
    parser = argparse.ArgumentParser(description="Check the Triton kernels against float64.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that the interpreter can do")
    options = parser.parse_args(arguments)
    wrong = 0
    for name, fault in cases(options.device, options.small):
        wrong += bool(fault)
        print(f"{'WRONG: ' + fault if fault else 'right'}  {name}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
