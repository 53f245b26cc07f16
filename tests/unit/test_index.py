"""FlatIndex, topk and load as a user meets them: labels, shapes, wrong calls, files."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import nearfield as nf
import numpy as np
import pytest
from oracle import dense

METRICS = ("l2", "ip", "cosine")
STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
DTYPES: dict[str, Any] = {**{name: name for name in STORAGES}, "bfloat16": ml_dtypes.bfloat16}
X = np.float32([[0, 0], [3, 4], [1, 0], [1, 1], [-2, 5]])


def flat(x: Any = X, ids: Any = None, metric: str = "l2", **kwargs: Any) -> nf.FlatIndex:
    index = nf.FlatIndex(np.shape(x)[1], metric, **kwargs)
    index.add(x, ids)
    return index


def state(index: nf.FlatIndex) -> tuple[Any, ...]:
    return index.ids.tolist(), index.reconstruct(index.ids).tolist()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_properties(metric: str, storage: str) -> None:
    index = nf.FlatIndex(3, metric, quantizer=storage)
    assert (index.dim, index.metric, index.quantizer, index.is_trained) == (
        3,
        metric,
        storage,
        True,
    )
    assert len(index) == 0
    index.train(np.ones((4, 3)))
    index.add(np.ones((5, 3), DTYPES[storage]))
    assert len(index) == 5
    assert index.nbytes >= 5 * 3 * np.dtype(DTYPES[storage]).itemsize
    assert isinstance(index.stats(), dict)
    assert f"FlatIndex(dim=3, metric='{metric}', quantizer='{storage}') with 5" in repr(index)
    np.testing.assert_array_equal(index.reconstruct([4, 0]), np.ones((2, 3), np.float32))


def test_the_scan_suits_the_rows(tmp_path: Path) -> None:
    """Bytes, unless one dimension dwarfs the others; chosen anew at load."""
    x = np.random.default_rng(5).standard_normal((600, 96), np.float32)
    loud = x * np.where(np.arange(96) == 7, np.float32(100), np.float32(1))
    assert flat(x).stats()["scan"] == "int8"
    assert flat(x.astype(np.int8), quantizer="int8").stats()["scan"] == "int8"
    index = flat(loud, metric="l2")
    assert index.stats()["scan"] == "bfloat16"
    index.save(tmp_path / "loud.nf")
    again = nf.load(tmp_path / "loud.nf")
    assert again.stats()["scan"] == "bfloat16"
    expected = dense.topk(loud[:20], loud, 5, "l2")[0]
    for found in (index.search(loud[:20], 5), again.search(loud[:20], 5)):
        assert found.ids.tolist() == expected.tolist()
    assert nf.topk(loud[:20], loud, 5, "l2").ids.tolist() == expected.tolist()


def test_bfloat16_rows_need_no_codes_where_they_are_scanned() -> None:
    x = np.random.default_rng(6).standard_normal((600, 96), np.float32)
    stats = flat(x, quantizer="bfloat16").stats()
    assert stats["row_bytes"] == 600 * 192
    assert stats["scan"] == ("bfloat16" if nf.isa() == "amx" else "int8")
    assert stats["code_bytes"] == (0 if stats["scan"] == "bfloat16" else 600 * 128)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_small_answers(metric: str, storage: str) -> None:
    x = np.abs(X).astype(DTYPES[storage])
    ids, scores, counts = flat(x, metric=metric, quantizer=storage).search(X, k=5)
    expected, best, _ = dense.topk(X, np.abs(X), 5, metric)
    assert ids.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, best, rtol=2**-22, atol=0)
    assert counts.tolist() == [5] * 5
    assert nf.topk(X, x, 5, metric).ids.tolist() == expected.tolist()


def test_result_types() -> None:
    for found in (flat().search(X, k=7), nf.topk(X, X, k=7)):
        assert isinstance(found, nf.SearchResult)
        assert [part.dtype for part in found] == [np.int64, np.float32, np.int64]
        assert [part.shape for part in found] == [(5, 7), (5, 7), (5,)]
        assert (found.ids[:, 5:] == nf.MISSING).all()
        assert np.isnan(found.scores[:, 5:]).all()
        assert found.counts.tolist() == [5] * 5
        with pytest.raises(IndexError):
            X[found.ids[0, 6]]


def test_one_vector_has_no_query_axis() -> None:
    for found in (flat().search(X[1], k=3), nf.topk(X[1].tolist(), X, k=3)):
        assert [np.shape(part) for part in found] == [(3,), (3,), ()]
        assert found.ids[0] == 1
        assert found.counts == 3
    lims, ids, _ = flat().range_search(X[1], 0.5)
    assert (lims.tolist(), ids.tolist()) == ([0, 1], [1])


def test_default_labels_count_on_and_labels_follow_rows() -> None:
    index = flat()
    index.add(X[:2])
    assert index.ids.tolist() == list(range(7))
    assert index.remove([1, 99, 6]) == 2
    assert index.remove(99) == 0
    assert len(index) == 5
    assert sorted(index.ids.tolist()) == [0, 2, 3, 4, 5]
    assert 1 not in index
    assert 5 in index
    index.add(X[:1])
    assert len(index) == 6
    assert len(set(index.ids.tolist())) == 6
    found = index.search(X[4], k=1)
    assert found.ids.tolist() == [4]


def test_own_labels() -> None:
    labels = [2**63 - 1, -7, 0, 2**40, 5]
    index = flat(ids=labels)
    assert index.search(X, k=1).ids.ravel().tolist() == labels
    np.testing.assert_array_equal(index.reconstruct([5, -7]), X[[4, 1]])
    before = state(index)
    for ids in ([5], [-7]):
        with pytest.raises(ValueError, match=rf"{ids[0]}\b"):
            index.add(X[:1], ids=ids)
    with pytest.raises(ValueError, match="77"):
        index.add(X[:3], ids=[77, 78, 77])
    assert state(index) == before
    index.add(X[:1] + 9, ids=[-7], on_duplicate="replace")
    assert len(index) == 5
    np.testing.assert_array_equal(index.reconstruct(-7), X[:1] + 9)
    index.add(np.float32([[7, 7], [8, 8]]), ids=[5, 6], on_duplicate="replace")
    assert len(index) == 6
    np.testing.assert_array_equal(index.reconstruct([5, 6]), [[7, 7], [8, 8]])
    with pytest.raises(KeyError, match="12345"):
        index.reconstruct([5, 12345])


@pytest.mark.parametrize("ids", [[1.0, 2, 3, 4, 5], ["a"] * 5, [True] * 5, np.ones(5)])
def test_labels_of_a_wrong_type(ids: Any) -> None:
    index = flat()
    for call in (lambda: index.add(X, ids=ids), lambda: index.remove(ids)):
        with pytest.raises(TypeError, match=r"ids: got .*expected integers"):
            call()
    assert len(index) == 5


def test_labels_that_do_not_fit() -> None:
    index = nf.FlatIndex(2)
    for ids, why in (
        ([1, 2], r"expected \(5,\)"),
        (np.arange(5, dtype=np.uint64) + 2**63, "int64"),
        ([0, 1, 2, 3, nf.MISSING], "nf.MISSING"),
    ):
        with pytest.raises(ValueError, match=why):
            index.add(X, ids=ids)
    assert len(index) == 0


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("dim", [1, 7, 16, 33, 130])
def test_nonfinite_values_are_found_everywhere_and_change_nothing(storage: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    x = rng.standard_normal((9, dim)).astype(DTYPES[storage])
    index = flat(x, quantizer=storage)
    before = state(index)
    for column in range(dim):
        for row, value in ((0, np.nan), (8, np.inf), (4, -np.inf)):
            bad = x.copy()
            bad[row, column] = value
            with pytest.raises(ValueError, match=rf"row {row}\b"):
                index.add(bad)
            with pytest.raises(ValueError, match=rf"query {row}\b"):
                index.search(bad, k=1)
            with pytest.raises(ValueError, match=rf"query {row}\b"):
                index.range_search(bad, 1.0)
            with pytest.raises(ValueError, match=rf"row {row}\b"):
                nf.topk(x[:1], bad, k=1)
    assert state(index) == before


@pytest.mark.parametrize("held", [0, 7, 200, 300, 1000])
def test_nonfinite_rows_are_counted_in_what_is_added(held: int) -> None:
    """Whatever is encoded once more when rows become many."""
    x = np.random.default_rng(0).standard_normal((400, 7), np.float32)
    index = nf.FlatIndex(7)
    index.add(np.repeat(x, 3, axis=0)[:held])
    for count in (1, 100, 400):
        bad = x[:count].copy()
        bad[count // 2 :, 3] = np.nan
        with pytest.raises(ValueError, match=rf"^x: row {count // 2} holds NaN"):
            index.add(bad)
    assert len(index) == held


def test_k() -> None:
    index = flat()
    for bad in (0, -1, -(2**70)):
        with pytest.raises(ValueError, match=r"k: got -?[0-9]+, expected an integer >= 1"):
            index.search(X, k=bad)
        with pytest.raises(ValueError, match="k: got"):
            nf.topk(X, X, k=bad)
    for bad in (1.0, True, np.bool_(1), "3", None, np.float32(2), [1]):
        with pytest.raises(TypeError, match=r"k: got .*expected an integer >= 1"):
            index.search(X, k=bad)
    assert index.search(X, k=np.uint8(3)).ids.shape == (5, 3)
    assert index.search(X, k=1000).counts.tolist() == [5] * 5
    for huge in (2**31, 2**62, 2**63 - 1):
        with pytest.raises(ValueError, match=r"k: got .*GiB.*use k=5"):
            index.search(np.zeros((40, 2)), k=huge)


WRONG_CALLS: list[tuple[Callable[[nf.FlatIndex], Any], type[Exception], str]] = [
    (
        lambda i: i.search(X, nprobe=3),
        TypeError,
        "search.*'nprobe'.*filter, transform, corpus_adapter, recall and threads",
    ),
    (lambda i: i.range_search(X, 1, ef=3), TypeError, "range_search.*'ef'.*threads"),
    (lambda i: i.search(X, transform="t"), TypeError, "transform: got a str, expected a transform"),
    (lambda i: nf.topk(X, X, transform=[1]), TypeError, r"transform\[0\]: got a int"),
    (lambda i: i.search(X, threads=0), ValueError, "threads: got 0"),
    (lambda i: i.search(X, threads=1.5), TypeError, "threads: got 1.5"),
    (lambda i: i.search(X, threads=2**40), ValueError, "threads: got"),
    (lambda i: i.add(X, threads=-1), ValueError, "threads: got -1"),
    (lambda i: i.add(X, on_duplicate="skip"), ValueError, "'skip'.*'raise', 'replace'"),
    (lambda i: i.add(X, on_duplicate=True), TypeError, "on_duplicate: got a bool"),
    (lambda i: i.range_search(X, float("nan")), ValueError, "threshold: got NaN"),
    (lambda i: i.range_search(X, "1"), TypeError, "threshold: got '1'"),
    (lambda i: i.range_search(X, None), TypeError, "threshold: got None"),
    (lambda i: i.range_search(X, True), TypeError, "threshold: got True"),
    (lambda i: i.range_search(X, [1.0]), TypeError, "threshold"),
    (lambda i: i.search(np.ones((2, 3))), ValueError, r"q: got shape \(2, 3\), expected \(n, 2\)"),
    (lambda i: i.search(np.ones(3)), ValueError, r"q: got shape \(3,\), expected \(2,\)"),
    (lambda i: i.add(np.ones((2, 3))), ValueError, r"x: got shape \(2, 3\), expected \(n, 2\)"),
    (lambda i: i.add(np.ones(2)), ValueError, "reshape"),
    (lambda i: i.search(X.astype(complex)), TypeError, "q: got an array of complex128"),
    (lambda i: i.add(X.astype(np.int64)), TypeError, "x: got an array of int64"),
    (lambda i: i.add(np.full((1, 2), 1e39)), ValueError, "row 0.*overflows float32"),
    (lambda i: nf.topk(X, np.ones((2, 3))), ValueError, r"queries: got shape \(5, 2\).*\(n, 3\)"),
    (lambda i: nf.topk(X, X, metric="dot"), ValueError, "'dot'.*'l2', 'ip', 'cosine'"),
    (lambda i: nf.topk(X, X, metric=None), TypeError, "metric: got a NoneType"),
    (lambda i: nf.topk(X[:2], X, exclude_self=True), ValueError, "2 queries for 5 rows"),
    (lambda i: nf.topk(X, X, exclude_self=1), TypeError, "exclude_self: got a int"),
    (lambda i: nf.topk(X, X, filter="all"), TypeError, "filter: got a str"),
    (lambda i: i.search(X, filter=[True]), ValueError, "mask of 1 rows, expected 5"),
    (lambda i: i.search(X, filter=np.ones(3)), TypeError, "filter: got"),
    (lambda i: nf.FlatIndex(0), ValueError, "dim: got 0"),
    (lambda i: nf.FlatIndex(2.0), TypeError, "dim: got 2.0"),
    (lambda i: nf.FlatIndex(2**40), ValueError, "dim: got"),
    (lambda i: nf.FlatIndex(2, "L2"), ValueError, "'L2'.*'l2', 'ip', 'cosine'"),
    (lambda i: nf.FlatIndex(2, quantizer="sq9"), ValueError, "'sq9'.*sq8.*float32, float16, bf"),
    (lambda i: nf.FlatIndex(2, quantizer=8), TypeError, "quantizer: got a int"),
    (lambda i: nf.FlatIndex(2, refine="float32"), ValueError, "refine: got 'float32'.*None"),
    (lambda i: i.save(3), TypeError, "path: got a int"),
    (lambda i: i.save("x", durable=1), TypeError, "durable: got a int"),
    (lambda i: nf.load(None), TypeError, "path: got a NoneType"),
    (lambda i: nf.load("x", mmap=1), TypeError, "mmap: got a int"),
    (lambda i: nf.load("x", verify="yes"), TypeError, "verify: got a str"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG_CALLS, ids=[c[2] for c in WRONG_CALLS])
def test_wrong_calls_name_the_argument_and_change_nothing(
    call: Callable[[nf.FlatIndex], Any], error: type[Exception], message: str
) -> None:
    index = flat()
    with pytest.raises(error, match=message):
        call(index)
    assert state(index) == (list(range(5)), X.tolist())


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_to_find(metric: str) -> None:
    emptied = flat(metric=metric)
    emptied.remove(range(5))
    for index in (nf.FlatIndex(2, metric), emptied):
        assert len(index) == 0
        ids, scores, counts = index.search(X, k=3)
        assert (ids == nf.MISSING).all()
        assert np.isnan(scores).all()
        assert counts.tolist() == [0] * 5
        lims, ids, scores = index.range_search(X, 1e30 if metric == "l2" else -1e30)
        assert (lims.tolist(), ids.size, scores.size) == ([0] * 6, 0, 0)
        assert index.search(X, k=3, filter=[1]).counts.tolist() == [0] * 5
        assert index.reconstruct([]).shape == (0, 2)
        assert index.remove([0]) == 0
    full = flat(metric=metric)
    assert full.search(X, k=3, filter=[]).counts.tolist() == [0] * 5
    assert full.search(np.empty((0, 2)), k=3).ids.shape == (0, 3)
    assert full.search([], k=3).scores.shape == (0, 3)
    full.add(np.empty((0, 2)))
    full.add([])
    full.add(np.empty((0, 2)), ids=[])
    assert len(full) == 5
    assert nf.topk(X, np.empty((0, 2)), k=2, metric=metric).counts.tolist() == [0] * 5
    one = flat(X[:1] + 1, metric=metric)
    assert one.search(X, k=2).counts.tolist() == [1] * 5


def test_filters_follow_labels_after_removal() -> None:
    index = flat(ids=[10, 11, 12, 13, 14])
    index.remove([11])
    for chosen in ([12, 14, 11], range(12, 15, 2), nf.Filter([12]) | nf.Filter([14])):
        found = index.search(np.zeros(2), k=4, filter=chosen)
        assert found.ids[: found.counts].tolist() == [12, 14]
    by_row = np.isin(index.ids, [12, 14])
    assert index.search(np.zeros(2), k=1, filter=by_row).ids.tolist() == [12]
    _, ids, _ = index.range_search(np.zeros(2), 100.0, filter=range(13, 99))
    assert ids.tolist() == [13, 14]


def test_topk_filters_name_rows() -> None:
    assert nf.topk(X[0], X, k=2, filter=[4, 1]).ids.tolist() == [1, 4]
    assert nf.topk(X[0], X, k=2, filter=range(1, 4)).ids.tolist() == [2, 3]
    assert nf.topk(X[0], X, k=2, filter=X[:, 0] < 0).counts == 1
    assert nf.topk(X, X, k=1, exclude_self=True).ids.ravel().tolist() == [2, 3, 0, 2, 3]


def test_filtered_search_meets_the_rows_its_mask_was_made_for() -> None:
    """Rows come and go in front of the ones a filter names: it never answers with another label."""
    rng = np.random.default_rng(0)
    index = flat(rng.standard_normal((400, 4)), ids=np.arange(1000, 1400))
    wanted = np.arange(1200, 1210)
    stop = threading.Event()
    failures: list[BaseException] = []

    def churn() -> None:
        while not stop.is_set():
            index.remove(np.arange(1000, 1100))
            index.add(np.ones((100, 4)), ids=np.arange(1000, 1100))

    def ask() -> None:
        try:
            for _ in range(300):
                found = index.search(np.zeros((3, 4)), k=10, filter=wanted)
                assert found.counts.tolist() == [10] * 3
                assert set(found.ids.ravel().tolist()) == set(wanted.tolist())
        except BaseException as error:
            failures.append(error)

    changer = threading.Thread(target=churn)
    askers = [threading.Thread(target=ask) for _ in range(3)]
    for thread in (changer, *askers):
        thread.start()
    for thread in askers:
        thread.join()
    stop.set()
    changer.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("storage", STORAGES)
def test_save_and_load(tmp_path: Path, storage: str, mmap: bool) -> None:
    x = np.abs(X).astype(DTYPES[storage])
    index = flat(x, ids=[5, 4, 3, 2, 1], metric="cosine", quantizer=storage)
    index.remove([3])
    for path in (tmp_path / "a.nf", str(tmp_path / "ä b.nf"), os.fsencode(tmp_path / "c.nf")):
        index.save(path, durable=False)
        index.save(path)
        again = nf.load(path, mmap=mmap)
        assert state(again) == state(index)
        assert (again.dim, again.metric, again.quantizer) == (2, "cosine", storage)
        for mine, loaded in zip(index.search(X, k=6), again.search(X, k=6), strict=True):
            assert mine.tobytes() == loaded.tobytes()
        again.add(x[:1], ids=[77])
        assert again.remove([5]) == 1
        assert 77 in again
        assert len(nf.load(path)) == 4
    assert sorted(os.listdir(tmp_path)) == ["a.nf", "c.nf", "ä b.nf"]


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nf.load(tmp_path / "none.nf")
    with pytest.raises(OSError, match="none"):
        flat().save(tmp_path / "none" / "x.nf")
    with pytest.raises(OSError, match=re.escape(tmp_path.name)):
        nf.load(tmp_path)
    for content in (b"", b"x", b"PK\x03\x04" + b"\0" * 5000, np.random.default_rng(0).bytes(9999)):
        (tmp_path / "bad.nf").write_bytes(content)
        with pytest.raises(nf.CorruptFileError):
            nf.load(tmp_path / "bad.nf")


def test_file_names_need_not_be_utf8(tmp_path: Path) -> None:
    index = flat()
    odd = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.nf")
    for path in (odd, os.fsdecode(odd)):
        index.save(path)
        assert state(nf.load(path)) == state(index)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe.nf"]
    with open(odd, "wb") as file:
        file.write(b"something else" * 9)
    with pytest.raises(nf.CorruptFileError, match="\udcff"):
        nf.load(odd)
    with pytest.raises(FileNotFoundError) as caught:
        nf.load(odd + b"x")
    assert caught.value.filename == os.fsdecode(odd) + "x"
    with pytest.raises(ValueError, match=r"^path: got .*cannot name a file"):
        index.save(str(tmp_path / "\ud800"))


def test_copies_are_independent() -> None:
    index = flat(ids=[9, 8, 7, 6, 5])
    for twin in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert state(twin) == state(index)
        twin.remove([9])
        assert len(index) == 5


def test_outputs_and_inputs_are_not_shared() -> None:
    x = X.copy()
    index = flat(x)
    x[:] = 99
    index.reconstruct([0, 1])[:] = 99
    index.ids[:] = 99
    assert state(index) == (list(range(5)), X.tolist())
    index.add(index.reconstruct(index.ids))
    assert len(index) == 10


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_beyond_float32_scores_are_infinite_and_the_order_exact(metric: Any) -> None:
    rng = np.random.default_rng(11)
    rows = (rng.standard_normal((600, 7)) * 1e20).astype(np.float32)
    queries = (rng.standard_normal((9, 7)) * 1e20).astype(np.float32)
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    inner = asked @ wide.T
    truth = inner if metric == "ip" else ((asked[:, None] - wide) ** 2).sum(axis=2)
    order = np.argsort(-truth if metric == "ip" else truth, axis=1, kind="stable")
    index = flat(rows, metric=metric)
    for k in (5, 600):
        ids, scores, counts = index.search(queries, k)
        assert counts.tolist() == [k] * 9
        np.testing.assert_array_equal(ids, order[:, :k])
        with np.errstate(over="ignore"):
            shown = np.take_along_axis(truth, ids, axis=1).astype(np.float32)
        np.testing.assert_array_equal(np.isinf(scores), np.isinf(shown))
        np.testing.assert_array_equal(np.sign(scores), np.sign(shown))
    assert np.isinf(scores).mean() > 0.9
    for threshold in (1e37, 1e39, 1e40, 3e40, 1e300, -1e39, -1e40, -1e300):
        lims, ids, _ = index.range_search(queries, threshold)
        inside = truth >= threshold if metric == "ip" else truth <= threshold
        assert np.diff(lims).tolist() == inside.sum(axis=1).tolist(), threshold
        for at in range(len(queries)):
            best = [row for row in order[at] if inside[at, row]]
            assert ids[lims[at] : lims[at + 1]].tolist() == best


def test_default_labels_count_every_row_ever_added() -> None:
    index = flat(X[:2], ids=[100, 3])
    index.remove([100])
    index.add(X[:1])
    assert index.ids.tolist() == [3, 2]
    before = state(index)
    with pytest.raises(ValueError, match=r"^ids: 3 is already in the index"):
        index.add(X[2:4])
    assert state(index) == before
    index.add(X[2:4], on_duplicate="replace")
    assert index.ids.tolist() == [2, 3, 4]
    assert index.reconstruct([3]).tolist() == X[2:3].tolist()
