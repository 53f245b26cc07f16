"""What HNSWIndex answers: as many near rows as asked for, scored as a flat index scores them."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import dense
from unit.clumps import METRICS, STORAGES, assert_same, flat_of, graph, rows_of
from unit.test_coded import gaussian, quantizer_of

EVERY_ROW = 2**62


def check_found(found: nf.SearchResult, every: nf.SearchResult, k: int) -> None:
    """Raise unless k different rows came back, best first, each with the score that it has."""
    assert (found.counts == min(k, every.ids.shape[1])).all()
    for i, count in enumerate(found.counts):
        scores = dict(zip(every.ids[i].tolist(), every.scores[i], strict=True))
        place = {label: at for at, label in enumerate(every.ids[i].tolist())}
        ids = found.ids[i, :count].tolist()
        assert found.scores[i, :count].tobytes() == np.array([scores[j] for j in ids]).tobytes()
        places = [place[label] for label in ids]
        assert places == sorted(set(places)), f"query {i}"
        assert (found.ids[i, count:] == nf.MISSING).all()
        assert np.isnan(found.scores[i, count:]).all()


def recall(found: nf.SearchResult, truth: nf.SearchResult, metric: str) -> float:
    last = truth.scores[:, found.ids.shape[1] - 1, None]
    return float((found.scores <= last if metric == "l2" else found.scores >= last).mean())


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_same_answers_as_flat_where_the_search_is_as_wide_as_the_index(
    metric: str, storage: str
) -> None:
    x, queries = rows_of(storage, 700, 33), rows_of("float32", 23, 33, seed=1)
    index = graph(x, metric=metric, quantizer=storage)
    flat = flat_of(index, x)
    for k in (1, 10, 100, 700, 900):
        for breadth in (700, 701, EVERY_ROW):
            assert_same(index.search(queries, k, ef_search=breadth), flat.search(queries, k))
            few = index.search(queries, k, ef_search=breadth, rerank=1)
            assert_same(few, flat.search(queries, k))
    assert_same(index.search(queries, 700), flat.search(queries, 700))  # at least k wide
    assert_same(index.search(queries, 900), flat.search(queries, 900))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_rows_come_with_the_scores_they_have(metric: str, storage: str) -> None:
    x, queries = rows_of(storage, 900, 20), rows_of("float32", 30, 20, seed=1)
    index = graph(x, metric=metric, quantizer=storage, ids=np.arange(900) * 3 - 50)
    every = flat_of(index, x, np.arange(900) * 3 - 50).search(queries, 900)
    exact = dense.scores(queries, np.asarray(x, np.float64), metric)
    for breadth in (1, 10, 45, 200):
        for k in (1, 10, 60):
            for more in ({}, {"rerank": 1}, {"rerank": 30}, {"rerank": EVERY_ROW}):
                found = index.search(queries, k, ef_search=breadth, **more)
                check_found(found, every, k)
            recomputed = np.take_along_axis(exact, (found.ids + 50) // 3, axis=1)
            np.testing.assert_allclose(found.scores, recomputed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("refine", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("name", ["sq8", "sq4", "pq4x4", "pq4x8", "opq4x4", "rabitq1", "rabitq4"])
@pytest.mark.parametrize("metric", METRICS)
def test_codes(metric: Any, name: str, refine: str | None) -> None:
    """Scores are of decoded rows, or of what was kept beside their codes."""
    x, queries = gaussian(600), gaussian(25, seed=1)
    quantizer = quantizer_of(name, x)
    coding = {"quantizer": quantizer, "refine": refine}
    index = graph(x, metric=metric, **coding)
    assert (index.quantizer, index.refine, index.is_trained) == (name, refine, True)
    flat: Any = nf.FlatIndex(16, metric, quantizer=refine or quantizer)
    flat.add(x)
    assert index.reconstruct(index.ids).tobytes() == flat.reconstruct(flat.ids).tobytes()
    every = flat.search(queries, 600)
    for k in (1, 10, 100):
        assert_same(index.search(queries, k, ef_search=600), flat.search(queries, k))
        for params in ({}, {"ef_search": 10}, {"rerank": 5}, {"ef_search": 80, "rerank": 80}):
            check_found(index.search(queries, k, **params), every, k)
    limit = float(np.median(flat.search(queries, 40).scores))
    assert_same(index.range_search(queries, limit), flat.range_search(queries, limit))


def test_padding_and_shapes() -> None:
    x = gaussian(20, 4)
    index = graph(x, ids=np.arange(20) * 10)
    for k in (20, 21, 300):
        found = index.search(x, k)
        assert [part.shape for part in found] == [(20, k), (20, k), (20,)]
        assert [part.dtype for part in found] == [np.int64, np.float32, np.int64]
        check_found(found, flat_of(index, x, np.arange(20) * 10).search(x, 20), k)
    one = index.search(x[7], 3)
    assert [np.shape(part) for part in one] == [(3,), (3,), ()]
    assert one.ids[0] == 70
    assert index.search(x[7].tolist(), 1).ids.tolist() == [70]
    assert index.search(x[:2]).ids.shape == (2, 10)
    assert index.search(np.empty((0, 4)), 3).ids.shape == (0, 3)
    assert index.range_search(np.empty((0, 4)), 3.0).lims.tolist() == [0]
    index.add([])
    index.add(np.empty((0, 4)), ids=[])
    assert len(index) == 20


@pytest.mark.parametrize("metric", METRICS)
def test_few_rows_and_none(metric: str) -> None:
    queries = gaussian(5, 6, seed=3)
    for count in (0, 1, 2, 3, 9, 60):
        x = gaussian(count, 6)
        index = graph(x, 2, metric)
        found = index.search(queries, 12, ef_search=1)
        assert (found.counts == min(count, 12)).all()
        assert (found.ids[:, count:] == nf.MISSING).all()
        if count <= 12:
            assert_same(found, flat_of(index, x).search(queries, 12))
        assert index.range_search(queries, 1e9 if metric == "l2" else -1e9).ids.size == 5 * count
        assert index.search(queries, 12, filter=[]).counts.tolist() == [0] * 5


@pytest.mark.parametrize("metric", METRICS)
def test_answers_do_not_depend_on_batches_or_threads(metric: str) -> None:
    x, queries = gaussian(3000, 24), gaussian(300, 24, seed=1)
    index = graph(x, 12, metric)
    again = nf.HNSWIndex(24, 12, metric, ef_construction=60)
    again.add(x, threads=1)
    mask = np.random.default_rng(0).random(3000) < 0.3
    for params in ({"ef_search": 10}, {}, {"ef_search": 100, "rerank": 20}):
        for chosen in (None, mask):
            whole = index.search(queries, 10, filter=chosen, threads=2, **params)
            for other, batch, threads in ((again, 300, 1), (index, 33, 3), (index, 1, 1)):
                parts = [
                    other.search(q, 10, filter=chosen, threads=threads, **params)
                    for q in np.split(queries, range(batch, 300, batch))
                ]
                assert_same(whole, [np.concatenate(part) for part in zip(*parts, strict=True)])
    alone = [index.search(query, 10) for query in queries[:20]]
    joined = [np.array(part) for part in zip(*alone, strict=True)]
    assert_same(index.search(queries[:20], 10, threads=2), joined)


def test_defaults() -> None:
    x, queries = gaussian(4000, 32), gaussian(50, 32, seed=1)
    index = graph(x)
    assert_same(index.search(queries), index.search(queries, 10, ef_search=64))
    assert_same(index.search(queries, 80), index.search(queries, 80, ef_search=80))
    assert_same(index.search(queries, 80, ef_search=3), index.search(queries, 80, ef_search=80))
    assert_same(index.search(queries, rerank=1), index.search(queries, rerank=10))


@pytest.mark.parametrize("metric", METRICS)
def test_wider_searches_find_more(metric: str) -> None:
    """In clusters, as vectors of real things lie."""
    rng = np.random.default_rng(5)
    middles = rng.standard_normal((60, 40), dtype=np.float32)
    drawn = middles[rng.integers(0, 60, 5050)]
    points = drawn + np.float32(0.5) * rng.standard_normal((5050, 40), dtype=np.float32)
    x, queries = points[:5000], points[5000:]
    index = graph(x, 16, metric, ef_construction=100)
    truth = flat_of(index, x).search(queries, 10)
    reached = [
        recall(index.search(queries, 10, ef_search=breadth), truth, metric)
        for breadth in (10, 32, 128, 512)
    ]
    assert np.diff(reached).min() >= -0.005
    assert reached[2] >= 0.95
    assert reached[3] >= 0.99
    most = [
        recall(index.search(queries, 10, ef_search=128, rerank=rerank), truth, metric)
        for rerank in (10, 20, 128)
    ]
    assert most == sorted(most)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.02, 0.004, 0.001, 0.0])
@pytest.mark.parametrize("metric", METRICS)
def test_filters_let_through_what_they_say_and_k_rows_come_back(metric: str, share: float) -> None:
    x, queries = gaussian(5000, 16), gaussian(20, 16, seed=1)
    labels = np.random.default_rng(2).permutation(5000) * 2 + 7
    index = graph(x, metric=metric, ids=labels)
    index.remove(labels[:200])
    flat = flat_of(index, x[200:], labels[200:])
    mask = np.random.default_rng(3).random(4800) < share
    may = index.ids[mask]
    every = flat.search(queries, max(len(may), 1), filter=mask)
    for k in (1, 10, 100):
        for params in ({}, {"ef_search": 1}, {"ef_search": 200}):
            found = index.search(queries, k, filter=mask, **params)
            assert (found.counts == min(k, len(may))).all()
            if len(may):
                check_found(found, every, k)
            assert_same(index.search(queries, k, filter=may, **params), found)
            if len(may) <= k:
                assert_same(found, flat.search(queries, k, filter=mask))
        whole = index.search(queries, k, filter=mask, ef_search=5000)
        assert_same(whole, flat.search(queries, k, filter=mask))
    found = index.search(queries, 10, filter=mask, ef_search=300)
    if len(may) >= 10:
        assert recall(found, every, metric) >= 0.9


def test_filters_of_every_kind() -> None:
    x, queries = gaussian(500, 6), gaussian(9, 6, seed=1)
    labels = np.arange(500) * 3 + 1000
    index = graph(x, ids=labels)
    index.remove(labels[::5])
    flat = flat_of(index, x, labels)
    flat.remove(labels[::5])
    by_row = np.random.default_rng(1).random(400) < 0.4
    ids = labels[np.random.default_rng(2).permutation(500)[:60]]
    kinds = (by_row, by_row.tolist(), ids, set(ids.tolist()), range(1100, 1900, 3))
    for chosen in (*kinds, nf.Filter(ids) | nf.Filter(range(1100, 1300)), [], range(5), None):
        every = flat.search(queries, 400, filter=chosen)
        for k in (3, 30, 400):
            found = index.search(queries, k, filter=chosen, ef_search=5)
            assert found.counts.tolist() == np.minimum(every.counts, k).tolist()
            assert all(np.isin(a, b).all() for a, b in zip(found.ids, every.ids, strict=True))
            exact = index.search(queries, k, filter=chosen, ef_search=500)
            assert_same(exact, flat.search(queries, k, filter=chosen))
        for limit in (2.0, 30.0):
            assert_same(
                index.range_search(queries, limit, filter=chosen),
                flat.range_search(queries, limit, filter=chosen),
            )


def test_rows_that_match_far_from_the_query() -> None:
    """A walk ends where the query is; what the filter lets through lies elsewhere."""
    x = np.zeros((4000, 2), np.float32)
    x[:, 0] = np.repeat(np.arange(40) * 100, 100)
    x[:, 1] = np.tile(np.arange(100) / 100, 40)
    index = graph(x)
    flat = flat_of(index, x)
    queries = x[[5, 1205]]
    for chosen in (range(3990, 4000), np.arange(0, 4000, 399), [3999], np.arange(4000) >= 1900):
        for k in (1, 10, 11, 350):
            found = index.search(queries, k, filter=chosen, ef_search=1)
            assert found.counts.tolist() == flat.search(queries, k, filter=chosen).counts.tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_is_that_of_flat(metric: str) -> None:
    x, queries = gaussian(800), gaussian(12, seed=1)
    index = graph(x, metric=metric)
    flat = flat_of(index, x)
    for k in (1, 90, 700):
        threshold = float(np.median(flat.search(queries, k).scores))
        assert_same(index.range_search(queries, threshold), flat.range_search(queries, threshold))


@pytest.mark.parametrize("dim", [1, 2, 3, 33, 100, 129, 768])
@pytest.mark.parametrize("metric", METRICS)
def test_any_number_of_columns(metric: str, dim: int) -> None:
    x = gaussian(400, dim)
    index = graph(x, metric=metric)
    flat = flat_of(index, x)
    found = index.search(x[:60], 10, ef_search=120)
    check_found(found, flat.search(x[:60], 400), 10)
    if dim > 3 and metric != "ip":
        assert (found.ids[:, 0] == np.arange(60)).mean() >= 0.95
    assert_same(index.search(x[:9], 10, ef_search=400), flat.search(x[:9], 10))


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_all_equal_and_rows_of_zeros(metric: str) -> None:
    for value in (0, 3):
        x = np.full((300, 8), value, np.float32)
        index = graph(x, 4, metric)
        every = flat_of(index, x).search(x[:3], 300)
        for breadth in (1, 30, 300):
            check_found(index.search(x[:3], 20, ef_search=breadth), every, 20)
    x = gaussian(300, 8)
    x[::3] = 0
    index = graph(x, 4, metric)
    every = flat_of(index, x).search(x[:6], 300)
    check_found(index.search(x[:6], 99), every, 99)
    assert index.search(np.zeros(8), 5).counts == 5
    twice = np.concatenate([gaussian(200)] * 2)
    found = graph(twice, metric="l2").search(twice[:50], 2, ef_search=100)
    assert np.mean(found.scores == 0) >= 0.95


@pytest.mark.parametrize("metric", METRICS)
def test_lengths_of_every_magnitude(metric: str) -> None:
    x = gaussian(500) * np.float32(10.0) ** np.linspace(-18, 18, 500, dtype=np.float32)[:, None]
    queries = gaussian(10, seed=1) * np.float32(10.0) ** np.arange(-15, 15, 3)[:10, None]
    index = graph(x, metric=metric)
    flat = flat_of(index, x)
    every = flat.search(queries, 500)
    for breadth in (1, 64):
        check_found(index.search(queries, 10, ef_search=breadth), every, 10)
    assert_same(index.search(queries, 10, ef_search=500), flat.search(queries, 10))
    for scale in (1e-20, 1e15):
        rows = gaussian(1000) * np.float32(scale)
        asked = gaussian(40, seed=1) * np.float32(scale)
        alike = graph(rows, 12, metric)
        truth = flat_of(alike, rows).search(asked, 10)
        assert recall(alike.search(asked, 10, ef_search=128), truth, metric) >= 0.95
