"""Real data: exact search against ground truth in float64, and what RaBitQ codes estimate.

The sets lie in `$NEARFIELD_DATA` (default: `shared/data` beside the clone).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import nearfield as nf
import numpy as np
import pytest
from oracle import dense, rabitq
from plugins.isa import Level
from property.test_exactness import beginning, same_bits
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


def exact_scores(query: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Return scores with more precision than float64, larger being nearer."""
    wide = dense.scores(query[None].astype(float), rows.astype(float), metric, np.longdouble)
    return dense.goodness(wide[0], metric)


def check_against_truth(found: Answer, data: DataSet, k: int) -> int:
    """Raise unless every rank holds a row at least as near as the truth's row of that rank.

    The truth of the cosine sets normalised the vectors in float32 first, so it may hold two rows
    whose scores differ by less than that in the wrong order; and it has equal rows in any order,
    where search must have them by id. Returns how many results differ by more than that.
    """
    ids, _, counts = found
    assert (counts == k).all()
    truth = data.truth[: len(ids), :k]
    for query in np.flatnonzero((ids != truth).any(axis=1)):
        got, expected = (
            exact_scores(data.queries[query], data.base[rows[query]], data.metric)
            for rows in (ids, truth)
        )
        expected = np.sort(expected)[::-1]
        slack = 2 * dense.ULPS * dense.EPS64 * np.abs(expected)
        late = np.flatnonzero(got < expected - slack)
        assert not late.size, (
            f"query {query}, rank {late[0]}: row {ids[query, late[0]]} ({got[late[0]]}), "
            f"expected a score of {expected[late[0]]}"
        )
        early = np.flatnonzero(np.diff(got) > slack[1:])
        assert not early.size, f"query {query}, rank {early[0]}: out of order"
    rows = np.ascontiguousarray(data.base).view(f"V{data.base[0].nbytes}").ravel()
    _, group = np.unique(rows, return_inverse=True)
    same = group[ids[:, 1:]] == group[ids[:, :-1]]
    assert (np.diff(ids)[same] > 0).all(), "equal rows out of order"
    return int((group[ids] != group[truth]).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_ids_equal_the_ground_truth(name: str, levels: list[Level]) -> None:
    """Every query at the fastest level, in one batch; some of them in all other ways."""
    data = opened(name)
    storage = data.base.dtype.name
    whole = [Run(k=100, batch=len(data.queries), threads=2)]
    args = (data.base, storage, data.metric)
    full = levels[-1].call("property.work:answers", *args, data.queries, whole)[0]
    assert check_against_truth(full, data, 100) <= 100
    few = data.queries[:28]
    ways = [Run(k=100, batch=1, threads=2), Run(k=10, batch=7), Run(k=1, batch=28, threads=2)]
    for level in levels:
        for run, answer in zip(
            ways, level.call("property.work:answers", *args, few, ways), strict=True
        ):
            prefix = beginning((full[0][:28], full[1][:28], full[2][:28]), run.k)
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


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("name", SETS)
def test_rabitq_estimates_are_unbiased_and_as_far_off_as_stated(name: str, bits: int) -> None:
    data = opened(name)
    rows, queries = data.base[:200].astype(np.float32), data.queries[:10].astype(float)
    metric = "l2" if data.metric == "l2" else "ip"
    dim = rows.shape[1]
    quantizer = nf.quant.RabitQuantizer(bits)
    quantizer.train(rows, seed=3)
    matrix = rabitq.rotation(rabitq.rotation_signs(dim, 3), dim)
    centre = rows.mean(axis=0, dtype=float)
    scaled = []
    for x, code_bytes in zip(rows.astype(float), quantizer.encode(rows), strict=True):
        code = rabitq.unpack(code_bytes.tobytes(), bits, len(matrix))
        for query in queries:
            truth = query @ x if metric == "ip" else -np.sum((query - x) ** 2)
            off = rabitq.estimate(code, query, metric, centre, matrix) - truth
            assert abs(off) <= rabitq.bound(code, query, metric, centre) * (1 + 1e-5)
            scaled.append(off / rabitq.bound(code, query, metric, centre, sigmas=1.0))
    # One rotation for all pairs: their errors are not independent.
    assert abs(np.mean(scaled)) < 0.1
    assert 0.9 < np.std(scaled) < 1.1
