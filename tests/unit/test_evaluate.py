"""evaluate: names, shapes, and the measures written out by hand."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from nearfield import MISSING, SearchResult, evaluate, evaluate_per_query

RUN = {"q1": {"a": 3.0, "b": 2.0, "c": 1.0}, "q2": {"c": 0.5, "d": 0.4}}
QRELS = {"q1": {"b": 2, "c": 1, "x": 1}, "q2": {"d": 1}, "q3": {"a": 1}}


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    pytest.importorskip("ir_measures")


def test_every_measure_by_hand() -> None:
    gains, ideal = [0, 2, 1], [2, 1, 1]
    weights = 1 / np.log2(np.arange(2, 5))
    ndcg_q1 = (gains * weights).sum() / (ideal * weights).sum()
    expected = {
        "ndcg@10": (ndcg_q1 + weights[1] / weights[0]) / 3,
        "recall@2": (1 / 3 + 1) / 3,
        "precision@5": (2 / 5 + 1 / 5) / 3,
        "mrr@10": (1 / 2 + 1 / 2) / 3,
        "mrr@1": 0.0,
        "map": ((1 / 2 + 2 / 3) / 3 + 1 / 2) / 3,
        "hit@1": 0.0,
        "hit@2": 2 / 3,
        "success@2": 2 / 3,
        "rprec": (2 / 3 + 0) / 3,
    }
    assert evaluate(RUN, QRELS, list(expected)) == pytest.approx(expected)


def test_names_are_returned_as_given_and_case_does_not_matter() -> None:
    assert list(evaluate(RUN, QRELS, ["NDCG@10", "ndcg@10"])) == ["NDCG@10", "ndcg@10"]
    assert list(evaluate(RUN, QRELS, "map")) == ["map"]


def test_arrays_are_taken_in_their_order() -> None:
    ids = np.asarray([[7, 5, MISSING], [1, 2, 3]])
    distances = np.asarray([[0.1, 0.4, np.nan], [0.0, 0.0, 0.9]], dtype=np.float32)
    qrels: dict[Any, Any] = {0: {5: 1}, 1: [1]}
    expected = {"mrr@10": 0.75, "hit@1": 0.5}
    assert evaluate((ids, distances), qrels, list(expected)) == pytest.approx(expected)
    found = SearchResult(ids, distances, np.asarray([2, 3]))
    assert evaluate(found, qrels, list(expected)) == pytest.approx(expected)


def test_unknown_metrics_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"unknown 'recall', 'ndgc@10', 'rprec@5'.*ndcg@k.*hit@k"):
        evaluate(RUN, QRELS, ["recall", "map", "ndgc@10", "rprec@5"])
    for name in ("ndcg@0", "ndcg@", "", "@10", "ndcg@ten"):
        with pytest.raises(ValueError, match="metrics: unknown"):
            evaluate(RUN, QRELS, [name])
    with pytest.raises(ValueError, match="metrics: got none"):
        evaluate(RUN, QRELS, [])


@pytest.mark.parametrize(
    ("run", "qrels", "error", "message"),
    [
        (RUN, {}, ValueError, "qrels: got no relevant document"),
        (RUN, {"q1": {"a": 0}}, ValueError, "qrels: got no relevant document"),
        (RUN, {"q1": "a"}, TypeError, r"qrels\['q1'\]: got str"),
        (RUN, [1], TypeError, "qrels: got list"),
        (RUN, {"q1": {"a": 1.5}}, ValueError, r"qrels\['q1'\]\['a'\]: got 1.5, expected a whole"),
        (RUN, {"q1": {"a": "x"}}, ValueError, r"qrels\['q1'\]\['a'\]: got 'x'"),
        (RUN, {"q1": {"a": None}}, ValueError, r"qrels\['q1'\]\['a'\]: got None"),
        ({"q1": {"a": "high"}}, QRELS, TypeError, r"run\['q1'\]: got a score that is no number"),
        ({"q1": ["a"]}, QRELS, TypeError, r"run\['q1'\]: got list"),
        ({"q1": {"a": float("nan")}}, QRELS, ValueError, "got a NaN score"),
        ("run", QRELS, TypeError, "run: got str"),
        (RUN, {7: ["a"], "7": ["b"]}, ValueError, "qrels: got several ids that are '7' as text"),
        ({7: {"a": 1}, "7": {}}, QRELS, ValueError, "run: got several ids that are '7'"),
        ({"q1": {1: 0.5, "1": 0.2}}, QRELS, ValueError, r"run\['q1'\]: got several ids that are"),
        ((np.zeros(3), np.zeros(3)), QRELS, ValueError, r"run: got ids of shape \(3,\)"),
        ((np.zeros((2, 3)), np.zeros((2, 2))), QRELS, ValueError, "the same"),
    ],
)
def test_bad_input(run: Any, qrels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(run, qrels, ["map"])


def test_missing_extra_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(ImportError, match=r'pip install "nearfield\[eval\]"'):
        evaluate(RUN, QRELS, ["map"])


def test_values_per_query_have_the_mean() -> None:
    names = ["ndcg@10", "mrr@10", "hit@1", "recall@2"]
    values = evaluate_per_query(RUN, QRELS, names)
    assert list(values) == names
    for name, mean in evaluate(RUN, QRELS, names).items():
        assert set(values[name]) == {"q1", "q2", "q3"}
        assert np.mean(list(values[name].values())) == pytest.approx(mean)
    assert values["mrr@10"] == {"q1": 0.5, "q2": 0.5, "q3": 0.0}
