"""An IVFIndex on a device answers as on the CPU: the same ids for the same parameters."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.library import library

METRICS = ("l2", "ip", "cosine")
QUANTIZERS = ("float32", "float16", "bfloat16", "int8", "uint8")
LISTS = 11


def filled(rng: np.random.Generator, metric: str = "l2", quantizer: str = "float32") -> nf.IVFIndex:
    """Return an index with ties, labels out of order, and rows that were removed."""
    rows = rng.integers(0, 99, (600, 9))
    rows[300:340] = rows[:40]
    rows[77] = 0
    stored = rows.astype(quantizer if quantizer in ("int8", "uint8") else np.float32)
    index = nf.IVFIndex(9, LISTS, metric, quantizer=quantizer)
    index.train(stored)
    index.add(stored, ids=rng.permutation(np.arange(1000, 1600)))
    index.remove(np.arange(1000, 1050))
    return index


def queries(rng: np.random.Generator, count: int = 7) -> np.ndarray:
    return rng.integers(0, 99, (count, 9)).astype(np.float32)


def same(there: nf.SearchResult, here: nf.SearchResult) -> None:
    np.testing.assert_array_equal(there.ids, here.ids)
    np.testing.assert_array_equal(there.counts, here.counts)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-6, atol=1e-6)


def of(found: nf.SearchResult, standin: Standin) -> nf.SearchResult:
    return nf.SearchResult(*(contents(part, standin) for part in found))


SEARCHES: dict[str, dict[str, Any]] = {
    "by default": {"k": 5},
    "one list": {"k": 4, "nprobe": 1},
    "more rows than the lists hold": {"k": 200, "nprobe": 2},
    "more rows than there are": {"k": 700},
    "every list": {"k": 3, "nprobe": LISTS},
    "a margin": {"k": 5, "nprobe": 6, "margin": 20.0},
    "a margin that leaves too little": {"k": 90, "nprobe": 6, "margin": 0.001},
    "a filter": {"k": 5, "nprobe": 3, "filter": range(1400, 1600)},
    "a filter that leaves too little": {"k": 3, "nprobe": 1, "filter": [1300, 1301, 1302, 1599]},
    "a filter that leaves nothing": {"k": 3, "nprobe": 2, "filter": [5]},
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, metric: str, quantizer: str
) -> None:
    index = filled(rng, metric, quantizer)
    there = index.to("cuda:0")
    assert (there.device, index.device, len(there)) == ("cuda:0", "cpu", 550)
    q = queries(rng)
    for asked in SEARCHES.values():
        if metric != "l2" and "margin" in asked:
            asked = {**asked, "margin": asked["margin"] / 100}  # of cosines
        same(there.search(q, **asked), index.search(q, **asked))
    same(there.search(q[0], k=3), index.search(q[0], k=3))
    found = there.search(DlpackArray(standin, q), k=5, nprobe=4)
    same(of(found, standin), index.search(q, k=5, nprobe=4))


def test_all_lists_are_a_flat_search(standin: Standin, rng: np.random.Generator) -> None:
    rows = rng.integers(-3, 4, (500, 5)).astype(np.float32)  # many ties
    flat, index = nf.FlatIndex(5), nf.IVFIndex(5, 7)
    index.train(rows)
    for one in (flat, index):
        one.add(rows)
    q = rows[:20] + 0.5
    same(index.to("cuda").search(q, k=30, nprobe=7), flat.search(q, k=30))


def test_many_queries_share_lists(standin: Standin, rng: np.random.Generator) -> None:
    """More queries of a list than a tile has, lists longer than one, and of several sizes."""
    rows = rng.standard_normal((2600, 8)).astype(np.float32)
    rows[:1500] *= 0.01
    index = nf.IVFIndex(8, 4, "ip", quantizer="bfloat16")
    index.train(rows)
    index.add(rows)
    q = rng.standard_normal((90, 8)).astype(np.float32)
    same(index.to("cuda").search(q, k=3, nprobe=2), index.search(q, k=3, nprobe=2))


def test_what_lists_leave_open_is_scored_exactly(
    standin: Standin, rng: np.random.Generator
) -> None:
    """More groups within a margin of the best than there is room for."""
    rows = np.ones((2600, 3), np.float32)
    rows[2590:] += rng.standard_normal((10, 3)).astype(np.float32)
    index = nf.IVFIndex(3, 2)
    index.train(rows)
    index.add(rows, ids=np.arange(2600)[::-1])
    q = np.float32([[1, 1, 1], [3, 0, 0], [1, 1, 1.5]])
    for nprobe in (1, 2):
        same(
            index.to("cuda").search(q, k=3, nprobe=nprobe),
            index.search(q, k=3, nprobe=nprobe),
        )


@pytest.mark.parametrize("lists", [1, 300])
def test_one_list_and_many(standin: Standin, rng: np.random.Generator, lists: int) -> None:
    """300: numbers of two digits, most lists of a row, and some of none once rows are gone."""
    rows = rng.standard_normal((400, 6)).astype(np.float32)
    index = nf.IVFIndex(6, lists)
    index.train(rows)
    index.add(rows)
    index.remove(np.arange(0, 400, 3))
    there, q = index.to("cuda"), rng.standard_normal((40, 6)).astype(np.float32)
    for nprobe in (1, 17, 300):
        same(there.search(q, k=6, nprobe=nprobe), index.search(q, k=6, nprobe=nprobe))


@pytest.mark.parametrize("metric", METRICS)
def test_lists_found_through_groups(
    standin: Standin, rng: np.random.Generator, metric: str
) -> None:
    rows = rng.standard_normal((1600, 4)).astype(np.float32)
    index = nf.IVFIndex(4, 800, metric, coarse="hierarchical")
    index.train(rows)
    index.add(rows)
    there, q = index.to("cuda"), rng.standard_normal((5, 4)).astype(np.float32)
    _, sizes, looked = library().groups_of_lists(index._core)
    assert 0 < looked[0] < looked[19] < len(sizes)
    assert looked[299] == 0  # every centroid is looked at
    for nprobe in (1, 20, 300):
        same(there.search(q, k=1, nprobe=nprobe), index.search(q, k=1, nprobe=nprobe))
    how = {"k": 8, "nprobe": 20, "margin": 0.5}
    same(there.search(q, **how), index.search(q, **how))
    for few in ({"k": 90, "nprobe": 2}, {"k": 6, "nprobe": 1}, {"k": 4, "filter": range(60)}):
        same(there.search(q, **few), index.search(q, **few))  # in rounds, through more groups each
    q[1] = np.nan
    found = there.search(DlpackArray(standin, q), k=3, nprobe=20)
    assert contents(found.counts, standin).tolist() == [3, 0, 3, 3, 3]


def test_changes_are_there_in_both(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = queries(rng)
    same(there.search(q), index.search(q))
    index.add(q, ids=np.arange(7))
    same(there.search(q), index.search(q))
    assert there.search(q, k=1).ids[:, 0].tolist() == list(range(7))
    there.remove(np.arange(0, 7, 2))
    same(there.search(q), index.search(q))
    same(there.to("cpu").search(q), index.search(q))


def test_before_it_is_trained(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.IVFIndex(9, 3)
    there, q = index.to("cuda"), queries(rng)
    with pytest.raises(nf.NotTrainedError, match="no centroids yet"):
        there.search(q)
    index.train(queries(rng, 50))
    assert there.search(q, k=2).counts.tolist() == [0] * 7
    same(there.search(q, k=2), index.search(q, k=2))
    there.add(queries(rng, 40))
    same(there.search(q, k=2), index.search(q, k=2))


def test_recall_chooses_the_lists(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there, q = index.to("cuda"), queries(rng)
    with pytest.raises(nf.NotTrainedError, match="not tuned"):
        there.search(q, recall=0.9)
    nf.tune(index, queries(rng, 40), recall=0.9, k=5)
    same(there.search(q, k=5, recall=0.9), index.search(q, k=5, recall=0.9))
    found = there.search(DlpackArray(standin, q), k=5, recall=0.9)
    same(of(found, standin), index.search(q, k=5, recall=0.9))
    with pytest.raises(TypeError, match="recall together with nprobe"):
        there.search(q, recall=0.9, nprobe=2)


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    there, q = filled(rng).to("cuda"), queries(rng)
    with pytest.raises(TypeError, match=r"search\(\) got ef_search for rows on cuda:0.*nprobe"):
        there.search(q, ef_search=3)
    with pytest.raises(ValueError, match="nprobe: got 0"):
        there.search(q, nprobe=0)
    with pytest.raises(ValueError, match="margin: got"):
        there.search(q, margin=-1.0)


def check_nothing_waits(
    standin: Standin,
    index: nf.IVFIndex,
    q: np.ndarray,
    mask: np.ndarray,
    devices: str | list[str] = "cuda",
    **how: Any,
) -> None:
    """Search for queries on the device, while the index changes, before any of the work has run."""
    there = index.to(devices)
    here = index.search(q, **how)
    masked = index.search(q, k=4, nprobe=2, filter=mask)
    on_device, mask_there = DlpackArray(standin, q), DlpackArray(standin, mask)
    stream = standin.stream()
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    found = there.search(on_device, stream=stream, **how)
    filtered = there.search(on_device, k=4, nprobe=2, filter=mask_there, stream=stream)
    index.add(q, ids=range(len(q)))  # what they read is replaced before they run
    after = there.search(on_device, k=4, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    same(of(found, standin), here)
    same(of(filtered, standin), masked)
    same(of(after, standin), index.search(q, k=4))


def test_nothing_waits_for_queries_on_the_device(
    standin: Standin, rng: np.random.Generator
) -> None:
    mask = rng.random(550) < 0.5
    check_nothing_waits(standin, filled(rng), queries(rng), mask, k=4, margin=30.0)


def test_queries_that_are_not_finite_find_nothing(
    standin: Standin, rng: np.random.Generator
) -> None:
    index = filled(rng)
    q = queries(rng)
    here = index.search(q, k=200, nprobe=2)
    q[2, 4], q[5, 0] = np.nan, np.inf
    found = of(index.to("cuda").search(DlpackArray(standin, q), k=200, nprobe=2), standin)
    lost = [2, 5]
    assert found.counts[lost].tolist() == [0, 0]
    assert (found.ids[lost] == nf.MISSING).all()
    kept = [0, 1, 3, 4, 6]
    same(
        nf.SearchResult(*(part[kept] for part in found)), nf.SearchResult(*(p[kept] for p in here))
    )


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng)
    q = queries(rng)
    here = index.search(q)
    for nth in (1, 4):
        monkeypatch.setenv("STANDIN_FAILS", f"cuMemAllocAsync=2@{nth}")
        with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
            index.to("cuda")
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to("cuda")
    for function in ("cuMemAllocAsync", "cuLaunchKernel", "cuMemsetD8Async"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            there.search(q)
        monkeypatch.delenv("STANDIN_FAILS")
        same(there.search(q), here)
    index.add(q, ids=range(7))
    monkeypatch.setenv("STANDIN_FAILS", "cuMemcpyHtoDAsync=2")
    with pytest.raises(nf.DeviceError):
        there.search(q)
    monkeypatch.delenv("STANDIN_FAILS")
    same(there.search(q), index.search(q))


@pytest.mark.parametrize("seed", [1, 2])
def test_schedules_change_nothing(
    standin: Standin, rng: np.random.Generator, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_SEED", str(1000 * seed))
    index, q = filled(rng, "cosine", "int8"), queries(rng)
    there = index.to("cuda")
    for asked in ({"nprobe": 3}, {"k": 120, "nprobe": 1, "filter": range(1200, 1500)}):
        same(there.search(q, **asked), index.search(q, **asked))


def test_nothing_is_left_behind(standin: Standin, rng: np.random.Generator) -> None:
    there = filled(rng).to("cuda")
    q = DlpackArray(standin, queries(rng))
    there.search(q)
    standin.finish()
    before = standin.live_blocks
    for _ in range(3):
        there.search(q, filter=range(1200, 1300))
    standin.finish()
    assert standin.live_blocks == before
