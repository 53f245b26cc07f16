"""Real data: the ids of exact search against ground truth worked out in float64.

The sets lie in `$NEARFIELD_DATA` (default: `shared/data` beside the clone).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from oracle import dense
from plugins.isa import Level
from property.test_exactness import same_bits
from property.work import Answer, Run

DATA = Path(
    os.environ.get("NEARFIELD_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
SETS = {"minilm-debian": "cosine", "glove100": "cosine", "sift": "l2"}


class DataSet(NamedTuple):
    """A data set in memory."""

    base: np.ndarray
    queries: np.ndarray
    truth: np.ndarray
    metric: str


def opened(name: str) -> DataSet:
    """Open a data set, or skip where it is absent."""
    folder = DATA / name
    if not (folder / "gt_ids.npy").is_file():
        pytest.skip(f"no data set {name} in {DATA}; set NEARFIELD_DATA")
    base, queries, truth = (
        np.load(folder / f"{part}.npy") for part in ("base", "queries", "gt_ids")
    )
    return DataSet(base, queries, truth.astype(np.int64), SETS[name])


def exact_score(query: np.ndarray, row: np.ndarray, metric: str) -> np.longdouble:
    """Return one score with more precision than float64, larger being nearer."""
    pair = query[None].astype(np.float64), row[None].astype(np.float64)
    return dense.goodness(dense.scores(*pair, metric, np.longdouble), metric)[0, 0]


def check_against_truth(found: Answer, data: DataSet, k: int) -> int:
    """Raise unless ids equal the truth but for scores that float64 cannot tell apart.

    Returns how many ids differ within that.
    """
    ids, _, counts = found
    assert (counts == k).all()
    wrong = np.argwhere(ids != data.truth[: len(ids), :k])
    for query, rank in wrong:
        got, expected = (
            exact_score(data.queries[query], data.base[row], data.metric)
            for row in (ids[query, rank], data.truth[query, rank])
        )
        scale = max(abs(got), abs(expected))
        assert abs(got - expected) <= 2 * dense.ULPS * dense.EPS64 * scale, (
            f"query {query}, rank {rank}: row {ids[query, rank]} ({got}), "
            f"expected {data.truth[query, rank]} ({expected})"
        )
    return len(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_ids_equal_the_ground_truth(name: str, levels: list[Level]) -> None:
    """Every query at the fastest level, in one batch; some of them in all other ways."""
    data = opened(name)
    storage = data.base.dtype.name
    whole = [Run(k=100, batch=len(data.queries), threads=2)]
    args = (data.base, storage, data.metric)
    full = levels[-1].call("property.work:answers", *args, data.queries, whole)[0]
    assert check_against_truth(full, data, 100) <= 20
    few = data.queries[:28]
    ways = [Run(k=100, batch=1, threads=2), Run(k=10, batch=7), Run(k=1, batch=28, threads=2)]
    for level in levels:
        for run, answer in zip(
            ways, level.call("property.work:answers", *args, few, ways), strict=True
        ):
            prefix = (full[0][:28, : run.k], full[1][:28, : run.k], answer[2])
            same_bits(answer, prefix, f"{name}, {level.name}, {run}")


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_as_float32(name: str, levels: list[Level]) -> None:
    """The same values held as float32: the same answers to the bit."""
    data = opened(name)
    few, runs = data.queries[:500], [Run(k=10, batch=500, threads=2)]
    results = [
        levels[-1].call("property.work:answers", base, base.dtype.name, data.metric, few, runs)[0]
        for base in (data.base, data.base.astype(np.float32))
    ]
    check_against_truth(results[1], data, 10)
    same_bits(results[1], results[0], f"{name} as float32")
