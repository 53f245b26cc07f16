"""nf.tune and search(recall=...): what is measured, what is chosen, what is kept."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import tuning
from oracle import dense
from unit.clumps import METRICS, assert_same, ivf, rows_of

DIM, NLIST = 24, 40
STANDARD = {0.8, 0.9, 0.95, 0.98, 0.99}


def noise(n: int, seed: int = 0) -> np.ndarray:
    """Return rows without clusters: few lists are not enough."""
    return np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)


def index_of(metric: str = "l2", n: int = 4000) -> nf.IVFIndex:
    return ivf(noise(n), NLIST, metric)


@pytest.fixture(scope="module")
def tuned() -> nf.IVFIndex:
    """Return an index whose queries are not to change it."""
    index = index_of()
    nf.tune(index, noise(300, 1), (0.7, 0.95))
    return index


def recall_of(found: nf.SearchResult, queries: np.ndarray, rows: np.ndarray, metric: str) -> float:
    """Return recall by the definition, ties counted as found."""
    k = found.ids.shape[1]
    right = 0
    for query, ids in zip(queries, found.ids, strict=True):
        near = dense.goodness(dense.scores(query[None], rows, metric)[0], metric)
        right += int((near[ids] >= np.sort(near)[-k] - 1e-9).sum())
    return right / found.ids.size


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_measured_is_what_searches_reach(metric: str) -> None:
    rows, sample, later = noise(4000), noise(300, 1), noise(300, 2)
    index = index_of(metric)
    table = nf.tune(index, sample, 0.9)
    assert {setting.level for setting in table} >= STANDARD | {1.0}
    for setting in table:
        assert set(setting.params) == {"nprobe"}
        again = index.search(sample, 10, **setting.params)
        reached = recall_of(again, sample, rows, metric)
        assert setting.recall == pytest.approx(reached, abs=1e-9)
        assert setting.level <= setting.lower <= setting.recall
        assert setting.rows == 4000
        assert 0 < setting.seconds < 1
    for level in (0.8, 0.9, 0.98):
        # Four standard errors of the difference of two samples below.
        found = index.search(later, 10, recall=level)
        assert recall_of(found, later, rows, metric) > level - 0.02


def test_recall_of_bounds_that_may_fail_is_that_of_the_rows() -> None:
    rows, sample = noise(4000), noise(300, 1)
    index = ivf(rows, NLIST, "ip", quantizer="rabitq1", refine="float32")
    table = nf.tune(index, sample, 0.8)
    for setting in table:
        assert set(setting.params) == {"nprobe"}
        again = index.search(sample, 10, **setting.params)
        assert setting.recall == pytest.approx(recall_of(again, sample, rows, "ip"), abs=1e-9)
        assert setting.level <= setting.lower <= setting.recall
    assert_same(
        index.search(sample[:1], 10, recall=0.8),
        index.search(sample[:1], 10, **table[0].params),
    )


def test_one_setting_per_level_and_batch_and_exhaustive_for_all() -> None:
    index = index_of()
    table = nf.tune(index, noise(200, 1), [0.5, 0.83], k=7)
    keys = [(setting.k, setting.batch, setting.level) for setting in table]
    assert keys == sorted(set(keys))
    assert {setting.batch for setting in table} == {1, 32, 200}
    assert {setting.k for setting in table} == {7}
    assert {0.5, 0.83, 1.0} <= {setting.level for setting in table}
    for setting in table:
        if setting.level == 1:
            assert setting.params == {"nprobe": NLIST}
            assert setting.recall == setting.lower == 1
    few = nf.tune(index, noise(33, 1), 0.5)
    assert {setting.batch for setting in few if setting.k == 10} == {1, 32}
    assert {setting.k for setting in few} == {7, 10}


def test_search_uses_the_smallest_level_k_and_nearest_batch_that_suit() -> None:
    index = index_of()
    queries = noise(300, 1)

    def setting(k: int, batch: int, level: float, nprobe: int) -> tuple[Any, ...]:
        return (k, batch, nprobe, 0, 0, 0.0, level, 1.0, 1.0, 0.0, 4000)

    index._core.add_tuning(
        [
            *(setting(10, 1, 0.8, 2), setting(10, 1, 0.9, 3), setting(10, 100, 0.8, 5)),
            *(setting(10, 100, 0.9, 6), setting(20, 1, 0.95, 9), setting(20, 100, 0.8, 11)),
        ]
    )
    cases = [
        *((1, 10, 0.8, 2), (1, 10, 0.5, 2), (1, 10, 0.85, 3), (1, 3, 0.9, 3), (9, 10, 0.8, 2)),
        *((11, 10, 0.8, 5), (300, 10, 0.81, 6), (1, 10, 0.95, 9), (300, 10, 0.95, 9)),
        *((1, 11, 0.8, 9), (300, 20, 0.7, 11), (300, 15, 0.9, 9)),
    ]
    for n, k, recall, nprobe in cases:
        found = index.search(queries[:n], k, recall=recall)
        assert_same(found, index.search(queries[:n], k, nprobe=nprobe))
        for other in range(1, 12):
            if other != nprobe and n == 300:
                assert (found.ids != index.search(queries, k, nprobe=other).ids).any()
    assert index.search(np.empty((0, DIM)), 10, recall=0.8).ids.shape == (0, 10)
    assert index.search(queries[0], 10, recall=0.8).ids.shape == (10,)
    with pytest.raises(ValueError, match=r"k: got 21, the index is tuned for k <= 20.*k=21"):
        index.search(queries, 21, recall=0.5)
    with pytest.raises(ValueError, match=r"recall: got 0.96, tuning reached no more than 0.95"):
        index.search(queries, 10, recall=0.96)


def test_where_exhaustive_search_is_faster_it_is_chosen() -> None:
    """Lists of clumps that every query needs: probing nearly all of them one by one cannot pay."""
    index = ivf(noise(20_000), 2, "ip")
    table = nf.tune(index, noise(400, 3), 0.999)
    chosen = {s.batch: s.params["nprobe"] for s in table if s.level == 0.999}
    assert chosen == {1: 2, 32: 2, 400: 2}


def test_a_flat_index_is_exact_tuned_or_not() -> None:
    flat = nf.FlatIndex(DIM, "cosine")
    flat.add(noise(500))
    queries = noise(64, 1)
    expected = flat.search(queries, 5)
    assert_same(flat.search(queries, 5, recall=0.9), expected)
    table = nf.tune(flat, queries, 0.9, k=5)
    assert {(s.params == {}, s.recall, s.lower) for s in table} == {(True, 1.0, 1.0)}
    assert_same(flat.search(queries, 5, recall=1), expected)
    assert flat.search(queries, 400, recall=0.9).ids.shape == (64, 400)
    assert "none" in str(table)


def test_truth_from_elsewhere() -> None:
    index = index_of(n=2000)
    queries = noise(100, 1)
    exact = index.search(queries, 15, nprobe=NLIST).ids
    own = nf.tune(index, queries, 0.9)
    given = nf.tune(index, queries, 0.9, truth=exact)
    nprobes = [{(s.params["nprobe"], s.recall) for s in table} for table in (own, given)]
    shared = {n for n, _ in nprobes[0]} & {n for n, _ in nprobes[1]}
    assert shared
    for n in shared:
        assert {r for m, r in nprobes[0] if m == n} == {r for m, r in nprobes[1] if m == n}
    half = exact.copy()
    half[:, 5:] = 10**6  # a truth that knows of rows the index lacks
    with pytest.raises(
        ValueError, match=r"no setting reaches a recall of 0.8.*best is sure to reach 0\.4"
    ):
        nf.tune(index, queries, 0.9, truth=half)
    with pytest.warns(UserWarning, match=r"recall 0.9 is not reached.*0\.4"):
        low = nf.tune(index, queries, (0.4, 0.9), truth=half, k=11)
    assert {s.level for s in low if s.k == 11} == {0.4}
    with pytest.raises(ValueError, match=r"reached no more than 0.4"):
        index.search(queries, 11, recall=0.41)


def test_tables_survive_files_pickles_and_changes(tuned: nf.IVFIndex, tmp_path: Path) -> None:
    tuned.save(tmp_path / "a.nf")
    queries = noise(5, 2)
    for mmap in (False, True):
        for verify in (False, True):
            again = nf.load(tmp_path / "a.nf", mmap=mmap, verify=verify)
            assert again.tuning == tuned.tuning
            assert_same(again.search(queries, recall=0.7), tuned.search(queries, recall=0.7))
    copy = pickle.loads(pickle.dumps(tuned))
    assert copy.tuning == tuned.tuning
    copy.add(noise(100, 9))
    copy.remove(range(200))
    assert copy.tuning == tuned.tuning
    flat = nf.FlatIndex(DIM)
    flat.add(noise(100))
    table = nf.tune(flat, noise(40), k=3)
    flat.save(tmp_path / "flat.nf")
    assert nf.load(tmp_path / "flat.nf").tuning == table
    assert nf.FlatIndex(3).tuning is None


def test_a_warning_when_the_rows_are_others_by_now(tuned: nf.IVFIndex) -> None:
    index = pickle.loads(pickle.dumps(tuned))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(noise(4000, 4))
        index.search(noise(1), recall=0.9)
    index.add(noise(1, 5))
    with pytest.warns(UserWarning, match=r"tuned with 4000 rows and has 8001 now.*nf\.tune again"):
        index.search(noise(1), recall=0.9)
    index.remove(range(8001 - 1999))
    with pytest.warns(UserWarning, match=r"has 1999 now"):
        index.search(noise(1), recall=0.9)


def test_tuning_again_replaces_the_same_k(tuned: nf.IVFIndex) -> None:
    index = pickle.loads(pickle.dumps(tuned))
    nf.tune(index, noise(40, 3), 0.61, k=5)
    nf.tune(index, noise(40, 3), 0.62, k=10)
    levels = {k: {s.level for s in index.tuning if s.k == k} for k in (5, 10)}
    assert 0.61 in levels[5]
    assert 0.62 in levels[10]
    assert 0.7 not in levels[10]
    assert {s.batch for s in index.tuning} == {1, 32}


def test_prints_as_a_table(tuned: nf.IVFIndex) -> None:
    lines = str(tuned.tuning).splitlines()
    assert lines[0].split() == [
        "k",
        "batch",
        "level",
        "parameters",
        "recall",
        "at",
        "least",
        "us/query",
    ]
    assert len(lines) == len(tuned.tuning) + 1
    assert "nprobe=40" in lines[-1]
    assert repr(tuned.tuning) == str(tuned.tuning)


class Sketch:
    """An index that finds a share of the rows which grows with two parameters."""

    metric, nlist, dim = "ip", 16, DIM
    _search_params = ("nprobe", "rerank")

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 1000

    def search(self, q: np.ndarray, k: int, *, threads: Any, nprobe: int, rerank: int) -> Any:
        self.asked.append((nprobe, rerank))
        share = (nprobe / 16) ** 0.1 * min(1.0, rerank / 80) ** 0.1
        scores = np.ones((len(q), k), np.float32)
        scores[:, int(share * k + 1e-6) :] = 0
        return nf.SearchResult(np.zeros((len(q), k), int), scores, np.full(len(q), k))


def test_two_parameters_are_tried_together() -> None:
    index = Sketch()
    meter = tuning._Meter(index, noise(40), 20, None, None)  # type: ignore[arg-type]
    measured = tuning._climb(meter, [0.9])
    assert index.asked[0] == (16, 1000), "the exhaustive one comes first: it is the truth"
    assert measured[0].params == {"nprobe": 16, "rerank": 1000}
    assert (measured[0].exhaustive, measured[0].recall) == (True, 1.0)
    assert not any(one.exhaustive for one in measured[1:])
    tried = {(one.params["nprobe"], one.params["rerank"]) for one in measured}
    assert {(1, 20), (1, 40), (1, 80)} <= tried
    assert (1, 640) not in tried, "it finds no more than 80 do"
    assert all(one.recall <= 1 and set(one.seconds) == {1, 32} for one in measured)
    for batch, level, one in tuning._chosen(measured, {0.8, 0.9, 1.0}):
        assert one.lower >= level
        others = [other for other in measured if other.lower >= level]
        assert one.exhaustive or one.seconds[batch] == min(o.seconds[batch] for o in others)


def test_the_bound_is_that_of_the_definition() -> None:
    shares = np.array([1.0, 0.5, 0.75, 1.0])
    error = np.sqrt(((shares - shares.mean()) ** 2).sum() / 3 / 4)
    assert tuning._lower_bound(shares, 10) == pytest.approx(shares.mean() - 1.645 * error)
    assert tuning._lower_bound(np.ones(100), 10) == pytest.approx(1 - 1.645 / 1000)
    assert tuning._lower_bound(np.zeros(100), 10) == 0


INDEX = ivf(rows_of("float32", 200, DIM), 4)
BAD = noise(40)
BAD[7, 3] = np.nan

WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: nf.tune(INDEX, noise(31)), ValueError, "queries: got 31, expected at least 32"),
    (lambda: nf.tune(INDEX, noise(40)[:, :5]), ValueError, "queries: got shape"),
    (lambda: nf.tune(INDEX, BAD), ValueError, "q: query 7 holds NaN"),
    (lambda: nf.tune(INDEX, noise(40), 0), ValueError, r"recall: got 0.0, expected .* in \(0, 1\]"),
    (lambda: nf.tune(INDEX, noise(40), 1.01), ValueError, "recall: got 1.01"),
    (lambda: nf.tune(INDEX, noise(40), float("nan")), ValueError, "recall: got NaN"),
    (lambda: nf.tune(INDEX, noise(40), []), ValueError, "recall: got no level"),
    (lambda: nf.tune(INDEX, noise(40), ["a"]), TypeError, "recall: got 'a'"),
    (lambda: nf.tune(INDEX, noise(40), k=0), ValueError, "k: got 0"),
    (lambda: nf.tune(INDEX, noise(40), k=201), ValueError, "k: got 201 for an index of 200 rows"),
    (lambda: nf.tune(INDEX, noise(40), threads=0), ValueError, "threads: got 0"),
    (lambda: nf.tune(nf.FlatIndex(DIM), noise(40)), ValueError, "k: got 10 for an index of 0 rows"),
    (
        lambda: nf.tune(INDEX, noise(40), truth=np.zeros((40, 9), int)),
        ValueError,
        r"truth: got shape \(40, 9\), expected \(40, 10\)",
    ),
    (lambda: nf.tune(INDEX, noise(40), truth=np.zeros((40, 10))), TypeError, "truth: .* float64"),
    (lambda: INDEX.search(noise(2), recall=0.9), nf.NotTrainedError, "not tuned: run nf.tune"),
    (
        lambda: INDEX.search(noise(2), recall=0.9, nprobe=2),
        TypeError,
        "recall together with nprobe",
    ),
    (lambda: INDEX.search(noise(2), recall=0), ValueError, "recall: got 0"),
    (lambda: INDEX.search(noise(2), recall=True), TypeError, "recall: got True"),
    (
        lambda: INDEX.range_search(noise(2), 1.0, recall=0.9),
        TypeError,
        "unknown parameters 'recall'",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
    assert INDEX.tuning is None
