"""A graph over codes alone on a device: walks by decoded rows, scored as the CPU scores them."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_graph_on_device import good
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.library import library
from nearfield.cuda.resident import graph, graph_rows

DIM = 12
CASES = [
    *(("sq8", metric) for metric in METRICS),
    *(("opq4x4", metric) for metric in METRICS),
    ("sq4", "ip"),
    ("pq3x5", "cosine"),
    ("rabitq1", "cosine"),
    ("rabitq3", "l2"),
]


def rows_of(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return rows in clusters."""
    centres = 3 * np.random.default_rng(1).standard_normal((12, DIM))
    near = centres[rng.integers(0, 12, n)] + rng.standard_normal((n, DIM))
    return near.astype(np.float32)


def filled(
    rng: np.random.Generator, quantizer: str, metric: Any = "l2", n: int = 500
) -> nf.HNSWIndex:
    """Return an index with labels in no order, rows twice, and dead ones in its graph."""
    index = nf.HNSWIndex(DIM, 6, metric, quantizer=quantizer)
    rows = rows_of(rng, n)
    rows[n // 2 : n // 2 + 10] = rows[:10]
    rows[9] = 0
    index.train(rows)
    index.add(rows, ids=rng.permutation(2 * n)[:n] + 50)
    index.remove(index._core.labels()[7:50:2])
    assert index.stats()["levels"][0] == n  # they are still there
    return index


@pytest.mark.parametrize(("quantizer", "metric"), CASES)
def test_answers_are_decoded_rows_with_their_scores(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: Any
) -> None:
    index = filled(rng, quantizer, metric)
    there = index.to("cuda:0")
    assert (there.device, there.quantizer, index.device) == ("cuda:0", quantizer, "cpu")
    q = rows_of(rng, 6)
    first = standin.launches
    same(there.search(q, k=5, ef_search=10**9), index.search(q, k=5, ef_search=10**9))
    same(there.search(q, k=500), index.search(q, k=500))
    scans, first = (standin.launches - first) / 2, standin.launches
    found = there.search(q, k=5, ef_search=16)
    assert standin.launches - first > scans, "no walk"
    here = good(index.search(q, k=5, ef_search=16), index, q, 5)
    assert good(found, index, q, 5) >= max(here - 0.04, 0.7)
    given = there.search(DlpackArray(standin, q), k=5, ef_search=16)
    same(nf.SearchResult(*(contents(part, standin) for part in given)), found)
    one = there.search(q[0], k=5, ef_search=16)
    same(one, nf.SearchResult(*(part[0] for part in found)))


@pytest.mark.parametrize("quantizer", ["sq8", "opq4x4"])
def test_filters(standin: Standin, rng: np.random.Generator, quantizer: str) -> None:
    index = filled(rng, quantizer, "cosine")
    there = index.to("cuda")
    q = rows_of(rng, 4)
    many, few = rng.random(len(index)) < 0.8, rng.random(len(index)) < 0.05
    found = there.search(q, k=5, ef_search=10, filter=many)
    assert good(found, index, q, 5, filter=many) >= 0.8
    for chosen in (few, range(60, 90), np.zeros(len(index), bool)):
        same(there.search(q, k=5, filter=chosen), index.search(q, k=5, filter=chosen))
    mask = DlpackArray(standin, many.view(np.uint8))
    masked = there.search(DlpackArray(standin, q.astype(np.float16)), k=5, filter=mask)
    here = index.search(q.astype(np.float16), k=5, filter=many, ef_search=10**9)
    same(nf.SearchResult(*(contents(part, standin) for part in masked)), here)


def test_rows_that_no_link_leads_to_are_found(standin: Standin, rng: np.random.Generator) -> None:
    """Walks that end among dead rows: the queries are scored over all rows, turned as these are."""
    index = nf.HNSWIndex(DIM, 4, "cosine", quantizer="opq4x4")
    away = rng.standard_normal(DIM)
    near, far = (0.1 * rng.standard_normal((n, DIM)) for n in (60, 640))
    rows = np.concatenate([near + away, far - away]).astype(np.float32)
    index.train(rows)
    index.add(rows)
    index.remove(range(60))
    assert index.stats()["levels"][0] == 700
    there = index.to("cuda")
    found = there.search(rows[:4], k=5, ef_search=8)
    assert found.counts.tolist() == [5] * 4
    same(found, index.search(rows[:4], k=5, ef_search=10**9))


def test_changes_are_there_in_both(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.HNSWIndex(DIM, 4, quantizer="sq8")
    there, q = index.to("cuda"), rows_of(rng, 3)
    assert there.search(q, k=3).counts.tolist() == [0, 0, 0]
    rows, ran = rows_of(rng, 400), standin.launches
    there.train(rows)
    there.add(rows)
    assert standin.launches == ran  # linked on the CPU
    built = nf.HNSWIndex(DIM, 4, quantizer="sq8")
    built.train(rows)
    built.add(rows)
    np.testing.assert_array_equal(*(library().GraphTables(i._core).links() for i in (index, built)))
    same(there.search(q, k=400), index.search(q, k=400))
    there.add(q, ids=[7001, 7002, 7003])
    assert there.search(q, k=1, ef_search=12).ids[:, 0].tolist() == [7001, 7002, 7003]
    index.remove([7002])
    assert 7002 not in there.search(q, k=3, ef_search=12).ids
    index.remove(range(300))
    same(there.search(q, k=99), index.search(q, k=99))


def test_nothing_waits(standin: Standin, rng: np.random.Generator) -> None:
    there = filled(rng, "rabitq1").to("cuda")
    q = rows_of(rng, 3)
    here = there.search(q, k=4)
    waits = standin.calls("cuStreamSynchronize")
    found = there.search(DlpackArray(standin, q), k=4, stream=standin.stream())
    assert standin.calls("cuStreamSynchronize") == waits
    there.add(q, ids=[9001, 9002, 9003])  # what the search reads is replaced before it runs
    there.search(DlpackArray(standin, q), k=4)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_two_devices(standin: Standin, rng: np.random.Generator, metric: Any) -> None:
    index = filled(rng, "opq4x4", metric, n=300)
    there, q = index.to(["cuda:0", "cuda:1"]), rows_of(rng, 3)
    for asked in ({"k": 4, "ef_search": 8}, {"k": 3, "filter": range(50, 90)}):
        same(there.search(q, **asked), index.to("cuda:1").search(q, **asked))


def test_blocks_change_nothing(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng, "rabitq2", "ip", n=100)
    q = rows_of(rng, 2)
    for size in (1, 400, 1 << 24):
        monkeypatch.setattr(graph_rows, "_BLOCK_BYTES", size)
        same(index.to("cuda").search(q, k=100), index.search(q, k=100))


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng, "sq8", n=100)
    there, q = index.to("cuda"), rows_of(rng, 2)
    with pytest.raises(TypeError, match=r"got rerank for rows on cuda:0.*ef_search, margin"):
        there.search(q, rerank=30)
    with pytest.raises(ValueError, match="ef_search: got 0"):
        there.search(q, ef_search=0)
    with pytest.raises(ValueError, match="NaN or infinity in row 1"):
        there.search(np.float32([[0] * DIM, [np.nan] * DIM]))
    tables = library().GraphTables(index._core)
    with pytest.raises(ValueError, match="got a graph over codes, expected one over rows"):
        tables.rows(0, 1)
    kept = library().GraphTables(nf.HNSWIndex(DIM, quantizer="sq8", refine="float16")._core)
    with pytest.raises(ValueError, match="got a graph over rows, expected one over codes"):
        kept.codes(0, 1)
    fresh, rows = nf.HNSWIndex(DIM, quantizer="sq8"), rows_of(rng, 300)
    fresh.train(rows)
    with pytest.raises(ValueError, match="got codes alone, expected rows"):
        library().add_on(fresh._core, rows, None, False, 1, 0, 0)
    assert len(fresh) == 0


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = filled(rng, "opq4x4"), rows_of(rng, 2)
    for failure in ("cuMemAllocAsync=1", "cuMemAllocAsync=4", "cuMemcpyHtoDAsync=3"):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            index.to("cuda")
        monkeypatch.delenv("STANDIN_FAILS")
    monkeypatch.setenv("STANDIN_FAILS", "cuLaunchKernel=1")  # the decoding
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


@pytest.mark.parametrize("fault", ["queries are not turned", "rows are those of others"])
def test_faults_are_noticed(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    index, q = filled(rng, "opq4x4", n=200), rows_of(rng, 3)
    rows_there = graph.rows_there

    def unturned(*where: Any) -> graph_rows.GraphRows:
        return rows_there(*where)._replace(rotation=0)

    def shifted(*where: Any) -> graph_rows.GraphRows:
        rows = rows_there(*where)
        address, *rest = rows.place
        return rows._replace(place=(address + 4 * rest[2], *rest))

    planted = unturned if fault == "queries are not turned" else shifted
    monkeypatch.setattr(graph, "rows_there", planted)
    there = index.to("cuda")  # the last row is a dead one, which nobody reads
    with pytest.raises(AssertionError):
        same(there.search(q, k=9, ef_search=10**9), index.search(q, k=9, ef_search=10**9))
