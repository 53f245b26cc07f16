"""Exact search over stored rows: :class:`FlatIndex`."""

from __future__ import annotations

from . import _core
from .arguments import LARGEST_DIM, Metric, as_metric, as_positive
from .coding import as_coding
from .index import Index
from .quant import Quantizer

__all__ = ["FlatIndex"]


class FlatIndex(Index):
    """Every search sees every row: exact over what is stored of them.

    Parameters
    ----------
    dim : int
        Columns of the vectors, at most 65,536.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.
    quantizer : str or Quantizer, default "float32"
        What is stored of a row. Its elements, as ``"float32"``, ``"float16"``, ``"bfloat16"``,
        ``"int8"`` or ``"uint8"``: float32 and float64 rows are rounded to float16 or bfloat16; an
        int8 or uint8 index takes only rows of that type. Or a small code: ``"sq8"``, ``"sq4"``,
        ``"pq<m>x<bits>"``, ``"opq<m>x<bits>"``, ``"rabitq<bits>"``, or a quantizer of
        ``nf.quant``, trained or not. Either way search is exact over what is stored: the best
        rows are those whose decoded codes score best. Under cosine a quantizer codes unit
        vectors.
    refine : {"float32", "float16", "bfloat16", "int8", "uint8"}, optional
        Type in which rows are kept beside a quantizer's codes, to score some of them once more.
        Which ones a parameter of :meth:`search` decides: `rerank`, how many of the best by code
        (8 `k` by default); for ``"rabitq<bits>"`` `epsilon`, see there.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong type, or an unknown name (the message lists the names).

    Notes
    -----
    Any number of threads may search while others add, remove or save.

    With ``"rabitq<bits>"`` and `refine`, the first bit of every dimension bounds the scores of rows
    from both sides: an estimate give or take `epsilon` standard deviations (1 by default). Rows
    that may be among the best are scored by what was kept of them. ``float("inf")`` stands for
    bounds that always hold; the answer is then that of exact search over the kept rows.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> index = nf.FlatIndex(2, metric="cosine")
    >>> index.add(np.float32([[1, 0], [0, 1], [1, 1]]), ids=[10, 20, 30])
    >>> index.search(np.float32([[2, 0.1]]), k=2).ids
    array([[10, 30]])
    >>> index.remove([10])
    1
    >>> len(index)
    2
    """

    def __init__(
        self,
        dim: int,
        metric: Metric = "l2",
        *,
        quantizer: str | Quantizer = "float32",
        refine: str | None = None,
    ) -> None:
        dim = as_positive(dim, name="dim", largest=LARGEST_DIM)
        coding = as_coding(quantizer, refine, dim)
        self._bind(
            _core.FlatIndex(
                dim, as_metric(metric), coding.dtype, coding.quantizer, coding.keeps_rows
            )
        )

    def _empty(self, dim: int) -> FlatIndex:
        return FlatIndex(dim, as_metric(self.metric), quantizer=self.quantizer, refine=self.refine)

    def __repr__(self) -> str:
        return (
            f"FlatIndex(dim={self.dim}, metric={self.metric!r}, quantizer={self.quantizer!r}) "
            f"with {len(self)} rows"
        )
