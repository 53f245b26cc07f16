"""An index on a device answers as on the CPU, and is never lost."""

from __future__ import annotations

import gc
import threading

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin, contents

METRICS = ("l2", "ip", "cosine")


def filled(
    rng: np.random.Generator, metric: str = "l2", quantizer: str = "float32"
) -> nf.FlatIndex:
    """Return an index with labels of its own and a gap."""
    index = nf.FlatIndex(8, metric, quantizer=quantizer)
    rows = rng.integers(0, 99, (50, 8)).astype(
        quantizer if quantizer in ("int8", "uint8") else np.float32
    )
    index.add(rows, ids=np.arange(100, 150))
    index.remove([103, 120])
    return index


def same(there: nf.SearchResult, here: nf.SearchResult) -> None:
    np.testing.assert_array_equal(there.ids, here.ids)
    np.testing.assert_array_equal(there.counts, here.counts)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", ["float32", "float16", "bfloat16", "int8", "uint8"])
def test_it_answers_as_on_the_cpu(
    standin: Standin, rng: np.random.Generator, metric: str, quantizer: str
) -> None:
    index = filled(rng, metric, quantizer)
    there = index.to("cuda:0")
    assert (there.device, index.device, len(there)) == ("cuda:0", "cpu", 48)
    q = rng.standard_normal((5, 8)).astype(np.float32)
    here = index.search(q, k=11)
    same(there.search(q, k=11), here)
    same(there.search(q[0], k=3), index.search(q[0], k=3))
    found = there.search(DlpackArray(standin, q), k=11)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)


@pytest.mark.parametrize("metric", METRICS)
def test_many_rows(standin: Standin, rng: np.random.Generator, metric: str) -> None:
    """Enough for a scan by groups, with what it needs of the rows kept between searches."""
    index = nf.FlatIndex(8, metric, quantizer="float16")
    index.add(rng.standard_normal((2603, 8)), ids=np.arange(2603)[::-1])
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    scans = standin.calls("cuMemsetD8Async")
    for _ in range(2):
        same(there.search(q, k=5), index.search(q, k=5))
    assert standin.calls("cuMemsetD8Async") == scans + 2  # of the lists, not of the constants
    index.add(3 * q, ids=[9000, 9001, 9002])
    same(there.search(q, k=5), index.search(q, k=5))


def test_changes_are_there_in_both(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    same(there.search(q), index.search(q))
    index.add(q, ids=[1, 2, 3])
    same(there.search(q), index.search(q))
    assert there.search(q, k=1).ids[:, 0].tolist() == [1, 2, 3]
    there.remove([2])
    same(there.search(q), index.search(q))
    assert 2 not in index
    same(there.to("cpu").search(q), index.search(q))
    assert there.to("cuda:0") is there
    assert index.to("cpu") is index


def test_an_empty_index(standin: Standin) -> None:
    there = nf.FlatIndex(4).to("cuda")
    assert there.search(np.zeros((2, 4)), k=3).counts.tolist() == [0, 0]
    there.add(np.ones((1, 4)))
    assert there.search(np.zeros((2, 4)), k=3).counts.tolist() == [1, 1]


def test_filters_and_transforms(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    for chosen in (range(110, 130), [101, 149, 7], rng.random(48) < 0.3):
        same(there.search(q, filter=chosen), index.search(q, filter=chosen))
    turn = nf.transforms.Affine(rng.standard_normal((8, 8)).astype(np.float32))
    same(there.search(q, transform=turn), index.search(q, transform=turn))
    two, ids = [turn, nf.transforms.Normalize()], [1, 0, -1]
    same(
        there.search(q, transform=two, transform_ids=ids),
        index.search(q, transform=two, transform_ids=ids),
    )
    same(there.search(q, transform=two), index.search(q, transform=two))
    same(there.search(q, recall=0.9), index.search(q))


def test_it_runs_on_the_callers_stream(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    stream = standin.stream()
    ran, queries = standin.launches, DlpackArray(standin, q)
    found = there.search(queries, k=4, stream=stream)
    assert standin.launches == ran
    index.add(q)  # and the rows it reads are replaced before it runs
    after = there.search(queries, k=4, stream=standin.stream())
    assert standin.launches == ran
    assert contents(found.ids, standin).min() >= 100
    assert contents(after.ids, standin)[0, 0] == 50  # the label of the first row added


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rng.standard_normal((3, 8)).astype(np.float32)
    with pytest.raises(TypeError, match=r"search\(\) got nprobe for rows on cuda:0"):
        there.search(q, nprobe=3)
    with pytest.raises(ValueError, match='corpus_adapter: got "legal", which the index does not'):
        there.search(q, corpus_adapter="legal")
    with pytest.raises(TypeError, match="stream: got one for queries on the CPU"):
        there.search(q, stream=1)
    with pytest.raises(ValueError, match="cuda:1, expected one on cuda:0"):
        there.search(DlpackArray(standin, q, device=1))
    with pytest.raises(ValueError, match=r"q: got NaN or infinity in row 1"):
        there.search(np.float32([[0] * 8, [np.nan] * 8]))
    with pytest.raises(ValueError, match=r"q: got shape \(3, 7\)"):
        there.search(DlpackArray(standin, q[:, :7].copy()))
    with pytest.raises(TypeError, match=r"unknown parameters 'stream'"):
        index.search(q, stream=1)
    with pytest.raises(TypeError, match="expected one on the CPU"):
        index.search(DlpackArray(standin, q))
    for name in ("gpu", "cuda:-1", "cuda:x", 3, None):
        with pytest.raises(ValueError, match="device: got"):
            index.to(name)
    with pytest.raises(nf.DeviceError, match="no device cuda:7"):
        index.to("cuda:7")


def test_kinds_that_stay_on_the_cpu(standin: Standin) -> None:
    class Own(nf.HNSWIndex):
        """Whose searches may be something else."""

    index = Own(4)
    with pytest.raises(TypeError, match="or an HNSWIndex: Own is searched on the CPU only"):
        index.to("cuda")
    assert index.to("cpu") is index


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rng)
    q = rng.standard_normal((3, 8)).astype(np.float32)
    here = index.search(q)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        index.to("cuda")
    monkeypatch.delenv("STANDIN_FAILS")
    there = index.to("cuda")
    for function in (
        "cuMemAllocAsync",
        "cuMemcpyHtoDAsync",
        "cuLaunchKernel",
        "cuStreamSynchronize",
    ):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            there.search(q)
        monkeypatch.delenv("STANDIN_FAILS")
        same(there.search(q), here)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemcpyHtoDAsync=2")
    index.add(q, ids=[1, 2, 3])
    with pytest.raises(nf.DeviceError):
        there.search(q)
    monkeypatch.delenv("STANDIN_FAILS")
    same(there.search(q), index.search(q))


def test_searches_beside_changes(standin: Standin, rng: np.random.Generator) -> None:
    index = filled(rng)
    there = index.to("cuda")
    q = rng.standard_normal((2, 8)).astype(np.float32)
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(6):
                found = there.search(q, k=3, filter=range(100, 150))
                assert (found.counts == 3).all()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(6):
        index.add(q, ids=[1000 + 2 * i, 1001 + 2 * i])
    for thread in threads:
        thread.join()
    assert not failures, failures
    same(there.search(q), index.search(q))


@pytest.mark.parametrize("devices", ["cuda:0", ["cuda:0", "cuda:1"]])
def test_what_is_on_a_device_is_freed_before_its_streams(
    standin: Standin, rng: np.random.Generator, devices: str | list[str]
) -> None:
    index = filled(rng)
    index.add_corpus_adapter("half", nf.transforms.Diagonal(np.full(8, 0.5, np.float32)))
    there = index.to(devices)
    there.search(np.ones(8, np.float32))
    if devices == "cuda:0":
        there.search(np.ones(8, np.float32), corpus_adapter="half")
    late = standin.calls("cuMemFree")  # only where the stream of the memory is gone
    del there
    gc.collect()
    assert standin.calls("cuMemFree") == late
