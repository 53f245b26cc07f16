"""fit_modulation finds a projection hidden in the data, and LLR which of the tokens matter."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest

DIM, ROWS, QUERIES, VOCAB, EACH = 16, 500, 400, 30, 4
QRELS = {row: [row] for row in range(QUERIES)}
QUICK: dict[str, Any] = {"lr": 0.05, "epochs": 8, "batch_size": 64, "threads": 2, "selection": 0.2}


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    pytest.importorskip("torch")


def task(counted: bool = True) -> tuple[np.ndarray, nf.Tokens, np.ndarray, np.ndarray]:
    """Return queries that a hidden modulation by their tokens turns into their documents.

    Where not all tokens are `counted`, hidden states say which are: those with a first column of 1.
    """
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((ROWS, DIM))
    ids = np.stack([rng.choice(VOCAB, EACH, replace=False) for _ in range(QUERIES)])
    matters = np.ones(ids.shape) if counted else (rng.random(ids.shape) < 0.5).astype(float)
    z = (rng.standard_normal((VOCAB, DIM))[ids] * matters[:, :, None]).sum(axis=1)
    queries = corpus[:QUERIES] * np.exp(-0.7 * z) + 0.05 * rng.standard_normal((QUERIES, DIM))
    hidden = np.stack([matters.ravel(), 1 - matters.ravel()], axis=1)
    tokens = nf.Tokens(ids.ravel(), np.arange(0, ids.size + 1, EACH))
    return queries.astype(np.float32), tokens, corpus.astype(np.float32), hidden


@pytest.fixture(scope="module")
def slr() -> nf.ModulationFit:
    queries, tokens, corpus, _ = task()
    return nf.fit_modulation(queries, tokens, corpus, QRELS, vocab=50, special_ids=[3], **QUICK)


def test_the_projection_is_found(slr: nf.ModulationFit) -> None:
    assert slr.report.interval.low > 0.02
    assert slr.transform.mode == "slr"
    assert slr.transform.weight.shape == (50, DIM)
    assert (slr.transform.weight[30:] == 0).all()
    assert slr.transform.special_ids == [3]


def test_the_report_is_what_searches_find(slr: nf.ModulationFit) -> None:
    queries, tokens, corpus, _ = task()
    found = nf.topk(slr.transform(queries, tokens), corpus, 1, "cosine").ids[:, 0]
    test = list(map(int, slr.report.deltas))
    assert (found[test] == test).mean() == pytest.approx(slr.report.test["hit@1"].adapted)


def test_llr_learns_which_tokens_matter() -> None:
    queries, tokens, corpus, hidden = task(counted=False)
    fits = {
        mode: nf.fit_modulation(
            queries,
            tokens,
            corpus,
            QRELS,
            mode=mode,
            hidden_states=hidden if mode == "llr" else None,
            **QUICK,
        )
        for mode in ("slr", "llr")
    }
    weights = fits["llr"].transform.token_weights(hidden)
    assert weights[hidden[:, 0] == 1].mean() > 1.3 * weights[hidden[:, 0] == 0].mean()
    adapted = {mode: fit.report.test["ndcg@10"].adapted for mode, fit in fits.items()}
    assert adapted["llr"] > adapted["slr"]
    weighted = nf.Tokens(tokens.ids, tokens.offsets, weights)
    found = nf.topk(fits["llr"].transform(queries, weighted), corpus, 1, "cosine").ids[:, 0]
    report = fits["llr"].report
    test = list(map(int, report.deltas))
    assert (found[test] == test).mean() == pytest.approx(report.test["hit@1"].adapted)


def test_tokens_without_meaning_end_at_the_identity() -> None:
    queries, tokens, corpus, _ = task()
    shuffled = nf.Tokens(np.random.default_rng(1).permutation(tokens.ids), tokens.offsets)
    fit = nf.fit_modulation(corpus[:QUERIES], shuffled, corpus, QRELS, **QUICK)
    assert fit.report.chosen == "identity"
    found = nf.topk(fit.transform(queries, shuffled), corpus, 10, "cosine").ids
    assert (found == nf.topk(queries, corpus, 10, "cosine").ids).mean() > 0.999


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "clr"}, ValueError, "mode: got 'clr'"),
        ({"mode": "llr"}, ValueError, "hidden_states: got None"),
        ({"hidden_states": np.zeros((3, 2))}, ValueError, "hidden_states: given for mode 'slr'"),
        (
            {"mode": "llr", "hidden_states": np.zeros((3, 2))},
            ValueError,
            "hidden_states: got 3 rows for 1600 token ids",
        ),
        ({"vocab": 10}, ValueError, "vocab: got 10, expected more than 29"),
        ({"special_ids": [30]}, ValueError, "special_ids: got 30, expected ids from 0 to 29"),
        ({"tokens": [1, 2]}, TypeError, "tokens: got a list, expected nf.Tokens"),
        ({"tokens": nf.Tokens([1], [0, 1])}, ValueError, "tokens: got 1 rows for 400 queries"),
        ({"temperature": -1.0}, ValueError, "temperature: got -1.0"),
        ({"temperature": None}, TypeError, "temperature: got None"),
        ({"vocab": 2**40}, ValueError, "vocab: got 1099511627776, for ids up to 29 in tokens"),
        (
            {"tokens": nf.Tokens([2**40] * QUERIES, np.arange(QUERIES + 1))},
            ValueError,
            "vocab: got 1099511627777.* GiB, half of the memory",
        ),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    queries, tokens, corpus, _ = task()
    given = {"tokens": tokens, **QUICK, **options}
    with pytest.raises(error, match=message):
        nf.fit_modulation(queries, corpus=corpus, qrels=QRELS, **given)
