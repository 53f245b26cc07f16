"""The table of upgrades: a turned model is undone by a map, losses are told, queries are unseen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.quality import upgrade
from bench.quality.task import Task

DIM, ROWS, QUERIES = 24, 900, 200
HEADER = {"date": "today", "cpu": "some", "cores": 2, "isa": "avx2", "commit": "abc"}


@pytest.fixture(scope="module")
def material():
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    queries = corpus[:QUERIES] + 0.1 * rng.standard_normal((QUERIES, DIM)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32)
    names = [f"n{at}" for at in range(ROWS)]
    task = Task(
        name="turned",
        corpus=names,
        queries=names[:QUERIES],
        relevant=[[at] for at in range(QUERIES)],
        groups=names[:QUERIES],
        corpus_ids=names,
        query_ids=names[:QUERIES],
    )
    rows = upgrade.drawn(600, ROWS)
    return upgrade.Material(task, queries, corpus, queries @ turn, rows, corpus[rows] @ turn)


def test_a_turn_is_undone_and_a_map_of_too_low_rank_is_less(material, tmp_path):
    said = []
    found = upgrade.measure(material, sizes=(100, 600), say=said.append)
    assert len(found) == 2 + 2 * len(upgrade.FORMS) == 2 + len(said)
    result = upgrade.record(material, found, "turned", HEADER)
    rows = {row["method"]: row for row in result["methods"]}
    own = rows[upgrade.OWN]["ndcg@10"]
    assert rows[upgrade.BASE]["ndcg@10"] < 0.2 < 0.9 < own
    assert rows[upgrade.BASE]["verdict"] == "no difference"
    for name in ("Procrustes, 100 pairs", "ridge, 600 pairs"):
        assert rows[name]["ndcg@10"] == pytest.approx(own, abs=0.01)
        assert rows[name]["verdict"] == "gain"
    assert rows["Procrustes, 600 pairs"]["fit"]["sizes"]["fit"] == 540
    json.dumps(result)
    page = upgrade.page(result)
    assert "| Procrustes, 100 pairs | - | 1.000 |" in page
    assert "Below the base, interval clear of zero: none." in page


def test_samples_are_nested_and_come_again():
    small, large = upgrade.drawn(10, 500), upgrade.drawn(50, 500)
    np.testing.assert_array_equal(small, large[:10])
    assert len(set(large.tolist())) == 50


def test_maps_that_lose_are_told(material):
    worse = {
        name: 0 * values
        for name, values in upgrade._scores(material, material.old_queries, None).items()
    }
    good = upgrade._scores(material, material.old_queries, None)
    found = [upgrade._measured(material, "bad", worse, good)]
    page = upgrade.page(upgrade.record(material, found, "none", HEADER))
    assert "Below the base, interval clear of zero: bad." in page
