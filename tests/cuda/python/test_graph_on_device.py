"""A graph on a device: what walks there find, beside exact search and beside the CPU's walks."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import DlpackArray, Standin, contents
from property.test_datasets import SETS
from property.test_hnsw_recall import recall, rows_and_queries

STORED = ("float32", "float16", "bfloat16", "int8", "uint8")


def rows_of(rng: np.random.Generator, n: int, stored: str = "float32") -> np.ndarray:
    """Return rows in clusters, which codes of bytes can hold."""
    near = rng.integers(20, 100, (20, 8))[rng.integers(0, 20, n)] + rng.integers(-9, 10, (n, 8))
    return near.astype(stored if stored in ("int8", "uint8") else np.float32)


def filled(
    rng: np.random.Generator, metric: Any = "l2", stored: str = "float32", n: int = 900
) -> nf.HNSWIndex:
    """Return an index with labels in no order, and dead rows in its graph."""
    index = nf.HNSWIndex(8, 4, metric, quantizer=stored)
    index.add(rows_of(rng, n, stored), ids=rng.permutation(2 * n)[:n] + 50)
    index.remove(index._core.labels()[7:50:2])
    assert index.stats()["levels"][0] == n  # they are still there
    return index


def good(found: nf.SearchResult, index: nf.HNSWIndex, q: np.ndarray, k: int, **how: Any) -> float:
    """Check that answers are rows with their scores, best first; return the share of the best."""
    every = index.search(q, k=len(index), **how)  # all rows are scored
    for i in range(len(q)):
        count = int(every.counts[i])
        place = {label: at for at, label in enumerate(every.ids[i, :count].tolist())}
        assert found.counts[i] == min(k, count)
        places = [place[label] for label in found.ids[i, : found.counts[i]].tolist()]
        assert places == sorted(set(places))
        np.testing.assert_array_equal(found.scores[i, : len(places)], every.scores[i, places])
    last = every.scores[:, min(k, count) - 1, None]
    near = found.scores <= last if index.metric == "l2" else found.scores >= last
    return float(near[:, : min(k, count)].mean())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", STORED)
def test_answers_are_rows_with_their_scores(
    standin: Standin, rng: np.random.Generator, metric: str, stored: str
) -> None:
    index = filled(rng, metric, stored)
    there = index.to("cuda:0")
    assert (there.device, index.device, len(there)) == ("cuda:0", "cpu", len(index))
    q = rows_of(rng, 6).astype(np.float32)
    walks = standin.launches
    found = there.search(q, k=5, ef_search=24)
    assert standin.launches > walks
    here = good(index.search(q, k=5, ef_search=24), index, q, 5)
    assert good(found, index, q, 5) >= max(here - 0.04, 0.7)
    one = there.search(q[0], k=5, ef_search=24)
    same(one, nf.SearchResult(*(part[0] for part in found)))
    on_device = there.search(DlpackArray(standin, q), k=5, ef_search=24)
    same(nf.SearchResult(*(contents(part, standin) for part in on_device)), found)


@pytest.mark.parametrize("name", SETS)
def test_recall_beside_the_cpu(standin: Standin, name: str) -> None:
    """At equal breadth: walks there go by the rows, the CPU's by 4 bits a dimension."""
    rows, queries = rows_and_queries(name, 1500)
    metric: Any = SETS[name]
    queries = queries[:40]
    index = nf.HNSWIndex(rows.shape[1], 12, metric, ef_construction=100)
    index.add(rows)
    there = index.to("cuda")
    reached = {}
    for ef in (10, 30):
        found = there.search(queries, 10, ef_search=ef)
        reached[ef] = recall(found.ids, rows, queries, metric)
        here = recall(index.search(queries, 10, ef_search=ef).ids, rows, queries, metric)
        assert reached[ef] >= here - 0.01
    assert reached[30] >= 0.93
    some = there.search(queries[30:], 10, ef_search=30)
    same(some, nf.SearchResult(*(part[30:] for part in found)))  # any batch


def test_margins_end_walks(standin: Standin) -> None:
    rows, queries = rows_and_queries("sift", 1500)
    queries = queries[:20]
    index = nf.HNSWIndex(rows.shape[1], 12, ef_construction=100)
    index.add(rows)
    there = index.to("cuda")
    reached = [
        recall(there.search(queries, 10, ef_search=80, margin=margin).ids, rows, queries, "l2")
        for margin in (0.0, 0.1)
    ]
    assert 0.5 < reached[0] < reached[1] - 0.02
    assert reached[1] >= 0.9


def test_filters(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rows_of(rng, 5).astype(np.float32)
    many, few = rng.random(len(index)) < 0.8, rng.random(len(index)) < 0.02
    found = there.search(q, k=5, ef_search=20, filter=many)
    assert good(found, index, q, 5, filter=many) >= 0.9
    labels = index._core.labels()
    some = labels[rng.permutation(len(labels))[:20]]
    for chosen in (few, some, [int(labels[4]), -7], np.zeros(len(index), bool)):
        same(there.search(q, k=5, ef_search=20, filter=chosen), index.search(q, k=5, filter=chosen))
    exact = index.search(q, k=5, filter=many, ef_search=2**40)
    masked = there.search(
        DlpackArray(standin, q), k=5, ef_search=20, filter=DlpackArray(standin, many.view(np.uint8))
    )
    same(nf.SearchResult(*(contents(part, standin) for part in masked)), exact)


def test_all_rows_where_that_is_asked(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rows_of(rng, 3).astype(np.float32)
    for k, ef in ((5, 10**9), (len(index), 1), (len(index) + 9, 1)):
        same(there.search(q, k=k, ef_search=ef), index.search(q, k=k, ef_search=ef))
    assert good(there.search(q, k=30, ef_search=1), index, q, 30) >= 0.8  # k is broader


def test_what_no_link_leads_to_is_found(standin: Standin, rng: np.random.Generator) -> None:
    """Walks that end among dead rows find too few, and then every row is looked at."""
    index = nf.HNSWIndex(8, 4)
    near = rng.standard_normal((60, 8)).astype(np.float32)
    index.add(np.concatenate([near, 100 + rng.standard_normal((840, 8)).astype(np.float32)]))
    index.remove(range(60))
    assert index.stats()["levels"][0] == 900
    there = index.to("cuda")
    found = there.search(near[:4], k=5, ef_search=8)
    same(found, there.search(near[:4], k=5, ef_search=10**9))


def test_changes_are_there_in_both(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.HNSWIndex(8, 4)
    there = index.to("cuda")
    q = rows_of(rng, 3).astype(np.float32)
    assert there.search(q, k=3).counts.tolist() == [0, 0, 0]
    index.add(rows_of(rng, 600))
    good(there.search(q, k=3, ef_search=12), index, q, 3)
    there.add(q, ids=[7001, 7002, 7003])
    assert there.search(q, k=1, ef_search=12).ids[:, 0].tolist() == [7001, 7002, 7003]
    index.remove([7002])
    assert 7002 not in there.search(q, k=3, ef_search=12).ids
    index.remove(range(300))
    good(there.search(q, k=3, ef_search=12), index, q, 3)


def test_equal_rows_come_by_label(standin: Standin) -> None:
    index = nf.HNSWIndex(4, 8)
    index.add(np.ones((900, 4), np.float32), ids=np.arange(900)[::-1])
    index.add(np.zeros((300, 4), np.float32), ids=np.arange(1000, 1300))
    there = index.to("cuda")
    found = there.search(np.zeros((1, 4)), k=12, ef_search=16).ids[0]
    assert found.tolist() == sorted(found.tolist())
    assert found.min() >= 1000


def test_a_recall_that_was_tuned(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng, n=1500)
    q = rows_of(rng, 64).astype(np.float32)
    there = index.to("cuda")
    with pytest.raises(nf.NearfieldError):
        there.search(q, k=5, recall=0.9)
    nf.tune(index, q, recall=0.9, k=5)
    assert good(there.search(q[:20], k=5, recall=0.9), index, q[:20], 5) >= 0.9
    with pytest.raises(TypeError, match="recall together with ef_search"):
        there.search(q, recall=0.9, ef_search=3)


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng, n=300)
    there = index.to("cuda")
    q = rows_of(rng, 2).astype(np.float32)
    with pytest.raises(TypeError, match=r"got rerank for rows on cuda:0.*ef_search, margin"):
        there.search(q, rerank=30)
    with pytest.raises(ValueError, match="ef_search: got 0"):
        there.search(q, ef_search=0)
    with pytest.raises(ValueError, match="margin"):
        there.search(q, margin=-1.0)
    with pytest.raises(ValueError, match="filter: got"):
        there.search(DlpackArray(standin, q), filter=DlpackArray(standin, np.zeros(3, np.uint8)))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng)
    q = rows_of(rng, 3).astype(np.float32)
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync"):
        for number in (1, 4):
            monkeypatch.setenv("STANDIN_FAILS", f"{function}={number}")
            with pytest.raises(nf.DeviceError):
                index.to("cuda")
            monkeypatch.delenv("STANDIN_FAILS")
    there = index.to("cuda")
    first = there.search(q, k=4, ef_search=12)
    for number in (1, 2, 3):
        monkeypatch.setenv("STANDIN_FAILS", f"cuLaunchKernel={number}")
        with pytest.raises(nf.DeviceError):
            there.search(q, k=4, ef_search=12)
        monkeypatch.delenv("STANDIN_FAILS")
        same(there.search(q, k=4, ef_search=12), first)
