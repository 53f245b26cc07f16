"""An inverted file of codes on a device answers as on the CPU: exactly over decoded rows."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.resident.coded_lists import ResidentCodedLists

QUANTIZERS = ("sq8", "sq4", "pq4x8", "pq3x5", "opq4x4", "rabitq1", "rabitq3")
DIM = 12


def filled(
    rng: np.random.Generator,
    quantizer: str,
    metric: Any = "l2",
    n: int = 300,
    lists: int = 7,
    **how: Any,
) -> nf.IVFIndex:
    """Return an index with labels in no order, rows twice and a gap."""
    index = nf.IVFIndex(DIM, lists, metric, quantizer=quantizer, **how)
    rows = rng.standard_normal((n, DIM)).astype(np.float32)
    rows[n // 2 : n // 2 + 10] = rows[:10]
    rows[9] = 0
    labels = rng.permutation(np.arange(1000, 1000 + n))
    index.train(rows)
    index.add(rows[: n // 3], ids=labels[: n // 3])
    index.add(rows[n // 3 :], ids=labels[n // 3 :])  # lists of several runs
    index.remove(labels[3:6])
    return index


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, quantizer: str, residual: bool
) -> None:
    metric = METRICS[(QUANTIZERS.index(quantizer) + residual) % len(METRICS)]
    index = filled(rng, quantizer, metric, residual=residual)
    there = index.to("cuda:0")
    assert (there.device, there.quantizer, len(there)) == ("cuda:0", quantizer, 297)
    q = rng.standard_normal((4, DIM)).astype(np.float32)
    q[1] = index.reconstruct(index.search(q[1:2], k=1).ids[0])[0]
    here = index.search(q, k=9, nprobe=3)
    same(there.search(q, k=9, nprobe=3), here)
    found = there.search(DlpackArray(standin, q), k=9, nprobe=3)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)
    mask = rng.random(297) < 0.1
    same(
        there.search(q[0], k=8, nprobe=1, filter=mask),
        index.search(q[0], k=8, nprobe=1, filter=mask),
    )


@pytest.mark.parametrize("quantizer", ["sq8", "rabitq2"])
@pytest.mark.parametrize("rows", [1, 50])
def test_slices_change_nothing(
    standin: Standin,
    rng: np.random.Generator,
    quantizer: str,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = filled(rng, quantizer, "cosine", n=180 if rows > 1 else 20, lists=3, residual=True)
    monkeypatch.setattr(ResidentCodedLists, "slice_rows", rows)
    there = index.to("cuda")
    q = rng.standard_normal((3, DIM)).astype(np.float32)
    for k, nprobe in ((9, 1), (40, 2), (60, 3)):
        same(there.search(q, k=k, nprobe=nprobe), index.search(q, k=k, nprobe=nprobe))
    how: dict[str, Any] = {"k": 9, "nprobe": 1, "filter": range(1010, 1100)}
    same(there.search(q, **how), index.search(q, **how))
    how = {"k": 5, "nprobe": 3, "margin": 0.1}
    same(there.search(q, **how), index.search(q, **how))


def test_one_row_over_and_over(standin: Standin, rng: np.random.Generator) -> None:
    """What groups leave open is scored exactly, and the smallest labels answer."""
    index = nf.IVFIndex(4, 2, quantizer="sq8")
    rows = np.ones((2600, 4), np.float32)
    rows[:20] = -1
    index.train(rows)
    index.add(rows, ids=rng.permutation(2600))
    q = np.abs(rng.standard_normal((2, 4))).astype(np.float32)
    there = index.to("cuda")
    same(there.search(q, k=4, nprobe=1), index.search(q, k=4, nprobe=1))


def test_only_probed_lists_are_decoded(standin: Standin, rng: np.random.Generator) -> None:
    """Scratch memory holds what lists can hold that a query looks into, not all rows."""
    index = filled(rng, "sq8", n=900, lists=60)
    there, q = index.to("cuda"), rng.standard_normal((1, DIM)).astype(np.float32)
    few, all_lists = (
        there._resident._native()[0](  # type: ignore[union-attr]
            (256, 1, DIM, DIM, "float32"),
            there._resident._current().listed,  # type: ignore[union-attr]
            ("l2", 1, nprobe, float("inf"), 0, 0, 0),
        )
        for nprobe in (2, 60)
    )
    assert all_lists - few > 700 * 16 * 4, "decoded rows of a slice"
    same(there.search(q, k=1, nprobe=2), index.search(q, k=1, nprobe=2))


def test_lists_through_groups(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng, "sq8", "ip", n=700, lists=350, coarse="hierarchical")
    there, q = index.to("cuda"), rng.standard_normal((3, DIM)).astype(np.float32)
    for k in (1, 40):
        same(there.search(q, k=k, nprobe=4), index.search(q, k=k, nprobe=4))


def test_changes_and_training(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.IVFIndex(DIM, 3, "ip", quantizer="pq4x4")
    there = index.to("cuda")
    q = rng.standard_normal((2, DIM)).astype(np.float32)
    with pytest.raises(nf.NotTrainedError):
        there.search(q, k=2)
    index.train(rng.standard_normal((90, DIM)))
    assert there.search(q, k=2).counts.tolist() == [0, 0]
    index.add(rng.standard_normal((90, DIM)))
    same(there.search(q, k=5, nprobe=2), index.search(q, k=5, nprobe=2))
    there.remove([1, 4])
    same(there.search(q, k=5, nprobe=2), index.search(q, k=5, nprobe=2))
    same(there.search(q, k=100), index.search(q, k=100))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng, "opq4x4", n=60, lists=3)
    q = rng.standard_normal((2, DIM)).astype(np.float32)
    here = index.search(q, k=4, nprobe=2)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to("cuda")
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to("cuda")
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            there.search(q, k=4, nprobe=2)
        monkeypatch.delenv("STANDIN_FAILS")
        same(there.search(q, k=4, nprobe=2), here)
