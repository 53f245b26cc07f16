"""nf.tune of a graph: breadth and re-ranking are tried together, and exact search."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import tuning
from unit.clumps import METRICS, assert_same, flat_of, graph
from unit.test_coded import gaussian
from unit.test_hnsw import recall


@pytest.mark.parametrize("metric", METRICS)
def test_searches_reach_what_was_asked_for(metric: str, tmp_path: Path) -> None:
    rows, sample, later = gaussian(3000, 24), gaussian(300, 24, seed=1), gaussian(300, 24, seed=2)
    index = graph(rows, 12, metric)
    table = nf.tune(index, sample, (0.85, 0.97), k=5)
    assert {setting.level for setting in table} >= {0.8, 0.85, 0.9, 0.95, 0.97, 1.0}
    truth = flat_of(index, rows).search(sample, 5)
    for setting in table:
        assert "ef_search" in setting.params
        assert set(setting.params) <= {"ef_search", "margin", "rerank"}
        found = index.search(sample, 5, **setting.params)
        assert setting.recall == pytest.approx(recall(found, truth, metric), abs=1e-9)
        assert setting.level <= setting.lower <= setting.recall
    expected = flat_of(index, rows).search(later, 5)
    for level in (0.8, 0.9, 0.97):
        # Four standard errors of the difference of two samples below.
        assert recall(index.search(later, 5, recall=level), expected, metric) > level - 0.03
    assert_same(index.search(later, 5, recall=1), expected)
    assert_same(index.search(later, 3, recall=0.99), index.search(later, 3, **last(table, 0.99)))
    index.save(tmp_path / "tuned.nf")
    for again in (nf.load(tmp_path / "tuned.nf", mmap=True), pickle.loads(pickle.dumps(index))):
        assert again.tuning == index.tuning
        assert_same(again.search(later, 5, recall=0.9), index.search(later, 5, recall=0.9))


def last(table: nf.Tuning, level: float) -> dict[str, float]:
    """Return what large batches are answered with."""
    (chosen,) = [s for s in table if s.level == level and s.batch == max(t.batch for t in table)]
    return chosen.params


def test_all_is_all_though_rows_are_added() -> None:
    rows, queries = gaussian(2000), gaussian(40, seed=1)
    index = graph(rows[:1200])
    table = nf.tune(index, queries, 0.9)
    assert {str(setting.params) for setting in table if setting.level == 1} == {
        str({"ef_search": 2**32 - 1})
    }
    assert "ef_search=all" in str(table)
    index.add(rows[1200:])
    assert_same(index.search(queries, recall=1), flat_of(index, rows).search(queries))


def test_codes_are_measured_by_what_they_can_say_or_by_a_given_truth() -> None:
    rows, sample = gaussian(2000), gaussian(200, seed=1)
    exact = nf.FlatIndex(16)
    exact.add(rows)
    truth = exact.search(sample, 10)
    coded = graph(rows, 12, quantizer="sq8")
    assert max(s.level for s in nf.tune(coded, sample)) == 1
    given = nf.tune(coded, sample, 0.8, truth=truth.ids)
    assert max(setting.recall for setting in given) < 1
    kept = graph(rows, 12, quantizer="sq8", refine="float32")
    table = nf.tune(kept, sample, 0.9, truth=truth.ids)
    assert max(setting.level for setting in table) >= 0.99
    nf.tune(kept, sample, 0.9)
    assert_same(kept.search(sample, 10, recall=1), truth)


class Sketch:
    """A graph that finds a share of the rows which grows with two parameters."""

    metric, dim = "ip", 24
    _search_params = ("ef_search", "rerank")

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.count

    def search(self, q: Any, k: int, *, threads: Any, ef_search: int, rerank: int = 0) -> Any:
        self.asked.append((ef_search, rerank))
        scored = rerank
        if ef_search >= self.count:
            scored = self.count
            time.sleep(0.002 * len(q))
        share = min(1.0, ef_search / self.count) ** 0.1 * min(1.0, scored / 160) ** 0.1
        scores = np.ones((len(q), k), np.float32)
        scores[:, int(share * k + 1e-6) :] = 0
        return nf.SearchResult(np.zeros((len(q), k), int), scores, np.full(len(q), k))


def test_breadth_and_reranking_are_tried_together() -> None:
    index = Sketch(1000)
    meter = tuning._Meter(index, gaussian(40, 24), 20, None, None)  # type: ignore[arg-type]
    measured = tuning._climb(meter, [0.99])
    assert index.asked[0] == (2**32 - 1, 0), "the exhaustive one comes first: it is the truth"
    assert (measured[0].exhaustive, measured[0].recall) == (True, 1.0)
    tried = [(one.params["ef_search"], one.params.get("rerank")) for one in measured[1:]]
    assert tried[:5] == [(20, 20), (24, 24), (32, 32), (48, 40), (48, 48)]
    assert all(rerank in (min(40, ef), ef) for ef, rerank in tried)


@pytest.mark.parametrize(("count", "k", "widest"), [(10**6, 10, 2048), (300, 10, 300), (5, 5, 5)])
def test_the_ladder_ends_with_every_row(count: int, k: int, widest: int) -> None:
    ladder = tuning._ladder(Sketch(count), k)  # type: ignore[arg-type]
    assert ladder[0] == [{"ef_search": k, "rerank": k}]
    assert ladder[-2][-1] == {"ef_search": widest, "rerank": widest}
    assert ladder[-1] == [{"ef_search": 2**32 - 1}]
    breadths = [rung[0]["ef_search"] for rung in ladder]
    assert breadths == sorted(set(breadths))
