"""Transforms of every kind with random parameters, and what the oracle says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np
from oracle import transforms as oracle

T = nf.transforms
Definition = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
FORMS = (
    "affine", "affine_biased", "wider", "low_rank", "low_rank_biased", "key_value", "sharp",
    "relu", "leaky_relu", "tanh", "sigmoid", "diagonal", "normalize", "chain",
)  # fmt: skip


def weights(rng: np.random.Generator, *shape: int, size: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(shape) * size).astype(np.float32)


def wide(*arrays: Any) -> list[np.ndarray]:
    return [np.asarray(array, dtype=np.float64) for array in arrays]


def made(form: str, dim: int, seed: int = 0) -> tuple[Any, Definition]:
    """Return a transform and its definition: a function of float64 rows that gives result, size."""
    rng = np.random.default_rng(seed)
    zero = np.zeros(dim)
    if form in ("affine", "affine_biased", "wider"):
        out = dim + 19 if form == "wider" else dim
        w, b = weights(rng, out, dim), weights(rng, out)
        given = None if form == "affine" else b
        kept = np.zeros(out) if given is None else b
        return T.Affine(w, given), lambda x: oracle.affine(x, *wide(w, kept))
    if form in ("low_rank", "low_rank_biased"):
        a, b, bias = weights(rng, 5, dim), weights(rng, dim, 5), weights(rng, dim)
        given = bias if form == "low_rank_biased" else None
        kept = zero if given is None else bias
        return T.LowRank(a, b, 0.3, given), lambda x: oracle.low_rank(
            x, *wide(a, b), 0.3, *wide(kept)
        )
    if form in ("key_value", "sharp"):
        keys, values = weights(rng, 21, dim, size=0.2), weights(rng, 21, dim)
        heat = 0.05 if form == "sharp" else 1.5
        return T.KeyValue(keys, values, heat), lambda x: oracle.key_value(
            x, *wide(keys, values), heat
        )
    if form in ("relu", "leaky_relu", "tanh", "sigmoid"):
        w1, b1 = weights(rng, 33, dim, size=0.3), weights(rng, 33)
        w2, b2 = weights(rng, dim, 33), weights(rng, dim)
        return T.ResidualMLP(w1, b1, w2, b2, 0.7, form), lambda x: oracle.residual_mlp(
            x, *wide(w1, b1, w2, b2), 0.7, form
        )
    if form == "diagonal":
        w = weights(rng, dim)
        return T.Diagonal(w), lambda x: (x * wide(w)[0], np.abs(x * wide(w)[0]))
    if form == "normalize":
        return T.Normalize(), oracle.normalize
    first, second = made("low_rank", dim, seed)[0], made("affine", dim, seed + 1)[0]
    return T.Chain([T.Activation("tanh"), first, second]), lambda x: _chained(x, first, second)


def _chained(x: np.ndarray, first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    zero = np.zeros(x.shape[1])
    inner, size = oracle.low_rank(np.tanh(x), *wide(first.a, first.b), first.scale, zero)
    w = wide(second.w)[0]
    return inner @ w.T, size @ np.abs(w).T


def identities(dim: int) -> dict[str, Any]:
    """Return transforms of every kind whose parameters stand for the identity."""
    rng = np.random.default_rng(1)
    nothing = np.zeros((dim, 4))
    return {
        "affine": T.Affine(np.eye(dim)),
        "low_rank": T.LowRank(weights(rng, 4, dim), nothing, 2.0),
        "low_rank_scale": T.LowRank(weights(rng, 4, dim), weights(rng, dim, 4), 0.0),
        "key_value": T.KeyValue(weights(rng, 4, dim), nothing.T, 0.1),
        "mlp": T.ResidualMLP(weights(rng, 4, dim), weights(rng, 4), nothing, None),
        "mlp_gate": T.ResidualMLP(
            weights(rng, 4, dim), None, weights(rng, dim, 4), weights(rng, dim), 0.0, "tanh"
        ),
        "diagonal": T.Diagonal(np.ones(dim)),
        "chain": T.Chain([]),
        "chains": T.Chain([T.Chain(), T.Diagonal(np.ones(dim)), T.Affine(np.eye(dim))]),
    }
