"""Indexes on several devices, of which either may be late: each wait of a stream is needed."""

from __future__ import annotations

from collections.abc import Callable

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import same
from cuda.standin import DlpackArray, Standin, contents

DIM, TWO = 8, ["cuda:0", "cuda:1"]

KINDS: dict[str, Callable[[], nf.Index]] = {
    "rows": lambda: nf.FlatIndex(DIM),
    "codes": lambda: nf.FlatIndex(DIM, quantizer="sq8"),
    "lists": lambda: nf.IVFIndex(DIM, 4),
    "lists of codes": lambda: nf.IVFIndex(DIM, 4, quantizer="sq8"),
    "graph": lambda: nf.HNSWIndex(DIM),
}


@pytest.mark.filterwarnings("ignore:the index is not trained yet")
@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_no_wait_may_be_forgotten(
    standin: Standin,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    early: int,
) -> None:
    rows, index = rng.standard_normal((90, DIM)).astype(np.float32), KINDS[kind]()
    if isinstance(index, nf.IVFIndex):
        index.train(rows)
    index.add(rows)
    here, there = index.search(rows[:6], k=5), index.to(TWO)
    monkeypatch.setenv("STANDIN_EARLY", str(early))
    found = there.search(DlpackArray(standin, rows[:6]), k=5, stream=standin.stream())
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)
    waits = standin.calls("cuStreamWaitEvent")
    same(there.search(rows[:6], k=5), here)
    waits = standin.calls("cuStreamWaitEvent") - waits
    # The first wait is the second device's, for the queries; the last is for its results.
    assert waits == 2
    forgotten = 1 if early == 1 else 2
    monkeypatch.setenv("STANDIN_FAILS", f"cuStreamWaitEvent=0@{forgotten}-{forgotten}")
    with pytest.raises((AssertionError, nf.DeviceError)):
        same(there.search(rows[:6], k=5), here)
