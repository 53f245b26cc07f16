"""What a fit is fed with: judgements, parts of the queries, candidates of a batch, measures."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield.fitting.judgements import Judgements, number_ids, read_judgements
from nearfield.fitting.measures import METRICS, per_query
from nearfield.fitting.negatives import Negatives
from nearfield.fitting.splits import split_queries


def judged(qrels: dict[Any, Any], n_queries: int = 10, n_rows: int = 20) -> Judgements:
    rows = {str(i): i for i in range(max(n_queries, n_rows))}
    queries = {name: row for name, row in rows.items() if row < n_queries}
    return read_judgements(
        qrels, queries, {name: row for name, row in rows.items() if row < n_rows}
    )


def test_judgements_by_id_and_grade() -> None:
    found = read_judgements(
        {"b": {7: 2, "x": 0}, "a": ["x", "7"]}, {"a": 0, "b": 1, "c": 2}, {"7": 0, "x": 1}
    )
    assert found.queries.tolist() == [0, 1]
    assert found.grades(np.asarray([[0], [1], [2]]), np.asarray([[0, 1]])).tolist() == [
        [1, 1],
        [2, 0],
        [0, 0],
    ]


@pytest.mark.parametrize(
    ("qrels", "error", "message"),
    [
        ({99: [1]}, ValueError, "1 unknown query ids .'99'.*the 10 row numbers"),
        ({1: ["no", "way"]}, ValueError, "2 unknown corpus ids .'no', 'way'"),
        ({1: {1: 0}}, ValueError, "no relevant document"),
        ({1: {1: 0.5}}, ValueError, "whole number"),
        ({1: {1: 2**63}}, ValueError, "whole number of 64 bits"),
        ({1: [1], "1": [2]}, ValueError, "qrels: got several ids that are '1' as text"),
        ({1: {2: 1, "2": 0}}, ValueError, r"qrels\[1\]: got several ids that are '2' as text"),
        ([1], TypeError, "qrels: got list"),
    ],
)
def test_wrong_judgements(qrels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        judged(qrels)


def test_ids_are_distinct_and_one_per_row() -> None:
    with pytest.raises(ValueError, match="query_ids: got 1 ids for 2 rows"):
        number_ids(["a"], 2, "query_ids")
    with pytest.raises(ValueError, match="query_ids: '1' stands there twice"):
        number_ids([1, "1"], 2, "query_ids")


def split(found: Judgements, selection: Any = 0.2, test: Any = 0.3, groups: Any = None) -> Any:
    names = {str(row): row for row in range(found.n_queries)}
    return split_queries(found, selection, test, names, groups, seed=1)


def test_parts_are_disjoint_and_as_large_as_asked_for() -> None:
    found = judged({q: [q] for q in range(100)}, 120, 120)
    parts = split(found)
    sizes = [part.size for part in (parts.train, parts.selection, parts.test)]
    assert sizes == [50, 20, 30]
    union = np.concatenate([parts.train, parts.selection, parts.test])
    assert sorted(union.tolist()) == list(range(100))
    again = split(found)
    assert (parts.test == again.test).all()


def test_queries_linked_by_groups_stay_in_one_part() -> None:
    rng = np.random.default_rng(0)
    qrels = {q: rng.choice(300, 2, replace=False).tolist() for q in range(100)}
    # Pairs of rows chain some queries together, over several steps.
    groups = np.arange(300) // 2
    found = judged(qrels, 100, 300)
    parts = split(found, groups=groups)
    kinds = [
        {int(groups[row]) for query in part.tolist() for row in qrels[query]}
        for part in (parts.train, parts.selection, parts.test)
    ]
    assert not kinds[0] & kinds[1]
    assert not kinds[0] & kinds[2]
    assert not kinds[1] & kinds[2]
    assert sum(part.size for part in (parts.train, parts.selection, parts.test)) == 100


def test_parts_may_be_named() -> None:
    found = judged({q: [q] for q in range(60)}, 60, 60)
    parts = split(found, test=range(10), selection=[str(q) for q in range(10, 20)])
    assert parts.test.tolist() == list(range(10))
    assert parts.selection.tolist() == list(range(10, 20))
    for options, message in (
        ({"test": range(10), "selection": range(5, 15)}, "selection: '5' is a query of the test"),
        ({"test": [*range(9), "x"]}, "test: got the unknown query id 'x'"),
        ({"test": 0.9}, "leave 0 for the selection part|leave . for the train part"),
        ({"test": 1.5}, "test: got 1.5, expected a share between 0 and 1"),
        ({"test": []}, "leave 0 for the test part"),
    ):
        with pytest.raises(ValueError, match=message):
            split(found, **options)


def test_what_is_drawn_leaves_named_parts_alone() -> None:
    found = judged({q: [q // 2] for q in range(80)}, 80, 80)
    by_row = np.arange(80)
    parts = split(found, selection=range(30), test=0.3, groups=by_row)
    assert parts.selection.tolist() == list(range(30))
    assert parts.test.size == 24
    assert not set(parts.test.tolist()) & set(range(30))
    drawn = split(found, selection=0.3, test=range(30), groups=by_row)
    assert drawn.test.tolist() == list(range(30))


def test_a_part_is_a_share_or_ids() -> None:
    found = judged({q: [q] for q in range(60)}, 60, 60)
    for wanted in (np.array(0.2), "12", b"12", True):
        with pytest.raises(TypeError, match=r"selection: got .* expected a real number"):
            split(found, selection=wanted)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"9 judged queries leave .* expected at least"):
        split(judged({q: [q] for q in range(9)}))


def negatives(kind: str, groups: Any = None, per_query: int = 3, pool: int = 4) -> Negatives:
    qrels = {0: [0, 1], 1: [1], 2: [5]}
    return Negatives(judged(qrels), groups, np.arange(3), kind, per_query, pool)


def test_positives_of_other_queries_are_no_negatives_where_they_are_relevant() -> None:
    drawn = negatives("batch").draw(np.asarray([0, 1, 2]), np.random.default_rng(0))
    assert drawn.rows.tolist() == [0, 1, 5]
    assert drawn.positive.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert (drawn.spared == drawn.positive).all()


def test_mined_negatives_are_the_nearest_that_are_neither_relevant_nor_akin() -> None:
    groups = np.arange(20) // 2  # row 0 with 1, 4 with 5, ...
    found = np.asarray([[0, 2, 1, 3, 9, 8], [1, 0, 2, 3, 9, 8], [4, 5, 2, 3, 9, 8]])
    source = negatives("global", groups, per_query=64)
    source.mine(lambda k: found[:, :k])
    drawn = source.draw(np.asarray([0, 1, 2]), np.random.default_rng(0))
    told_apart = [set(drawn.rows[~row].tolist()) for row in drawn.spared]
    assert set(drawn.rows.tolist()) <= {0, 1, 2, 3, 5, 9, 8, 4}
    assert told_apart[0].isdisjoint({0, 1})
    assert told_apart[2].isdisjoint({4, 5})
    assert told_apart[0] >= {2, 3}


def test_random_negatives_come_from_the_whole_corpus() -> None:
    source = negatives("random", per_query=200)
    drawn = source.draw(np.asarray([2]), np.random.default_rng(0))
    assert drawn.rows.tolist() == list(range(20))
    assert not source.are_mined


def test_a_query_with_many_relevant_rows_does_not_fill_the_batch() -> None:
    source = Negatives(judged({0: list(range(20))}), None, np.asarray([0]), "batch", 1, 1)
    drawn = source.draw(np.asarray([0]), np.random.default_rng(0))
    assert drawn.rows.size == 4
    assert drawn.positive.all()


def test_measures_equal_those_of_evaluate() -> None:
    pytest.importorskip("ir_measures")
    rng = np.random.default_rng(3)
    qrels = {
        q: {int(row): int(rng.integers(1, 4)) for row in rng.choice(50, rng.integers(1, 15))}
        for q in range(30)
    }
    found = np.stack([rng.permutation(50)[:10] for _ in range(30)])
    found[0, 7:] = nf.MISSING
    values = per_query(judged(qrels, 30, 50), np.arange(30), found)
    means = nf.evaluate((found, np.zeros(found.shape)), qrels, list(METRICS))
    assert {name: column.mean() for name, column in values.items()} == pytest.approx(means)
