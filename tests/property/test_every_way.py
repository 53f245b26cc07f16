"""Real data, every way to ask: levels x batch sizes x threads x k give the same bits.

The reference is one batch at the fastest level, whose ids `test_datasets.py` holds against ground
truth; k = n is held against a float64 ranking of every row. Takes about half an hour, so it runs
only where `NEARFIELD_EVERY_WAY` is set.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from oracle import dense
from plugins.isa import Level
from property.test_datasets import SETS, opened
from property.test_exactness import beginning, same_bits
from property.work import Answer, Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "NEARFIELD_EVERY_WAY" not in os.environ, reason="set NEARFIELD_EVERY_WAY=1 (half an hour)"
    ),
]
QUERIES = {1: 14, 7: 49, 64: 256, 10_000: 10_000}
"""How many queries are asked in batches of each size; rows of the set fill up what is missing."""


def first(answer: Answer, queries: int) -> Answer:
    """Return the answers to the first queries."""
    ids, scores, counts = answer
    return ids[:queries], scores[:queries], counts[:queries]


@pytest.mark.parametrize("name", SETS)
def test_every_way_gives_the_same_bits(name: str, levels: list[Level]) -> None:
    data = opened(name)
    missing = max(QUERIES) - len(data.queries)
    queries = np.concatenate([data.queries, data.base[:missing].astype(data.queries.dtype)])
    args = ("property.work:answers", data.base, data.base.dtype.name, data.metric)
    full = levels[-1].call(*args, queries, [Run(k=1000, batch=len(queries), threads=2)])[0]
    for level in levels:
        for batch, count in QUERIES.items():
            runs = [Run(k, batch, threads) for k in (1, 10, 100, 1000) for threads in (1, 2)]
            answers = level.call(*args, queries[:count], runs)
            for run, answer in zip(runs, answers, strict=True):
                reference = beginning(first(full, count), run.k)
                same_bits(answer, reference, f"{name}, {level.name}, {run}")
        print(f"{name}, {level.name}: {len(QUERIES) * 8} ways agree")


@pytest.mark.parametrize("name", SETS)
def test_all_rows_ranked(name: str, levels: list[Level]) -> None:
    """k = n: every row, in the order of float64 scores."""
    data = opened(name)
    n, few = len(data.base), data.queries[:14]
    runs = [Run(n, batch, threads) for batch in (1, 7, 14) for threads in (1, 2)]
    args = ("property.work:answers", data.base, data.base.dtype.name, data.metric, few, runs)
    full = levels[-1].call(*args)[0]
    for level in levels:
        for run, answer in zip(runs, level.call(*args), strict=True):
            same_bits(answer, full, f"{name}, {level.name}, {run}")
    ids, _, counts = full
    assert (counts == n).all()
    for query in range(len(few)):
        assert (np.sort(ids[query]) == np.arange(n)).all()
        scores = dense.scores(few[query][None].astype(float), data.base.astype(float), data.metric)
        ranked = dense.goodness(scores[0], data.metric)[ids[query]]
        slack = 2 * dense.ULPS * dense.EPS64 * np.abs(ranked).max()
        assert (np.diff(ranked) <= slack).all(), f"query {query}: out of order"
