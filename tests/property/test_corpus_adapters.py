"""Rows searched through a corpus adapter: as if they had been mapped, on every kind of index.

The oracle maps rows in extended precision. Whatever depends on neither, batch, threads and filters,
must not change an answer.
"""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import adapted, dense
from property.adversarial import stored

METRICS = ("l2", "ip", "cosine")
STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
DIM, RANK, N = 24, 3, 700


def factors(seed: int, dim: int = DIM, rank: int = RANK, size: float = 0.4) -> Any:
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, dim, rank)).astype(np.float32)
    return u * np.float32(size / np.sqrt(dim)), v * np.float32(1 / np.sqrt(dim))


def drawn(storage: str, n: int = N, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """Return clustered rows, some of them equal, some zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n // 10, dim))[rng.integers(0, n // 10, n)]
    x = x + 0.3 * rng.standard_normal((n, dim)) * (rng.random(n) < 0.9)[:, None]
    x[5] = 0
    return stored(x, storage)


def size_of(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.linalg.norm(u) * np.linalg.norm(v))


def indexes(metric: str, storage: str, rows: np.ndarray) -> dict[str, tuple[nf.Index, dict]]:
    """Return indexes with these rows and the parameters with which they miss nothing."""
    x = rows if storage != "bfloat16" else dense.widen(rows, storage).astype(np.float32)
    dim = x.shape[1]
    flat = nf.FlatIndex(dim, metric, quantizer=storage)
    ivf = nf.IVFIndex(dim, 8, metric, quantizer=storage)
    groups = nf.IVFIndex(dim, 8, metric, quantizer=storage, coarse="hierarchical")
    hnsw = nf.HNSWIndex(dim, 8, metric, quantizer=storage)
    made = {"flat": (flat, {}), "ivf": (ivf, {"nprobe": 8}), "groups": (groups, {"nprobe": 7})}
    made["hnsw"] = (hnsw, {"ef_search": 65536})
    ivf.train(x)
    groups.train(x)
    for index, _ in made.values():
        index.add(x)
    return made


def answers(index: nf.Index, q: np.ndarray, k: int, **params: Any) -> tuple[np.ndarray, ...]:
    return tuple(index.search(q, k, **params))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("storage", STORAGES)
def test_every_kind_answers_as_if_rows_were_mapped(metric: str, storage: str) -> None:
    rows = drawn(storage)
    wide = dense.widen(rows, storage).astype(np.longdouble)
    u, v = factors(1)
    w = (np.eye(DIM) + np.random.default_rng(5).standard_normal((DIM, DIM)) / 20).astype("f4")
    rng = np.random.default_rng(2)
    q = np.float32(dense.widen(rows[:40], storage) + rng.standard_normal((40, DIM)) * 0.2)
    q[3] = 0
    judges = {
        "thin": adapted.Judge(q, wide, adapted.low_rank(wide, u, v), metric, size_of(u, v)),
        "full": adapted.Judge(q, wide, adapted.matrix(wide, w), metric, np.linalg.norm(w)),
    }
    for kind, (index, params) in indexes(metric, storage, rows).items():
        index.add_corpus_adapter("thin", u, v, sample=0)
        index.add_corpus_adapter("full", w, sample=0)
        for name, judge in judges.items():
            whole = answers(index, q, 10, corpus_adapter=name, threads=2, **params)
            if kind != "groups":
                judge.check(*whole)
            for batch, threads in ((1, 1), (7, 2)):
                parts = [
                    answers(index, q[i : i + batch], 10, corpus_adapter=name, threads=threads)
                    if not params
                    else answers(
                        index, q[i : i + batch], 10, corpus_adapter=name, threads=threads, **params
                    )
                    for i in range(0, len(q), batch)
                ]
                for got, expected in zip(zip(*parts, strict=True), whole, strict=True):
                    np.testing.assert_array_equal(np.concatenate(got), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [100, 5000])
def test_long_scans_are_exact(metric: str, n: int) -> None:
    rng = np.random.default_rng(3)
    rows = drawn("float32", n, 40, seed=8) * 10.0 ** rng.uniform(-2, 2, (n, 1)).astype("f4")
    u, v = factors(4, 40, 6, 2.0)
    q = rng.standard_normal((70, 40)).astype(np.float32)
    q[:30] = adapted.low_rank(rows[:30].astype(float), u, v)
    wide = rows.astype(np.longdouble)
    judge = adapted.Judge(q, wide, adapted.low_rank(wide, u, v), metric, size_of(u, v))
    for storage_kind in ("flat", "ivf"):
        index = nf.FlatIndex(40, metric) if storage_kind == "flat" else nf.IVFIndex(40, 16, metric)
        index.train(rows)
        index.add(rows)
        index.add_corpus_adapter("a", u, v, sample=0)
        params = {"nprobe": 16} if storage_kind == "ivf" else {}
        for k in (1, 10, 100):
            judge.check(*answers(index, q, k, corpus_adapter="a", **params))
        allowed = np.arange(0, n, 3)
        judge.check(*answers(index, q, 5, corpus_adapter="a", filter=allowed, **params), allowed)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e12])
def test_wild_lengths_and_rows_that_vanish(metric: str, scale: float) -> None:
    rng = np.random.default_rng(6)
    rows = (rng.standard_normal((600, 8)) * 10.0 ** rng.uniform(-4, 4, (600, 1))).astype("f4")
    rows[::7, 1:] = 0  # what the map takes away altogether
    rows = rows * np.float32(scale)
    e = np.zeros((8, 1), np.float32)
    e[0] = 1
    q = (rng.standard_normal((20, 8)) * scale).astype(np.float32)
    wide = rows.astype(np.longdouble)
    judge = adapted.Judge(q, wide, adapted.low_rank(wide, -e, e), metric, 1.0)
    for make in (nf.FlatIndex, lambda d, m: nf.HNSWIndex(d, 4, m)):
        index = make(8, metric)
        index.add(rows)
        index.add_corpus_adapter("without", -e, e, sample=0)
        params = {"ef_search": 65536} if index._core.__class__.__name__ == "HNSWIndex" else {}
        ids, scores, counts = answers(index, q, 600, corpus_adapter="without", **params)
        judge.check(ids, scores, counts)
        gone = np.isin(ids, np.arange(0, 600, 7))
        if metric == "cosine":
            assert (scores[gone] == 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_map_that_changes_nothing_changes_no_bit(metric: str) -> None:
    rows = drawn("float32")
    zero = np.zeros((DIM, 2), np.float32)
    for index, _ in indexes(metric, "float32", rows).values():
        index.add_corpus_adapter("u", zero, zero + 1, sample=0)
        index.add_corpus_adapter("v", zero + 1, zero, sample=0)
        index.add_corpus_adapter("w", np.eye(DIM, dtype="f4"), sample=0)
        index.add_corpus_adapter("real", *factors(3), sample=0)
        plain = answers(index, rows[:20], 10)
        for asked in ("u", "v", "w", {"real": 0.0}, {"u": 3.0, "w": 0.5}):
            for got, expected in zip(
                answers(index, rows[:20], 10, corpus_adapter=asked), plain, strict=True
            ):
                assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("metric", METRICS)
def test_mixtures(metric: str) -> None:
    rows = drawn("float32")
    wide = rows.astype(np.longdouble)
    (u, v), (s, t) = factors(1), factors(2, rank=5)
    w = (np.eye(DIM) + np.random.default_rng(5).standard_normal((DIM, DIM)) / 20).astype("f4")
    q = drawn("float32", 100, seed=4)[:30]
    thin = (
        wide
        + 0.7 * (adapted.low_rank(wide, u, v) - wide)
        + 0.3 * (adapted.low_rank(wide, s, t) - wide)
    )
    thick = (
        wide + 0.5 * (adapted.low_rank(wide, u, v) - wide) - 0.25 * (adapted.matrix(wide, w) - wide)
    )
    for index, params in indexes(metric, "float32", rows).values():
        index.add_corpus_adapter("a", u, v, sample=0)
        index.add_corpus_adapter("b", s, t, sample=0)
        index.add_corpus_adapter("w", w, sample=0)
        if "nprobe" in params:
            params = {"nprobe": 8}
        for asked, mapped, share in (
            ({"a": 0.7, "b": 0.3}, thin, adapted.SHARE),
            ({"a": 0.5, "w": -0.25}, thick, 2.0**-21),  # a matrix, rounded
        ):
            judge = adapted.Judge(q, wide, mapped, metric, 2.0, share)
            judge.check(*answers(index, q, 10, corpus_adapter=asked, **params))
            back = index.reconstruct(np.arange(20), corpus_adapter=asked)
            np.testing.assert_allclose(back, np.float64(mapped[:20]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_range_search(metric: str) -> None:
    rows = drawn("float32")
    wide = rows.astype(np.longdouble)
    u, v = factors(1)
    q = drawn("float32", 100, seed=4)[:10]
    judge = adapted.Judge(q, wide, adapted.low_rank(wide, u, v), metric, size_of(u, v))
    threshold = {"l2": 14.0, "ip": 8.0, "cosine": 0.3}[metric]
    for kind, (index, params) in indexes(metric, "float32", rows).items():
        index.add_corpus_adapter("a", u, v, sample=0)
        params = {"nprobe": 8} if "nprobe" in params else {}
        lims, ids, scores = index.range_search(q, threshold, corpus_adapter="a", **params)
        for i in range(len(q)):
            expected = (
                judge.scores[i] <= threshold if metric == "l2" else judge.scores[i] >= threshold
            )
            mine = ids[lims[i] : lims[i + 1]]
            np.testing.assert_array_equal(np.sort(mine), np.flatnonzero(expected), err_msg=kind)
            np.testing.assert_allclose(
                scores[lims[i] : lims[i + 1]], np.float64(judge.scores[i, mine]), rtol=1e-5
            )


CODED = (
    ("sq4", None),
    ("pq6x4", None),
    ("opq6x4", None),
    ("pq6x4", "float16"),
    ("rabitq1", "float32"),
)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("quantizer", "refine"), CODED)
def test_codes_answer_as_their_decoded_rows(
    metric: str, quantizer: str, refine: str | None
) -> None:
    rows = drawn("float32", 1500)
    u, v = factors(1)
    q = drawn("float32", 100, seed=4)[:33]
    q[5] = 1  # a query of zeros has no cosine
    for kind in ("flat", "ivf", "hnsw"):
        if kind == "flat":
            index: nf.Index = nf.FlatIndex(DIM, metric, quantizer=quantizer, refine=refine)
        elif kind == "ivf":
            index = nf.IVFIndex(DIM, 6, metric, quantizer=quantizer, refine=refine)
        else:
            index = nf.HNSWIndex(DIM, 8, metric, quantizer=quantizer, refine=refine)
        index.train(rows)
        index.add(rows)
        index.add_corpus_adapter("a", u, v, sample=0)
        params: dict[str, Any] = {"ivf": {"nprobe": 6}, "hnsw": {"ef_search": 65536}}.get(kind, {})
        if "rerank" in index._search_params and refine:
            params["rerank"] = 1500
        if "epsilon" in index._search_params:
            params["epsilon"] = np.inf
        kept = index.reconstruct(np.arange(1500)).astype(np.longdouble)
        if metric == "cosine" and refine is None:
            # Decoded rows count as unit vectors, so that what the map does to their length counts.
            lengths = dense.norms(kept)
            mapped = adapted.low_rank(kept, u, v)
            key = (q.astype(np.longdouble) @ mapped.T) * lengths / dense.norms(mapped)
            key /= dense.norms(q.astype(np.longdouble))[:, None]
            ids, scores, _ = answers(index, q, 10, corpus_adapter="a", **params)
            best = -np.sort(-np.float64(key), axis=1)[:, :10]
            np.testing.assert_allclose(scores, best, rtol=3e-6, atol=3e-6)
            got = np.take_along_axis(np.float64(key), ids, 1)
            np.testing.assert_allclose(got, best, rtol=3e-6, atol=3e-6)
        else:
            share = 2.0**-20  # rotated codes are as exact as float32
            judge = adapted.Judge(
                q, kept, adapted.low_rank(kept, u, v), metric, size_of(u, v), share
            )
            judge.check(*answers(index, q, 10, corpus_adapter="a", **params))
        whole = answers(index, q, 10, corpus_adapter="a", **params)
        one = [answers(index, q[i], 10, corpus_adapter="a", **params)[0] for i in range(len(q))]
        np.testing.assert_array_equal(np.array(one), whole[0])
