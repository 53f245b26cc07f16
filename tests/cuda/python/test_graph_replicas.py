"""A graph on several devices answers as on one of them, each a part of the queries."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_lists_on_device import of
from cuda.standin import DlpackArray, Standin

TWO = ["cuda:0", "cuda:1"]


def graph(rng: np.random.Generator, metric: str = "l2") -> nf.HNSWIndex:
    index = nf.HNSWIndex(8, metric=metric)
    index.add(rng.standard_normal((300, 8)).astype(np.float32), ids=rng.permutation(300) + 50)
    index.remove([60, 70])
    return index


def same(a: nf.SearchResult, b: nf.SearchResult) -> None:
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_it_answers_as_on_one_device(
    standin: Standin, rng: np.random.Generator, metric: str
) -> None:
    index, q = graph(rng, metric), rng.standard_normal((5, 8)).astype(np.float32)
    there, alone = index.to(TWO), index.to("cuda:1")
    assert (there.device, index.device) == ("cuda:0,cuda:1", "cpu")
    mask = rng.random(298) < 0.4
    for asked in ({"k": 4}, {"k": 9, "ef_search": 20}, {"k": 3, "filter": mask}):
        for n in (0, 1, 2, 5):
            same(there.search(q[:n], **asked), alone.search(q[:n], **asked))
    same(there.search(q[0], k=3), alone.search(q[0], k=3))
    given = DlpackArray(standin, q.astype(np.float16)), DlpackArray(standin, mask)
    found = of(there.search(given[0], k=4, filter=given[1]), standin)
    same(found, index.to("cuda:0").search(np.float32(np.float16(q)), k=4, filter=mask))


def test_changes_are_there_and_nothing_waits(standin: Standin, rng: np.random.Generator) -> None:
    index, q = graph(rng), rng.standard_normal((4, 8)).astype(np.float32)
    there = index.to(TWO)
    here = there.search(q, k=3)
    waits = standin.calls("cuStreamSynchronize")
    found = there.search(DlpackArray(standin, q), k=3, stream=standin.stream())
    assert standin.calls("cuStreamSynchronize") == waits
    there.add(q, ids=range(4))  # and the rows it reads are replaced before it runs
    after = there.search(DlpackArray(standin, q), k=1, stream=standin.stream())
    same(of(found, standin), here)
    assert of(after, standin).ids[:, 0].tolist() == [0, 1, 2, 3]
    assert nf.HNSWIndex(8).to(TWO).search(q, k=2).counts.tolist() == [0] * 4


def test_the_index_outlives_every_failure(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = graph(rng), rng.standard_normal((4, 8)).astype(np.float32)
    there = index.to(TWO)
    here = there.search(q)
    for failure in ("cuMemcpyPeerAsync=700@1", "cuMemAllocAsync=2@4", "cuLaunchKernel=700@2"):
        monkeypatch.setenv("STANDIN_FAILS", failure)
        with pytest.raises(nf.DeviceError):
            there.search(q)
        monkeypatch.delenv("STANDIN_FAILS")
        assert standin.violations() == "", failure
        same(there.search(q), here)


def test_results_in_the_wrong_place_are_caught(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, q = graph(rng), rng.standard_normal((5, 8)).astype(np.float32)
    alone = index.to("cuda").search(q)
    monkeypatch.setattr(
        "nearfield.cuda.resident.graph_replicas._results", lambda out, first, k: out
    )
    with pytest.raises(AssertionError):
        same(index.to(TWO).search(q), alone)
