"""Lists split over devices are searched as on one, and as on the CPU."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_lists_on_device import SEARCHES, filled, of, queries, same
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.library import library
from nearfield.cuda.resident.lists import ListCopy

TWO = ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("metric", "quantizer"), [("l2", "float32"), ("ip", "int8"), ("cosine", "bfloat16")]
)
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, metric: str, quantizer: str
) -> None:
    index, q = filled(rng, metric, quantizer), queries(rng)
    there = index.to(TWO)
    assert (there.device, index.device, len(there)) == ("cuda:0,cuda:1", "cpu", 550)
    for asked in SEARCHES.values():
        if metric != "l2" and "margin" in asked:
            asked = {**asked, "margin": asked["margin"] / 100}  # of cosines
        same(there.search(q, **asked), index.search(q, **asked))
    same(there.search(q[0], k=3), index.search(q[0], k=3))
    found = there.search(DlpackArray(standin, q), k=5, nprobe=4)
    same(of(found, standin), index.search(q, k=5, nprobe=4))


def test_lists_found_through_groups(standin: Standin, rng: np.random.Generator) -> None:
    """Most lists hold one row, of which a device has all or nothing."""
    rows = rng.standard_normal((900, 4)).astype(np.float32)
    index = nf.IVFIndex(4, 800, coarse="hierarchical")
    index.train(rows)
    index.add(rows, ids=rng.permutation(900))
    there, q = index.to(TWO[::-1]), rng.standard_normal((4, 4)).astype(np.float32)
    assert there.device == "cuda:1,cuda:0"
    for asked in ({"nprobe": 20}, {"nprobe": 1, "k": 6}, {"filter": range(60), "k": 4}):
        same(there.search(q, **asked), index.search(q, **asked))


def test_each_device_has_a_part_of_every_list(standin: Standin, rng: np.random.Generator) -> None:
    whole = library().ListOrder(filled(rng)._core)
    for parts in (1, 2, 3, 7):
        shares = [whole.part(part, parts) for part in range(parts)]
        sizes = np.stack([share.sizes() for share in shares])
        np.testing.assert_array_equal(sizes.sum(axis=0), whole.sizes())
        assert (np.ptp(sizes, axis=0) <= 1).all()
        places = np.concatenate([share.places() for share in shares])
        np.testing.assert_array_equal(np.sort(places), np.arange(550))


def test_changes_are_there(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.IVFIndex(9, 3)
    there, q = index.to(TWO), queries(rng)
    with pytest.raises(nf.NotTrainedError, match="no centroids yet"):
        there.search(q)
    index.train(queries(rng, 50))
    assert there.search(q, k=2).counts.tolist() == [0] * 7
    for count in (1, 40):
        there.add(queries(rng, count))
        same(there.search(q, k=2), index.search(q, k=2))
    there.remove([0, 7])
    mask = rng.random(39) < 0.5
    same(there.search(q, filter=mask), index.search(q, filter=mask))
    with pytest.raises(TypeError, match="nprobe"):
        there.search(q, ef_search=3)


def test_nothing_waits(standin: Standin, rng: np.random.Generator) -> None:
    index, q, mask = filled(rng), queries(rng), rng.random(550) < 0.5
    there = index.to(TWO)
    here = index.search(q, k=4, nprobe=2, filter=mask)
    on_device, mask_there = DlpackArray(standin, q), DlpackArray(standin, mask)
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    found = there.search(on_device, k=4, nprobe=2, filter=mask_there, stream=standin.stream())
    index.add(q, ids=range(7))  # and the rows it reads are replaced before it runs
    after = there.search(on_device, k=4, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    same(of(found, standin), here)
    assert contents(after.ids, standin)[:, 0].tolist() == list(range(7))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = filled(rng), queries(rng)
    here = index.search(q)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@9")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to(TWO)
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to(TWO)
    for failure in ("cuMemcpyPeerAsync=700@2", "cuMemAllocAsync=2@5", "cuLaunchKernel=700@9"):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            there.search(q)
        monkeypatch.delenv("STANDIN_FAILS")
        assert standin.violations() == "", failure
        same(there.search(q), here)


def test_a_part_that_decides_alone_is_caught(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many lists are looked into follows from all rows, not from those of a device."""
    index, q = filled(rng), queries(rng, 30)
    of_part = ListCopy.of
    monkeypatch.setattr(ListCopy, "of", lambda *given, whole: of_part(*given))
    with pytest.raises(AssertionError):
        same(index.to(TWO).search(q, k=40, nprobe=1), index.search(q, k=40, nprobe=1))
