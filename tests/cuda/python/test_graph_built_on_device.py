"""A graph that a device helped to make: valid on the CPU, and no worse than the CPU's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import Standin
from nearfield.cuda.resident.graph import ResidentGraph
from property.test_datasets import SETS
from property.test_hnsw_recall import recall, rows_and_queries


def test_recall_beside_the_graph_of_the_cpu(standin: Standin, tmp_path: Path) -> None:
    """As with 1,200 rows of every set, for which the stand-in takes half a minute each."""
    name: str = "sift"
    rows, queries = rows_and_queries(name, 450)
    metric: Any = SETS[name]
    here = nf.HNSWIndex(rows.shape[1], 12, metric, ef_construction=100)
    here.add(rows)
    there = nf.HNSWIndex(rows.shape[1], 12, metric, ef_construction=100).to("cuda")
    ran = standin.launches
    there.add(rows)
    assert standin.launches > ran
    built = there.to("cpu")
    assert built.stats()["reachable"] == len(rows)
    for ef in (10, 20):
        own, cpu = (
            recall(index.search(queries, 10, ef_search=ef).ids, rows, queries, metric)
            for index in (built, here)
        )
        assert own >= cpu - 0.01
    built.save(tmp_path / "index.nf")
    same(nf.load(tmp_path / "index.nf").search(queries), built.search(queries))
    some = queries[:10]
    on_device = there.search(some, 10, ef_search=20)
    assert recall(on_device.ids, rows, some, metric) >= 0.85


def test_nearest_rows_by_lists(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows meet those of some lists near to them; as with 1,500 rows of every set."""
    name = "glove100"
    rows, queries = rows_and_queries(name, 900)
    metric: Any = SETS[name]
    here = nf.HNSWIndex(rows.shape[1], 8, metric, ef_construction=24)
    here.add(rows)
    monkeypatch.setattr(ResidentGraph, "most_compared", 800)
    there = nf.HNSWIndex(rows.shape[1], 8, metric, ef_construction=24).to("cuda")
    there.add(rows)
    built = there.to("cpu")
    assert built.stats()["reachable"] == len(rows)
    own, cpu = (
        recall(index.search(queries, 10, ef_search=20).ids, rows, queries, metric)
        for index in (built, here)
    )
    assert own >= cpu - 0.01


def links_of(index: nf.HNSWIndex) -> np.ndarray:
    from nearfield.cuda.library import library

    return library().GraphTables(index._core).links()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("stored", ["float32", "bfloat16", "int8", "uint8"])
@pytest.mark.parametrize("most", [0, 1], ids=["all", "lists"])
def test_every_kind_of_rows(
    standin: Standin,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    metric: Any,
    stored: str,
    most: int,
) -> None:
    """Equal rows count as one, whoever finds the nearest ones."""
    monkeypatch.setattr(ResidentGraph, "most_compared", most)
    rows = rng.integers(0, 90, (100, 8)).astype(stored if "int" in stored else np.float32)
    rows[60:95] = rows[60]
    there = nf.HNSWIndex(8, 4, metric, quantizer=stored).to("cuda")
    there.add(rows, ids=np.arange(100) + 7)
    built = there.to("cpu")
    assert built.stats()["reachable"] == 100
    here = nf.HNSWIndex(8, 4, metric, quantizer=stored)
    here.add(rows, ids=np.arange(100) + 7)
    q = rows[:20].astype(np.float32)
    # The lists of so few rows hold them all: the same graph, the same file.
    same(built.search(q, k=4, ef_search=12), here.search(q, k=4, ef_search=12))
    assert built.stats() == here.stats()
    np.testing.assert_array_equal(links_of(built), links_of(here))


def test_few_rows_are_inserted_as_ever(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.HNSWIndex(4, 4)
    index.add(rng.standard_normal((300, 4)).astype(np.float32))
    there = index.to("cuda")
    ran = standin.launches
    there.add(rng.standard_normal((3, 4)).astype(np.float32))
    assert standin.launches == ran
    assert len(index) == 303


def test_what_fails_adds_nothing(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = nf.HNSWIndex(4, 4).to("cuda")
    rows = rng.standard_normal((200, 4)).astype(np.float32)
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel", "cuMemcpyDtoHAsync"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=1")
        with pytest.raises(nf.DeviceError):
            there.add(rows)
        monkeypatch.delenv("STANDIN_FAILS")
        assert len(there) == 0
    there.add(rows)
    assert len(there) == 200
