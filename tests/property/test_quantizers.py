"""Quantizers on rows drawn to break them: bounds, clamping, nearest centroids, equal levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nearfield import _core
from oracle import quantizers as oracle
from plugins.isa import Level
from property.adversarial import KINDS

EPS32 = 2.0**-23
MODEST = ("gaussian", "ties", "twins", "near_ties", "offset", "outlier", "loud", "all_equal")


def drawn(kind: str, n: int, dim: int, seed: int, power: int = 0) -> np.ndarray:
    """Return rows of an adversarial kind, scaled by a power of ten."""
    rng = np.random.default_rng(seed)
    return (KINDS[kind](rng, n, dim) * 10.0**power).astype(np.float32)


kinds = st.sampled_from([kind for kind in MODEST if kind in KINDS])


@settings(max_examples=60, deadline=None)
@given(
    kinds, st.integers(1, 70), st.sampled_from([8, 4]), st.integers(0, 2**32), st.integers(-8, 8)
)
def test_scalar_error_stays_within_half_a_cell(
    kind: str, dim: int, bits: int, seed: int, power: int
) -> None:
    x = drawn(kind, 80, dim, seed, power)
    sq = _core.Quantizer(f"sq{bits}", dim)
    sq.train(x[:50], 0, 1)
    low, high = (values[0].astype(np.float64) for _, values in sq.parameters())
    decoded = sq.decode(sq.encode(x, 1), 1).astype(np.float64)
    clamped = np.clip(x.astype(np.float64), low, high)
    cells = oracle.scalar_cells(low, high, bits)
    rounding = 4 * EPS32 * np.maximum(np.abs(low), np.abs(high))
    assert (np.abs(decoded - clamped) <= cells / 2 + rounding + 1e-37).all()


@settings(max_examples=40, deadline=None)
@given(
    kinds,
    st.sampled_from([(4, 1), (12, 3), (16, 16), (24, 6), (33, 11)]),
    st.sampled_from([4, 5, 8]),
    st.integers(0, 2**32),
    st.integers(-6, 6),
)
def test_product_codes_name_the_nearest_centroids(
    kind: str, shape: tuple[int, int], nbits: int, seed: int, power: int
) -> None:
    dim, m = shape
    x = drawn(kind, 300, dim, seed, power)
    pq = _core.Quantizer(f"pq{m}x{nbits}", dim)
    pq.train(x, 0, 1)
    books = pq.parameters()[0][1].reshape(m, 2**nbits, dim // m)
    sample = np.concatenate([x[:20], drawn(kind, 20, dim, seed + 1, power)])
    numbers = oracle.unpack(pq.encode(sample, 1), m, nbits)
    distances = oracle.product_distances(sample, books)
    chosen = np.take_along_axis(distances, numbers[:, :, None], axis=2)[:, :, 0]
    # Rounding counts in units of the sub-space's middle, not of the origin.
    middles = books.astype(np.float64).mean(axis=1)
    parts = sample.reshape(len(sample), m, -1).astype(np.float64)
    reach = ((parts - middles) ** 2).sum(axis=2) + ((books - middles[:, None]) ** 2).sum(2).max(1)
    shifts = EPS32 * np.abs(middles).max() * np.sqrt(reach * (dim // m))
    assert (chosen <= distances.min(axis=2) + 8 * EPS32 * (dim // m + 2) * reach + 8 * shifts).all()


@settings(max_examples=30, deadline=None)
@given(
    kinds,
    st.sampled_from(["sq8", "sq4", "pq6x4", "pq6x8", "pq3x9", "opq6x4"]),
    st.sampled_from(["ip", "l2"]),
    st.integers(0, 2**32),
    st.integers(-6, 6),
)
def test_scores_are_those_of_decoded_rows(
    kind: str, name: str, metric: str, seed: int, power: int
) -> None:
    x = drawn(kind, 600, 24, seed, power)
    quantizer = _core.Quantizer(name, 24)
    quantizer.train(x, 0, 1)
    q = drawn(kind, 4, 24, seed + 1, power)
    codes = quantizer.encode(x[:100], 1)
    decoded = quantizer.decode(codes, 1).astype(np.float64)
    wide = q.astype(np.float64)
    got = quantizer.scores(q, codes, metric, 1)
    if metric == "ip":
        expected = wide @ decoded.T
        scale = np.linalg.norm(wide, axis=1)[:, None] * np.linalg.norm(decoded, axis=1)
        assert (np.abs(got - expected) <= 1e-4 * scale + 1e-37).all()
        return
    expected = -((wide[:, None] - decoded[None]) ** 2).sum(axis=2)
    scale = np.abs(expected)
    if name.startswith("opq"):
        # A rotation rounds relative to the vectors, not to their difference.
        lengths = np.linalg.norm(wide, axis=1)[:, None] + np.linalg.norm(decoded, axis=1)
        scale = scale + 0.1 * lengths * np.sqrt(np.abs(expected)) + 1e-5 * lengths**2
    assert (np.abs(got - expected) <= 1e-4 * scale + 1e-37).all()


@pytest.mark.parametrize("kind", ["wild_norms", "huge", "tiny"])
@pytest.mark.parametrize("name", ["sq8", "sq4", "pq6x4", "opq6x4"])
def test_wild_rows_encode_to_something_finite_on_every_level(
    kind: str, name: str, levels: list[Level]
) -> None:
    x = drawn(kind, 200, 24, 0)
    first = levels[0].call("property.quantizing:codes_of", name, drawn("gaussian", 200, 24, 1), x)
    for level in levels[1:]:
        assert (
            level.call("property.quantizing:codes_of", name, drawn("gaussian", 200, 24, 1), x)
            == first
        ), level.name
