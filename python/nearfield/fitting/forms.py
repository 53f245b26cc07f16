"""What can be fitted: for each form its start, its forward formula, and the transform it becomes.

A form works on vectors whose mean square length is 1: the fit divides by the root mean square
length of its inputs, and `transform` folds that scale back in. Every start is the identity exactly,
and what makes it so (`decayed`) is what weight decay pulls back to zero.

The formulas are written with what NumPy arrays and torch tensors have in common, so the same lines
are differentiated, checked against central differences in float64, and compared with the transform.
Source: Adapted Dense Retrieval (soft dictionary), LoRA (B starts at zero), Drift-Adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["FORMS", "Form"]

_Floats = NDArray[np.float32]
_Parameters = dict[str, _Floats]
_Start = Callable[[_Floats, int, np.random.Generator], _Parameters]


@dataclass(frozen=True)
class Form:
    """One form of adapter.

    Attributes
    ----------
    start : callable
        ``start(x, rank, rng)``: the parameters of the identity, for inputs like the rows of `x`.
    forward : callable
        ``forward(parameters, x)``: the map, differentiable.
    transform : callable
        ``transform(parameters, scale)``: the same map of vectors that are `scale` times as long.
    decayed : tuple of str
        Parameters that are zero for the identity.
    learning_rate : float
        Where the search for one begins.
    weight_decay : float
        What pulls back to the identity, by default.
    query_only : tuple of str
        Parameters that a corpus side goes without, so that its map folds into an index.
    """

    start: _Start
    forward: Callable[[Mapping[str, Any], Any], Any]
    transform: Callable[[_Parameters, float], Transform]
    decayed: tuple[str, ...]
    learning_rate: float
    weight_decay: float = 5.0
    query_only: tuple[str, ...] = ()


def _affine_start(x: _Floats, rank: int, rng: np.random.Generator) -> _Parameters:
    dim = x.shape[1]
    return {"delta": np.zeros((dim, dim), np.float32), "b": np.zeros(dim, np.float32)}


def _affine(p: Mapping[str, Any], x: Any) -> Any:
    return _shifted(x + x @ p["delta"].T, p.get("b"))


def _affine_transform(p: _Parameters, scale: float) -> Transform:
    from ..transforms import Affine

    unit = np.eye(len(p["delta"]), dtype=np.float32)
    return Affine(unit + p["delta"], p["b"] * scale if "b" in p else None)


def _low_rank_start(x: _Floats, rank: int, rng: np.random.Generator) -> _Parameters:
    dim = x.shape[1]
    return {
        "a": _gaussian(rng, rank, dim),
        "b": np.zeros((dim, rank), np.float32),
        "bias": np.zeros(dim, np.float32),
    }


def _low_rank(p: Mapping[str, Any], x: Any) -> Any:
    return _shifted(x + (x @ p["a"].T) @ p["b"].T, p.get("bias"))


def _low_rank_transform(p: _Parameters, scale: float) -> Transform:
    from ..transforms import LowRank

    return LowRank(p["a"], p["b"], bias=p["bias"] * scale if "bias" in p else None)


_TEMPERATURE = 0.1  # of the softmax over the keys, in units of the inputs' mean square length


def _key_value_start(x: _Floats, rank: int, rng: np.random.Generator) -> _Parameters:
    """Keys are inputs: random ones of small size would all be weighed alike."""
    chosen = rng.choice(x.shape[0], rank, replace=x.shape[0] < rank)
    return {"keys": x[chosen], "values": np.zeros_like(x[chosen])}


def _key_value(p: Mapping[str, Any], x: Any) -> Any:
    return x + _softmax(x @ p["keys"].T / _TEMPERATURE) @ p["values"]


def _key_value_transform(p: _Parameters, scale: float) -> Transform:
    from ..transforms import KeyValue

    return KeyValue(p["keys"], p["values"] * scale, temperature=_TEMPERATURE * scale)


def _residual_mlp_start(x: _Floats, rank: int, rng: np.random.Generator) -> _Parameters:
    dim = x.shape[1]
    return {
        "w1": _gaussian(rng, rank, dim),
        "b1": np.zeros(rank, np.float32),
        "w2": np.zeros((dim, rank), np.float32),
        "b2": np.zeros(dim, np.float32),
    }


def _residual_mlp(p: Mapping[str, Any], x: Any) -> Any:
    hidden = (x @ p["w1"].T + p["b1"]).clip(min=0)
    return x + hidden @ p["w2"].T + p["b2"]


def _residual_mlp_transform(p: _Parameters, scale: float) -> Transform:
    from ..transforms import ResidualMLP

    return ResidualMLP(p["w1"] / scale, p["b1"], p["w2"] * scale, p["b2"] * scale)


def _diagonal_start(x: _Floats, rank: int, rng: np.random.Generator) -> _Parameters:
    return {"delta": np.zeros(x.shape[1], np.float32)}


def _diagonal(p: Mapping[str, Any], x: Any) -> Any:
    return x + x * p["delta"]


def _diagonal_transform(p: _Parameters, scale: float) -> Transform:
    from ..transforms import Diagonal

    return Diagonal(1 + p["delta"])


def _shifted(y: Any, bias: Any) -> Any:
    return y if bias is None else y + bias


def _gaussian(rng: np.random.Generator, rank: int, dim: int) -> _Floats:
    drawn = rng.standard_normal((rank, dim)) / np.sqrt(dim)
    return np.asarray(drawn, dtype=np.float32)


def _softmax(logits: Any) -> Any:
    if not isinstance(logits, np.ndarray):
        return logits.softmax(-1)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


FORMS = {
    "key_value": Form(_key_value_start, _key_value, _key_value_transform, ("values",), 2e-3),
    "low_rank": Form(
        _low_rank_start, _low_rank, _low_rank_transform, ("b", "bias"), 2e-3, query_only=("bias",)
    ),
    "affine": Form(
        _affine_start, _affine, _affine_transform, ("delta", "b"), 1e-3, query_only=("b",)
    ),
    "diagonal": Form(_diagonal_start, _diagonal, _diagonal_transform, ("delta",), 1e-2, 0.1),
    "residual_mlp": Form(
        _residual_mlp_start, _residual_mlp, _residual_mlp_transform, ("w2", "b2"), 2e-3
    ),
}
