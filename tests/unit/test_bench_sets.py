"""Data sets that bench makes: sentences of package descriptions."""

from __future__ import annotations

import numpy as np
import pytest

from bench.pareto import datasets, judge, sentences

TEXT = (
    "A small library reads files, writes them again (all in C), and never fails. It is fast.\n"
    "* handles many kinds of\n  archives\n* too short\n"
    "It can be used from Python, which makes it popular!"
)


def test_sentences_and_list_items():
    assert sentences.sentences("Version 1.2 of it is here. Is that e.g. good? Yes it is.") == [
        "Version 1.2 of it is here.",
        "Is that e.g. good?",
        # "Yes it is." is too short
    ]
    assert sentences.sentences(TEXT.replace("\n  arch", "\narch")) == [
        "A small library reads files, writes them again (all in C), and never fails.",
        "handles many kinds of archives",
        "It can be used from Python, which makes it popular!",
    ]


def test_clauses_are_parts_and_never_the_whole():
    whole = "It can be used from Python, which makes it popular!"
    assert sentences.clauses(whole) == [
        "It can be used from Python",
        "which makes it popular!",
    ]
    assert sentences.clauses("No part of this is shorter.") == []
    assert list(sentences.pairs(["a b.", "c d.", "e f."])) == ["a b. c d.", "c d. e f."]


def test_base_and_queries_share_no_text():
    texts = [f"Package number {n} does a thing. This one is in all of them." for n in range(200)]
    base, asked = sentences.split(texts, sentences.KINDS)
    assert len(set(base)) == len(base)
    assert len(asked) == len(set(asked)) == round(sentences.HELD_OUT * 200)
    assert not set(base) & set(asked)
    assert "This one is in all of them." in base
    assert (base, asked) == sentences.split(texts, sentences.KINDS)
    assert len(sentences.split(texts, ["sentence"])[0]) == len(texts) - len(asked) + 1


class FakeEncoder:
    """Vectors from a text's own bytes."""

    def __init__(self):
        self.calls = 0

    def encode(self, texts, progress=None):
        self.calls += 1
        rows = [np.random.default_rng(list(text.encode())).standard_normal(16) for text in texts]
        return datasets.unit_rows(np.array(rows, dtype=np.float32))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The folder that ``make`` writes from 300 invented descriptions."""
    texts = [f"Package number {n} does a thing. It was made in {1000 + n}." for n in range(300)]
    monkeypatch.setattr(sentences, "read_descriptions", lambda: texts)
    encoder = FakeEncoder()
    monkeypatch.setattr(sentences, "_encoder", lambda: encoder)
    monkeypatch.setattr(sentences, "PART", 100)
    return sentences.make(tmp_path / "set", say=lambda _: None), encoder


def test_made_set_is_a_data_set_with_exact_truth(made):
    folder, encoder = made
    data = datasets.load(datasets.Source(str(folder)))
    assert (data.metric, data.dim, data.judged) == ("ip", 16, 2 * round(300 * sentences.HELD_OUT))
    assert np.load(folder / "base.npy").dtype == np.float16
    want = judge.exact_neighbours(data.base, data.pool, 100, "ip")[1]
    np.testing.assert_allclose(data.truth_scores, want, atol=1e-9)
    assert encoder.calls == 1 + -(-data.n // 100)
    assert not (folder / "parts").exists()


def test_a_stopped_encoding_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "PART", 10)
    encoder, texts = FakeEncoder(), [f"text {n}" for n in range(35)]
    whole = sentences._encode(encoder, texts, tmp_path, lambda _: None)
    sorted(tmp_path.glob("*.npy"))[2].unlink()
    again = sentences._encode(encoder, texts, tmp_path, lambda _: None)
    np.testing.assert_array_equal(whole, again)
    assert encoder.calls == 5
