"""Linear maps: :class:`Affine`, :class:`LowRank`, :class:`Diagonal`."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ..arguments import as_real
from ..arrays import as_floats
from .base import Transform, as_bias

__all__ = ["Affine", "Diagonal", "LowRank"]


class Affine(Transform):
    """``W x + b``: the linear adapter, and the one kind that changes the number of dimensions.

    Parameters
    ----------
    w : array_like, shape (out_dim, in_dim)
        Matrix; the unit matrix is the identity.
    b : array_like, shape (out_dim,), optional
        What is added.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, NaN or infinity.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> nf.transforms.Affine([[0, 1], [2, 0]], b=[1, 0])(np.float32([3, 4]))
    array([5., 6.], dtype=float32)
    """

    kind = "affine"
    _arrays = ("w", "b")
    in_dim: int
    out_dim: int

    def __init__(self, w: ArrayLike, b: ArrayLike | None = None) -> None:
        self.w = as_floats(w, name="w", ndim=2)
        self.out_dim, self.in_dim = self.w.shape
        self.b = as_bias(b, name="b", size=self.out_dim)
        self._bind()


class LowRank(Transform):
    """``x + scale * B (A x) + bias``: a linear residual of low rank.

    Parameters
    ----------
    a : array_like, shape (r, dim)
        First factor.
    b : array_like, shape (dim, r)
        Second factor; zeros make the identity.
    scale : float, default 1.0
        Size of the residual.
    bias : array_like, shape (dim,), optional
        What is added.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, NaN or infinity.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> nf.transforms.LowRank([[1, 1]], [[1], [0]], scale=0.5)(np.float32([1, 3]))
    array([3., 3.], dtype=float32)
    """

    kind = "low_rank"
    _arrays = ("a", "b", "bias")
    _settings = ("scale",)
    in_dim: int
    out_dim: int

    def __init__(
        self, a: ArrayLike, b: ArrayLike, scale: float = 1.0, bias: ArrayLike | None = None
    ) -> None:
        self.a = as_floats(a, name="a", ndim=2)
        self.b = as_floats(b, name="b", ndim=2)
        self.scale = as_real(scale, name="scale")
        rank, dim = self.a.shape
        self.in_dim = self.out_dim = dim
        if self.b.shape != (dim, rank):
            raise ValueError(
                f"b: got shape {self.b.shape}, expected {(dim, rank)} beside a of shape "
                f"{self.a.shape}"
            )
        self.bias = as_bias(bias, name="bias", size=dim)
        self._bind()


class Diagonal(Transform):
    """``w * x``: a weight for every dimension.

    Parameters
    ----------
    w : array_like, shape (dim,)
        Weights; ones make the identity.

    Raises
    ------
    TypeError, ValueError
        Wrong shape, NaN or infinity.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> nf.transforms.Diagonal([2, 0.5])(np.float32([1, 4]))
    array([2., 2.], dtype=float32)
    """

    kind = "diagonal"
    _arrays = ("w",)
    in_dim: int
    out_dim: int

    def __init__(self, w: ArrayLike) -> None:
        self.w = as_floats(w, name="w", ndim=1)
        self.in_dim = self.out_dim = self.w.shape[0]
        self._bind()
