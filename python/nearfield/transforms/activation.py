"""Functions of single elements: :class:`Activation`, and their names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arguments import choose
from .base import Transform

__all__ = ["ACTIVATIONS", "Activation"]

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")
"""Names of the functions; leaky_relu has a slope of 0.01 below zero."""


def activate(x: NDArray[np.float64], activation: str) -> NDArray[np.float64]:
    """Return the function of every element."""
    if activation == "relu":
        return np.maximum(x, 0.0)
    if activation == "leaky_relu":
        return np.where(x > 0, x, 0.01 * x)
    if activation == "tanh":
        return np.tanh(x)
    return np.where(x >= 0, 1.0, np.exp(-np.abs(x))) / (1.0 + np.exp(-np.abs(x)))


class Activation(Transform):
    """A function of every element, as between or behind the layers of a network.

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "sigmoid", "tanh"}, default "relu"
        The function; leaky_relu has a slope of 0.01 below zero.

    Raises
    ------
    TypeError, ValueError
        An unknown name.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> nf.transforms.Activation("relu")(np.float32([-1, 2]))
    array([0., 2.], dtype=float32)
    """

    kind = "activation"
    _settings = ("activation",)

    def __init__(self, activation: str = "relu") -> None:
        self.activation = choose(activation, ACTIVATIONS, name="activation")

    def _apply(self, x: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
        return activate(x.astype(np.float64), self.activation).astype(np.float32)
