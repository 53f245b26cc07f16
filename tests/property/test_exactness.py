"""Exact means exact: adversarial data in every metric, storage, dimension, batch, level.

The oracle judges one run; every other run, and every level, must return the same bits.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from oracle import dense
from plugins.isa import LEVELS, Level, chosen_levels
from plugins.require import cpu_levels
from property.adversarial import Case, case, kinds_for
from property.work import Answer, Run

METRICS = ("l2", "ip", "cosine")
STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
DIMS = (1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 383, 384, 385, 767, 768, 769)


def seed_of(*names: object) -> int:
    """Return a seed that stays the same from run to run."""
    return zlib.crc32(repr(names).encode())


def judged(
    levels: list[Level], problem: Case, storage: str, metric: str, runs: list[Run], label: str
) -> list[Answer]:
    """Return the answers of the first level; all levels and all runs must agree to the bit.

    The longest answer is judged; the shorter ones must be its beginning. The runs share one filter.
    """
    judge = dense.Judge(problem.queries, problem.widened(storage), metric, problem.exact)
    args = (problem.rows, storage, metric, problem.queries, runs)
    first = levels[0].call("property.work:answers", *args)
    longest, reference = max(zip(runs, first, strict=True), key=lambda pair: pair[0].k)
    try:
        judge.check(*reference, k=longest.k, mask=longest.mask, exclude_self=longest.exclude_self)
    except AssertionError as error:
        raise AssertionError(f"{label}, {levels[0].name}, {longest._replace(mask=None)}") from error
    for run, answer in zip(runs, first, strict=True):
        same_bits(answer, beginning(reference, run.k), f"{label}: {run} and {longest}")
    for level in levels[1:]:
        for run, answer, same in zip(
            runs, level.call("property.work:answers", *args), first, strict=True
        ):
            same_bits(answer, same, f"{label}: {level.name} and {levels[0].name}, {run}")
    return first


def beginning(answer: Answer, k: int) -> Answer:
    """Return what a search for fewer results answers."""
    ids, scores, counts = answer
    return ids[:, :k], scores[:, :k], np.minimum(counts, k)


def same_bits(answer: Answer, reference: Answer, label: str) -> None:
    """Raise unless ids, scores and counts agree to the bit."""
    for name, got, expected in zip(("ids", "scores", "counts"), answer, reference, strict=True):
        assert got.dtype == expected.dtype, label
        assert got.shape == expected.shape, label
        if got.tobytes() != expected.tobytes():
            where = np.argwhere(np.atleast_1d(got != expected) & (got == got))[:1].tolist()
            raise AssertionError(f"{label}: {name} differ, first at {where}")


@pytest.mark.parametrize("level", LEVELS)
def test_level_runs_here(level: str, levels: list[Level], request: pytest.FixtureRequest) -> None:
    if level not in chosen_levels(request.config):
        pytest.skip(f"{level}: left out by --isa")
    if level != "portable" and level not in cpu_levels():
        pytest.skip(f"{level}: this CPU lacks it")
    process = next(process for process in levels if process.name == level)
    assert process.call("property.work:isa") == level
    assert process.call("property.work:missing") == dense.MISSING


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_adversarial_data(levels: list[Level], metric: str, storage: str, dim: int) -> None:
    n, n_queries = 300, 9
    ways = [(1, 1, 1), (1, 10, 2), (7, 10, 1), (7, 100, 2), (64, 1, 2), (64, n, 1), (64, 1000, 2)]
    for kind in kinds_for(storage):
        problem = case(kind, storage, n, dim, n_queries, seed_of(kind, storage, metric))
        runs = [Run(k=k, batch=batch, threads=threads) for batch, k, threads in ways]
        runs.append(Run(k=10, direct=True, threads=2))
        judged(levels, problem, storage, metric, runs, f"{kind}, dim {dim}")


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_batch_threads_and_k_do_not_change_a_bit(
    levels: list[Level], metric: str, storage: str
) -> None:
    """Enough rows for several tiles; the first k of a longer answer are the shorter answer."""
    n, n_queries = 1601, 33
    for kind in (
        ("gaussian", "twins")
        if storage in ("int8", "uint8")
        else (*("gaussian", "near_ties", "wild_norms", "outlier", "loud", "offset", "twins"),)
    ):
        problem = case(kind, storage, n, 100, n_queries, seed_of(kind, storage))
        runs = [
            Run(k=k, batch=batch, threads=threads, direct=batch == 7)
            for k in (1, 10, 100, 1000)
            for batch in (1, 7, 33)
            for threads in (1, 2)
        ] + [Run(k=n, batch=33, threads=2)]
        judged(levels, problem, storage, metric, runs, kind)


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_batch_of_ten_thousand(levels: list[Level], metric: str, storage: str) -> None:
    """Sixty-one queries over and over: each copy gets the answer of its original."""
    base = case("gaussian", storage, 2500, 96, 61, seed_of(storage))
    index = np.arange(10_000) % 61
    problem = Case(base.rows, base.queries[index], base.exact)
    runs = [Run(k=10, batch=10_000, threads=threads) for threads in (1, 2)]
    small = judged(levels, base, storage, metric, [Run(k=10, batch=1)], "originals")[0]
    expected = (small[0][index], small[1][index], small[2][index])
    args = (problem.rows, storage, metric, problem.queries, runs)
    for level in levels:
        for answer in level.call("property.work:answers", *args):
            same_bits(answer, expected, f"{level.name}, batch 10,000")


@pytest.mark.slow
@pytest.mark.parametrize("dim", [96, 384])
@pytest.mark.parametrize("kind", ["gaussian", "twins", "near_ties", "wild_norms", "loud"])
@pytest.mark.parametrize("metric", METRICS)
def test_many_rows(levels: list[Level], metric: str, kind: str, dim: int) -> None:
    """As many rows as a low-precision first pass is worth."""
    problem = case(kind, "float32", 20_011, dim, 8, seed_of(kind))
    runs = [Run(k=10, batch=8, threads=2), Run(k=10, batch=1), Run(k=100, batch=7, threads=2)]
    judged(levels, problem, "float32", metric, runs, f"{kind}, {dim}")


@pytest.mark.parametrize("share", [0.0, 0.003, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_filtered(levels: list[Level], metric: str, storage: str, share: float) -> None:
    problem = case("gaussian", storage, 1003, 33, 9, seed_of(storage))
    mask = np.random.default_rng(7).random(1003) < share
    runs = [
        Run(k=k, batch=batch, threads=threads, mask=mask, direct=direct)
        for k, batch, threads, direct in [(10, 1, 1, False), (10, 64, 2, False), (200, 7, 2, True)]
    ]
    judged(levels, problem, storage, metric, runs, f"{share} of the rows")


@pytest.mark.parametrize("metric", METRICS)
def test_exclude_self(levels: list[Level], metric: str) -> None:
    for kind in ("gaussian", "twins", "all_equal"):
        base = case(kind, "float32", 130, 24, 1, seed_of(kind))
        problem = Case(base.rows, base.rows, exact=False)
        runs = [
            Run(k=k, batch=130, threads=threads, direct=True, exclude_self=True)
            for k, threads in ((1, 1), (10, 2), (130, 2))
        ]
        judged(levels, problem, "float32", metric, runs, kind)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_range_search(levels: list[Level], metric: str, storage: str) -> None:
    for kind in ("ties", "gaussian"):
        problem = case(kind, storage, 700, 17, 8, seed_of(kind))
        x = problem.widened(storage)
        every = dense.scores(problem.queries, x, metric)
        for threshold in thresholds(every, problem.exact and metric != "cosine"):
            expected = dense.range_search(problem.queries, x, threshold, metric)
            args = (problem.rows, storage, metric, problem.queries, threshold)
            answer = levels[0].call("property.work:ranges", *args, threads=1)
            check_ranges(answer, expected, every, problem.exact and metric != "cosine")
            for level in levels:
                again = level.call("property.work:ranges", *args, threads=2)
                same_bits(again, answer, f"{level.name}, {kind}, {threshold}")


def thresholds(every: np.ndarray, exact: bool) -> list[float]:
    """Return thresholds that rounding cannot decide: in gaps, outside, and on exact scores."""
    values = np.unique(every)
    # The float32 score decides: two scores within its resolution cannot be told apart.
    gaps = np.flatnonzero(np.diff(values) > 1e-6 * np.abs(values).max())
    chosen = [float(values[0] - 1), float(values[-1] + 1)]
    for at in gaps[[0, len(gaps) // 50, len(gaps) // 2, -1]] if gaps.size else ():
        chosen.append(float((values[at] + values[at + 1]) / 2))
        if exact:
            chosen.append(float(values[at]))
    return chosen


def check_ranges(
    answer: Answer, expected: list[np.ndarray], every: np.ndarray, exact: bool
) -> None:
    lims, ids, scores = answer
    assert lims[0] == 0
    assert np.diff(lims).tolist() == [len(rows) for rows in expected]
    for i, rows in enumerate(expected):
        mine = ids[lims[i] : lims[i + 1]]
        assert sorted(mine.tolist()) == sorted(rows.tolist())
        np.testing.assert_allclose(scores[lims[i] : lims[i + 1]], every[i, mine], rtol=2**-22)
        if exact:
            assert mine.tolist() == rows.tolist()
