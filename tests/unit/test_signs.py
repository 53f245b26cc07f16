"""Indexes that read sign planes (quantizer "rabitq1"): exact where told to be sure, else a set of
candidates that depends on nothing but the data and `epsilon`."""

from __future__ import annotations

import itertools
import pickle
import threading
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.clumps import METRICS, assert_same
from unit.clumps import rows_of as corpus

REFINES = ("float32", "float16", "bfloat16")
NLIST = 12
SURE = {"epsilon": float("inf")}


def rows_of(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Return rows about a few middles: with twins, a zero row, and lengths that differ."""
    rng = np.random.default_rng(seed)
    middles = 2 * rng.standard_normal((9, dim))
    x = middles[rng.integers(0, 9, n)] + rng.standard_normal((n, dim))
    x *= rng.uniform(0.5, 2.0, (n, 1))
    if n > 60:
        x[10:40], x[50] = x[9], 0.0
    return x.astype(np.float32)


def signs(
    x: np.ndarray,
    metric: Any,
    refine: str,
    nlist: int,
    ids: Any = None,
    quantizer: str = "rabitq1",
    residual: bool = True,
) -> Any:
    if nlist == 0:
        flat = nf.FlatIndex(x.shape[1], metric, quantizer=quantizer, refine=refine)
        flat.train(x)
        flat.add(x, ids)
        return flat
    index = nf.IVFIndex(
        x.shape[1], nlist, metric, quantizer=quantizer, refine=refine, residual=residual
    )
    index.train(x)
    index.add(x, ids)
    return index


def exact(x: np.ndarray, metric: Any, refine: str, ids: Any = None) -> nf.FlatIndex:
    flat = nf.FlatIndex(x.shape[1], metric, quantizer=refine)
    flat.add(x, ids)
    return flat


def probing(index: nf.Index, nprobe: int, **more: Any) -> dict[str, Any]:
    return {"nprobe": nprobe, **more} if isinstance(index, nf.IVFIndex) else more


@pytest.mark.parametrize("nlist", [0, 1, NLIST])
@pytest.mark.parametrize("refine", REFINES)
@pytest.mark.parametrize("metric", METRICS)
def test_exact_where_bounds_are_certain(metric: str, refine: str, nlist: int) -> None:
    for dim in (1, 5, 37, 100):
        x, q = rows_of(1500, dim), rows_of(61, dim, seed=1)
        index, flat = signs(x, metric, refine, nlist), exact(x, metric, refine)
        for k in (1, 10, 300, 1500, 1600):
            assert_same(index.search(q, k, **probing(index, NLIST, **SURE)), flat.search(q, k))
        threshold = float(np.median(flat.search(q, 60).scores))
        assert_same(
            index.range_search(q, threshold, **probing(index, NLIST)),
            flat.range_search(q, threshold),
        )


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_of_any_bits_are_found_by_their_signs(bits: int) -> None:
    x, q = rows_of(1500, 40), rows_of(30, 40, seed=1)
    for metric, nlist, residual in itertools.product(METRICS, (0, NLIST), (False, True)):
        made = [signs(x, metric, "float16", nlist, None, f"rabitq{b}", residual) for b in (1, bits)]
        answers = [index.search(q, 10, **probing(index, 3)) for index in made]
        assert_same(*answers)
        asked = probing(made[1], NLIST, **SURE)
        assert_same(made[1].search(q, 10, **asked), exact(x, metric, "float16").search(q, 10))


@pytest.mark.parametrize("storage", ["int8", "uint8"])
def test_rows_of_bytes(storage: Any) -> None:
    x, q = (np.asarray(corpus(storage, n, 24, seed)) for n, seed in ((800, 0), (20, 1)))
    for metric, nlist in itertools.product(METRICS, (0, NLIST)):
        index, flat = signs(x, metric, storage, nlist), exact(x, metric, storage)
        found = index.search(q.astype(np.float32), 10, **probing(index, NLIST, **SURE))
        assert_same(found, flat.search(q.astype(np.float32), 10))


@pytest.mark.parametrize("nlist", [0, NLIST])
@pytest.mark.parametrize("metric", METRICS)
def test_answers_depend_on_neither_batch_nor_threads(metric: str, nlist: int) -> None:
    x, q = rows_of(4000, 48), rows_of(300, 48, seed=1)
    index = signs(x, metric, "float16", nlist)
    for epsilon in (0.0, 0.3, 1.0, 3.0):
        for nprobe in (1, 4, NLIST):
            asked = probing(index, nprobe, epsilon=epsilon)
            whole = index.search(q, 10, threads=1, **asked)
            assert_same(index.search(q, 10, threads=3, **asked), whole)
            for first, last in ((0, 1), (1, 3), (3, 10), (10, 300)):
                part = index.search(q[first:last], 10, threads=2, **asked)
                assert_same(part, nf.SearchResult(*(a[first:last] for a in whole)))


@pytest.mark.parametrize("nlist", [0, NLIST])
@pytest.mark.parametrize("metric", METRICS)
def test_more_deviations_find_more(metric: str, nlist: int) -> None:
    x, q = rows_of(6000, 64), rows_of(200, 64, seed=1)
    index, flat = signs(x, metric, "float32", nlist), exact(x, metric, "float32")
    truth = flat.search(q, 10).ids
    found = []
    for epsilon in (0.0, 0.5, 1.0, 2.0, 4.0):
        ids = index.search(q, 10, **probing(index, NLIST, epsilon=epsilon)).ids
        found.append(np.mean([np.isin(a, b).mean() for a, b in zip(ids, truth, strict=True)]))
    assert all(b >= a for a, b in itertools.pairwise(found))
    assert found[0] < 0.9
    assert found[2] > 0.85
    assert found[4] > 0.999


def test_scores_are_those_of_the_rows() -> None:
    for metric in METRICS:
        x, q = rows_of(900, 20), rows_of(30, 20, seed=1)
        for nlist in (0, NLIST):
            index = signs(x, metric, "bfloat16", nlist)
            flat = exact(x, metric, "bfloat16")
            ids, scores, _ = index.search(q, 5, **probing(index, 2, epsilon=0.5))
            for i, query in enumerate(q):
                all_ids, all_scores, _ = flat.search(query, 900)
                true = dict(zip(all_ids.tolist(), all_scores.tolist(), strict=True))
                assert [true[row] for row in ids[i].tolist()] == scores[i].tolist()


@pytest.mark.parametrize("nlist", [0, NLIST])
def test_rows_that_come_and_go(nlist: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for metric in METRICS:
        x, q = rows_of(3000, 24), rows_of(20, 24, seed=1)
        index = signs(x[:700], metric, "float32", nlist)
        flat = exact(x[:700], metric, "float32")
        at = 700
        for n in (1, 30, 32, 33, 500, 1, 1200):
            for each in (index, flat):
                each.add(x[at : at + n])
            at += n
            gone = rng.integers(0, at, n // 2)
            assert index.remove(gone) == flat.remove(gone)
            chosen = rng.random(len(flat)) < 0.3
            for rows in (None, chosen):
                asked = probing(index, NLIST, **SURE)
                assert_same(
                    index.search(q, 12, filter=rows, **asked), flat.search(q, 12, filter=rows)
                )
        asked = probing(index, 3)
        before = index.search(q, 10, **asked)
        index.save(tmp_path / "one.nf")
        for again in (
            nf.load(tmp_path / "one.nf"),
            nf.load(tmp_path / "one.nf", mmap=True),
            pickle.loads(pickle.dumps(index)),
        ):
            assert (again.quantizer, again.refine) == ("rabitq1", "float32")
            assert_same(again.search(q, 10, **asked), before)
            again.add(x[:40])
            assert len(again) == len(index) + 40


def test_lists_that_hold_too_few_do_not_end_a_search() -> None:
    x, q = rows_of(600, 16), rows_of(9, 16, seed=1)
    index = signs(x, "l2", "float32", NLIST)
    assert index.search(q, 400, nprobe=1).counts.tolist() == [400] * 9
    only = np.arange(600) >= 590
    found = index.search(q, 10, nprobe=1, filter=only)
    assert found.counts.tolist() == [10] * 9
    assert set(found.ids.ravel().tolist()) == set(range(590, 600))


def test_extreme_values() -> None:
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((700, 12))
    cases = {
        "equal": np.ones((700, 12)),
        "zero": np.zeros((700, 12)),
        "tiny": plain * 1e-30,
        "huge": plain * 1e20,
        "beyond float32 of squares": plain * 1e30,
        "wild": plain * 10.0 ** rng.uniform(-20, 20, (700, 1)),
        "far": plain + 1e6,
    }
    for name, rows in cases.items():
        x = rows.astype(np.float32)
        for metric in METRICS:
            flat = exact(x, metric, "float32")
            q = np.concatenate([x[::90], x[:3] * np.float32(0.5), np.zeros((1, 12), np.float32)])
            for queries in (q, np.float32(1e-12) * q, rng.standard_normal((4, 12))):
                for nlist in (0, 5):
                    index = signs(x, metric, "float32", nlist)
                    asked = probing(index, 5, **SURE)
                    found, truth = index.search(queries, 8, **asked), flat.search(queries, 8)
                    assert found.ids.tolist() == truth.ids.tolist(), (name, metric, nlist)
                    index.search(queries, 8, **probing(index, 2))


def test_very_many_candidates_that_are_alike() -> None:
    x = np.ones((40_000, 8), np.float32)
    x[-3:] = 2.0
    index = signs(x, "l2", "float16", 0)
    q = np.full((3, 8), 1.25, np.float32)
    found = index.search(q, 4)
    assert found.ids.tolist() == [[0, 1, 2, 3]] * 3
    assert index.search(q[0], 4).ids.tolist() == [0, 1, 2, 3]


def test_searches_beside_changes() -> None:
    x = rows_of(4000, 32)
    index = signs(x[:500], "cosine", "float16", NLIST)
    wrong: list[str] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            # The nearest row of a stored row is that row, or its twin before it.
            ids = index.search(x[100:120], 1, nprobe=NLIST, epsilon=float("inf"), threads=1).ids
            if ids[:, 0].tolist() != list(range(100, 120)):
                wrong.append(str(ids[:, 0].tolist()))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(500, 4000, 70):
        index.add(x[first : first + 70])
        index.remove(np.arange(first, first + 20))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_is_rows_codes_and_one_bit_a_dimension() -> None:
    x = rows_of(20_000, 128)
    index = signs(x, "l2", "float16", 0)
    stats = index.stats()
    assert stats["scan"] == "rabitq1"
    assert stats["row_bytes"] == 20_000 * 256
    assert stats["code_bytes"] == 20_000 * (128 // 8 + 16)
    planes = 20_000 * (128 // 8 + 12)
    assert 0 <= index.nbytes - stats["row_bytes"] - stats["code_bytes"] - planes < 2000


def test_names_and_parameters() -> None:
    index = nf.IVFIndex(8, 2, quantizer="rabitq1", refine="float16")
    assert (index.quantizer, index.refine) == ("rabitq1", "float16")
    assert nf.FlatIndex(8).refine is None
    assert "rabitq1" in repr(index)
    for kind in (lambda **kw: nf.FlatIndex(8, **kw), lambda **kw: nf.IVFIndex(8, 2, **kw)):
        plain = kind(quantizer="rabitq1")
        plain.train(rows_of(300, 8))
        plain.add(rows_of(300, 8))
        for name in ("epsilon", "rerank"):
            with pytest.raises(TypeError, match=f"unknown parameters '{name}'"):
                plain.search(rows_of(1, 8), **{name: 1})
    flat = signs(rows_of(300, 8), "l2", "float32", 0)
    q = rows_of(1, 8)
    for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(error, match="epsilon: got"):
            flat.search(q, epsilon=wrong)
    with pytest.raises(
        TypeError, match="'rerank'; a FlatIndex takes only filter, transform, corpus_adapter, eps"
    ):
        flat.search(q, rerank=10)
    with pytest.raises(
        TypeError, match="'epsilon'; a FlatIndex takes only filter, transform, corpus_adapter, rec"
    ):
        nf.FlatIndex(8).search(q, epsilon=1.0)
    with pytest.raises(TypeError, match=r"range_search.. got unknown parameters 'epsilon'"):
        flat.range_search(q, 1.0, epsilon=1.0)


def test_a_refused_row_changes_nothing() -> None:
    x = rows_of(400, 8)
    index = signs(x, "l2", "float32", 0)
    before = index.search(x[:5], 3)
    bad = x[:50].copy()
    bad[33, 2] = np.nan
    with pytest.raises(ValueError, match="row 33 holds NaN"):
        index.add(bad)
    assert len(index) == 400
    assert_same(index.search(x[:5], 3), before)
    index.add(x[:50])
    assert len(index) == 450
