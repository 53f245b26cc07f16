"""Exact search over stored rows: :class:`FlatIndex`."""

from __future__ import annotations

from numpy.typing import ArrayLike

from . import _core
from .arguments import LARGEST_DIM, Metric, as_metric, as_positive, choose
from .arrays import STORAGES
from .index import Index

__all__ = ["FlatIndex"]


class FlatIndex(Index):
    """Exact index: every search sees every row.

    Parameters
    ----------
    dim : int
        Columns of the vectors, at most 65,536.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.
    quantizer : {"float32", "float16", "bfloat16", "int8", "uint8"}, default "float32"
        Type the rows are stored in. float32 and float64 rows are rounded to float16 or bfloat16;
        an int8 or uint8 index takes only rows of that type. Search is exact over what is stored.
    refine : None
        A flat index has no second store.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong type, or an unknown name (the message lists the names).

    Notes
    -----
    Any number of threads may search while others add, remove or save.

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
        quantizer: str = "float32",
        refine: None = None,
    ) -> None:
        dim = as_positive(dim, name="dim", largest=LARGEST_DIM)
        dtype = choose(quantizer, STORAGES, name="quantizer")
        if refine is not None:
            raise ValueError(
                f"refine: got {refine!r}, expected None: a flat index has no second store"
            )
        self._bind(_core.FlatIndex(dim, as_metric(metric), dtype))

    def train(self, x: ArrayLike) -> None:
        """Do nothing: a flat index learns nothing from data.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            Ignored.
        """

    def __repr__(self) -> str:
        return (
            f"FlatIndex(dim={self.dim}, metric={self.metric!r}, quantizer={self.quantizer!r}) "
            f"with {len(self)} rows"
        )
