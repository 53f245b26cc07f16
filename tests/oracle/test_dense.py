"""The oracle itself, against answers worked out by hand, and the judge against planted errors."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import dense

X = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0], [1.0, 0.0]])
Q = np.array([[1.0, 0.0], [0.0, 0.0]])


def test_scores_by_hand() -> None:
    assert dense.scores(Q, X, "l2").tolist() == [[1, 20, 0, 0], [0, 25, 1, 1]]
    assert dense.scores(Q, X, "ip").tolist() == [[0, 3, 1, 1], [0, 0, 0, 0]]
    assert dense.scores(Q, X, "cosine").tolist() == [[0, 0.6, 1, 1], [0, 0, 0, 0]]


def test_ties_go_to_the_smaller_row_and_missing_is_marked() -> None:
    ids, scores, counts = dense.topk(Q, X, 5, "l2", mask=np.array([True, False, True, True]))
    assert ids[:, :3].tolist() == [[2, 3, 0], [0, 2, 3]]
    assert (ids[:, 3:] == dense.MISSING).all()
    assert counts.tolist() == [3, 3]
    assert np.isnan(scores[:, 3:]).all()
    assert dense.topk(X, X, 1, "l2", exclude_self=True)[0].ravel().tolist() == [2, 2, 3, 2]
    assert [r.tolist() for r in dense.range_search(Q, X, 1.0, "l2")] == [[2, 3, 0], [0, 2, 3]]


def planted(error: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a right answer for (Q, X, l2, k=3) with one error in it."""
    ids, scores, counts = dense.topk(Q, X, 3, "l2")
    scores = scores.astype(np.float32)
    if error == "twins swapped":
        ids[0, :2] = ids[0, 1::-1]
    elif error == "wrong row":
        ids[0, 2], scores[0, 2] = 1, 20
    elif error == "twice":
        ids[0, 1] = ids[0, 0]
    elif error == "order":
        ids[0], scores[0] = ids[0, ::-1], scores[0, ::-1]
    elif error == "score":
        scores[1, 2] = np.nextafter(np.nextafter(np.float32(1), 2), 2) + np.float32(1e-6)
    elif error == "nan":
        scores[0, 0] = np.nan
    elif error == "count":
        counts[0] = 2
    return ids, scores, counts


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "error", ["twins swapped", "wrong row", "twice", "order", "score", "nan", "count"]
)
def test_judge_refuses_planted_errors(error: str, exact: bool) -> None:
    judge = dense.Judge(Q, X, "l2", exact=exact)
    judge.check(*planted("none"), k=3)
    with pytest.raises(AssertionError):
        judge.check(*planted(error), k=3)


def test_judge_accepts_a_swap_within_the_last_bits_only() -> None:
    third = np.float64(1) / 3
    x = np.array([[third], [np.nextafter(third, 1)], [third * (1 + 1e-12)]])
    judge = dense.Judge(np.array([[1.0]]), x, "ip")
    scores = np.full((1, 3), np.float32(third))
    judge.check(np.array([[2, 0, 1]]), scores, np.array([3]), k=3)
    with pytest.raises(AssertionError, match="too early"):
        judge.check(np.array([[1, 2, 0]]), scores, np.array([3]), k=3)
