"""An adapter with a hidden layer: :class:`ResidualMLP`."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ..arguments import as_real, choose
from ..arrays import as_floats
from .activation import ACTIVATIONS
from .base import Transform, as_bias

__all__ = ["ResidualMLP"]


class ResidualMLP(Transform):
    """``x + gate * (W2 act(W1 x + b1) + b2)``: a two-layer network beside the vector itself.

    Parameters
    ----------
    w1 : array_like, shape (hidden, dim)
        First layer.
    b1 : array_like, shape (hidden,), or None
        Its bias.
    w2 : array_like, shape (dim, hidden)
        Second layer; zeros, with no `b2`, make the identity.
    b2 : array_like, shape (dim,), or None
        Its bias.
    gate : float, default 1.0
        Size of the residual; 0 makes the identity.
    activation : {"relu", "leaky_relu", "sigmoid", "tanh"}, default "relu"
        As :class:`Activation`.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, NaN or infinity, an unknown activation.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> mlp = nf.transforms.ResidualMLP([[1, -1]], [0], [[1], [1]], [0, 0], gate=0.5)
    >>> mlp(np.float32([[3, 1], [1, 3]]))
    array([[4., 2.],
           [1., 3.]], dtype=float32)
    """

    kind = "residual_mlp"
    _arrays = ("w1", "b1", "w2", "b2")
    _settings = ("gate", "activation")
    in_dim: int
    out_dim: int

    def __init__(
        self,
        w1: ArrayLike,
        b1: ArrayLike | None = None,
        w2: ArrayLike | None = None,
        b2: ArrayLike | None = None,
        gate: float = 1.0,
        activation: str = "relu",
    ) -> None:
        if w2 is None:
            raise TypeError("w2: got None, expected the matrix of the second layer")
        self.w1 = as_floats(w1, name="w1", ndim=2)
        self.w2 = as_floats(w2, name="w2", ndim=2)
        hidden, dim = self.w1.shape
        if self.w2.shape != (dim, hidden):
            raise ValueError(
                f"w2: got shape {self.w2.shape}, expected {(dim, hidden)} beside w1 of shape "
                f"{self.w1.shape}"
            )
        self.b1 = as_bias(b1, name="b1", size=hidden)
        self.b2 = as_bias(b2, name="b2", size=dim)
        self.gate = as_real(gate, name="gate")
        self.activation = choose(activation, ACTIVATIONS, name="activation")
        self.in_dim = self.out_dim = dim
        self._bind()
