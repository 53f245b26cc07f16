"""Filters: what each kind chooses, how they combine, what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from nearfield.filters import Filter, LabelSpace, as_mask

ROWS = LabelSpace(6)
LABELS = LabelSpace(4, np.array([10, -3, 2**63 - 1, 7]))


def chosen(rows: Any, space: LabelSpace = ROWS) -> list[int]:
    mask = as_mask(rows, space)
    assert mask is not None
    assert mask.dtype == np.bool_
    assert mask.flags.c_contiguous
    return np.flatnonzero(mask).tolist()


def test_none_lets_every_row_answer() -> None:
    assert as_mask(None, ROWS) is None


def test_masks_name_rows() -> None:
    mask = np.array([1, 0, 0, 1, 0, 0], bool)
    assert chosen(mask) == [0, 3]
    assert chosen(np.repeat(mask, 2)[::2]) == [0, 3]
    assert chosen(mask.tolist()) == [0, 3]
    assert chosen(np.array([False, True, False, True]), LABELS) == [1, 3]


def test_ids_name_labels_and_unknown_ones_match_nothing() -> None:
    assert chosen([5, 0, 5]) == [0, 5]
    assert chosen(np.array([-1, 6, 2**62, 3])) == [3]
    assert chosen({1, 2}) == [1, 2]
    assert chosen([]) == []
    assert chosen(np.uint8([4])) == [4]
    assert chosen([7, -3, 8], LABELS) == [1, 3]
    assert chosen([2**63 - 1], LABELS) == [2]


@pytest.mark.parametrize(
    "ids",
    [
        *(range(0), range(3), range(2, 99), range(-5, 2), range(1, 6, 2), range(5, 0, -2)),
        *(range(-4, 12, 7), range(10, -4, -1), range(-3, 2**63, 10), range(2**63 - 1, 2**63)),
        *(range(-(2**80), 2**80), range(-3, 2**70, 2**65), range(-3, 2**64, 2**63 + 2)),
        range(-(2**80), 2**80, 2**40),
    ],
)
def test_ranges_agree_with_python(ids: range) -> None:
    assert chosen(ids) == [row for row in range(6) if row in ids]
    assert LABELS.labels is not None
    expected = [row for row, label in enumerate(LABELS.labels.tolist()) if label in ids]
    assert chosen(ids, LABELS) == expected


def test_combinations() -> None:
    even, low = Filter([0, 2, 4]), Filter(range(3))
    assert chosen(even) == [0, 2, 4]
    assert chosen(even & low) == [0, 2]
    assert chosen(even | low) == [0, 1, 2, 4]
    assert chosen(~even) == [1, 3, 5]
    assert chosen(~(even | low) & Filter(np.array([0, 0, 0, 1, 0, 1], bool))) == [3, 5]
    assert chosen(Filter(even)) == [0, 2, 4]
    for made in (even, ~even & low):
        assert chosen(pickle.loads(pickle.dumps(made))) == chosen(made)
        assert chosen(copy.deepcopy(made)) == chosen(made)
    assert "range(0, 3)" in repr(low)
    assert "3 ids" in repr(even)
    assert "and" in repr(even & low)


def test_a_long_chain_is_not_recursive() -> None:
    made = Filter([0])
    for label in range(1, 20_000):
        made = made | Filter([label % 3])
    assert chosen(made) == [0, 1, 2]


@pytest.mark.parametrize("bad", ["0", 3, True, 2.5, {"a": 1}, slice(3), lambda row: True])
def test_other_objects_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"got a .*expected a boolean mask.*range or an nf\.Filter"):
        as_mask(bad, ROWS)
    with pytest.raises(TypeError, match="expected a boolean mask"):
        Filter(bad)
    with pytest.raises(TypeError):
        Filter([1]) & bad


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got a mask of 5 rows, expected 6.*array of ids"):
        as_mask(np.ones(5, bool), ROWS)
    with pytest.raises(ValueError, match=r"mask of shape \(2, 3\)"):
        as_mask(np.ones((2, 3), bool), ROWS)
    with pytest.raises(ValueError, match=r"got shape \(1, 1\)"):
        as_mask([[1]], ROWS)
    with pytest.raises(TypeError, match=r"filter: got .*float64.*integers"):
        as_mask(np.array([0.0, 1.0]), ROWS)
