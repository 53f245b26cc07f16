"""Functions of single elements: :class:`Activation`, and their names."""

from __future__ import annotations

from ..arguments import choose
from .base import Transform

__all__ = ["ACTIVATIONS", "Activation"]

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")
"""Names of the functions; leaky_relu has a slope of 0.01 below zero."""


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
        self._bind()
