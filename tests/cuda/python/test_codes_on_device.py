"""A flat index of codes on a device answers as on the CPU: exactly over decoded rows."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.resident.codes import ResidentCodes

QUANTIZERS = ("sq8", "sq4", "pq4x8", "pq3x5", "opq4x4", "rabitq1", "rabitq3")
DIM = 12

pytestmark = pytest.mark.filterwarnings("ignore:the index is not trained yet")


def filled(
    rng: np.random.Generator, quantizer: str, metric: str = "l2", n: int = 300
) -> nf.FlatIndex:
    """Return an index with labels in no order, rows twice and a gap."""
    index = nf.FlatIndex(DIM, metric, quantizer=quantizer)
    rows = rng.standard_normal((n, DIM)).astype(np.float32)
    rows[n // 2 : n // 2 + 10] = rows[:10]
    rows[9] = 0
    labels = rng.permutation(np.arange(1000, 1000 + n))
    index.add(rows, ids=labels)
    index.remove(labels[3:6])
    return index


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: str
) -> None:
    index = filled(rng, quantizer, metric)
    there = index.to("cuda:0")
    assert (there.device, there.quantizer, len(there)) == ("cuda:0", quantizer, 297)
    q = rng.standard_normal((4, DIM)).astype(np.float32)
    q[1] = index.reconstruct(index.search(q[1:2], k=1).ids[0])[0]
    here = index.search(q, k=13)
    same(there.search(q, k=13), here)
    found = there.search(DlpackArray(standin, q), k=13)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)
    mask = rng.random(297) < 0.3
    same(there.search(q[0], k=20, filter=mask), index.search(q[0], k=20, filter=mask))


@pytest.mark.parametrize("quantizer", ["sq8", "rabitq2"])
@pytest.mark.parametrize("rows", [1, 37, 150])
def test_slices_change_nothing(
    standin: Standin,
    rng: np.random.Generator,
    quantizer: str,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = filled(rng, quantizer, "cosine", n=180 if rows > 1 else 30)
    monkeypatch.setattr(ResidentCodes, "slice_rows", rows)
    there = index.to("cuda")
    q = rng.standard_normal((3, DIM)).astype(np.float32)
    for k in (1, 9, 60):
        same(there.search(q, k=k), index.search(q, k=k))
    chosen = range(1010, 1100)
    same(there.search(q, k=9, filter=chosen), index.search(q, k=9, filter=chosen))


@pytest.mark.parametrize("metric", METRICS)
def test_many_rows_are_scanned_by_groups(
    standin: Standin, rng: np.random.Generator, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a slice; the one after it is too short for that."""
    index = filled(rng, "sq8", metric, n=2900)
    monkeypatch.setattr(ResidentCodes, "slice_rows", 2400)
    there = index.to("cuda")
    q = rng.standard_normal((3, DIM)).astype(np.float32)
    scans = standin.calls("cuMemsetD8Async")
    same(there.search(q, k=3), index.search(q, k=3))
    assert standin.calls("cuMemsetD8Async") > scans, "no scan by groups"
    mask = rng.random(2897) < 0.01
    same(there.search(q, k=3, filter=mask), index.search(q, k=3, filter=mask))


def test_one_row_over_and_over(standin: Standin, rng: np.random.Generator) -> None:
    """What groups leave open is scored exactly, and the smallest labels answer."""
    index = nf.FlatIndex(4, quantizer="sq8")
    index.add(np.ones((2300, 4)), ids=rng.permutation(2300))
    q = rng.standard_normal((2, 4)).astype(np.float32)
    there = index.to("cuda")
    assert there.search(q, k=4).ids.tolist() == [[0, 1, 2, 3]] * 2
    same(there.search(q, k=4), index.search(q, k=4))


def test_changes_and_training(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.FlatIndex(DIM, "ip", quantizer="pq4x4")
    there = index.to("cuda")
    q = rng.standard_normal((2, DIM)).astype(np.float32)
    assert there.search(q, k=2).counts.tolist() == [0, 0]
    index.add(rng.standard_normal((90, DIM)))
    same(there.search(q, k=5), index.search(q, k=5))
    there.remove([1, 4])
    same(there.search(q, k=5), index.search(q, k=5))
    same(there.search(q, k=100), index.search(q, k=100))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng, "opq4x4", n=60)
    q = rng.standard_normal((2, DIM)).astype(np.float32)
    here = index.search(q, k=4)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to("cuda")
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to("cuda")
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            there.search(q, k=4)
        monkeypatch.delenv("STANDIN_FAILS")
        same(there.search(q, k=4), here)


@pytest.mark.parametrize("quantizer", ["float32", "int8"])
def test_ties_between_rows_go_to_the_smaller_label(
    standin: Standin, rng: np.random.Generator, quantizer: str
) -> None:
    """Also of an index of rows as they are, whatever order they came in."""
    index = nf.FlatIndex(4, quantizer=quantizer)
    index.add(
        np.ones((50, 4), np.int8 if quantizer == "int8" else np.float32), ids=range(50, 0, -1)
    )
    there = index.to("cuda")
    q = rng.standard_normal((2, 4)).astype(np.float32)
    same(there.search(q, k=7), index.search(q, k=7))
    mask = rng.random(50) < 0.5
    for chosen in (mask, range(5, 30)):
        same(there.search(q, k=7, filter=chosen), index.search(q, k=7, filter=chosen))
    found = there.search(q, k=7, filter=DlpackArray(standin, mask))
    same(found, index.search(q, k=7, filter=mask))
