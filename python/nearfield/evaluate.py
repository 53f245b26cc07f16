"""Retrieval quality: `evaluate` scores a run against judgements, as trec_eval does.

`evaluate_per_query` gives the values behind the means, for :func:`nearfield.paired_bootstrap`.

The measures themselves are those of ir-measures (pytrec_eval underneath); this module maps names
and shapes to it. Every judged query counts: one the run leaves out scores 0.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["evaluate", "evaluate_per_query", "judged_of"]

#: Our name -> (ir-measures name, whether it needs, may have, or cannot have a cutoff).
_METRICS = {
    "ndcg": ("nDCG", "may"),
    "map": ("AP", "may"),
    "mrr": ("RR", "may"),
    "recall": ("R", "needs"),
    "precision": ("P", "needs"),
    "hit": ("Success", "needs"),
    "success": ("Success", "needs"),
    "rprec": ("Rprec", "cannot"),
}
_MISSING = np.iinfo(np.int64).min


def evaluate(
    run: Mapping[Any, Mapping[Any, float]] | Sequence[Any],
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
    metrics: str | Sequence[str] = ("ndcg@10", "recall@100", "mrr@10"),
) -> dict[str, float]:
    """Score a run against judgements.

    Parameters
    ----------
    run : mapping or (ids, scores) or SearchResult
        ``{query id: {document id: score}}``, larger scores first; equal scores are ordered as
        trec_eval orders them. Or what a search returned: its rows are queries 0, 1, 2, ..., its
        columns are taken in the order they stand in (so "l2" results work as they are), and
        missing results are left out.
    qrels : mapping
        ``{query id: {document id: grade}}``, or ``{query id: [relevant document ids]}``. Ids match
        as text: 7 and "7" are the same.
    metrics : str or sequence of str
        "ndcg", "map", "mrr" with or without a cutoff ("ndcg@10"); "recall", "precision", "hit"
        (also "success") with one ("recall@100"); "rprec".

    Returns
    -------
    dict of str to float
        The mean over the judged queries, by the names in `metrics`.

    Raises
    ------
    ImportError
        ir-measures is not installed; the message holds the pip line.
    ValueError
        Unknown metrics (all of them are named), no judged query, NaN scores, or arrays whose
        shapes do not fit.

    Examples
    --------
    >>> import nearfield as nf
    >>> run = {"q1": {"a": 0.9, "b": 0.8}, "q2": {"b": 0.7}}
    >>> nf.evaluate(run, {"q1": {"b": 1}, "q2": ["b"]}, ["hit@1", "mrr@10"])  # doctest: +SKIP
    {'hit@1': 0.5, 'mrr@10': 0.75}
    """
    ir_measures, parsed, judged, ranked = _prepared(run, qrels, metrics)
    results = ir_measures.calc_aggregate(list(set(parsed.values())), judged, ranked)
    return {name: float(results[measure]) for name, measure in parsed.items()}


def evaluate_per_query(
    run: Mapping[Any, Mapping[Any, float]] | Sequence[Any],
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
    metrics: str | Sequence[str] = ("ndcg@10", "recall@100", "mrr@10"),
) -> dict[str, dict[str, float]]:
    """Score a run against judgements, query by query.

    Parameters
    ----------
    run, qrels, metrics
        As in :func:`evaluate`.

    Returns
    -------
    dict of str to dict of str to float
        By the names in `metrics`: the value of every judged query, by its id as text. A query that
        the run leaves out has 0. The mean of the values is what :func:`evaluate` returns.

    Raises
    ------
    ImportError, TypeError, ValueError
        As :func:`evaluate`.

    Examples
    --------
    >>> import nearfield as nf
    >>> qrels = {"q1": {"b": 1}, "q2": ["b"]}
    >>> base = nf.evaluate_per_query({"q1": {"a": 0.9, "b": 0.8}}, qrels, "mrr@10")
    >>> base  # doctest: +SKIP
    {'mrr@10': {'q1': 0.5, 'q2': 0.0}}
    """
    ir_measures, parsed, judged, ranked = _prepared(run, qrels, metrics)
    values: dict[Any, dict[str, float]] = {
        measure: dict.fromkeys(judged, 0.0) for measure in parsed.values()
    }
    for found in ir_measures.iter_calc(list(values), judged, ranked):
        values[found.measure][found.query_id] = float(found.value)
    return {name: dict(values[measure]) for name, measure in parsed.items()}


def _prepared(run: Any, qrels: Any, metrics: str | Sequence[str]) -> tuple[Any, Any, Any, Any]:
    """Return the ir_measures module, its measure by name, the judgements and the run."""
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    measures = _measures(names)
    judged = judged_of(qrels)
    if not any(any(grade > 0 for grade in grades.values()) for grades in judged.values()):
        raise ValueError("qrels: got no relevant document, expected at least one judged query")
    ranked = _run_of_mapping(run) if isinstance(run, Mapping) else _run_of_arrays(run)
    try:
        import ir_measures
    except ImportError as error:
        raise ImportError(
            f'evaluate needs ir-measures ({error}); install it with: pip install "nearfield[eval]"'
        ) from error
    parsed = {name: ir_measures.parse_measure(measure) for name, measure in measures.items()}
    return ir_measures, parsed, judged, ranked


def _measures(names: Sequence[str]) -> dict[str, str]:
    if not names:
        raise ValueError(f"metrics: got none, expected some of {_known()}")
    found: dict[str, str] = {}
    unknown = []
    for name in names:
        match = re.fullmatch(r"([a-z]+)(?:@([1-9]\d*))?", str(name).strip().lower())
        measure, cutoff = _METRICS.get(match[1], ("", "")) if match else ("", "")
        given = bool(match and match[2])
        fits = cutoff == "may" or given == (cutoff == "needs")
        if match and measure and fits:
            found[name] = f"{measure}@{match[2]}" if given else measure
        else:
            unknown.append(repr(name))
    if unknown:
        raise ValueError(f"metrics: unknown {', '.join(unknown)}, expected some of {_known()}")
    return found


def _known() -> str:
    endings = {"may": ("", "@k"), "needs": ("@k",), "cannot": ("",)}
    return ", ".join(name + end for name, (_, cut) in _METRICS.items() for end in endings[cut])


def judged_of(
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
) -> dict[str, dict[str, int]]:
    """Return the grade of every judged document of every query, checked; ids become text.

    Raises
    ------
    TypeError
        Not ``{query id: {document id: grade}}`` or ``{query id: [document ids]}``.
    ValueError
        Grades that are no whole numbers, ids that are the same as text.
    """
    if not isinstance(qrels, Mapping):
        raise TypeError(
            f"qrels: got {type(qrels).__name__}, expected {{query id: {{document id: grade}}}}"
        )
    judged = {str(query): _grades_of(query, grades) for query, grades in qrels.items()}
    _check_distinct(judged, qrels, "qrels")
    return judged


def _grades_of(query: Any, grades: Mapping[Any, int] | Iterable[Any]) -> dict[str, int]:
    if isinstance(grades, Mapping):
        found = {str(document): _grade(query, document, grades[document]) for document in grades}
        _check_distinct(found, grades, f"qrels[{query!r}]")
        return found
    if isinstance(grades, str | bytes) or not isinstance(grades, Iterable):
        raise TypeError(
            f"qrels[{query!r}]: got {type(grades).__name__}, expected {{document id: grade}} or a "
            "list of relevant document ids"
        )
    return {str(document): 1 for document in grades}


def _check_distinct(named: Mapping[str, Any], ids: Mapping[Any, Any], what: str) -> None:
    """Refuse 7 beside "7", one of which was lost when `ids` became text."""
    if len(named) < len(ids):
        twice = Counter(map(str, ids)).most_common(1)[0][0]
        raise ValueError(f"{what}: got several ids that are {twice!r} as text, expected one")


def _grade(query: Any, document: Any, grade: Any) -> int:
    try:
        whole = int(grade)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != grade or not -(2**63) <= whole < 2**63:
        raise ValueError(
            f"qrels[{query!r}][{document!r}]: got {grade!r}, expected a whole number of 64 bits"
        )
    return whole


def _run_of_mapping(run: Mapping[Any, Mapping[Any, float]]) -> dict[str, dict[str, float]]:
    ranked = {}
    for query, documents in run.items():
        if not isinstance(documents, Mapping):
            raise TypeError(
                f"run[{query!r}]: got {type(documents).__name__}, expected {{document id: score}}"
            )
        try:
            scores = {str(document): float(score) for document, score in documents.items()}
        except (TypeError, ValueError) as error:
            raise TypeError(f"run[{query!r}]: got a score that is no number ({error})") from None
        if any(math.isnan(score) for score in scores.values()):
            raise ValueError(f"run[{query!r}]: got a NaN score, expected numbers")
        _check_distinct(scores, documents, f"run[{query!r}]")
        ranked[str(query)] = scores
    _check_distinct(ranked, run, "run")
    return ranked


def _run_of_arrays(run: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Turn (ids, scores) into a run whose scores are ranks: order is all that a measure needs."""
    if not isinstance(run, tuple | list) or len(run) not in (2, 3):
        raise TypeError(
            f"run: got {type(run).__name__}, expected {{query id: {{document id: score}}}}, "
            "(ids, scores), or what a search returned"
        )
    ids, scores = np.asarray(run[0]), np.asarray(run[1])
    if ids.ndim != 2 or ids.shape != scores.shape:
        raise ValueError(
            f"run: got ids of shape {ids.shape} and scores of shape {scores.shape}, expected the "
            "same (n_queries, k) for both"
        )
    width = ids.shape[1]
    ranked: dict[str, dict[str, float]] = {}
    for query, row in enumerate(ids.tolist()):
        documents: dict[str, float] = {}
        for rank, document in enumerate(row):
            if document != _MISSING:
                documents.setdefault(str(document), float(width - rank))
        ranked[str(query)] = documents
    return ranked
