"""Inverted lists on adversarial data: with the same centroids every level answers the same bits.

With all lists the answer is the flat index's, which `test_exactness.py` holds against the oracle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plugins.isa import Level
from property.adversarial import case, kinds_for
from property.test_exactness import METRICS, STORAGES, beginning, same_bits, seed_of
from property.work import Run
from reliability.samples import empty_lists

NLIST = 9
WAYS = [(1, 1), (1, 3), (7, 1), (40, 2)]


@pytest.mark.parametrize("dim", [3, 100])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_levels_agree(
    levels: list[Level], tmp_path: Path, metric: str, storage: str, dim: int
) -> None:
    n, n_queries = 400, 40
    for kind in kinds_for(storage):
        problem = case(kind, storage, n, dim, n_queries, seed_of(kind, storage, metric))
        centroids = problem.widened(storage)[:: n // NLIST][:NLIST].astype(np.float32)
        path = tmp_path / f"{kind}.nf"
        empty_lists(metric, storage, centroids).save(path, durable=False)
        mask = np.random.default_rng(dim).random(n) < 0.2
        asked = [(1, 1), (1, 10), (3, 10), (3, 100), (NLIST - 1, 10), (NLIST, 10), (1, n)]
        runs = [
            Run(k, batch, threads, chosen, nprobe=nprobe)
            for nprobe, k, chosen in [*((*way, None) for way in asked), (2, 10, mask)]
            for batch, threads in WAYS
        ]
        args = (str(path), problem.rows, storage, problem.queries, runs)
        sizes, first = levels[0].call("property.work:listed", *args)
        for i, (run, answer) in enumerate(zip(runs, first, strict=True)):
            same_bits(answer, first[i - i % len(WAYS)], f"{kind}: {run._replace(mask=None)}")
        flat = (problem.rows, storage, metric, problem.queries, [Run(n)])
        whole = levels[0].call("property.work:answers", *flat)[0]
        for run, answer in zip(runs, first, strict=True):
            if run.nprobe == NLIST:
                same_bits(answer, beginning(whole, run.k), f"{kind}: flat and {run}")
        for level in levels[1:]:
            again, answers = level.call("property.work:listed", *args)
            assert again == sizes, f"{kind}: rows lie in other lists on {level.name}"
            for run, answer, same in zip(runs, answers, first, strict=True):
                same_bits(answer, same, f"{kind}: {level.name}, {run._replace(mask=None)}")


@pytest.mark.parametrize("metric", METRICS)
def test_levels_agree_on_lists_found_through_groups(
    levels: list[Level], tmp_path: Path, metric: str
) -> None:
    n, dim, n_queries, groups = 600, 20, 130, [1, 3, 5, 7] * 22
    for kind in kinds_for("float32"):
        problem = case(kind, "float32", n, dim, n_queries, seed_of(kind, "float32", metric))
        centroids = problem.widened("float32")[: sum(groups)].astype(np.float32)
        path = tmp_path / f"{kind}.nf"
        empty_lists(metric, "float32", centroids, groups).save(path, durable=False)
        runs = [
            Run(10, batch, threads, nprobe=nprobe)
            for nprobe in (1, 30)
            for batch, threads in ((n_queries, 2), (1, 1), (40, 3))
        ]
        args = (str(path), problem.rows, "float32", problem.queries, runs)
        sizes, first = levels[0].call("property.work:listed", *args)
        for i, (run, answer) in enumerate(zip(runs, first, strict=True)):
            same_bits(answer, first[i - i % 3], f"{kind}: {run._replace(mask=None)}")
        for level in levels[1:]:
            again, answers = level.call("property.work:listed", *args)
            assert again == sizes, f"{kind}: rows lie in other lists on {level.name}"
            for run, answer, same in zip(runs, answers, first, strict=True):
                same_bits(answer, same, f"{kind}: {level.name}, {run._replace(mask=None)}")
