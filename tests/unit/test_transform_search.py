"""Transforms inside a search: the same bits as before it, on every kind of index and code."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.adapters import T, identities, made, weights
from unit.clumps import METRICS, STORAGES, assert_same, rows_of

DIM = 24
RNG = np.random.default_rng(0)
Q = weights(RNG, 70, DIM) * 15
ADAPTERS = [made(form, DIM, i)[0] for i, form in enumerate(("affine", "key_value", "low_rank"))]
SHRINKING = T.Affine(weights(RNG, DIM, 2 * DIM))
CODES = ("sq8", "sq4", "pq4x4", "opq4x4", "rabitq1", "rabitq4")


def filled(kind: str, metric: Any, quantizer: str, refine: str | None = None) -> Any:
    x = rows_of(quantizer if quantizer in STORAGES else refine or "float32", 700, DIM)
    coding: Any = {"quantizer": quantizer, "refine": refine}
    if kind == "flat":
        index: nf.Index = nf.FlatIndex(DIM, metric, **coding)
    elif kind == "ivf":
        index = nf.IVFIndex(DIM, 8, metric, **coding)
    else:
        index = nf.HNSWIndex(DIM, 6, metric, ef_construction=40, **coding)
    index.train(x)
    index.add(x)
    return index


def check_fused(index: Any, **params: Any) -> None:
    """Fused equals transform-then-search, bit for bit: one, one each, bundles, modulation."""
    for transform in (ADAPTERS[1], T.Chain([ADAPTERS[0], T.Normalize()])):
        found = index.search(Q, 5, transform=transform, **params)
        assert_same(found, index.search(transform(Q), 5, **params))
    ids = np.random.default_rng(1).integers(-1, 3, len(Q))
    mapped = np.stack([ADAPTERS[t](q) if t >= 0 else q for t, q in zip(ids, Q, strict=True)])
    found = index.search(Q, 5, transform=ADAPTERS, transform_ids=ids, **params)
    assert_same(found, index.search(mapped, 5, **params))
    found = index.search(Q, 5, transform=ADAPTERS, **params)
    assert found.ids.shape == found.scores.shape == (len(Q), 3, 5)
    for j, transform in enumerate(ADAPTERS):
        own = nf.SearchResult(*(part[:, j] for part in found))
        assert_same(own, index.search(transform(Q), 5, **params))
    modulation = T.LexicalModulation(weights(RNG, 30, DIM), mode="slr")
    tokens = nf.Tokens(np.arange(2 * len(Q)) % 30, np.arange(len(Q) + 1) * 2)
    found = index.search(Q, 5, transform=modulation, tokens=tokens, **params)
    assert_same(found, index.search(modulation(Q, tokens), 5, **params))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_fused_search_over_every_storage(kind: str, metric: Any, storage: str) -> None:
    check_fused(filled(kind, metric, storage), **({"nprobe": 3} if kind == "ivf" else {}))


@pytest.mark.parametrize("quantizer", CODES)
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_fused_search_over_every_code(kind: str, quantizer: str) -> None:
    refine = "float32" if kind == "hnsw" or quantizer in ("rabitq1", "sq4") else None
    index = filled(kind, "ip", quantizer, refine)
    check_fused(index, **({"nprobe": 3, "margin": 5.0} if kind == "ivf" else {}))


@pytest.mark.parametrize("metric", METRICS)
def test_fused_topk(metric: Any) -> None:
    x = rows_of("float32", 300, DIM)
    found = nf.topk(Q, x, 5, metric, transform=ADAPTERS[0])
    assert_same(found, nf.topk(ADAPTERS[0](Q), x, 5, metric))
    bundle = nf.topk(Q, x, 5, metric, transform=ADAPTERS, transform_ids=[[2, 0]] * len(Q))
    assert bundle.ids.shape == (len(Q), 2, 5)
    assert (bundle.ids[:, 1] == found.ids).all()
    own = nf.topk(x, x, 1, metric, transform=T.Affine(np.eye(DIM)), exclude_self=True)
    assert_same(own, nf.topk(x, x, 1, metric, exclude_self=True))
    with pytest.raises(ValueError, match=r"exclude_self: .*no bundle"):
        nf.topk(x, x, 1, metric, transform=ADAPTERS, exclude_self=True)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_fused_range_search(kind: str) -> None:
    index = filled(kind, "l2", "float32")
    limit = float(np.median(index.search(ADAPTERS[2](Q), 20).scores))
    found = index.range_search(Q, limit, transform=ADAPTERS[2])
    assert_same(found, index.range_search(ADAPTERS[2](Q), limit))
    bundle = index.range_search(Q[:4], limit, transform=[ADAPTERS[2], ADAPTERS[0]])
    both = np.stack([ADAPTERS[2](Q[:4]), ADAPTERS[0](Q[:4])], axis=1).reshape(-1, DIM)
    assert_same(bundle, index.range_search(both, limit))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", identities(DIM))
def test_identity_parameters_give_the_result_of_no_transform(name: str, metric: Any) -> None:
    index = filled("flat", metric, "float32")
    q = np.concatenate([Q, -Q * 0, Q[:1] * np.float32(-0.0)])
    assert_same(index.search(q, 9, transform=identities(DIM)[name]), index.search(q, 9))


def test_queries_have_the_dimensions_the_transform_takes() -> None:
    index = filled("flat", "ip", "float32")
    q = weights(RNG, 10, 2 * DIM)
    assert_same(index.search(q, 3, transform=SHRINKING), index.search(SHRINKING(q), 3))
    assert index.search(q[0], 3, transform=SHRINKING).ids.shape == (3,)
    found = index.search(q, 3, transform=[SHRINKING, SHRINKING], transform_ids=[1] * 10)
    assert_same(found, index.search(SHRINKING(q), 3))
    with pytest.raises(ValueError, match=r"q: got shape \(10, 48\), expected"):
        index.search(q, 3)


def test_one_vector_and_empty_batches() -> None:
    index = filled("flat", "ip", "float32")
    alone = index.search(Q[0], 4, transform=ADAPTERS)
    whole = index.search(Q, 4, transform=ADAPTERS)
    assert alone.ids.shape == (3, 4)
    assert_same(alone, nf.SearchResult(*(part[0] for part in whole)))
    chosen = index.search(Q[0], 4, transform=ADAPTERS, transform_ids=2)
    assert_same(chosen, nf.SearchResult(*(part[0, 2] for part in whole)))
    assert index.search(Q[:0], 4, transform=ADAPTERS).ids.shape == (0, 3, 4)
    assert index.search(Q[:0], 4, transform=ADAPTERS[0]).ids.shape == (0, 4)


def test_filters_threads_and_tuned_parameters_stay_usable() -> None:
    index = filled("ivf", "ip", "float32")
    index.add(rows_of("float32", 3000, DIM, seed=9))
    nf.tune(index, Q, recall=0.9, k=5)
    for asked in ({"recall": 0.9}, {"nprobe": 2, "filter": range(0, 700, 2)}):
        found = index.search(Q, 5, transform=ADAPTERS[0], threads=1, **asked)
        assert_same(found, index.search(ADAPTERS[0](Q), 5, **asked))
    bundle = index.search(Q, 5, transform=ADAPTERS, recall=0.9, threads=2)
    assert bundle.counts.shape == (len(Q), 3)


INDEX = filled("flat", "ip", "float32")
SLR = T.LexicalModulation(np.ones((30, DIM)))
N = len(Q)
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"transform": "affine"}, TypeError, "transform: got a str, expected a transform"),
    ({"transform": []}, ValueError, "transform: got an empty list"),
    ({"transform": [1]}, TypeError, r"transform\[0\]: got a int"),
    ({"transform": SHRINKING}, ValueError, r"q: got shape \(70, 24\), expected .*48"),
    ({"transform": T.Affine(np.ones((5, DIM)))}, ValueError, "gives vectors of 5 .*expected 24"),
    ({"transform": [T.Affine(np.ones((5, DIM)))]}, ValueError, "gives vectors of 5"),
    ({"transform": [SHRINKING, ADAPTERS[0]]}, ValueError, "take 24 dimensions and others .*48"),
    ({"transform": ADAPTERS[0], "transform_ids": [0] * N}, TypeError, "ids: needs a list"),
    ({"transform_ids": [0] * N}, TypeError, "transform_ids: needs transform="),
    ({"tokens": nf.Tokens([], [0])}, TypeError, "tokens: needs transform=, a Lexical"),
    ({"transform": ADAPTERS, "tokens": 1}, TypeError, "tokens: needs a LexicalModulation as"),
    ({"transform": ADAPTERS[0], "tokens": 1}, TypeError, "tokens: needs transform=, a Lex"),
    ({"transform": SLR}, TypeError, "tokens: got None, expected nf.Tokens"),
    ({"transform": [SLR]}, TypeError, r"transform\[0\]: a LexicalModulation needs tokens"),
    ({"transform": SLR, "tokens": nf.Tokens([1], [0, 1])}, ValueError, "tokens: got 1 rows for"),
    ({"transform": ADAPTERS, "transform_ids": [3] * N}, ValueError, "ids: got 3, expected num"),
    ({"transform": ADAPTERS, "transform_ids": [-2] * N}, ValueError, "ids: got -2"),
    ({"transform": ADAPTERS, "transform_ids": [0]}, ValueError, r"ids: got shape \(1,\)"),
    ({"transform": ADAPTERS, "transform_ids": [[]] * N}, ValueError, "ids: got shape"),
    ({"transform": ADAPTERS, "transform_ids": [0.5] * N}, TypeError, "ids: .*expected integers"),
    ({"transform": T.Diagonal([3e38] * DIM)}, ValueError, "q: query 0 is taken beyond float32"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments_say_what_was_expected(case: int) -> None:
    asked, error, pattern = WRONG[case]
    with pytest.raises(error, match=pattern):
        INDEX.search(Q, 3, **asked)
    with pytest.raises(error, match=pattern.replace("q:", "queries:")):
        nf.topk(Q, rows_of("float32", 50, DIM), 3, "ip", **asked)
    with pytest.raises(error, match=pattern):
        INDEX.range_search(Q, 1e9, **asked)


def test_a_missing_transform_needs_queries_of_the_index() -> None:
    q = weights(RNG, 2, 2 * DIM)
    with pytest.raises(ValueError, match=r"ids: got -1 .none. for queries of 48 dimensions"):
        INDEX.search(q, 3, transform=[SHRINKING], transform_ids=[0, -1])


def test_a_query_that_is_not_finite_is_named() -> None:
    q = Q.copy()
    q[[9, 40]] = np.nan
    for asked in ({"transform": ADAPTERS[0]}, {"transform": ADAPTERS}):
        with pytest.raises(ValueError, match="q: query 9 holds NaN"):
            INDEX.search(q, 3, **asked)
