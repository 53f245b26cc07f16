"""The adapter of Adapted Dense Retrieval: :class:`KeyValue`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import as_real
from ..arrays import as_floats
from .base import Transform

__all__ = ["KeyValue"]


class KeyValue(Transform):
    """``x + V^T softmax(K x / temperature)``: a mix of learned values, chosen by learned keys.

    Parameters
    ----------
    keys : array_like, shape (h, dim)
        K; 16 to 128 keys are usual.
    values : array_like, shape (h, dim)
        V; zeros make the identity.
    temperature : float, default 1.0
        Positive; smaller makes the choice among keys sharper.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, NaN or infinity, a temperature of 0 or less, or so small that
        ``keys / temperature`` is beyond float32.

    References
    ----------
    Adapted Dense Retrieval for Heterogeneous Text ("ADDER"), section on the residual adapter.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> adapter = nf.transforms.KeyValue(keys=[[9, 0], [0, 9]], values=[[0, 1], [0, 2]])
    >>> adapter(np.float32([[1, 0], [0, 1]])).round(2)
    array([[1., 1.],
           [0., 3.]], dtype=float32)
    """

    kind = "key_value"
    _arrays = ("keys", "values")
    _settings = ("temperature",)
    in_dim: int
    out_dim: int

    def __init__(self, keys: ArrayLike, values: ArrayLike, temperature: float = 1.0) -> None:
        self.keys = as_floats(keys, name="keys", ndim=2)
        self.values = as_floats(values, name="values", ndim=2)
        self.temperature = as_real(temperature, name="temperature")
        if self.temperature <= 0:
            raise ValueError(f"temperature: got {self.temperature}, expected a number above 0")
        if self.values.shape != self.keys.shape:
            raise ValueError(
                f"values: got shape {self.values.shape}, expected {self.keys.shape}, that of keys"
            )
        with np.errstate(over="ignore"):
            largest = np.float32(float(np.abs(self.keys).max()) / self.temperature)
        if not np.isfinite(largest):
            raise ValueError(
                f"temperature: got {self.temperature}, too small: keys / temperature is beyond "
                "float32"
            )
        self.in_dim = self.out_dim = self.keys.shape[1]
        self._bind()
