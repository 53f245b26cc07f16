"""fit_adapter end to end on small tasks: what it finds, what it refuses, and what it says."""

from __future__ import annotations

import json
import sys
from typing import Any

import nearfield as nf
import numpy as np
import pytest

DIM, ROWS, QUERIES = 16, 600, 300
QRELS = {row: [row] for row in range(QUERIES)}
QUICK: dict[str, Any] = {
    "lr": 0.01,
    "epochs": 6,
    "batch_size": 64,
    "rank": 8,
    "threads": 2,
    "selection": 0.2,
    "weight_decay": 0.1,  # of few dimensions each has to move far
}


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    pytest.importorskip("torch")


def task(seed: int = 0, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Return queries that are their documents, bent by a map and blurred, and the documents."""
    rng = np.random.default_rng(seed)
    corpus = rng.standard_normal((ROWS, DIM))
    bend = np.eye(DIM) + 0.5 * rng.standard_normal((DIM, DIM)) / np.sqrt(DIM)
    queries = corpus[:QUERIES] @ bend.T * np.linspace(0.2, 2.0, DIM) + 0.5
    queries += noise * rng.standard_normal(queries.shape)
    return queries.astype(np.float32), corpus.astype(np.float32)


def fitted(**options: Any) -> nf.AdapterFit:
    queries, corpus = task()
    return nf.fit_adapter(queries, corpus, QRELS, **{**QUICK, **options})


@pytest.fixture(scope="module")
def affine() -> nf.AdapterFit:
    return fitted(form="affine", epochs=15)


@pytest.mark.parametrize("form", ["key_value", "low_rank", "residual_mlp"])
def test_forms_learn_a_bend(form: str) -> None:
    fit = fitted(form=form, lr=0.05, epochs=15)
    assert fit.transform.kind == form
    assert fit.corpus_transform is None
    assert fit.report.chosen == "adapted"
    assert fit.report.interval.low > 0


def test_diagonal_learns_a_stretch() -> None:
    _, corpus = task()
    queries = corpus[:QUERIES] * np.resize(np.float32([0.1, 3.0]), DIM)
    fit = nf.fit_adapter(
        queries, corpus, QRELS, form="diagonal", **{**QUICK, "lr": 0.05, "epochs": 15}
    )
    assert fit.transform.kind == "diagonal"
    assert fit.report.interval.low > 0


def test_affine_learns_most(affine: nf.AdapterFit) -> None:
    assert affine.report.interval.mean > 0.1


def test_the_report_is_what_searches_find(affine: nf.AdapterFit) -> None:
    pytest.importorskip("ir_measures")
    queries, corpus = task()
    index = nf.FlatIndex(DIM, "cosine")
    index.add(corpus)
    test = sorted(map(int, affine.report.deltas))
    qrels = {at: QRELS[query] for at, query in enumerate(test)}
    for adapted, asked in ((False, queries[test]), (True, affine.transform(queries[test]))):
        means = nf.evaluate(index.search(asked, 10), qrels, list(affine.report.test))
        for name, mean in means.items():
            one = affine.report.test[name]
            assert (one.adapted if adapted else one.base) == pytest.approx(mean)
    deltas = list(affine.report.deltas.values())
    assert np.mean(deltas) == pytest.approx(affine.report.interval.mean)


def test_parts_do_not_overlap_and_selection_chose(affine: nf.AdapterFit) -> None:
    report = affine.report
    assert report.sizes["train"] + report.sizes["selection"] + report.sizes["test"] == QUERIES
    assert len(report.deltas) == report.sizes["test"] == 60
    (trial,) = report.trials
    chosen = max(trial.curve, key=lambda one: one.smoothed)
    assert trial.epoch == report.epoch == chosen.epoch
    assert trial.selection == pytest.approx(chosen.smoothed)
    assert report.selection["ndcg@10"].adapted == pytest.approx(chosen.selection)
    near = [one.selection for one in trial.curve[chosen.epoch - 3 : chosen.epoch]]
    assert chosen.epoch < 3 or chosen.smoothed == pytest.approx(np.mean(near))


def test_the_report_prints_and_is_json(affine: nf.AdapterFit) -> None:
    text = str(affine.report)
    for words in ("affine on side='query': adapted", "test (took no part", "ndcg@10", "seed 0"):
        assert words in text
    again = json.loads(affine.report.to_json())
    assert again["test"]["ndcg@10"]["difference"]["mean"] == affine.report.interval.mean
    assert again["trials"][0]["curve"][0]["epoch"] == 1


@pytest.mark.parametrize("form", ["key_value", "affine"])
def test_the_same_seed_gives_the_same_bytes(form: str) -> None:
    first, again, other = (fitted(form=form, seed=seed, epochs=3) for seed in (5, 5, 6))
    for name, value in first.transform.parameters().items():
        assert value.tobytes() == again.transform.parameters()[name].tobytes()
    assert first.report.trials == again.report.trials
    assert first.report.deltas == again.report.deltas
    assert first.report.trials != other.report.trials


@pytest.mark.parametrize("form", ["low_rank", "key_value"])
def test_both_sides(form: str) -> None:
    fit = fitted(form=form, side="both", lr=0.03)
    queries, corpus = task()
    assert fit.report.interval.low > 0
    assert fit.corpus_transform is not None
    assert "bias" not in fit.corpus_transform.parameters()
    found = nf.topk(fit.transform(queries), fit.corpus_transform(corpus), 1, "cosine").ids[:, 0]
    test = list(map(int, fit.report.deltas))
    assert (found[test] == test).mean() == pytest.approx(fit.report.test["hit@1"].adapted)


@pytest.mark.parametrize("negatives", ["batch", "random"])
@pytest.mark.parametrize("loss", ["infonce", "margin"])
def test_losses_and_negatives(loss: str, negatives: str) -> None:
    fit = fitted(form="affine", loss=loss, negatives=negatives, epochs=10)
    assert (fit.report.loss, fit.report.negatives) == (loss, negatives)
    assert fit.report.interval.low > 0


def test_shuffled_pairs_end_at_the_identity() -> None:
    queries, corpus = task()
    rows = np.random.default_rng(9).permutation(QUERIES)
    wrong = {query: [int(row)] for query, row in enumerate(rows)}
    fit = nf.fit_adapter(queries, corpus, wrong, form="affine", **QUICK)
    assert fit.report.chosen == "identity"
    assert fit.report.learning_rate is None
    assert (fit.transform(queries) == queries).all()
    assert set(fit.report.deltas.values()) == {0.0}
    assert "no candidate was ahead" in str(fit.report)


def test_a_run_that_diverges_ends_at_the_identity() -> None:
    steps: list[tuple[int, int]] = []
    report = fitted(
        form="affine", lr=1e30, progress=lambda done, total: steps.append((done, total))
    ).report
    assert report.chosen == "identity"
    assert report.trials[0].curve == []
    assert steps[-1] == (6, 6)


def test_a_saturated_task_ends_at_the_identity() -> None:
    _, corpus = task()
    fit = nf.fit_adapter(corpus[:QUERIES], corpus, QRELS, form="low_rank", **QUICK)
    assert fit.report.chosen == "identity"
    assert fit.report.test["ndcg@10"].base == 1.0


def test_length_of_the_inputs_does_not_matter() -> None:
    queries, corpus = task()
    fits = [
        nf.fit_adapter(queries * scale, corpus, QRELS, form="key_value", **QUICK)
        for scale in (np.float32(1), np.float32(1024))
    ]
    values = [fit.report.test["ndcg@10"].adapted for fit in fits]
    assert values[0] == pytest.approx(values[1], abs=0.01)


def test_inner_products() -> None:
    fit = fitted(form="affine", metric="ip", temperature=0.5)
    assert fit.report.interval.low > 0


def test_recovery_keeps_vectors_near() -> None:
    queries, _ = task()
    moved = [
        np.abs(fitted(form="affine", recovery=weight).transform(queries) - queries).mean()
        for weight in (0.0, 0.3)
    ]
    assert moved[1] < moved[0]


def test_ids_and_parts_by_name() -> None:
    queries, corpus = task()
    names = [f"q{row}" for row in range(QUERIES)]
    documents = [f"d{row}" for row in range(ROWS)]
    qrels = {f"q{row}": {f"d{row}": 2} for row in range(QUERIES)}
    fit = nf.fit_adapter(
        queries,
        corpus,
        qrels,
        query_ids=names,
        corpus_ids=documents,
        test=names[:40],
        form="diagonal",
        **QUICK,
    )
    assert set(fit.report.deltas) == set(names[:40])


def test_progress_counts_every_epoch_and_torch_is_left_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    steps: list[tuple[int, int]] = []
    fitted(form="diagonal", patience=1, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (6, 6)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(form="diagonal", threads=1, progress=stop)
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_several_learning_rates_are_tried() -> None:
    report = fitted(form="affine", lr=None, epochs=5).report
    assert len({trial.learning_rate for trial in report.trials}) == len(report.trials) > 1
    assert report.learning_rate in {trial.learning_rate for trial in report.trials}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"form": "linear"}, ValueError, "form: got 'linear', expected one of 'key_value'"),
        ({"side": "corpus"}, ValueError, "side: got 'corpus'"),
        ({"loss": "triplet"}, ValueError, "loss: got 'triplet'"),
        ({"negatives": "hard"}, ValueError, "negatives: got 'hard'"),
        ({"metric": "l2"}, ValueError, "metric: got 'l2'"),
        ({"measure": "map"}, ValueError, "measure: got 'map'"),
        ({"rank": 0}, ValueError, "rank: got 0"),
        ({"lr": -1.0}, ValueError, "lr: got -1.0, expected a number above 0"),
        ({"temperature": 0.0}, ValueError, "temperature: got 0.0"),
        ({"gamma": 0.1}, ValueError, "gamma: got 0.1 with loss='infonce', expected temperature"),
        ({"epochs": 0}, ValueError, "epochs: got 0"),
        ({"groups": [1, 2]}, ValueError, r"groups: got shape \(2,\), expected \(600,\)"),
        ({"groups": np.array([None, 1] * (ROWS // 2))}, TypeError, "groups: got values that have"),
        ({"groups": np.zeros(ROWS)}, ValueError, "leave 0 for the selection part.*finer groups"),
        ({"query_ids": ["a"]}, ValueError, "query_ids: got 1 ids for 300 rows"),
        ({"corpus_ids": ["a"] * ROWS}, ValueError, "corpus_ids: 'a' stands there twice"),
    ],
)
def test_wrong_settings(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fitted(**options)


def test_wrong_data() -> None:
    queries, corpus = task()
    broken = queries.copy()
    broken[3, 2] = np.nan
    for arguments, message in (
        ((broken, corpus, QRELS), "queries: row 3 holds NaN"),
        ((queries[:, :5], corpus, QRELS), r"queries: got shape \(300, 5\)"),
        ((queries, corpus, {**QRELS, "x": [1]}), "qrels: got 1 unknown query ids .'x'"),
        ((queries, corpus, {1: [2], 2: [3]}), "2 judged queries leave"),
    ):
        with pytest.raises(ValueError, match=message):
            nf.fit_adapter(*arguments)


def test_without_torch_the_error_holds_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r'pip install "nearfield\[train\]"'):
        fitted()
