"""Lists of sign planes on adversarial data: every level, batch and thread count agree.

With all lists and certain bounds the answer is the flat index's, which `test_exactness.py` holds
against the oracle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plugins.isa import Level
from property.adversarial import case, kinds_for
from property.test_exactness import METRICS, beginning, same_bits, seed_of
from property.work import Run
from reliability.samples import empty_lists

NLIST = 9
WAYS = [(1, 1), (1, 3), (7, 1), (40, 2)]
REFINES = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("dim", [3, 100])
@pytest.mark.parametrize("storage", REFINES)
@pytest.mark.parametrize("metric", METRICS)
def test_levels_agree(
    levels: list[Level], tmp_path: Path, metric: str, storage: str, dim: int
) -> None:
    n, n_queries = 400, 40
    for kind in kinds_for(storage):
        problem = case(kind, storage, n, dim, n_queries, seed_of(kind, storage, metric))
        centroids = problem.widened(storage)[:: n // NLIST][:NLIST].astype(np.float32)
        path = tmp_path / f"{kind}.nf"
        empty_lists(metric, f"rabitq1-{storage}-residual", centroids).save(path, durable=False)
        mask = np.random.default_rng(dim).random(n) < 0.2
        asked = [
            *((1, 10, None, epsilon) for epsilon in (0.0, 0.5, 1.5)),
            *((3, 10, None, 1.0), (2, 10, mask, 1.0), (NLIST, 100, None, 1.0)),
            (NLIST, 10, None, np.inf),
        ]
        runs = [
            Run(k, batch, threads, chosen, nprobe=nprobe, epsilon=epsilon)
            for nprobe, k, chosen, epsilon in asked
            for batch, threads in WAYS
        ]
        args = (str(path), problem.rows, storage, problem.queries, runs)
        sizes, first = levels[0].call("property.work:listed", *args)
        for i, (run, answer) in enumerate(zip(runs, first, strict=True)):
            same_bits(answer, first[i - i % len(WAYS)], f"{kind}: {run._replace(mask=None)}")
        flat = (problem.rows, storage, metric, problem.queries, [Run(n)])
        whole = levels[0].call("property.work:answers", *flat)[0]
        for run, answer in zip(runs, first, strict=True):
            if run.epsilon == np.inf:
                same_bits(answer, beginning(whole, run.k), f"{kind}: flat and {run}")
        for level in levels[1:]:
            other_sizes, other = level.call("property.work:listed", *args)
            assert other_sizes == sizes, f"{kind}: {level} and {levels[0]}"
            for run, ours, theirs in zip(runs, first, other, strict=True):
                same_bits(theirs, ours, f"{kind}: {level} {run._replace(mask=None)}")
