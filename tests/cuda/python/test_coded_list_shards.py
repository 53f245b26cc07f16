"""Lists of codes split over devices are searched as on one, and as on the CPU."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_asking_coded_lists import LISTS, SEARCHES, queries
from cuda.python.test_coded_lists_on_device import DIM, filled
from cuda.python.test_lists_on_device import check_nothing_waits, of, same
from cuda.standin import DlpackArray, Standin
from nearfield.cuda.resident.coded_lists import ResidentCodedLists
from nearfield.cuda.resident.lists import ListCopy

TWO = ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("quantizer", "metric", "residual"),
    [("opq4x4", "l2", True), ("rabitq3", "cosine", True), ("sq8", "ip", False)],
)
def test_every_way_to_ask(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: str, residual: bool
) -> None:
    index, q = filled(rng, quantizer, metric, lists=LISTS, residual=residual), queries(rng)
    there = index.to(TWO)
    assert (there.device, index.device, len(there)) == ("cuda:0,cuda:1", "cpu", 297)
    for asked in SEARCHES.values():
        same(there.search(q, **asked), index.search(q, **asked))
    found = of(there.search(DlpackArray(standin, q), k=5, nprobe=3), standin)
    same(found, index.search(q, k=5, nprobe=3))
    alone = index.to("cuda").search(q, k=5, nprobe=3)
    assert (found.scores == alone.scores).all(), "bits of one device"


@pytest.mark.parametrize("rows", [1, 30])
def test_slices_and_ties(
    standin: Standin, rng: np.random.Generator, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few different rows, labels in no order; slices cut lists, and lists are cut by devices."""
    index = nf.IVFIndex(4, 3, quantizer="sq8", residual=True)
    data = np.tile(rng.integers(0, 2, (5, 4)).astype(np.float32), (24 if rows > 1 else 4, 1))
    index.train(data)
    index.add(data, ids=rng.permutation(1000)[: len(data)] - 500)
    monkeypatch.setattr(ResidentCodedLists, "slice_rows", rows)
    there, mask = index.to(TWO[::-1]), rng.random(len(data)) < 0.5
    assert there.device == "cuda:1,cuda:0"
    for how in ({"k": 7, "nprobe": 1}, {"k": 60, "nprobe": 2}, {"k": 9, "filter": mask}):
        asked: dict[str, Any] = how
        same(there.search(data[:4], **asked), index.search(data[:4], **asked))


def test_lists_found_through_groups(standin: Standin, rng: np.random.Generator) -> None:
    """Most lists hold one row, of which a device has all or nothing."""
    index = filled(rng, "sq8", "ip", n=500, lists=350, coarse="hierarchical")
    there, q = index.to(TWO), queries(rng, 3)
    for k in (1, 40):
        same(there.search(q, k=k, nprobe=4), index.search(q, k=k, nprobe=4))


def test_changes_and_training(standin: Standin, rng: np.random.Generator) -> None:
    index, q = nf.IVFIndex(DIM, 3, quantizer="pq4x4"), queries(rng, 2)
    there = index.to(TWO)
    with pytest.raises(nf.NotTrainedError, match="no centroids yet"):
        there.search(q)
    index.train(queries(rng, 90))
    assert there.search(q, k=2).counts.tolist() == [0, 0]
    for count in (1, 60):
        there.add(queries(rng, count))
        same(there.search(q, k=5, nprobe=2), index.search(q, k=5, nprobe=2))
    there.remove([0, 4])
    same(there.search(q, k=100), index.search(q, k=100))


def test_nothing_waits(standin: Standin, rng: np.random.Generator) -> None:
    mask = rng.random(297) < 0.5
    check_nothing_waits(standin, filled(rng, "opq4x4"), queries(rng), mask, TWO, k=90, nprobe=1)


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = filled(rng, "rabitq2", n=60, lists=3), queries(rng, 2)
    here = index.search(q, k=4, nprobe=2)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@9")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to(TWO)
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to(TWO)
    for failure in ("cuMemcpyPeerAsync=700@2", "cuMemAllocAsync=2@5", "cuLaunchKernel=700@9"):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            there.search(q, k=4, nprobe=2)
        monkeypatch.delenv("STANDIN_FAILS")
        assert standin.violations() == "", failure
        same(there.search(q, k=4, nprobe=2), here)


def test_a_part_that_decides_alone_is_caught(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many lists are looked into follows from all rows, not from those of a device."""
    index, q = filled(rng, "sq8"), queries(rng, 30)
    of_part = ListCopy.of
    monkeypatch.setattr(ListCopy, "of", lambda *given, whole: of_part(*given))
    with pytest.raises(AssertionError):
        same(index.to(TWO).search(q, k=25, nprobe=1), index.search(q, k=25, nprobe=1))
