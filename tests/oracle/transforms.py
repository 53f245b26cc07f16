"""Every transform by its definition, in float64, and the sizes that its sums are made of.

A float32 result may be off by 1e-6 of the size: the same sum with every term's absolute value.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def affine(x: Array, w: Array, b: Array) -> tuple[Array, Array]:
    """Return W x + b."""
    return x @ w.T + b, np.abs(x) @ np.abs(w).T + np.abs(b)


def low_rank(x: Array, a: Array, b: Array, scale: float, bias: Array) -> tuple[Array, Array]:
    """Return x + scale * B (A x) + bias."""
    size = np.abs(x) @ np.abs(a).T @ np.abs(b).T
    return x + scale * (x @ a.T @ b.T) + bias, np.abs(x) + np.abs(scale) * size + np.abs(bias)


def softmax(scores: Array) -> Array:
    """Return shares that are proportional to exp(score)."""
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def key_value(x: Array, keys: Array, values: Array, temperature: float) -> tuple[Array, Array]:
    """Return x + V^T softmax(K x / temperature)."""
    shares = softmax(x @ keys.T / temperature)
    # A score that is off by a share of its size changes each of the exponentials by as much.
    steep = 1 + 2 * (np.abs(x) @ np.abs(keys).T / temperature).max(axis=1, keepdims=True)
    return x + shares @ values, np.abs(x) + steep * (shares @ np.abs(values))


def activate(x: Array, activation: str) -> Array:
    """Return a function of every element."""
    return {
        "relu": lambda: np.maximum(x, 0.0),
        "leaky_relu": lambda: np.where(x > 0, x, 0.01 * x),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    }[activation]()


def residual_mlp(
    x: Array, w1: Array, b1: Array, w2: Array, b2: Array, gate: float, activation: str
) -> tuple[Array, Array]:
    """Return x + gate * (W2 act(W1 x + b1) + b2)."""
    inner, inner_size = affine(x, w1, b1)
    outer, _ = affine(activate(inner, activation), w2, b2)
    _, outer_size = affine(1 + inner_size, w2, b2)
    return x + gate * outer, np.abs(x) + np.abs(gate) * outer_size


def normalize(x: Array) -> tuple[Array, Array]:
    """Return x / |x|; zero stays zero."""
    norms = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit = x / np.where(norms > 0, norms, 1)
    return unit, np.abs(unit)


def token_weight(given: float, mode: str, form: str, scale: float) -> float:
    """Return the weight of one token: methods.md, section 2.2."""
    if mode == "slr":
        return scale if form == "code" else float(np.log(1 + 1))
    positive = max(given, 0.0)
    return positive if (mode, form) == ("llr", "code") else float(np.log(1 + positive))


def modulation(
    x: Array,
    tokens: list[list[tuple[int, float]]],
    weight: Array,
    bias: Array,
    *,
    mode: str,
    form: str,
    scale: float = 1.0,
    special_ids: tuple[int, ...] = (),
    normalized: bool = True,
) -> tuple[Array, Array]:
    """Return exp(z - max z) * x with z = W^T w + b; of equal tokens the largest weight counts."""
    rows, sizes = [], []
    for row, pairs in zip(x, tokens, strict=True):
        w: dict[int, float] = {}
        for token, given in pairs:
            if token not in special_ids:
                new = token_weight(given, mode, form, scale)
                w[token] = max(new, w.get(token, new))
        z = bias + sum(w[t] * weight[t] for t in w)
        size = np.abs(bias) + sum(np.abs(w[t] * weight[t]) for t in w)
        factor = np.exp(z - z.max())
        rows.append(factor * row)
        sizes.append(np.abs(rows[-1]) * (1 + 2 * size.max()))
    result, size = np.array(rows), np.array(sizes)
    if not normalized:
        return result, size
    norms = np.sqrt((result * result).sum(axis=1, keepdims=True))
    norms = np.where(norms > 0, norms, 1)
    shrunk = np.sqrt((size * size).sum(axis=1, keepdims=True)) / norms
    return result / norms, size / norms + np.abs(result / norms) * shrunk
