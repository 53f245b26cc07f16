"""paired_bootstrap: its definition, its coverage, its seed and its errors."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest


def test_the_interval_is_the_percentiles_of_resampled_means() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40)
    found = nf.paired_bootstrap(a, b, resamples=500, confidence=0.9, seed=7)
    drawn = np.random.default_rng(7).integers(0, 40, (500, 40))
    means = np.asarray([np.mean([a[i] - b[i] for i in row]) for row in drawn])
    assert found.mean == pytest.approx((a - b).mean())
    assert found.low == pytest.approx(np.percentile(means, 5))
    assert found.high == pytest.approx(np.percentile(means, 95))
    assert (found.confidence, found.n) == (0.9, 40)


def test_ninety_five_percent_intervals_hold_the_truth_about_that_often() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        base = rng.random(150)
        found = nf.paired_bootstrap(
            base + rng.normal(0.02, 0.2, 150), base, resamples=400, seed=trial
        )
        held += found.low <= 0.02 <= found.high
    assert 0.90 <= held / 200 <= 0.99


def test_what_queries_share_does_not_widen_it() -> None:
    hard = np.random.default_rng(2).normal(0, 100, 50)
    found = nf.paired_bootstrap(hard + 1, hard)
    assert found.high - found.low < 1e-9
    assert found.clear
    assert not nf.paired_bootstrap(hard, hard).clear


def test_mappings_are_paired_by_query() -> None:
    a, b = {"x": 1.0, "y": 0.0, "z": 0.5}, {"z": 0.25, "x": 1.0, "y": 0.5}
    assert nf.paired_bootstrap(a, b) == nf.paired_bootstrap([1, 0, 0.5], [1, 0.5, 0.25])


def test_same_seed_same_interval() -> None:
    a, b = np.random.default_rng(0).random((2, 30))
    assert nf.paired_bootstrap(a, b, seed=3) == nf.paired_bootstrap(a, b, seed=3)
    assert nf.paired_bootstrap(a, b, seed=3) != nf.paired_bootstrap(a, b, seed=4)


def test_it_prints_as_one_would_write_it() -> None:
    assert str(nf.paired_bootstrap([1, 1], [0.5, 0.5])) == "+0.5000 [+0.5000, +0.5000]"


@pytest.mark.parametrize(
    ("a", "b", "options", "error", "message"),
    [
        ([1, 2], [1], {}, ValueError, "b: got 1 values beside 2 of a"),
        ([1], [1], {}, ValueError, "a: got 1 values, expected at least two"),
        ([[1, 2]], [1, 2], {}, ValueError, r"a: got shape \(1, 2\)"),
        ([1, float("nan")], [1, 2], {}, ValueError, "a: value 1 is nan"),
        ([1, 2], {"x": 1}, {}, TypeError, "b: got a dict beside a list"),
        ({"x": 1, "y": 2}, {"x": 1, "z": 2}, {}, ValueError, "b: 'y', 'z' stands in one"),
        (["a", "b"], [1, 2], {}, TypeError, "a: expected numbers"),
        ([1, 2], [1, 2], {"confidence": 1.0}, ValueError, "confidence: got 1.0"),
        ([1, 2], [1, 2], {"resamples": 0}, ValueError, "resamples: got 0"),
    ],
)
def test_wrong_arguments(
    a: Any, b: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nf.paired_bootstrap(a, b, **options)
