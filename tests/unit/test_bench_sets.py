"""Data sets that bench makes: sentences of package descriptions, and a million rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import million
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


def test_million_is_real_rows_then_perturbed_copies(made, tmp_path, monkeypatch):
    monkeypatch.setattr(million, "PIECE", 128)
    real = np.load(made[0] / "base.npy")
    path = tmp_path / "rows.npy"
    million.make_rows(made[0], path, len(real) + 300)
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["real_rows"] == len(real)
    pieces = list(million.read_pieces(path))
    assert max(map(len, pieces)) == 128
    rows = np.concatenate(pieces)
    np.testing.assert_array_equal(rows, np.load(path))
    np.testing.assert_array_equal(rows[: len(real)], real)
    wide = rows.astype(np.float64)
    inner = ((wide[: len(real), None] - wide[None, : len(real)]) ** 2).sum(axis=2)
    np.fill_diagonal(inner, np.inf)
    assert about["noise_length"] == pytest.approx(np.median(np.sqrt(inner.min(axis=1))), abs=1e-3)
    picks = np.arange(50) % 7
    moved = million.perturbed(real, picks, about["noise_length"], np.random.default_rng(1))
    far = np.linalg.norm(moved.astype(np.float64) - wide[picks], axis=1)
    np.testing.assert_allclose(far, about["noise_length"], atol=2e-3)
    assert len(np.unique(moved, axis=0)) == 50
    assert len(million.sample_rows(path, 200)) == pytest.approx(200, abs=len(pieces))


def test_million_recall_is_exact(made, tmp_path, monkeypatch):
    monkeypatch.setattr(million, "PIECE", 128)
    path = tmp_path / "rows.npy"
    million.make_rows(made[0], path, 700)
    rows = datasets.unit_rows(np.load(path).astype(np.float32))
    queries = datasets.unit_rows(np.load(made[0] / "queries.npy").astype(np.float32))
    ids, scores = judge.exact_neighbours(rows, queries, million.K, "ip")
    kth = million.exact_kth(path, queries)
    np.testing.assert_allclose(kth, scores[:, -1], atol=1e-9)
    assert million.recall(ids, path, queries, kth) == 1.0
    ids[:, 0] = -1
    assert million.recall(ids, path, queries, kth) == 0.9


def test_million_runs(made, tmp_path, monkeypatch, capsys):
    words = ["--rows", "700", "--data", str(made[0]), "--out", str(tmp_path), "--nlist", "8"]
    monkeypatch.setattr("sys.argv", ["million", *words, "--nprobe", "1", "8", "--repeats", "1"])
    million.main()
    result = json.loads((tmp_path / "million.json").read_text())
    assert [(p["nprobe"], p["batch"], p["threads"]) for p in result["points"]] == [
        (1, 10_000, 2),
        (1, 1, 1),
        (8, 10_000, 2),
        (8, 1, 1),
    ]
    assert result["points"][-1]["recall"] == 1.0
    assert result["points"][0]["recall"] < 1.0
    assert result["start_mib"] <= result["peak_build_mib"] <= result["peak_mib"]
    assert (tmp_path / "million.md").read_text() == capsys.readouterr().out
