"""Laws of transforms: each row by itself, the same bits everywhere, directions that are kept."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.isa import Level
from property.test_quantizers import drawn, kinds
from unit.adapters import FORMS, T, identities, made, weights

dims = st.sampled_from([1, 3, 16, 31, 64, 130])
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMS), dims, seeds, kinds, st.data())
def test_a_row_depends_on_itself_alone(
    form: str, dim: int, seed: int, kind: str, data: st.DataObject
) -> None:
    transform, _ = made(form, dim, seed)
    x = drawn(kind, 120, dim, seed)
    whole = transform(x, threads=2)
    first = data.draw(st.integers(0, 119))
    last = data.draw(st.integers(first + 1, 120))
    part = transform(x[first:last], threads=data.draw(st.sampled_from([1, 2, 5])))
    assert part.tobytes() == whole[first:last].tobytes()
    order = np.random.default_rng(seed).permutation(120)
    assert transform(x[order]).tobytes() == whole[order].tobytes()


@settings(max_examples=60, deadline=None)
@given(dims, seeds, kinds, st.integers(-30, 30))
def test_identity_parameters_change_no_bit(dim: int, seed: int, kind: str, power: int) -> None:
    x = np.abs(drawn(kind, 50, dim, seed)) * np.float32(10.0**power)
    for name, transform in identities(dim).items():
        assert transform(x).tobytes() == x.tobytes(), name


@pytest.mark.parametrize("dim", [5, 48, 130])
@pytest.mark.parametrize("form", FORMS)
def test_every_level_gives_the_same_bits(form: str, dim: int, levels: list[Level]) -> None:
    transform, _ = made(form, dim)
    x = weights(np.random.default_rng(1), 40, dim)
    expected = transform(x).tobytes()
    args = (transform.kind, transform.parameters(), transform.config(), x)
    for level in levels:
        assert level.call("property.adapting:results", *args) == expected, level.name


bags = st.lists(st.lists(st.integers(0, 49), max_size=30), min_size=1, max_size=12)


def tokens_of(rows: list[list[int]], seed: int) -> nf.Tokens:
    ids = [token for row in rows for token in row]
    given = np.random.default_rng(seed).standard_normal(len(ids)).astype(np.float32)
    return nf.Tokens(ids, np.cumsum([0, *map(len, rows)]), given)


@settings(max_examples=60, deadline=None)
@given(bags, dims, seeds, st.sampled_from(["llr", "clr"]))
def test_modulation_keeps_the_direction_within_kantorovich(
    rows: list[list[int]], dim: int, seed: int, mode: str
) -> None:
    """cos(e, m * e) >= 2 sqrt(kappa) / (1 + kappa), kappa the ratio of the extreme factors."""
    rng = np.random.default_rng(seed)
    m = T.LexicalModulation(weights(rng, 50, dim), weights(rng, dim), mode, normalize=False)
    tokens, e = tokens_of(rows, seed), weights(rng, len(rows), dim)
    factors = m(np.ones_like(e), tokens).astype(np.float64)
    changed = m(e, tokens).astype(np.float64)
    kappa = factors.max(axis=1) / factors.min(axis=1)
    lengths = np.linalg.norm(e, axis=1) * np.linalg.norm(changed, axis=1)
    cosine = (e * changed).sum(axis=1) / lengths
    assert (cosine >= 2 * np.sqrt(kappa) / (1 + kappa) - 1e-6).all()
    assert (factors > 0).all()
    assert (factors.max(axis=1) == 1).all()


def test_modulation_starts_at_the_identity() -> None:
    """At the usual start of a linear layer the angle is about 0.8 degrees."""
    rng = np.random.default_rng(0)
    vocab, dim, n = 30_522, 384, 64
    weight = rng.uniform(-(vocab**-0.5), vocab**-0.5, (vocab, dim))
    e = T.Normalize()(weights(rng, n, dim))
    tokens = nf.Tokens(rng.integers(0, vocab, 16 * n), np.arange(n + 1) * 16)
    changed = T.LexicalModulation(weight)(e, tokens)
    cosine = (e.astype(np.float64) * changed).sum(axis=1)
    assert (cosine > 0.9995).all()
    assert (cosine < 1 - 1e-6).all()


@settings(max_examples=50, deadline=None)
@given(bags, dims, seeds, st.sampled_from(["llr", "clr"]), st.sampled_from([1, 2, 3]))
def test_a_modulated_row_depends_on_its_tokens_alone(
    rows: list[list[int]], dim: int, seed: int, mode: str, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    m = T.LexicalModulation(weights(rng, 50, dim), mode=mode, special_ids=[3, 4])
    e, tokens = weights(rng, len(rows), dim), tokens_of(rows, seed)
    together = m(e, tokens, threads=threads)
    for i in range(len(rows)):
        a, b = tokens.offsets[i : i + 2]
        assert tokens.weights is not None
        order = rng.permutation(np.arange(a, b))
        own = nf.Tokens(tokens.ids[order], [0, b - a], tokens.weights[order])
        assert m(e[i], own).tobytes() == together[i].tobytes()


@pytest.mark.parametrize("dim", [7, 48])
def test_every_level_modulates_to_the_same_bits(dim: int, levels: list[Level]) -> None:
    rng = np.random.default_rng(3)
    m = T.LexicalModulation(weights(rng, 300, dim), weights(rng, dim), "clr")
    e, logits = weights(rng, 30, dim), weights(rng, 30, 300)
    tokens = (np.tile(np.arange(300), 30), np.arange(31) * 300, logits.reshape(-1))
    expected = m(e, logits).tobytes()
    assert m(e, nf.Tokens(*tokens)).tobytes() == expected
    for level in levels:
        for shown in (logits, tokens):
            args = (m.parameters(), m.config(), e, shown)
            assert level.call("property.adapting:modulated", *args) == expected, level.name
