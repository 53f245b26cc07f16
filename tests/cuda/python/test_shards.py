"""Rows split over devices are searched as on one, and as on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_absence import run
from cuda.python.test_index_on_device import METRICS, filled, same
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents

TWO = ["cuda:0", "cuda:1"]


@pytest.fixture
def q(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", ["float32", "bfloat16", "uint8"])
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, q: np.ndarray, metric: str, quantizer: str
) -> None:
    index = filled(rng, metric, quantizer)
    there = index.to(TWO)
    assert (there.device, index.device, len(there)) == ("cuda:0,cuda:1", "cpu", 48)
    for k in (1, 11, 24, 60):
        same(there.search(q, k=k), index.search(q, k=k))
    same(there.search(q[0], k=3), index.search(q[0], k=3))
    found = there.search(DlpackArray(standin, q), k=11)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), index.search(q, k=11))


@pytest.mark.parametrize("devices", ["cuda:0", ["cuda:1"], TWO, TWO[::-1]])
def test_ties_go_to_the_smaller_id(
    standin: Standin, rng: np.random.Generator, devices: str | list[str]
) -> None:
    """Labels in no order, every row many times, on both devices."""
    index = nf.FlatIndex(4)
    rows = np.tile(rng.integers(0, 2, (5, 4)).astype(np.float32), (12, 1))
    index.add(rows, ids=rng.permutation(1000)[:60] - 500)
    there = index.to(devices)
    for k in (1, 7, 40):
        same(there.search(rows[:5], k=k), index.search(rows[:5], k=k))
    mask = rng.random(60) < 0.5
    same(there.search(rows[:5], k=40, filter=mask), index.search(rows[:5], k=40, filter=mask))
    at = int(there.device[5])
    args = DlpackArray(standin, rows[:5], device=at)
    keep = DlpackArray(standin, mask.view(np.uint8), device=at)
    found = nf.SearchResult(
        *(contents(part, standin) for part in there.search(args, k=40, filter=keep))
    )
    same(found, index.search(rows[:5], k=40, filter=mask))


def test_what_differs_in_float64_only(standin: Standin) -> None:
    """Scores that are one float32 are told apart by the keys that parts are merged by."""
    index = nf.FlatIndex(2, "ip")
    index.add(np.float32([[1, 0], [1, 2.0**-30], [1, 0], [1, 2.0**-29]]))
    q = np.float32([[1, 2.0**-10]])
    assert index.search(q, k=4).ids.tolist() == [[3, 1, 0, 2]]
    same(index.to(TWO).search(q, k=4), index.search(q, k=4))


def test_many_rows(standin: Standin, rng: np.random.Generator, q: np.ndarray) -> None:
    """Enough on each device for a scan by groups."""
    index = nf.FlatIndex(8, quantizer="float16")
    index.add(rng.standard_normal((5206, 8)), ids=np.arange(5206)[::-1])
    there = index.to(TWO)
    for _ in range(2):
        same(there.search(q, k=5), index.search(q, k=5))


def test_few_rows(standin: Standin) -> None:
    index = nf.FlatIndex(4)
    there = index.to(TWO)
    zeros = np.zeros((2, 4), np.float32)
    assert there.search(zeros, k=3).counts.tolist() == [0, 0]
    there.add(np.ones((1, 4)))
    same(there.search(zeros, k=3), index.search(zeros, k=3))
    assert there.search(zeros[:0], k=3).ids.shape == (0, 3)


def test_changes_filters_and_transforms(
    standin: Standin, rng: np.random.Generator, q: np.ndarray
) -> None:
    index = filled(rng)
    there = index.to(TWO)
    same(there.search(q), index.search(q))
    index.add(q, ids=[1, 2, 3])
    there.remove([104])
    for chosen in (None, range(110, 130), [1, 101, 149, 7], rng.random(50) < 0.3):
        same(there.search(q, filter=chosen), index.search(q, filter=chosen))
    turn = nf.transforms.Affine(rng.standard_normal((8, 8)).astype(np.float32))
    same(there.search(q, transform=turn, recall=0.9), index.search(q, transform=turn))
    assert there.to(("cuda:0", "cuda:1")) is there
    assert there.to("cuda").device == "cuda:0"
    assert there.to(["cuda:0"]).device == "cuda:0"
    same(there.to("cpu").search(q), index.search(q))


def test_queries_of_any_type_and_layout(
    standin: Standin, rng: np.random.Generator, q: np.ndarray
) -> None:
    index = filled(rng)
    there = index.to(TWO)
    for given in (q.astype(np.float16), np.repeat(q, 2, axis=1)[:, :8], q[::2], q[0]):
        found = there.search(InterfaceArray(standin, given), k=4)
        wanted = index.search(np.float32(given), k=4)
        same(nf.SearchResult(*(contents(part, standin) for part in found)), wanted)


def test_nothing_waits_and_streams_are_in_order(
    standin: Standin, rng: np.random.Generator, q: np.ndarray
) -> None:
    index = filled(rng)
    there = index.to(TWO)
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    late = standin.stream()
    queries = DlpackArray(standin, q, stream=late)  # written when its stream comes to it
    found = there.search(queries, k=4, stream=standin.stream())
    index.add(q)  # and the rows it reads are replaced before it runs
    after = there.search(queries, k=4, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    assert contents(found.ids, standin).min() >= 100
    assert contents(after.ids, standin)[0, 0] == 50  # the label of the first row added


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator, q: np.ndarray) -> None:
    index = filled(rng)
    for devices in ([], ["cuda:0", "cuda"], ["cuda:0", "cpu"], ["cpu"], ["cuda:0", "gpu"]):
        with pytest.raises(ValueError, match="device: got"):
            index.to(devices)
    with pytest.raises(nf.DeviceError, match="no device cuda:2"):
        index.to(["cuda:0", "cuda:2"])

    class Own(nf.FlatIndex):
        """Whose searches may be something else."""

    with pytest.raises(TypeError, match=r"expected a FlatIndex .* searched on the CPU only"):
        Own(4).to(TWO)
    there = index.to(TWO)
    with pytest.raises(ValueError, match="cuda:1, expected one on cuda:0"):
        there.search(DlpackArray(standin, q, device=1))
    with pytest.raises(TypeError, match="nprobe for rows on cuda:0,cuda:1"):
        there.search(q, nprobe=3)
    with pytest.raises(ValueError, match=r"got NaN or infinity in row 1"):
        there.search(np.float32([[0] * 8, [np.nan] * 8]))


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, q: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng)
    here = index.search(q)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@3")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to(TWO)
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to(TWO)
    for failure in (
        *("cuMemcpyPeerAsync=700@1", "cuMemcpyPeerAsync=700@2", "cuMemAllocAsync=2@8"),
        *("cuLaunchKernel=700@4", "cuStreamWaitEvent=400@2", "cuStreamSynchronize=700"),
    ):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            there.search(q)
        monkeypatch.delenv("STANDIN_FAILS")
        assert standin.violations() == "", failure
        same(there.search(q), here)
        same(index.search(q), here)


def test_two_devices_are_there_or_are_not(standin_path: Path) -> None:
    script = """
import numpy as np, nearfield as nf
index = nf.FlatIndex(2)
index.add(np.eye(2))
try:
    print(index.to(["cuda:0", "cuda:1"]).search(np.eye(2), k=1).ids.tolist())
except nf.DeviceError as error:
    print(error)
assert index.search(np.eye(2), k=1).ids.tolist() == [[0], [1]]
"""
    assert run(script, standin_path).strip() == "[[0], [1]]"
    assert "no device cuda:1" in run(script, standin_path, STANDIN_DEVICES="1")
    assert "no CUDA device" in run(script, standin_path, STANDIN_DEVICES="0")


def test_searches_beside_changes(standin: Standin, rng: np.random.Generator, q: np.ndarray) -> None:
    index = filled(rng)
    there = index.to(TWO)
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(5):
                assert (there.search(q, k=3, filter=range(100, 150)).counts == 3).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(5):
        index.add(q[:2], ids=[1000 + 2 * i, 1001 + 2 * i])
    for thread in threads:
        thread.join()
    assert not failures, failures
    same(there.search(q), index.search(q))
