"""The two halves of a k-means step on the GPU: :func:`assign` and :func:`update`."""

from __future__ import annotations

from typing import Any

from ..arguments import Metric, as_flag
from .bounds import PreparedQueries, margins_of, scaled
from .launching import (
    GROUP,
    batch_tile,
    capability,
    descriptor,
    has_tma,
    is_interpreted,
    on,
    packages,
)
from .rows import Rows, measured
from .search import topk
from .segments import segments
from .tensors import STORED, as_labels, as_matrix

__all__ = ["assign", "update"]

CHUNK = 256
"""Points that one program adds."""


def assign(x: Any, centroids: Any, *, spherical: bool = False) -> Any:
    """Find the nearest centroid of every point, as :meth:`nearfield.KMeans.predict` does.

    Parameters
    ----------
    x : torch.Tensor, shape (n, dim)
        float32, float16 or bfloat16 on a CUDA device.
    centroids : torch.Tensor, shape (k, dim)
        The same types and device; multiplied in the type of `x`, compared in float64.
    spherical : bool, default False
        Nearest by inner product instead of distance.

    Returns
    -------
    torch.Tensor of int64, shape (n,)
        Numbers of centroids, the smaller of equally near ones.

    Raises
    ------
    TypeError, ValueError
        Other types or shapes, no centroid, NaN or infinity.
    DeviceError
        Tensors on the CPU or on different devices.

    Notes
    -----
    Exact: the order is that of float64 scores. Points whose answer the first pass cannot prove
    are searched by :func:`topk`; to learn which, the host waits for the device.

    Examples
    --------
    >>> labels = nearfield.triton.assign(points, centroids)  # doctest: +SKIP
    """
    torch, _ = packages()
    metric: Metric = "ip" if as_flag(spherical, name="spherical") else "l2"
    points = as_matrix(x, name="x")
    centers = as_matrix(centroids, name="centroids", dim=points.shape[1], like=points)
    if len(centers) == 0:
        raise ValueError("centroids: got none, expected at least one")
    dtype = str(points.dtype).removeprefix("torch.")
    rows = Rows(centers, metric, scan="rows" if points.dtype == centers.dtype else dtype,
                name="centroids")  # fmt: skip
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    if len(points) == 0:
        return labels
    with on(points):
        unproven = _assign(points, rows, labels)
        if len(unproven):
            again = Rows(centers, metric)
            labels[unproven] = topk(points[unproven], again, k=1).ids[:, 0]
    return labels


def _assign(points: Any, rows: Rows, labels: Any) -> Any:
    """Write labels and return the numbers of the points whose label is not proven."""
    torch, triton = packages()
    from .kernels.assign import best_groups
    from .kernels.rescan import nearest

    squares, _ = measured(points, "x")
    one = torch.ones_like(squares)
    margins = margins_of(rows, squares.sqrt(), 0 * squares, one, "ieee")
    groups = torch.empty(len(points), dtype=torch.int32, device=points.device)
    second = torch.empty(len(points), dtype=torch.float32, device=points.device)
    best = torch.empty(len(points), dtype=torch.float64, device=points.device)
    tma, simulate = has_tma(points) and has_tma(rows.codes), is_interpreted()
    tile = batch_tile(2**20, points.element_size(), capability(points), tma or rows.dim % 16 == 0)
    best_groups[(triton.cdiv(len(points), tile.queries),)](
        descriptor(points, tile.queries, tile.columns) if tma else points,
        descriptor(rows.codes, tile.rows, tile.columns) if tma else rows.codes,
        rows.lengths if rows.biases is None else rows.biases, rows.lengths, rows.residuals,
        margins, groups, second, len(points), rows.n, rows.dim, rows.n_groups,
        BIASED=rows.biases is not None, PRECISION="ieee", SIMULATE=simulate, TMA=tma,
        BQ=tile.queries, BR=tile.rows, BD=tile.columns, GROUP=GROUP,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    order = groups.argsort()
    nearest[(len(points),)](
        points, rows.stored, groups, order, best, labels, rows.n, rows.dim,
        METRIC=rows.metric, BD=64, GROUP=GROUP,
    )  # fmt: skip
    prepared = PreparedQueries(points, points, one, squares, margins)
    return (second.double() >= scaled(best, prepared, rows.metric)).nonzero()[:, 0]


def update(x: Any, labels: Any, centroids: Any, *, spherical: bool = False) -> tuple[Any, Any]:
    """Move every centroid to the mean of its points.

    Parameters
    ----------
    x : torch.Tensor, shape (n, dim)
        float32, float16 or bfloat16 on a CUDA device.
    labels : torch.Tensor of an integer type, shape (n,)
        The number of each point's centroid, as :func:`assign` gives it.
    centroids : torch.Tensor, shape (k, dim)
        Where they were: a cluster without points stays there.
    spherical : bool, default False
        Means are divided by their length, unless that is 0.

    Returns
    -------
    centroids : torch.Tensor of float32, shape (k, dim)
    counts : torch.Tensor of int64, shape (k,)
        Points of each cluster.

    Raises
    ------
    TypeError, ValueError
        Other types or shapes, labels that number no centroid.
    DeviceError
        Tensors on the CPU or on different devices.

    Notes
    -----
    Sums are float64 and in the order of the points: the same bits every time.

    Examples
    --------
    >>> centroids, counts = nearfield.triton.update(points, labels, centroids)  # doctest: +SKIP
    """
    torch, _ = packages()
    unit = as_flag(spherical, name="spherical")
    points = as_matrix(x, name="x")
    n, dim = points.shape
    centers = as_matrix(
        centroids, name="centroids", dim=dim, like=points, dtypes=(*STORED, "float64")
    )
    with on(points):
        labels = as_labels(labels, name="labels", n=n, least=0, limit=len(centers), like=points)
        totals, counts = _sums(points, labels, len(centers))
        means = totals / counts.clamp(min=1)[:, None]
        if unit:
            length = means.norm(dim=1, keepdim=True)
            means = means / torch.where(length > 0, length, 1.0)
        return torch.where(counts[:, None] > 0, means, centers.double()).float(), counts


def _sums(points: Any, labels: Any, k: int) -> tuple[Any, Any]:
    """Return sums of the points of every cluster, in float64, and their number."""
    torch, triton = packages()
    from .kernels.assign import chunk_sums, cluster_sums

    dim = points.shape[1]
    cut = segments(labels, k, CHUNK)
    sums = torch.empty(len(cut.first), dim, dtype=torch.float64, device=points.device)
    totals = torch.empty(k, dim, dtype=torch.float64, device=points.device)
    width = min(1024, triton.next_power_of_2(dim))
    columns = triton.cdiv(dim, width)
    if k:
        chunk_sums[(len(cut.first), columns)](
            points, cut.order, cut.first, cut.count, sums, dim, CHUNK=CHUNK, BD=width
        )
        cluster_sums[(k, columns)](sums, cut.first_piece, totals, dim, BD=width)
    return totals, cut.totals
