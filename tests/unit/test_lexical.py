"""Lexical modulation: every mode and form, duplicates, special ids, empty queries, bad tokens."""

from __future__ import annotations

import json
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import _core
from oracle import transforms as oracle
from unit.adapters import T, weights

VOCAB, DIM = 300, 48
RNG = np.random.default_rng(0)
WEIGHT, BIAS = weights(RNG, VOCAB, DIM, size=0.3), weights(RNG, DIM, size=0.1)
E = weights(RNG, 60, DIM)
MODES = [(mode, form) for mode in ("slr", "llr", "clr") for form in ("code", "paper")]
SPECIAL = (0, 101, 102)


def bags(n: int = 60, seed: int = 3) -> list[list[tuple[int, float]]]:
    """Return tokens of n queries: some without any, duplicates, special ids, falling weights."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        ids = rng.integers(0, VOCAB if i % 3 else 9, 0 if i % 7 == 0 else rng.integers(1, 40))
        if i % 2:
            ids = np.concatenate([[101], ids, [102]])
        rows.append([(int(t), float(np.float32(rng.normal()))) for t in ids])
    return rows


def tokens_of(rows: list[list[tuple[int, float]]], weighted: bool) -> nf.Tokens:
    flat = [pair for row in rows for pair in row]
    offsets = np.cumsum([0, *map(len, rows)])
    given = [weight for _, weight in flat] if weighted else None
    return nf.Tokens([token for token, _ in flat], offsets, given)


def close(found: np.ndarray, expected: tuple[np.ndarray, np.ndarray]) -> None:
    value, size = expected
    assert (np.abs(found - value) <= 1e-6 * size + 1e-37).all()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("mode", "form"), MODES)
def test_results_are_those_of_the_definition(mode: str, form: str, normalize: bool) -> None:
    rows = bags()
    scale = 1.7 if (mode, form) == ("slr", "code") else 1.0
    settings: Any = {"mode": mode, "form": form, "scale": scale, "special_ids": SPECIAL}
    modulation = T.LexicalModulation(WEIGHT, BIAS, normalize=normalize, **settings)
    wide = (np.asarray(a, np.float64) for a in (WEIGHT, BIAS))
    expected = oracle.modulation(E.astype(float), rows, *wide, normalized=normalize, **settings)
    close(modulation(E, tokens_of(rows, mode != "slr")), expected)


@pytest.mark.parametrize("dim", [48, 50])
@pytest.mark.parametrize(("mode", "form"), [("llr", "paper"), ("clr", "code"), ("clr", "paper")])
def test_dense_logits(mode: str, form: str, dim: int) -> None:
    rng = np.random.default_rng(1)
    vocab = 2100  # more than one piece of the dense product
    weight, e = weights(rng, vocab, dim, size=0.05), weights(rng, 20, dim)
    logits = weights(rng, 20, vocab)
    logits[rng.random(logits.shape) < 0.9] = -1
    modulation = T.LexicalModulation(
        weight, mode=mode, form=form, special_ids=range(5), normalize=False
    )
    rows = [[(t, float(v)) for t, v in enumerate(row)] for row in logits]
    expected = oracle.modulation(
        e.astype(float),
        rows,
        weight.astype(float),
        np.zeros(dim),
        mode=mode,
        form=form,
        special_ids=tuple(range(5)),
        normalized=False,
    )
    close(modulation(e, logits), expected)
    assert modulation(e[7:8], logits[7:8]).tobytes() == modulation(e, logits)[7:8].tobytes()
    close(modulation(e, tokens_of(rows, True)), expected)


def test_duplicates_and_order_do_not_matter() -> None:
    m = T.LexicalModulation(WEIGHT, BIAS, "llr")
    once = m(E[:1], nf.Tokens([5, 9], [0, 2], [0.5, 2]))
    for ids, given in (
        ([9, 5], [2, 0.5]),
        ([5, 9, 5, 9], [0.5, 2, 0.25, -1]),
        ([9, 5, 9], [1, 0.5, 2]),
    ):
        assert m(E[:1], nf.Tokens(ids, [0, len(ids)], given)).tobytes() == once.tobytes()
    # Summed duplicates would be another result.
    assert m(E[:1], nf.Tokens([5, 9], [0, 2], [0.75, 2])).tobytes() != once.tobytes()


def test_a_query_without_tokens_has_the_bias_alone() -> None:
    z = BIAS.astype(np.float64)
    expected, _ = oracle.normalize(np.exp(z - z.max()) * E[:1].astype(np.float64))
    nothing = nf.Tokens([], [0, 0])
    np.testing.assert_allclose(T.LexicalModulation(WEIGHT, BIAS)(E[:1], nothing), expected, 1e-5)
    only_special = nf.Tokens([0, 101], [0, 2])
    m = T.LexicalModulation(WEIGHT, BIAS, special_ids=SPECIAL)
    assert m(E[:1], only_special).tobytes() == m(E[:1], nothing).tobytes()
    plain = T.LexicalModulation(WEIGHT, normalize=False)
    assert plain(E[:1], nothing).tobytes() == E[:1].tobytes()


def test_every_row_is_edited_not_the_first_alone() -> None:
    """The published code's vocabulary filter changed the first row of a batch only."""
    tokens = bags()
    m = T.LexicalModulation(WEIGHT, BIAS, "clr")
    together = m(E, tokens_of(tokens, True))
    for i in range(60):
        alone = m(E[i], tokens_of(tokens[i : i + 1], True))
        assert alone.tobytes() == together[i].tobytes()
    backwards = m(E[::-1], tokens_of(tokens[::-1], True))
    assert backwards[::-1].tobytes() == together.tobytes()


def test_the_scorer_gives_weights() -> None:
    rng = np.random.default_rng(4)
    u, c, hidden = weights(rng, 16), 0.25, weights(rng, 30, 16)
    m = T.LexicalModulation(WEIGHT, mode="llr", scorer=u, scorer_bias=c)
    np.testing.assert_allclose(
        m.token_weights(hidden), np.maximum(hidden.astype(float) @ u + c, 0), atol=1e-5
    )
    wide, bias = weights(rng, 16, VOCAB), weights(rng, VOCAB)
    m = T.LexicalModulation(WEIGHT, mode="llr", form="paper", scorer=wide, scorer_bias=bias)
    logits = m.token_weights(hidden)
    np.testing.assert_allclose(logits, hidden.astype(float) @ wide + bias, atol=1e-4)
    assert m(E[:30], logits).shape == (30, DIM)
    with pytest.raises(ValueError, match="hidden_states: got shape"):
        m.token_weights(hidden[:, :3])
    with pytest.raises(ValueError, match=r"hidden_states: .* holds NaN"):
        m.token_weights(np.where(hidden > 1, np.nan, hidden))


@pytest.mark.parametrize(("mode", "form"), MODES)
def test_parameters_and_config_make_the_same_modulation(mode: str, form: str) -> None:
    scorer: Any = None
    if mode == "llr":
        scorer = np.ones(4) if form == "code" else np.ones((4, VOCAB))
    m = T.LexicalModulation(
        WEIGHT, BIAS, mode, form=form, special_ids=SPECIAL, normalize=False, scorer=scorer
    )
    config = json.loads(json.dumps(m.config()))
    again = T.LexicalModulation.from_parameters(m.parameters(), config)
    tokens = tokens_of(bags(), mode != "slr")
    assert again(E, tokens).tobytes() == m(E, tokens).tobytes()
    assert repr(again) == repr(m)


TOKENS = nf.Tokens([1, 2], [0, 2])
SLR, LLR = T.LexicalModulation(WEIGHT), T.LexicalModulation(WEIGHT, mode="llr")
CLR = T.LexicalModulation(WEIGHT, mode="clr")
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: SLR(E, TOKENS), ValueError, "tokens: got 1 rows for 60 vectors"),
    (lambda: SLR(E[0], nf.Tokens([VOCAB], [0, 1])), ValueError, "tokens: got the id 300 at 0"),
    (lambda: SLR(E[0, :9], TOKENS), ValueError, "x: got shape"),
    (lambda: SLR(E[0] * np.nan, TOKENS), ValueError, "x: query 0 holds NaN"),
    (lambda: SLR(E[0], nf.Tokens([1], [0, 1], [1])), ValueError, "tokens: got weights"),
    (lambda: LLR(E[0], TOKENS), ValueError, "tokens: got no weights, expected weights"),
    (lambda: CLR(E[0], TOKENS), ValueError, "tokens: got no weights, expected logits"),
    (lambda: SLR(E[0], np.ones((1, VOCAB))), TypeError, "tokens: got a ndarray, expected nf.Tok"),
    (lambda: CLR(E[0], np.ones((2, VOCAB))), ValueError, "tokens: got 2 rows of logits"),
    (lambda: CLR(E[0], np.ones((1, 9))), ValueError, "tokens: got shape"),
    (lambda: CLR(E[0], np.full((1, VOCAB), np.nan)), ValueError, "tokens: got logits with NaN"),
    (lambda: LLR.token_weights(E), ValueError, "no scorer"),
    (lambda: T.LexicalModulation(WEIGHT, mode="bm25"), ValueError, "mode: got 'bm25'"),
    (lambda: T.LexicalModulation(WEIGHT, form="book"), ValueError, "form: got 'book'"),
    (lambda: T.LexicalModulation(WEIGHT, BIAS[:3]), ValueError, "bias: got shape"),
    (lambda: T.LexicalModulation(WEIGHT, special_ids=[-1]), ValueError, "special_ids: got -1"),
    (lambda: T.LexicalModulation(WEIGHT, special_ids=[VOCAB]), ValueError, "special_ids: got 300"),
    (lambda: T.LexicalModulation(WEIGHT, mode="clr", scale=2), ValueError, "scale: got 2.0"),
    (lambda: T.LexicalModulation(WEIGHT, form="paper", scale=2), ValueError, "scale: got 2.0"),
    (lambda: T.LexicalModulation(WEIGHT, scorer=[1]), ValueError, "scorer: got one for mode 'slr"),
    (lambda: T.LexicalModulation(WEIGHT, scorer_bias=1), ValueError, "without a scorer"),
    (
        lambda: T.LexicalModulation(WEIGHT, mode="llr", form="paper", scorer=np.ones((4, 5))),
        ValueError,
        "scorer: got shape",
    ),
    (lambda: T.LexicalModulation(WEIGHT * np.inf), ValueError, "weight: got"),
    (lambda: T.LexicalModulation(WEIGHT, normalize=1), TypeError, "normalize: "),
    (lambda: T.Chain([SLR]), TypeError, "transforms.0.: got a LexicalModulation"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments_say_what_was_expected(case: int) -> None:
    call, error, pattern = WRONG[case]
    with pytest.raises(error, match=pattern):
        call()


def test_the_native_module_takes_arrays_alone() -> None:
    """What is no array, or no kind, is an error there too, not memory read as one."""
    special, ids = np.empty(0, np.int64), np.zeros(1, np.int64)
    wrong: list[Any] = [[0.5] * DIM, 1, "bias", np.zeros(DIM)]
    for bias in wrong:
        with pytest.raises(TypeError):
            _core.Modulation(WEIGHT, bias, special, "constant", 1.0, True)
    with pytest.raises(ValueError, match="kind: got 'softplus', expected constant, relu or log"):
        _core.Modulation(WEIGHT, None, special, "softplus", 1.0, True)
    modulation = _core.Modulation(WEIGHT, None, special, "relu", 1.0, True)
    for given in wrong:
        with pytest.raises(TypeError):
            _core.QueryMap.modulated(modulation, ids, np.int64([0, 1]), given)
    index: Any = nf.FlatIndex(2)
    for labels in ([1], "1", 1):
        with pytest.raises(TypeError):
            index._core.add(np.zeros((1, 2), np.float32), labels, False, 1)
        with pytest.raises(TypeError):
            index._core.add_corpus_adapter("a", np.eye(2, dtype=np.float32), labels, 1)
    with pytest.raises(ValueError, match="transform_ids: got 0 ids, expected 4294967296"):
        _core.QueryMap.each([], special, 2**32)
