"""Codes in lists on a device: every way to ask, nothing awaited, nothing left behind."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_coded_lists_on_device import DIM, filled
from cuda.python.test_lists_on_device import check_nothing_waits, of, same
from cuda.standin import DlpackArray, Standin

LISTS = 7


def queries(rng: np.random.Generator, count: int = 4) -> np.ndarray:
    return rng.standard_normal((count, DIM)).astype(np.float32)


SEARCHES: dict[str, dict[str, Any]] = {
    "by default": {"k": 13},
    "one list": {"k": 4, "nprobe": 1},
    "more rows than the lists hold": {"k": 150, "nprobe": 1},
    "more rows than there are": {"k": 400},
    "every list": {"k": 9, "nprobe": LISTS},
    "a margin": {"k": 5, "nprobe": 4, "margin": 0.2},
    "a margin that leaves too little": {"k": 60, "nprobe": 4, "margin": 0.001},
    "a filter": {"k": 5, "nprobe": 2, "filter": range(1000, 1150)},
    "a filter that leaves too little": {"k": 3, "nprobe": 1, "filter": [1001, 1100, 1200, 1299]},
    "a filter that leaves nothing": {"k": 3, "nprobe": 2, "filter": [5]},
}


@pytest.mark.parametrize(("quantizer", "metric"), [("opq4x4", "l2"), ("rabitq3", "cosine")])
def test_every_way_to_ask(
    standin: Standin, rng: np.random.Generator, quantizer: str, metric: str
) -> None:
    index = filled(rng, quantizer, metric, lists=LISTS)
    there, q = index.to("cuda"), queries(rng)
    for asked in SEARCHES.values():
        same(there.search(q, **asked), index.search(q, **asked))


def test_the_lists_of_one_query_alone_are_those_of_many(
    standin: Standin, rng: np.random.Generator
) -> None:
    """Which lists are decoded depends on the batch, answers do not."""
    index = filled(rng, "rabitq3", lists=20)
    there, q = index.to("cuda"), queries(rng, 30)
    together = there.search(q, k=6, nprobe=2)
    same(together, index.search(q, k=6, nprobe=2))
    for i in (0, 17):
        same(there.search(q[i], k=6, nprobe=2), nf.SearchResult(*(part[i] for part in together)))


def test_nothing_waits_for_queries_on_the_device(
    standin: Standin, rng: np.random.Generator
) -> None:
    mask = rng.random(297) < 0.5
    check_nothing_waits(standin, filled(rng, "opq4x4"), queries(rng), mask, k=90, nprobe=1)


def test_queries_that_are_not_finite_find_nothing(
    standin: Standin, rng: np.random.Generator
) -> None:
    index = filled(rng, "rabitq2")
    q = queries(rng, 5)
    here = index.search(q, k=80, nprobe=1)
    q[1, 4], q[3, 0] = np.nan, np.inf
    found = of(index.to("cuda").search(DlpackArray(standin, q), k=80, nprobe=1), standin)
    assert (found.ids[[1, 3]] == nf.MISSING).all()
    same(*(nf.SearchResult(*(part[[0, 2, 4]] for part in one)) for one in (found, here)))


def test_nothing_is_left_behind(standin: Standin, rng: np.random.Generator) -> None:
    there = filled(rng, "pq4x8").to("cuda")
    q = DlpackArray(standin, queries(rng))
    there.search(q, k=90, nprobe=1)
    standin.finish()
    before = standin.live_blocks
    for _ in range(3):
        there.search(q, filter=range(1200, 1250))
    standin.finish()
    assert standin.live_blocks == before
