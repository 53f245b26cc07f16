"""Rows of an IVFIndex as a user meets them: training, changes, files, wrong calls."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.clumps import STORAGES, assert_same, flat_of, homes, ivf, rows_of, state


def test_training() -> None:
    x = rows_of("float32", 300, 4)
    index = nf.IVFIndex(4, 16)
    assert not index.is_trained
    assert len(index) == 0
    for call in (lambda: index.search(x[:2], 3), lambda: index.centroids):
        with pytest.raises(nf.NotTrainedError, match=r"train\(\).* 16 rows"):
            call()
    with pytest.raises(nf.NotTrainedError):
        index.range_search(x[:2], 3.0)
    for n in (0, 1, 15):
        with pytest.raises(ValueError, match=rf"x: got {n} rows.*nlist = 16"):
            index.train(x[:n])
    assert not index.is_trained
    index.train(x[:16])
    assert index.is_trained
    centroids = index.centroids
    assert (centroids.shape, centroids.dtype) == ((16, 4), np.float32)
    with pytest.raises(ValueError, match="trained already"):
        index.train(x)
    centroids[:] = 0
    assert index.centroids.any(), "a copy"
    assert index.search(x[:2], 3).counts.tolist() == [0, 0]
    assert index.list_sizes.tolist() == [0] * 16
    index.add(x)
    with pytest.raises(ValueError, match="trained already"):
        index.train(x)
    assert len(index) == 300


def test_the_seed_decides_what_training_finds() -> None:
    x = np.random.default_rng(3).standard_normal((5000, 3)).astype(np.float32)

    def centroids(seed: int, threads: int) -> bytes:
        index = nf.IVFIndex(3, 4, seed=seed)  # 1024 of the rows are drawn
        index.train(x, threads=threads)
        return index.centroids.tobytes()

    assert centroids(0, 1) == centroids(0, 2)
    assert len({centroids(seed, 2) for seed in (0, 1, 2, 2**63 - 1)}) == 4


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_centroids_have_length_one_where_length_does_not_matter(metric: Any) -> None:
    centroids = ivf(rows_of("float32", 400, 10), 8, metric).centroids
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, rtol=1e-5)


def test_an_add_trains_what_is_not_trained() -> None:
    x = rows_of("float32", 300, 4)
    trained = ivf(x, 8)
    index = nf.IVFIndex(4, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(x[:0])
        assert not index.is_trained
    with pytest.warns(UserWarning, match=r"8 lists .* 300 rows.*train\(\)") as caught:
        index.add(x)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(x[:1])
    assert index.centroids.tobytes() == trained.centroids.tobytes()
    assert len(index) == 301


@pytest.mark.filterwarnings("ignore:the index is not trained")
def test_an_add_that_fails_trains_nothing() -> None:
    x = rows_of("float32", 300, 4)
    bad = x.copy()
    bad[123, 1] = np.nan
    index = nf.IVFIndex(4, 8)
    for call, message in (
        (lambda: index.add(x[:7]), "x: got 7 rows.*nlist = 8"),
        (lambda: index.add(bad), r"x: row 123\b.*NaN"),
        (lambda: index.add(x, ids=np.zeros(300, int)), "0 occurs twice"),
        (lambda: index.add(x, ids=[1, 2]), r"expected \(300,\)"),
        (lambda: index.add(x, on_duplicate="skip"), "'skip'"),
        (lambda: index.add(x, threads=0), "threads: got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        assert not index.is_trained
        assert len(index) == 0
    index.train(x)
    index.add(x)
    assert len(index) == 300


@pytest.mark.filterwarnings("ignore:the index is not trained")
def test_threads_that_add_first_train_once() -> None:
    x = rows_of("float32", 4000, 16)
    for _ in range(5):
        index = nf.IVFIndex(16, 30)
        with ThreadPoolExecutor(4) as pool:
            for added in [pool.submit(index.add, part) for part in np.split(x, 4)]:
                added.result()
        assert len(index) == 4000
        assert index.list_sizes.tolist() == np.bincount(homes(index), minlength=30).tolist()


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_values_that_are_not_finite_are_named_and_change_nothing(storage: str) -> None:
    x = rows_of(storage, 200, 7)
    index = ivf(x, 5, quantizer=storage)
    before = state(index), index.list_sizes.tolist()
    for row, value in ((0, np.nan), (199, np.inf), (77, -np.inf)):
        bad = x.copy()
        bad[row, row % 7] = value
        with pytest.raises(ValueError, match=rf"^x: row {row}\b.*finite"):
            index.add(bad)
        with pytest.raises(ValueError, match=rf"^x: row {row}\b.*finite"):
            nf.IVFIndex(7, 5, quantizer=storage).train(bad)
        with pytest.raises(ValueError, match=rf"^q: query {row}\b.*finite"):
            index.search(bad)
        with pytest.raises(ValueError, match=rf"^q: query {row}\b.*finite"):
            index.range_search(bad, 1.0)
    assert (state(index), index.list_sizes.tolist()) == before


def test_labels_come_in_the_order_of_adding() -> None:
    x = rows_of("float32", 500, 9)
    index = ivf(x[:300], 11)
    assert index.ids.tolist() == list(range(300))
    index.add(x[300:400], ids=np.arange(5000, 4900, -1))
    assert index.ids.tolist() == [*range(300), *range(5000, 4900, -1)]
    index.add(x[400:])
    assert index.ids[400:].tolist() == list(range(400, 500))
    np.testing.assert_array_equal(index.reconstruct(index.ids), x)
    assert index.remove([3, 5000, 450, 77777]) == 3
    kept = [*range(300), *range(5000, 4900, -1), *range(400, 500)]
    kept = [label for label in kept if label not in (3, 5000, 450)]
    assert index.ids.tolist() == kept
    assert [label for label in (3, 4, 5000, 4999, 450, -1) if label in index] == [4, 4999]
    index.add(x[:2], ids=[4, 600], on_duplicate="replace")
    assert index.ids.tolist() == [*(label for label in kept if label != 4), 4, 600]
    np.testing.assert_array_equal(index.reconstruct([600, 4]), x[[1, 0]])
    with pytest.raises(KeyError, match="5000"):
        index.reconstruct([4, 5000])
    with pytest.raises(ValueError, match="600 is already"):
        index.add(x[:1], ids=[600])


def test_everything_can_be_removed_and_added_again() -> None:
    x = rows_of("float32", 3000, 6)
    index = ivf(x, 10)
    assert index.remove(range(1500, 3000)) == 1500
    assert index.remove(range(3000)) == 1500
    assert len(index) == 0
    assert index.search(x[:2], 4).counts.tolist() == [0, 0]
    assert index.range_search(x[:2], 1e9).ids.size == 0
    assert index.is_trained
    index.add(x[:20])
    assert index.ids.tolist() == list(range(3000, 3020))
    assert index.search(x[:20], 1, nprobe=1).scores.ravel().tolist() == [0] * 20


def test_replaced_rows_do_not_pile_up() -> None:
    x = rows_of("float32", 600, 16)
    for index in (ivf(x, 8), flat_of(ivf(x, 8), x)):
        for seed in range(40):
            rows = rows_of("float32", 200, 16, seed)
            index.add(rows, ids=np.arange(200), on_duplicate="replace")
        assert len(index) == 600
        assert index.stats()["removed"] <= 1024
        assert index.stats()["row_bytes"] <= (600 + 1024 + 200) * 64
        assert index.ids.tolist() == [*range(200, 600), *range(200)]
        np.testing.assert_array_equal(index.reconstruct(range(200)), rows)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("mmap", [False, True])
def test_save_and_load(tmp_path: Path, storage: str, mmap: bool) -> None:
    x = rows_of(storage, 700, 20)
    queries = rows_of("float32", 15, 20, seed=1)
    index = ivf(x[:500], 14, "cosine", quantizer=storage, seed=5)
    for step in range(5):
        path = tmp_path / f"{step}.nf"
        index.save(path, durable=False)
        again = nf.load(path, mmap=mmap)
        assert isinstance(again, nf.IVFIndex)
        assert repr(again) == repr(index)
        assert state(again) == state(index)
        assert again.centroids.tobytes() == index.centroids.tobytes()
        for nprobe in (1, 4, 14):
            for chosen in (None, np.arange(len(index)) % 3 == 0):
                wanted = index.search(queries, 9, nprobe=nprobe, filter=chosen)
                assert_same(again.search(queries, 9, nprobe=nprobe, filter=chosen), wanted)
        again.save(tmp_path / "again.nf", durable=False)
        assert (tmp_path / "again.nf").read_bytes() == path.read_bytes()
        for changed in (index, again):
            changed.add(x[500 + 40 * step : 540 + 40 * step])
            for row in x[:30]:
                changed.add(row[None], ids=[9000 + step], on_duplicate="replace")
            changed.remove(changed.ids[step::9])
        assert state(again) == state(index)
        if step % 2:
            index = again


def test_an_empty_index_travels_too(tmp_path: Path) -> None:
    x = rows_of("float32", 90, 3)
    emptied = ivf(x, 4)
    emptied.remove(range(90))
    trained = nf.IVFIndex(3, 4)
    trained.train(x)
    for number, index in enumerate((nf.IVFIndex(3, 4, seed=9), trained, emptied)):
        index.save(tmp_path / "empty.nf")
        for again in (nf.load(tmp_path / "empty.nf", mmap=True), copy.deepcopy(index)):
            assert isinstance(again, nf.IVFIndex)
            assert (len(again), again.nlist, again.is_trained) == (0, 4, number > 0)
            if number == 0:
                with pytest.raises(nf.NotTrainedError):
                    again.search(x, 1)
                again.train(x)
            again.add(x)
            assert again.ids[0] == (90 if number == 2 else 0)


@pytest.mark.parametrize("storage", STORAGES)
def test_properties(storage: str) -> None:
    x = rows_of(storage, 100, 6)
    index = ivf(x, 7, "ip", quantizer=storage)
    assert (index.dim, index.nlist, index.metric, index.quantizer) == (6, 7, "ip", storage)
    assert (
        repr(index) == f"IVFIndex(dim=6, nlist=7, metric='ip', quantizer='{storage}') with 100 rows"
    )
    assert index.list_sizes.dtype == np.uint32
    stats = index.stats()
    assert (stats["kind"], stats["count"], stats["removed"]) == ("ivf", 100, 0)
    assert stats["bytes"] == index.nbytes
    wide = nf.IVFIndex(6, 50, "ip", quantizer=storage)
    before = wide.nbytes
    wide.train(x)
    assert wide.nbytes >= before + 50 * 6 * 4, "centroids count"


WRONG: list[tuple[Callable[[nf.IVFIndex], Any], type[Exception], str]] = [
    (lambda i: i.search(X, nprobe=0), ValueError, "nprobe: got 0, expected an integer >= 1"),
    (lambda i: i.search(X, nprobe=-3), ValueError, "nprobe: got -3"),
    (lambda i: i.search(X, nprobe="a"), TypeError, "nprobe: got 'a'"),
    (lambda i: i.search(X, nprobe=1.5), TypeError, "nprobe: got 1.5"),
    (lambda i: i.search(X, nprobe=True), TypeError, "nprobe: got the bool True"),
    (lambda i: i.search(X, nprobe=None), TypeError, "nprobe: got None"),
    (lambda i: i.range_search(X, 1.0, nprobe=0), ValueError, "nprobe: got 0"),
    (
        lambda i: i.search(X, probes=3),
        TypeError,
        "search.*'probes'.*IVFIndex.*nprobe, margin, recall and threads",
    ),
    (
        lambda i: i.range_search(X, 1, ef=3),
        TypeError,
        "range_search.*'ef'.*nprobe, margin and threads",
    ),
    (lambda i: i.search(X, k=0), ValueError, "k: got 0"),
    (lambda i: i.search(X[:, :1]), ValueError, r"q: got shape \(5, 1\), expected \(n, 2\)"),
    (lambda i: i.add(X[:, :1]), ValueError, r"x: got shape \(5, 1\), expected \(n, 2\)"),
    (lambda i: i.train(X[:, :1]), ValueError, r"x: got shape \(5, 1\), expected \(n, 2\)"),
    (lambda i: i.train(X, threads=0), ValueError, "threads: got 0"),
    (lambda i: i.train("rows"), TypeError, "x: got a str"),
    (lambda i: i.search(X, transform="t"), TypeError, "transform: got a str"),
    (lambda i: i.search(X, filter=[True]), ValueError, "mask of 1 rows, expected 5"),
    (lambda i: i.range_search(X, float("nan")), ValueError, "threshold: got NaN"),
    (lambda i: i.reconstruct([99]), KeyError, "99 is not in the index"),
    (lambda i: nf.IVFIndex(2), TypeError, "nlist"),
    (lambda i: nf.IVFIndex(0, 2), ValueError, "dim: got 0"),
    (lambda i: nf.IVFIndex(2, 0), ValueError, "nlist: got 0"),
    (lambda i: nf.IVFIndex(2, 2**24 + 1), ValueError, "nlist: got 16777217"),
    (lambda i: nf.IVFIndex(2, 2.0), TypeError, "nlist: got 2.0"),
    (lambda i: nf.IVFIndex(2, 2, "dot"), ValueError, "'dot'.*'l2', 'ip', 'cosine'"),
    (lambda i: nf.IVFIndex(2, 2, quantizer="pq"), ValueError, "'pq'.*sq8.*float32, float16"),
    (lambda i: nf.IVFIndex(2, 2, refine="float32"), ValueError, "refine: got 'float32'.*None"),
    (lambda i: nf.IVFIndex(2, 2, coarse="hnsw"), ValueError, "coarse: got 'hnsw'.*'flat', 'hier"),
    (lambda i: nf.IVFIndex(2, 2, coarse=None), TypeError, "coarse: got a NoneType"),
    (lambda i: nf.IVFIndex(2, 2, seed=-1), ValueError, "seed: got -1"),
    (lambda i: nf.IVFIndex(2, 2, seed="x"), TypeError, "seed: got 'x'"),
    (lambda i: nf.Index(), TypeError, "FlatIndex, an IVFIndex or an HNSWIndex"),
]
X = np.float32([[0, 0], [3, 4], [1, 0], [1, 1], [-2, 5]])


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_calls_name_the_argument_and_change_nothing(
    call: Callable[[nf.IVFIndex], Any], error: type[Exception], message: str
) -> None:
    index = ivf(X, 2)
    with pytest.raises(error, match=message):
        call(index)
    assert state(index) == (list(range(5)), X.tolist())
    assert index.search(X, 1, nprobe=2).ids.ravel().tolist() == list(range(5))


def test_as_many_lists_as_there_may_be() -> None:
    """Most are empty: what is done per list and query has to be little."""
    index = nf.IVFIndex(2, 2**24)
    assert index.nlist == 2**24
    with pytest.raises(ValueError, match=re.escape("x: got 5 rows")):
        index.train(X)
