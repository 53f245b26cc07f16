"""Codes of a flat index split over devices are searched as on one, and as on the CPU."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_codes_on_device import DIM, filled
from cuda.python.test_index_on_device import same
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.resident.code_shards import CodeShards
from nearfield.cuda.resident.codes import CodeCopy, ResidentCodes

TWO = ["cuda:0", "cuda:1"]

pytestmark = pytest.mark.filterwarnings("ignore:the index is not trained yet")


def queries(rng: np.random.Generator, count: int = 3) -> np.ndarray:
    return rng.standard_normal((count, DIM)).astype(np.float32)


@pytest.mark.parametrize(
    ("quantizer", "metric"), [("sq8", "cosine"), ("opq4x4", "l2"), ("rabitq3", "ip")]
)
def test_it_answers_as_on_the_cpu_and_on_one(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: str
) -> None:
    index, q = filled(rng, quantizer, metric), queries(rng)
    there, alone = index.to(TWO), index.to("cuda")
    assert (there.device, index.device, len(there)) == ("cuda:0,cuda:1", "cpu", 297)
    for k in (1, 160, 310):  # 160: more than a device has
        found = there.search(q, k=k)
        same(found, index.search(q, k=k))
        np.testing.assert_array_equal(found.scores, alone.search(q, k=k).scores)
    found = there.search(DlpackArray(standin, q), k=9)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), index.search(q, k=9))
    for chosen in (rng.random(297) < 0.3, range(1010, 1100)):
        same(there.search(q[0], k=40, filter=chosen), index.search(q[0], k=40, filter=chosen))


@pytest.mark.parametrize("devices", [TWO, TWO[::-1]])
def test_ties_go_to_the_smaller_label(
    standin: Standin,
    rng: np.random.Generator,
    devices: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Labels in no order, every row many times, on both devices and in several slices of each."""
    index = nf.FlatIndex(4, quantizer="sq8")
    rows = np.tile(rng.integers(0, 2, (5, 4)).astype(np.float32), (12, 1))
    index.add(rows, ids=rng.permutation(1000)[:60] - 500)
    monkeypatch.setattr(ResidentCodes, "slice_rows", 7)
    there, mask = index.to(devices), rng.random(60) < 0.5
    for k in (1, 7, 40):
        same(there.search(rows[:5], k=k), index.search(rows[:5], k=k))
    same(there.search(rows[:5], k=40, filter=mask), index.search(rows[:5], k=40, filter=mask))


def test_few_rows_and_changes(standin: Standin, rng: np.random.Generator) -> None:
    """Fewer rows than devices, none, and before training."""
    index, q = nf.FlatIndex(DIM, "ip", quantizer="pq4x4"), queries(rng)
    there = index.to(TWO)
    assert there.search(q, k=2).counts.tolist() == [0] * 3
    index.train(queries(rng, 40))
    assert there.search(q, k=2).counts.tolist() == [0] * 3
    for count in (1, 40):
        there.add(queries(rng, count))
        same(there.search(q, k=5), index.search(q, k=5))
        same(there.search(q, k=5, filter=[0, 1]), index.search(q, k=5, filter=[0, 1]))
    there.remove([0, 7])
    same(there.search(q, k=50), index.search(q, k=50))
    assert there.to("cuda:1").device == "cuda:1"


def test_nothing_waits(standin: Standin, rng: np.random.Generator) -> None:
    index, q, mask = filled(rng, "opq4x4"), queries(rng), rng.random(297) < 0.5
    there, here = index.to(TWO), index.search(q, k=4, filter=mask)
    on_device, mask_there = DlpackArray(standin, q), DlpackArray(standin, mask)
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    found = there.search(on_device, k=4, filter=mask_there, stream=standin.stream())
    index.add(q, ids=range(3))  # and what it reads is replaced before it runs
    after = there.search(on_device, k=4, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)
    same(nf.SearchResult(*(contents(part, standin) for part in after)), index.search(q, k=4))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = filled(rng, "opq4x4", n=60), queries(rng)
    here = index.search(q, k=4)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@5")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to(TWO)
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to(TWO)
    for failure in ("cuMemcpyPeerAsync=700@2", "cuMemAllocAsync=2@5", "cuLaunchKernel=700@3"):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            there.search(q, k=4)
        monkeypatch.delenv("STANDIN_FAILS")
        assert standin.violations() == "", failure
        same(there.search(q, k=4), here)


def test_parts_that_are_mistaken_are_caught(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes of other rows than the labels say; a mask read from its first byte by every device."""
    index, q, mask = filled(rng, "sq8"), queries(rng), rng.random(297) < 0.3
    here, masked = index.search(q, k=9), index.search(q, k=9, filter=mask)
    of, shards = CodeCopy.of, CodeShards._copied

    with monkeypatch.context() as fault:
        fault.setattr(CodeCopy, "of", lambda core, codes, _, *given: of(core, codes, 0, *given))
        there = index.to(TWO)
    with pytest.raises(AssertionError):
        same(there.search(q, k=9), here)

    def from_the_first(self: CodeShards, version: int) -> object:
        copy = shards(self, version)
        return copy._replace(shards=tuple(shard._replace(first=0) for shard in copy.shards))

    monkeypatch.setattr(CodeShards, "_copied", from_the_first)
    with pytest.raises(AssertionError):
        same(index.to(TWO).search(q, k=9, filter=mask), masked)
