"""Fitting on real text: synopses to descriptions of Debian packages, and its two controls."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from property.test_datasets import DATA, opened

QUERIES, EXTRA = 2500, 20_000
QUICK: dict[str, Any] = {"form": "affine", "lr": 1e-3, "epochs": 6, "selection": 0.2, "threads": 2}

Task = tuple[np.ndarray, np.ndarray, dict[int, list[int]]]


@pytest.fixture(scope="module")
def synopses() -> Task:
    """Return some synopses, their descriptions among others, and which describes which."""
    pytest.importorskip("torch")
    data = opened("minilm-debian")
    judged: dict[int, list[int]] = {}
    for line in (DATA / "minilm-debian" / "qrels.tsv").read_text().splitlines():
        query, row, _ = map(int, line.split())
        if query < QUERIES:
            judged.setdefault(query, []).append(row)
    own = {row for rows in judged.values() for row in rows}
    others = np.random.default_rng(0).permutation(len(data.base))[:EXTRA]
    kept = np.asarray(sorted(own | set(others.tolist())))
    place = {row: at for at, row in enumerate(kept.tolist())}
    qrels = {query: [place[row] for row in rows] for query, rows in judged.items()}
    return data.queries[:QUERIES].astype(np.float32), data.base[kept].astype(np.float32), qrels


def test_an_adapter_helps_clearly(synopses: Task) -> None:
    report = nf.fit_adapter(*synopses, **QUICK).report
    assert report.chosen == "adapted"
    assert report.interval.low > 0


def test_shuffled_pairs_do_not(synopses: Task) -> None:
    queries, corpus, qrels = synopses
    rows = list(qrels.values())
    order = np.random.default_rng(1).permutation(len(rows))
    wrong = {query: rows[at] for query, at in zip(qrels, order, strict=True)}
    report = nf.fit_adapter(queries, corpus, wrong, **QUICK).report
    assert report.interval.mean <= 0.005
    assert report.chosen == "identity"


def test_descriptions_that_ask_for_themselves_leave_nothing_to_learn(synopses: Task) -> None:
    _, corpus, _ = synopses
    _, text = np.unique(corpus, axis=0, return_inverse=True)  # some descriptions are equal
    asked = corpus[:QUERIES]
    qrels = {at: np.flatnonzero(text == text[at]).tolist() for at in range(QUERIES)}
    report = nf.fit_adapter(asked, corpus, qrels, **QUICK).report
    assert report.chosen == "identity"
    assert report.interval.mean == 0.0
