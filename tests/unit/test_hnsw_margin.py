"""The margin that ends a walk: what it finds, and what it does not depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.clumps import METRICS, assert_same, flat_of, graph
from unit.test_coded import gaussian
from unit.test_hnsw import recall

COUNT, DIM = 8000, 16  # so many that few wanted ones are not simply scanned for


def rows_for(metric: str, count: int = COUNT, seed: int = 0) -> np.ndarray:
    """Return rows whose inner products order as distances do."""
    rows = gaussian(count, DIM, seed)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if metric == "ip" else rows


@pytest.mark.parametrize("metric", METRICS)
def test_recall_rises_with_the_margin(metric: str) -> None:
    rows, queries = rows_for(metric), gaussian(200, DIM, seed=1)
    index = graph(rows, metric=metric)
    truth = flat_of(index, rows).search(queries, 10)
    shares = [
        recall(index.search(queries, 10, margin=margin), truth, metric)
        for margin in (0, 0.05, 0.1, 0.2, 0.5)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < shares[3]
    wide = recall(index.search(queries, 10, ef_search=1024), truth, metric)
    assert shares[-1] >= wide - 0.001


@pytest.mark.parametrize("metric", METRICS)
def test_without_an_end_it_is_as_if_there_were_none(metric: str) -> None:
    index, queries = graph(rows_for(metric), metric=metric), gaussian(50, DIM, seed=1)
    for breadth in (20, 64):
        plain = index.search(queries, 10, ef_search=breadth)
        assert_same(index.search(queries, 10, ef_search=breadth, margin=1e9), plain)
        ended = index.search(queries, 10, ef_search=breadth, margin=0)
        assert ended.ids.tobytes() != plain.ids.tobytes()


def test_inner_products_of_unequal_rows_have_no_distance() -> None:
    rows = gaussian(COUNT, DIM) * np.linspace(0.5, 2, COUNT, dtype=np.float32)[:, None]
    index, queries = graph(rows, metric="ip"), gaussian(20, DIM, seed=1)
    ended = index.search(queries, 10, margin=0, rerank=40)
    assert_same(ended, index.search(queries, 10, ef_search=1024, rerank=40))


@pytest.mark.parametrize("metric", METRICS)
def test_neither_batch_nor_threads_nor_file_matter(metric: str, tmp_path: Path) -> None:
    index, queries = graph(rows_for(metric), metric=metric), gaussian(60, DIM, seed=1)
    index.remove(np.arange(0, COUNT, 5))  # so many that the graph is repaired
    index.add(rows_for(metric, 500, seed=3))
    every = index.search(queries, 10, margin=0.08)
    one = index.search(queries[7], 10, margin=0.08)
    assert one.ids.tolist() == every.ids[7].tolist()
    assert_same(index.search(queries, 10, margin=0.08, threads=1), every)
    index.save(tmp_path / "graph.nf")
    assert_same(nf.load(tmp_path / "graph.nf").search(queries, 10, margin=0.08), every)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**30])
def test_units_do_not_matter(metric: str, factor: float) -> None:
    rows, queries = rows_for(metric), gaussian(40, DIM, seed=1)
    scaled = np.float32(factor)
    expected = graph(rows, metric=metric).search(queries, 10, margin=0.06).ids
    other = graph(rows * scaled, metric=metric)
    assert other.search(queries * scaled, 10, margin=0.06).ids.tolist() == expected.tolist()
    if metric != "l2":
        assert other.search(queries, 10, margin=0.06).ids.tolist() == expected.tolist()


def test_as_many_come_back_as_may_answer() -> None:
    rows, queries = gaussian(COUNT, DIM), gaussian(30, DIM, seed=1)
    rows[: COUNT // 4] = rows[0]
    index = graph(rows)
    for chosen in (np.arange(0, COUNT, 2), np.arange(7), np.array([], int)):
        found = index.search(queries, 10, margin=0, filter=chosen)
        assert (found.counts == min(10, len(chosen))).all()
        assert np.isin(found.ids[found.ids != nf.MISSING], chosen).all()
    assert (index.search(rows[:1], 10, margin=0).scores == 0).all()
    assert (index.search(queries, 2000, margin=0).counts == 2000).all()


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), "wide", None, True])
def test_what_is_no_margin_is_refused(bad: Any) -> None:
    index = graph(gaussian(100, DIM))
    with pytest.raises((TypeError, ValueError), match="margin"):
        index.search(gaussian(2, DIM), margin=bad)


def test_tuning_tries_margins() -> None:
    rows, sample = gaussian(20000, DIM), gaussian(300, DIM, seed=1)
    index = graph(rows, 12)
    table = nf.tune(index, sample, (0.9, 0.97))
    margins = [setting.params["margin"] for setting in table if "margin" in setting.params]
    assert margins, str(table)
    assert f"margin={margins[0]:g}" in str(table)
    (chosen,) = (s for s in table if s.level == 0.9 and s.batch == 1)
    assert_same(index.search(sample[0], recall=0.9), index.search(sample[0], 10, **chosen.params))
