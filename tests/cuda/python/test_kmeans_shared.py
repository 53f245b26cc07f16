"""KMeans on several devices: the bits of one, and of the CPU."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_absence import run
from cuda.python.test_kmeans import blobs, same
from cuda.python.test_topk import on_host, values
from cuda.standin import DlpackArray, InterfaceArray, Standin

TWO = ["cuda:0", "cuda:1"]
UNSETTLED: dict[str, Any] = {"k": 9, "niter": 4, "tolerance": 0}
"""Rows change their clusters in every one of these iterations."""


def finish(standin: Standin) -> None:
    for device in (0, 1):
        standin.finish(device)


@pytest.mark.parametrize(
    "how",
    [
        UNSETTLED,
        {"k": 5, "spherical": True, "seed": 8},
        {"k": 30, "hierarchical": True, "niter": 4},
        {"k": 2, "growing": True, "niter": 5},
    ],
)
def test_every_way(standin: Standin, rng: np.random.Generator, how: dict[str, Any]) -> None:
    rows = blobs(rng, 661 if "growing" in how else 301, 5)
    here, copies = nf.KMeans(**how).fit(rows), standin.calls("cuMemcpyPeerAsync")
    for devices in (TWO, TWO[::-1]):
        there = nf.KMeans(**how, device=devices)
        assert there.device == ",".join(devices)
        same(there.fit(rows), here, standin)
    assert standin.calls("cuMemcpyPeerAsync") > copies, "one device did it all"
    np.testing.assert_array_equal(there.predict(rows), here.labels_)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_rows_on_a_device(standin: Standin, rng: np.random.Generator, dtype: str) -> None:
    rows, how = values(rng, (151, 12), dtype), {"niter": 6, "tolerance": 0}
    here = nf.KMeans(7, **how).fit(on_host(rows, dtype))
    x = DlpackArray(standin, rows, device=1, bfloat16=dtype == "bfloat16")
    same(nf.KMeans(7, **how, device=TWO).fit(x), here, standin)


def test_rows_that_lie_apart(standin: Standin, rng: np.random.Generator) -> None:
    """Nothing behind the last row is read, which is the end of its memory."""
    rows = values(rng, (120, 20), "float32")[1::2, 12:]
    here = nf.KMeans(4).fit(rows)
    same(nf.KMeans(4, device=TWO).fit(InterfaceArray(standin, rows)), here, standin)


def test_empty_clusters_and_few_rows(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 200, 4, centres=3)
    init = np.repeat(rows[:1], 8, axis=0) + np.float32(50) * np.arange(8, dtype=np.float32)[:, None]
    same(nf.KMeans(8, device=TWO).fit(rows, init=init), nf.KMeans(8).fit(rows, init=init), standin)
    for n in (1, 2, 3):
        same(nf.KMeans(1, device=TWO).fit(rows[:n]), nf.KMeans(1).fit(rows[:n]), standin)


@pytest.mark.parametrize("count", [3, 8])
def test_as_many_devices_as_there_are(standin_path: Path, count: int) -> None:
    """Parts in the middle, and no rows left for the last devices."""
    script = f"""
import numpy as np, nearfield as nf
rows = np.random.default_rng(7).standard_normal((211, 5)).astype(np.float32)
there = [f"cuda:{{number}}" for number in range({count})]
for n in (211, 10):
    for spherical in (False, True):
        how = dict(k=9, niter=5, tolerance=0, spherical=spherical)
        here, shared = nf.KMeans(**how).fit(rows[:n]), nf.KMeans(**how, device=there).fit(rows[:n])
        assert (shared.labels_ == here.labels_).all() and shared.inertia_ == here.inertia_
        assert (shared.centroids == here.centroids).all()
print("as on the CPU")
"""
    assert run(script, standin_path, STANDIN_DEVICES=str(count)).strip() == "as on the CPU"


@pytest.mark.parametrize("late", [0, 1])
def test_either_device_may_be_late(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    rows = blobs(rng, 301, 5)
    here = nf.KMeans(**UNSETTLED).fit(rows)
    monkeypatch.setenv("STANDIN_EARLY", str(1 - late))
    same(nf.KMeans(**UNSETTLED, device=TWO).fit(rows), here, standin)
    same(nf.KMeans(**UNSETTLED, device=TWO).fit(DlpackArray(standin, rows)), here, standin)


@pytest.mark.parametrize(
    ("forgotten", "early"),
    [
        ("cuStreamWaitEvent=0@10-10", 1),  # of the second device, for the last centroids
        ("cuStreamWaitEvent=0@7-7", 0),  # of the first, for what the third iteration found
        ("cuStreamWaitEvent=0@11-11", 0),  # for the labels
        ("cuMemcpyPeerAsync=0@6-6", 0),  # the centroids of the third iteration
        ("cuMemcpyPeerAsync=0@7-7", 0),  # what it found
        ("cuMemcpyPeerAsync=0@12-12", 0),  # the labels
    ],
)
def test_a_forgotten_wait_or_copy_is_caught(
    standin: Standin,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: str,
    early: int,
) -> None:
    """Where memory was written before, so that what is read is old and not chance."""
    rows, functions = blobs(rng, 301, 5), ("cuStreamWaitEvent", "cuMemcpyPeerAsync")
    before = [standin.calls(each) for each in functions]
    here = nf.KMeans(**UNSETTLED, device=TWO).fit(rows)
    same(here, nf.KMeans(**UNSETTLED).fit(rows), standin)
    # For the rows; two in each iteration; two waits and three copies for the labels.
    assert [standin.calls(each) for each in functions] == [before[0] + 11, before[1] + 12]
    monkeypatch.setenv("STANDIN_EARLY", str(early))
    monkeypatch.setenv("STANDIN_FAILS", forgotten)
    there = nf.KMeans(**UNSETTLED, device=TWO).fit(rows)
    with pytest.raises(AssertionError):
        same(there, here, standin)


@pytest.mark.parametrize("late", [0, 1])
def test_failures_leave_it_as_it_was(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    """Memory that a late device still reads or writes is not freed before."""
    rows = values(rng, (60, 3), "uint8")
    there = DlpackArray(standin, rows[::-1].copy())
    clusters = nf.KMeans(4, device=TWO).fit(rows.astype(np.float32))
    before = clusters.centroids.copy()
    finish(standin)
    blocks = standin.live_blocks
    monkeypatch.setenv("STANDIN_EARLY", str(1 - late))
    failures = (
        *(f"cuMemcpyPeerAsync=700@{nth}" for nth in (1, 2, 3, 5)),
        *(f"cuStreamWaitEvent=400@{nth}" for nth in (1, 2, 3, 4)),
        *(f"cuMemAllocAsync=2@{nth}" for nth in range(1, 16)),
        *(f"cuLaunchKernel=700@{nth}" for nth in range(2, 14)),
        "cuStreamSynchronize=700@4",
    )
    for x, failure in product((rows.astype(np.float32)[::-1], there), failures):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            clusters.fit(x)
        monkeypatch.delenv("STANDIN_FAILS")
        finish(standin)  # what reads or writes freed memory now breaks every later call
        assert standin.violations() == "", failure
    np.testing.assert_array_equal(clusters.centroids, before)
    same(clusters.fit(there), nf.KMeans(4).fit(rows[::-1].astype(np.float32)), standin)
    same(clusters.fit(rows), nf.KMeans(4).fit(rows), standin)
    finish(standin)
    assert standin.live_blocks == blocks


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="balanced: got clusters of bounded size on cuda:0"):
        nf.KMeans(3, balanced=True, device=TWO)
    for devices in ([], ["cuda:0", "cuda"], ["cuda:0", "cpu"]):
        with pytest.raises(ValueError, match="device: got"):
            nf.KMeans(3, device=devices)
    with pytest.raises(nf.DeviceError, match="no device cuda:2"):
        nf.KMeans(2, device=["cuda:0", "cuda:2"]).fit(blobs(rng, 30, 4))
