"""What IVFIndex answers: the best rows of the lists near each query, all lists: as flat."""

from __future__ import annotations

import pickle

import nearfield as nf
import numpy as np
import pytest
from unit.clumps import METRICS, STORAGES, assert_same, flat_of, homes, ivf, rows_of


def test_same_answers_as_flat_where_every_list_is_looked_into() -> None:
    for metric in METRICS:
        for storage in STORAGES:
            x = rows_of(storage, 700, 33)
            queries = rows_of("float32", 23, 33, seed=1)
            index = ivf(x, metric=metric, quantizer=storage)
            flat = flat_of(index, x)
            for k in (1, 10, 100, 700, 900):
                for nprobe in (12, 13, 2**62):
                    assert_same(index.search(queries, k, nprobe=nprobe), flat.search(queries, k))
            threshold = float(np.median(flat.search(queries, 60).scores))
            assert_same(
                index.range_search(queries, threshold, nprobe=12),
                flat.range_search(queries, threshold),
            )


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_answers_are_the_best_rows_of_the_lists_near_each_query(metric: str, storage: str) -> None:
    x = rows_of(storage, 900, 20)
    queries = rows_of("float32", 40, 20, seed=1)
    index = ivf(x, 15, metric, quantizer=storage)
    flat = flat_of(index, x)
    home = homes(index)
    assert index.list_sizes.tolist() == np.bincount(home, minlength=15).tolist()
    limit = float(np.median(flat.search(queries, 80).scores))
    compared = 0
    for nprobe in (1, 2, 5, 14):
        near = nf.topk(queries, index.centroids, nprobe, metric).ids
        found = {k: index.search(queries, k, nprobe=nprobe) for k in (1, 7, 60)}
        within = index.range_search(queries, limit, nprobe=nprobe)
        for i, query in enumerate(queries):
            allowed = np.isin(home, near[i])
            for k, answer in found.items():
                assert answer.counts[i] == k
                if allowed.sum() >= k:
                    expected = flat.search(query, k, filter=allowed)
                    assert_same(nf.SearchResult(*(part[i] for part in answer)), expected)
                    compared += 1
            mine = flat.range_search(query, limit, filter=allowed)
            assert within.ids[within.lims[i] : within.lims[i + 1]].tolist() == mine.ids.tolist()
    assert compared > 300


def test_lists_hold_the_rows_nearest_to_their_centroids_also_after_changes() -> None:
    x = rows_of("float32", 900, 5)
    index = ivf(x[:300], 6)
    for first in range(300, 900, 7):
        index.add(x[first : first + 7])
    index.remove(np.arange(0, 900, 3))
    assert index.list_sizes.sum() >= 600
    again = pickle.loads(pickle.dumps(index))
    assert again.list_sizes.tolist() == np.bincount(homes(index), minlength=6).tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_answers_do_not_depend_on_batches_threads_or_pieces(metric: str) -> None:
    x = rows_of("float32", 3000, 24)
    queries = rows_of("float32", 70, 24, seed=1)
    index = ivf(x, 40, metric)
    pieces = nf.IVFIndex(24, 40, metric)
    pieces.train(x)
    start = 0
    for size in (1, 2, 900, 1, 1, 50, 700, 3):
        pieces.add(x[start : start + size], threads=1 + size % 2)
        start += size
    for row in x[start : start + 200]:
        pieces.add(row[None])
    pieces.add(x[start + 200 :])
    mask = np.random.default_rng(0).random(3000) < 0.3
    for nprobe in (1, 6, 39):
        for k in (1, 10, 300):
            for chosen in (None, mask):
                whole = index.search(queries, k, nprobe=nprobe, filter=chosen, threads=1)
                for other in (index, pieces):
                    for batch, threads in ((70, 2), (33, 3), (7, 2), (1, 4), (1, 1)):
                        parts = [
                            other.search(
                                queries[i : i + batch],
                                k,
                                nprobe=nprobe,
                                filter=chosen,
                                threads=threads,
                            )
                            for i in range(0, 70, batch)
                        ]
                        joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
                        assert_same(whole, joined)


def test_nprobe_is_the_root_of_nlist_by_default() -> None:
    x = rows_of("float32", 3000, 8)
    queries = rows_of("float32", 50, 8, seed=1)
    for nlist, nprobe in ((1, 1), (2, 1), (3, 2), (40, 6), (100, 10)):
        index = ivf(x, nlist)
        assert_same(index.search(queries, 5), index.search(queries, 5, nprobe=nprobe))
        limit = float(np.median(index.search(queries, 50).scores))
        assert_same(
            index.range_search(queries, limit), index.range_search(queries, limit, nprobe=nprobe)
        )
    fewer = index.search(queries, 5, nprobe=1)
    assert (fewer.ids != index.search(queries, 5, nprobe=100).ids).any(), "a test of nothing"


def test_more_lists_are_looked_into_until_k_rows_are_found() -> None:
    """Matching rows lie in the lists farthest from the query."""
    x = np.zeros((4000, 2), np.float32)
    x[:, 0] = np.repeat(np.arange(40) * 100, 100)
    x[:, 1] = np.tile(np.arange(100) / 100, 40)
    index = ivf(x, 40)
    flat = flat_of(index, x)
    queries = x[[5, 1205]]
    for chosen in (range(3990, 4000), np.arange(0, 4000, 399), [3999], np.arange(4000) >= 3700):
        for k in (1, 10, 11, 350):
            found = index.search(queries, k, nprobe=1, filter=chosen)
            assert found.counts.tolist() == flat.search(queries, k, filter=chosen).counts.tolist()
    only = index.search(queries, 10, nprobe=1, filter=range(3990, 4000))
    assert_same(only, flat.search(queries, 10, filter=range(3990, 4000)))
    assert index.search(queries, 150, nprobe=1).counts.tolist() == [150, 150]
    assert_same(index.search(queries, 5000, nprobe=1), flat.search(queries, 5000))
    assert index.search(queries, 3, nprobe=1, filter=[]).counts.tolist() == [0, 0]
    lims, ids, _ = index.range_search(queries, 1.0, nprobe=1, filter=range(1210, 1220))
    assert (lims.tolist(), sorted(ids.tolist())) == ([0, 0, 10], list(range(1210, 1220)))


def test_filters_of_every_kind() -> None:
    x = rows_of("float32", 500, 6)
    labels = np.arange(500) * 3 + 1000
    index = ivf(x, 9, ids=labels)
    index.remove(labels[::5])
    flat = flat_of(index, x, labels)
    flat.remove(labels[::5])
    queries = rows_of("float32", 9, 6, seed=1)
    by_row = np.random.default_rng(1).random(400) < 0.4
    ids = labels[np.random.default_rng(2).permutation(500)[:60]]
    kinds = (by_row, by_row.tolist(), ids, set(ids.tolist()), range(1100, 1900, 3))
    for chosen in (*kinds, nf.Filter(ids) | nf.Filter(range(1100, 1300)), [], range(5)):
        for k in (3, 30):
            assert_same(
                index.search(queries, k, nprobe=9, filter=chosen),
                flat.search(queries, k, filter=chosen),
            )
            some = index.search(queries, k, nprobe=2, filter=chosen)
            assert some.counts.tolist() == flat.search(queries, k, filter=chosen).counts.tolist()
        assert_same(
            index.range_search(queries, 9000.0, nprobe=9, filter=chosen),
            flat.range_search(queries, 9000.0, filter=chosen),
        )


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_answers_a_part_of_what_flat_does(metric: str) -> None:
    x = rows_of("float32", 800, 16)
    queries = rows_of("float32", 12, 16, seed=1)
    index = ivf(x, 20, metric)
    flat = flat_of(index, x)
    threshold = float(np.median(flat.search(queries, 90).scores))
    all_lims, all_ids, _ = flat.range_search(queries, threshold)
    most = 0
    for nprobe in (1, 3, 10, 20):
        lims, ids, scores = index.range_search(queries, threshold, nprobe=nprobe)
        for i in range(12):
            mine = ids[lims[i] : lims[i + 1]]
            every = all_ids[all_lims[i] : all_lims[i + 1]].tolist()
            assert [label for label in every if label in set(mine.tolist())] == mine.tolist()
        assert len(ids) == len(scores) >= most
        most = len(ids)
    assert most == len(all_ids) > 500


@pytest.mark.parametrize("dim", [1, 3, 33, 100, 768])
@pytest.mark.parametrize("metric", METRICS)
def test_any_number_of_columns(metric: str, dim: int) -> None:
    x = rows_of("float32", 400, dim)
    x[200:] = x[:200]  # every row twice
    index = ivf(x, 5, metric)
    flat = flat_of(index, x)
    assert_same(index.search(x[:9], 20, nprobe=5), flat.search(x[:9], 20))
    found = index.search(x[:50], 2, nprobe=1)
    if metric != "ip" and dim > 1:
        assert found.ids.tolist() == [[row, row + 200] for row in range(50)]


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_all_equal_and_rows_of_zeros(metric: str) -> None:
    for value in (0, 3):
        x = np.full((300, 8), value, np.float32)
        index = ivf(x, 6, metric)
        for nprobe in (1, 6):
            assert_same(index.search(x[:3], 20, nprobe=nprobe), flat_of(index, x).search(x[:3], 20))
    x = rows_of("float32", 300, 8)
    x[::3] = 0
    index = ivf(x, 6, metric)
    assert_same(index.search(x[:6], 99, nprobe=6), flat_of(index, x).search(x[:6], 99))
    assert index.search(np.zeros(8), 5, nprobe=1).counts == 5


def test_one_vector_has_no_query_axis() -> None:
    x = rows_of("float32", 100, 4)
    index = ivf(x, 5)
    found = index.search(x[7], 3, nprobe=5)
    assert [np.shape(part) for part in found] == [(3,), (3,), ()]
    assert found.ids[0] == 7
    assert index.range_search(x[7], 0.0).ids.tolist() == [7]
    assert index.search(np.empty((0, 4)), 3).ids.shape == (0, 3)
    assert index.range_search(np.empty((0, 4)), 3.0).lims.tolist() == [0]
    index.add([])
    index.add(np.empty((0, 4)), ids=[])
    assert len(index) == 100
