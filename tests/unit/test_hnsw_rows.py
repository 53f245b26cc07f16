"""Rows of an HNSWIndex as a user meets them: changes, files, figures, wrong calls."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.clumps import METRICS, STORAGES, assert_same, flat_of, graph, rows_of, state
from unit.test_coded import gaussian
from unit.test_hnsw import check_found


def check_rows(index: nf.HNSWIndex, held: dict[int, np.ndarray]) -> None:
    """Raise unless the index holds these rows by label, finds them, and no others."""
    labels = np.array(sorted(held), np.int64)
    x = np.array([held[label] for label in labels.tolist()]).reshape(-1, index.dim)
    assert (len(index), sorted(index.ids.tolist())) == (len(held), labels.tolist())
    np.testing.assert_array_equal(index.reconstruct(labels), x)
    queries = gaussian(12, index.dim, seed=3)
    if not held:
        assert index.search(queries, 3).counts.tolist() == [0] * 12
        return
    every = flat_of(index, x, labels).search(queries, len(held))
    for params in ({}, {"ef_search": 1}, {"ef_search": len(held)}):
        check_found(index.search(queries, 15, **params), every, 15)
    exact = flat_of(index, x, labels).search(queries, 15)
    assert_same(index.search(queries, 15, ef_search=len(held)), exact)
    wide = index.search(x[:100], 1, ef_search=100)
    if index.metric != "ip":
        assert (wide.ids[:, 0] == labels[:100]).mean() >= 0.97


@pytest.mark.parametrize("metric", METRICS)
def test_rows_come_and_go(metric: Any, tmp_path: Path) -> None:
    x = gaussian(6000)
    index = nf.HNSWIndex(16, 8, metric, ef_construction=60, seed=3)
    held: dict[int, np.ndarray] = {}

    def add(labels: Any, rows: np.ndarray, **more: Any) -> None:
        index.add(rows, ids=labels, **more)
        held.update(zip(np.asarray(labels).tolist(), rows, strict=True))

    def remove(labels: Any) -> None:
        known = [label for label in labels if label in held]
        assert index.remove(labels) == len(known)
        for label in known:
            del held[label]

    check_rows(index, held)
    add(np.arange(7), x[:7])
    check_rows(index, held)
    add([10**12], x[7:8])
    for first, last in ((8, 700), (700, 3000)):
        add(np.arange(last - 1, first - 1, -1) * -3 - 50, x[first:last])
        check_rows(index, held)
    remove(range(-1500, -50, 2))
    check_rows(index, held)
    add(np.arange(100_000, 100_900), x[3000:3900])
    add([100_000, -77, 5, 10**15], x[3900:3904], on_duplicate="replace")
    check_rows(index, held)
    remove([*sorted(held)[::3], 123456789])  # many dead rows: the graph goes on without them
    check_rows(index, held)
    remove(sorted(held)[::2])
    check_rows(index, held)
    for mmap in (False, True):
        index.save(tmp_path / "index.nf", durable=False)
        index = nf.load(tmp_path / "index.nf", mmap=mmap)
        check_rows(index, held)
        add([777_777 + mmap], x[4000:4001])
        remove(sorted(held)[::50])
        check_rows(index, held)
    remove(list(held))
    check_rows(index, held)
    add(np.arange(4100, 4200), x[4100:4200])
    check_rows(index, held)


def test_rows_one_by_one_and_in_portions() -> None:
    """The graph is another one then, but as good."""
    x = gaussian(1500, 24)
    index = nf.HNSWIndex(24, 12, ef_construction=60)
    start = 0
    for size in (1, 2, 500, 1, 1, 50, 300, 3):
        index.add(x[start : start + size], threads=1 + size % 2)
        start += size
    for row in x[start : start + 200]:
        index.add(row[None])
    index.add(x[start + 200 :])
    assert index.ids.tolist() == list(range(1500))
    check_rows(index, dict(enumerate(x)))
    assert index.stats()["reachable"] >= 0.99 * 1500


def test_replaced_rows_do_not_pile_up() -> None:
    index = graph(gaussian(600))
    for seed in range(40):
        rows = gaussian(200, seed=seed)
        index.add(rows, ids=np.arange(200), on_duplicate="replace")
    assert len(index) == 600
    stats = index.stats()
    assert stats["removed"] <= 1024
    assert sum(stats["levels"][:1]) == 600 + stats["removed"]
    assert stats["row_bytes"] <= (600 + 1024 + 200) * 64
    assert index.ids.tolist() == [*range(200, 600), *range(200)]
    np.testing.assert_array_equal(index.reconstruct(range(200)), rows)
    found = index.search(rows, 1, ef_search=100)
    assert (found.ids[:, 0] == np.arange(200)).mean() >= 0.97


def test_removed_rows_do_not_answer() -> None:
    x = gaussian(2000)
    index = graph(x)
    gone = np.random.default_rng(0).permutation(2000)[:900]
    assert index.remove(gone) == 900
    assert index.remove(gone) == 0
    for params in ({}, {"ef_search": 1}, {"ef_search": 2000}):
        for k in (1, 10, 400):
            found = index.search(x[gone[:50]], k, **params)
            assert (found.counts == k).all()
            assert not np.isin(found.ids, gone).any()
    with pytest.raises(KeyError, match=str(gone[0])):
        index.reconstruct(gone[:1])


def test_searches_beside_changes() -> None:
    """What they find was there; rows that stay are found as ever."""
    x = gaussian(6000, 24)
    index = graph(x[:2000], 12)
    done = threading.Event()

    def change() -> None:
        try:
            for first in range(2000, 6000, 100):
                labels = np.arange(first, first + 100)
                index.add(x[labels], ids=labels, threads=1 + first // 100 % 2)
                index.remove(labels[:60])
                index.add(x[:5], ids=range(5), on_duplicate="replace")
        finally:
            done.set()

    def search(seed: int) -> list[bool]:
        rng, right = np.random.default_rng(seed), []
        while not done.is_set() or len(right) < 100:
            labels = rng.choice(2000, 5)
            ids, scores, counts = index.search(x[labels], 8, threads=1 + len(right) % 2)
            assert (counts == 8).all()
            right += (ids[:, 0] == labels).tolist()
            for i, label in enumerate(labels):
                assert np.unique(ids[i]).size == 8
                expected = ((x[ids[i]].astype(float) - x[label]) ** 2).sum(axis=1)
                np.testing.assert_allclose(scores[i], expected, rtol=1e-6, atol=1e-6)
                assert (np.diff(scores[i]) >= 0).all()
        return right

    with ThreadPoolExecutor(4) as pool:
        changed, *found = [pool.submit(change), *(pool.submit(search, seed) for seed in range(3))]
        changed.result()
        assert np.mean(np.concatenate([one.result() for one in found])) >= 0.98
    kept = [*range(2000), *(n for n in range(2000, 6000) if n % 100 >= 60)]
    assert sorted(index.ids.tolist()) == kept


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("mmap", [False, True])
def test_save_and_load(tmp_path: Path, storage: str, mmap: bool) -> None:
    x, queries = rows_of(storage, 900, 20), gaussian(15, 20, seed=1) * 20
    index = graph(x, 6, "cosine", quantizer=storage, seed=5, ef_construction=33)
    path = tmp_path / "graph.nf"
    index.save(path, durable=False)
    again = nf.load(path, mmap=mmap)
    assert isinstance(again, nf.HNSWIndex)
    assert repr(again) == repr(index)
    assert (again.m, again.ef_construction, again.seed) == (6, 33, 5)
    assert state(again) == state(index)
    for params in ({"ef_search": 5}, {}, {"ef_search": 300, "rerank": 20}):
        for chosen in (None, np.arange(900) % 3 == 0):
            wanted = index.search(queries, 9, filter=chosen, **params)
            assert_same(again.search(queries, 9, filter=chosen, **params), wanted)
    again.save(tmp_path / "again.nf", durable=False)
    assert (tmp_path / "again.nf").read_bytes() == path.read_bytes()
    for changed in (index, again):
        changed.add(x[:40])
        changed.add(x[50:51], ids=[9000])
        changed.remove(changed.ids[::9])
    assert state(again) == state(index)
    assert_same(again.search(queries, 9), index.search(queries, 9))
    again.save(path, durable=False)  # without the rows removed
    last = nf.load(path, mmap=mmap)
    assert state(last) == state(index)
    assert_same(last.search(queries, 9, ef_search=900), index.search(queries, 9, ef_search=900))


def test_copies_and_pickles() -> None:
    index = graph(gaussian(600), 5, "ip", np.arange(600) * 7 - 9, seed=2)
    queries = gaussian(9, seed=1)
    for again in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert type(again) is nf.HNSWIndex
        assert (state(again), repr(again)) == (state(index), repr(index))
        assert_same(again.search(queries, 5, ef_search=9), index.search(queries, 5, ef_search=9))
        again.add(gaussian(1), ids=[10**6])
        assert 10**6 not in index


def test_an_empty_index_travels_too(tmp_path: Path) -> None:
    x = gaussian(90, 3)
    emptied = graph(x, 4)
    emptied.remove(range(90))
    for number, index in enumerate((nf.HNSWIndex(3, 4, seed=9), emptied)):
        index.save(tmp_path / "empty.nf")
        for again in (nf.load(tmp_path / "empty.nf", mmap=True), copy.deepcopy(index)):
            assert isinstance(again, nf.HNSWIndex)
            assert (len(again), again.m, again.is_trained) == (0, 4, True)
            assert again.search(x[:3], 2).counts.tolist() == [0, 0, 0]
            again.add(x)
            assert again.ids[0] == (90 if number else 0)
            assert again.search(x[:1], 1, ef_search=90).ids[0, 0] == (90 if number else 0)


def test_training_is_for_codes_alone() -> None:
    x = gaussian(600)
    plain = nf.HNSWIndex(16)
    assert plain.is_trained
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain.train(x)
        plain.add(x)
    coded = nf.HNSWIndex(16, quantizer="pq4x4", refine="float16")
    assert not coded.is_trained
    with pytest.raises(ValueError, match="x: got 3 rows to train on"):
        coded.train(x[:3])
    again = pickle.loads(pickle.dumps(coded))
    assert (again.is_trained, again.quantizer, again.refine) == (False, "pq4x4", "float16")
    with pytest.warns(UserWarning, match=r"its pq4x4 codes are now trained on the 600 rows"):
        again.add(x)
    coded.train(x)
    coded.train(x[:3])  # trained already: nothing is read
    coded.add(x)
    assert_same(coded.search(x[:9], 5), again.search(x[:9], 5))


@pytest.mark.parametrize("storage", STORAGES)
def test_properties_and_figures(storage: str) -> None:
    x = rows_of(storage, 3000, 24)
    index = graph(x, 7, "ip", quantizer=storage, ef_construction=50, seed=4)
    assert (index.dim, index.metric, index.quantizer, index.refine) == (24, "ip", storage, None)
    assert (index.m, index.ef_construction, index.seed) == (7, 50, 4)
    assert repr(index) == (
        f"HNSWIndex(dim=24, m=7, metric='ip', quantizer='{storage}') with 3000 rows"
    )
    stats = index.stats()
    assert (stats["kind"], stats["count"], stats["removed"]) == ("hnsw", 3000, 0)
    assert (stats["m"], stats["ef_construction"], stats["seed"]) == (7, 50, 4)
    assert stats["levels"][0] == 3000
    assert stats["levels"] == sorted(stats["levels"], reverse=True)
    assert 0 <= stats["least_links"] <= stats["mean_links"] <= stats["most_links"] <= 14
    assert 0.99 * 3000 <= stats["reachable"] <= 3000
    assert stats["link_bytes"] <= 3000 * 4 * 14 * 2
    assert stats["walk_bytes"] <= 3000 * 64
    assert stats["bytes"] == index.nbytes
    assert index.nbytes >= stats["row_bytes"] + stats["link_bytes"] + stats["walk_bytes"]
    empty = nf.HNSWIndex(24, quantizer=storage)
    assert (empty.m, empty.ef_construction, empty.seed) == (32, 200, 0)
    figures = empty.stats()
    assert sum(figures["levels"]) == figures["reachable"] == figures["mean_links"] == 0


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_values_that_are_not_finite_are_named_and_change_nothing(storage: str) -> None:
    x = rows_of(storage, 200, 7)
    index = graph(x, quantizer=storage)
    before = state(index), index.stats(), index.search(np.zeros((1, 7)), 9).ids.tolist()
    for row, value in ((0, np.nan), (199, np.inf), (77, -np.inf)):
        bad = x.copy()
        bad[row, row % 7] = value
        with pytest.raises(ValueError, match=rf"^x: row {row}\b.*finite"):
            index.add(bad)
        with pytest.raises(ValueError, match=rf"^q: query {row}\b.*finite"):
            index.search(bad)
        with pytest.raises(ValueError, match=rf"^q: query {row}\b.*finite"):
            index.range_search(bad, 1.0)
    after = state(index), index.stats(), index.search(np.zeros((1, 7)), 9).ids.tolist()
    assert after == before


X = np.float32([[0, 0], [3, 4], [1, 0], [1, 1], [-2, 5]])
WRONG: list[tuple[Callable[[nf.HNSWIndex], Any], type[Exception], str]] = [
    (lambda i: i.search(X, ef_search=0), ValueError, "ef_search: got 0, expected an integer >= 1"),
    (lambda i: i.search(X, ef_search=-3), ValueError, "ef_search: got -3"),
    (lambda i: i.search(X, ef_search="a"), TypeError, "ef_search: got 'a'"),
    (lambda i: i.search(X, ef_search=1.5), TypeError, "ef_search: got 1.5"),
    (lambda i: i.search(X, ef_search=True), TypeError, "ef_search: got the bool True"),
    (lambda i: i.search(X, ef_search=None), TypeError, "ef_search: got None"),
    (lambda i: i.search(X, ef_search=2**63), ValueError, "ef_search: got 9223372036854775808"),
    (lambda i: i.search(X, rerank=0), ValueError, "rerank: got 0, expected an integer >= 1"),
    (lambda i: i.search(X, rerank="k"), TypeError, "rerank: got 'k'"),
    (
        lambda i: i.search(X, efSearch=3),
        TypeError,
        "search.*'efSearch'.*corpus_adapter, ef_search, margin, rerank, recall and threads",
    ),
    (lambda i: i.search(X, nprobe=3), TypeError, "search.*'nprobe'.*HNSWIndex takes only"),
    (lambda i: i.search(X, epsilon=3), TypeError, "search.*'epsilon'"),
    (
        lambda i: i.range_search(X, 1, ef_search=3),
        TypeError,
        "range_search.*'ef_search'.*only filter, transform, corpus_adapter and threads",
    ),
    (lambda i: i.search(X, recall=0.9), nf.NotTrainedError, "not tuned: run nf.tune"),
    (lambda i: i.search(X, recall=0.9, ef_search=9), TypeError, "recall together with ef_search"),
    (lambda i: i.search(X, k=0), ValueError, "k: got 0"),
    (lambda i: i.search(X[:, :1]), ValueError, r"q: got shape \(5, 1\), expected \(n, 2\)"),
    (lambda i: i.add(X[:, :1]), ValueError, r"x: got shape \(5, 1\), expected \(n, 2\)"),
    (lambda i: i.add(X, ids=[1, 2]), ValueError, r"ids: got .*\(2,\), expected \(5,\)"),
    (lambda i: i.add(X[:2], ids=[8, 8]), ValueError, "8 occurs twice"),
    (lambda i: i.add(X[:1], ids=[3]), ValueError, "3 is already in the index"),
    (lambda i: i.search(X, transform="t"), TypeError, "transform: got a str, expected a transform"),
    (lambda i: i.search(X, filter=[True]), ValueError, "mask of 1 rows, expected 5"),
    (lambda i: i.search(X, threads=0), ValueError, "threads: got 0"),
    (lambda i: i.range_search(X, float("nan")), ValueError, "threshold: got NaN"),
    (lambda i: i.reconstruct([99]), KeyError, "99 is not in the index"),
    (lambda i: nf.HNSWIndex(0), ValueError, "dim: got 0"),
    (lambda i: nf.HNSWIndex(65537), ValueError, "dim: got 65537"),
    (lambda i: nf.HNSWIndex(2, 1), ValueError, "m: got 1, expected an integer >= 2 and <= 512"),
    (lambda i: nf.HNSWIndex(2, 0), ValueError, "m: got 0, expected an integer >= 2 and <= 512"),
    (lambda i: nf.HNSWIndex(2, 513), ValueError, "m: got 513, expected an integer >= 2 and <= 512"),
    (lambda i: nf.HNSWIndex(2, 8.0), TypeError, "m: got 8.0 of type float"),
    (lambda i: nf.HNSWIndex(2, "l2"), TypeError, "m: got 'l2' of type str"),
    (lambda i: nf.HNSWIndex(2, ef_construction=0), ValueError, "ef_construction: got 0"),
    (
        lambda i: nf.HNSWIndex(2, ef_construction=65537),
        ValueError,
        "ef_construction: got 65537, expected an integer >= 1 and <= 65536",
    ),
    (lambda i: nf.HNSWIndex(2, 8, "dot"), ValueError, "'dot'.*'l2', 'ip', 'cosine'"),
    (lambda i: nf.HNSWIndex(2, quantizer="pq"), ValueError, "'pq'.*sq8.*float32, float16"),
    (lambda i: nf.HNSWIndex(2, refine="float32"), ValueError, "refine: got 'float32'.*None"),
    (lambda i: nf.HNSWIndex(2, seed=-1), ValueError, "seed: got -1"),
    (lambda i: nf.HNSWIndex(2, seed="x"), TypeError, "seed: got 'x'"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_calls_name_the_argument_and_change_nothing(
    call: Callable[[nf.HNSWIndex], Any], error: type[Exception], message: str
) -> None:
    index = graph(X, 2)
    with pytest.raises(error, match=message):
        call(index)
    assert state(index) == (list(range(5)), X.tolist())
    assert index.search(X, 1).ids.ravel().tolist() == list(range(5))


def test_the_core_refuses_what_python_does() -> None:
    for m, breadth, name in ((1, 9, "m"), (513, 9, "m"), (8, 0, "ef_con"), (8, 65537, "ef_con")):
        with pytest.raises(ValueError, match=rf"{name}.*got"):
            nf._core.HNSWIndex(2, "l2", "float32", m, breadth, 0)
