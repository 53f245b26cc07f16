"""Retriever: answers, ids, bad input that changes nothing, saving and loading."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield.retriever import Hit, Retriever

TEXTS = ["apple pie", "banana split", "cherry cake", "zzz", "quick fox"]


class Letters:
    """Counts letters; the first text that starts with "!" makes it fail."""

    dim = 26

    def __init__(self, **changes: Any) -> None:
        self.fingerprint = {"model": "letters", "query_prompt": "", "document_prompt": ""} | changes
        self.calls: list[tuple[int, str]] = []

    def encode(self, texts: list[str], kind: str) -> np.ndarray:
        self.calls.append((len(texts), kind))
        if any(text.startswith("!") for text in texts):
            raise RuntimeError("the encoder failed")
        rows = [[text.count(chr(97 + at)) for at in range(26)] for text in texts]
        return np.asarray(rows, dtype=np.float32) + 0.01


@pytest.fixture
def filled() -> Retriever:
    retriever = Retriever(Letters())
    retriever.add(TEXTS, ids=list("abcde"), payload=[{"n": at} for at in range(5)])
    return retriever


def test_search_returns_hits(filled: Retriever) -> None:
    hits = filled.search("bananas", k=2)
    assert [type(hit) for hit in hits] == [Hit, Hit]
    assert (hits[0].id, hits[0].text, hits[0].payload) == ("b", "banana split", {"n": 1})
    assert hits[0].score > hits[1].score
    assert filled.encoder.calls[-1] == (1, "query")  # type: ignore[attr-defined]


def test_many_questions_and_more_than_there_are(filled: Retriever) -> None:
    answers = filled.search(["zz", "fox"], k=50)
    assert [len(hits) for hits in answers] == [5, 5]
    assert [hits[0].id for hits in answers] == ["d", "e"]


def test_search_of_an_empty_retriever() -> None:
    assert Retriever(Letters()).search("anything") == []


def test_scores_are_exact_cosine(filled: Retriever) -> None:
    encoder = Letters()
    rows, query = encode_unit(encoder, TEXTS), encode_unit(encoder, ["apple"])[0]
    expected = sorted(rows @ query, reverse=True)
    found = [hit.score for hit in filled.search("apple", k=5)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def encode_unit(encoder: Letters, texts: list[str]) -> np.ndarray:
    rows = encoder.encode(texts, "document").astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_default_ids_are_running_numbers() -> None:
    retriever = Retriever(Letters())
    assert retriever.add(["a", "b"]) == [0, 1]
    assert retriever.add(["c"], ids=[3]) == [3]
    assert retriever.add(["d", "e"]) == [4, 5]
    assert retriever.add(["f"], ids=[np.int64(9)]) == [9]
    assert len(retriever) == 6
    assert 9 in retriever
    assert "9" not in retriever


def test_remove(filled: Retriever) -> None:
    assert filled.remove(["b", "unknown", "b"]) == 1
    assert filled.remove("unknown") == 0
    assert len(filled) == 4
    assert "b" not in [hit.id for hit in filled.search("banana", k=5)]
    filled.add(["banana bread"], ids=["b"])
    assert filled.search("banana", k=1)[0].text == "banana bread"


def test_metric_follows_the_encoder() -> None:
    encoder = Letters()
    encoder.metric = "ip"  # type: ignore[attr-defined]
    assert Retriever(encoder).index.metric == "ip"
    assert Retriever(Letters()).index.metric == "cosine"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: r.add([]), ValueError, "texts: got an empty list"),
        (lambda r: r.add("text"), TypeError, "texts: got str, expected a list"),
        (lambda r: r.add(["x", None]), TypeError, r"texts\[1\]: got NoneType, expected str"),
        (lambda r: r.add(["x", "y"], ids=["p"]), ValueError, "ids: got 1 values, expected 2"),
        (lambda r: r.add(["x", "y"], ids="pq"), TypeError, "ids: got str"),
        (lambda r: r.add(["x", "y"], ids=["p", "p"]), ValueError, "'p' is given twice"),
        (lambda r: r.add(["x"], ids=["a"]), ValueError, "'a' is already in the retriever"),
        (lambda r: r.add(["x"], ids=[1.5]), TypeError, "ids: got 1.5"),
        (lambda r: r.add(["x"], ids=[True]), TypeError, "ids: got True"),
        (lambda r: r.add(["x"], payload=[1, 2]), ValueError, "payload: got 2 values, expected 1"),
        (lambda r: r.add(["x"] * 5000 + ["!"]), RuntimeError, "the encoder failed"),
        (lambda r: r.add(None), TypeError, "texts: got NoneType"),
        (lambda r: r.add(["x"], ids=5), TypeError, "ids: got int, expected one value"),
        (lambda r: r.add(["x", "y"], ids={"p", "q"}), TypeError, "ids: got set"),
        (lambda r: r.add(["x"], payload=5), TypeError, "payload: got int, expected one value"),
        (lambda r: r.remove(None), TypeError, "ids: got NoneType, expected the ids of texts"),
        (lambda r: r.remove(1.5), TypeError, "ids: got float"),
        (lambda r: r.search(7), TypeError, "question: got int"),
        (lambda r: r.search(None), TypeError, "question: got NoneType"),
        (lambda r: r.search("a", filter=1.5), TypeError, "filter: got float, expected the ids"),
        (lambda r: r.search("a", filter=[True]), TypeError, "filter: got True"),
        (lambda r: r.search("a", filter=nf.Filter([1])), TypeError, "filter: got Filter"),
        (lambda r: r.save(None), TypeError, "folder: got a NoneType"),
        (lambda r: r.save(""), ValueError, "folder: got an empty string"),
        (lambda r: Retriever.load(3), TypeError, "folder: got a int"),
        (lambda r: Retriever.load("x", 3), TypeError, "encoder: got int without 'encode'"),
        (lambda r: Retriever(Letters(), 3), TypeError, "index: got int"),
        (lambda r: r.search([]), ValueError, "question: got an empty list"),
        (lambda r: r.search(["a", 3]), TypeError, r"question\[1\]: got int"),
        (lambda r: r.search("a", k=0), ValueError, "k"),
    ],
)
def test_bad_input_changes_nothing(
    filled: Retriever, call: Callable[[Retriever], Any], error: type[Exception], message: str
) -> None:
    before = filled.search(["apple", "zz"], k=50)
    with pytest.raises(error, match=message):
        call(filled)
    assert filled.search(["apple", "zz"], k=50) == before
    assert (len(filled), len(filled.index), len(filled._entries)) == (5, 5, 5)
    assert filled.add(["later"], ids=["p"]) == ["p"]


def test_nan_vectors_change_nothing(filled: Retriever) -> None:
    class Broken(Letters):
        def encode(self, texts: list[str], kind: str) -> np.ndarray:
            return np.full((len(texts), 26), np.nan, dtype=np.float32)

    filled.encoder = Broken()
    with pytest.raises(ValueError, match=r"^texts: .*NaN or infinity of text 0"):
        filled.add(["x"])
    with pytest.raises(ValueError, match=r"^question: .*NaN or infinity of text 0"):
        filled.search("x")
    assert (len(filled), len(filled.index)) == (5, 5)


def test_the_text_with_a_bad_vector_is_named_whatever_its_chunk(filled: Retriever) -> None:
    class Broken(Letters):
        def encode(self, texts: list[str], kind: str) -> np.ndarray:
            vectors = super().encode(texts, kind)
            vectors[["bad" in text for text in texts], 3] = np.inf
            return vectors

    filled.encoder = Broken()
    with pytest.raises(ValueError, match=r"^texts: .*of text 6001,"):
        filled.add([f"text {at}" if at != 6001 else "bad" for at in range(7000)])
    assert (len(filled), len(filled.index), len(filled._entries)) == (5, 5, 5)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (np.ones((3, 26)), ValueError, r"got vectors of shape \(3, 26\) for 2 texts"),
        (np.ones(26), ValueError, r"got vectors of shape \(26,\) for 2 texts"),
        (np.ones((2, 25)), ValueError, r"got shape \(2, 25\), expected \(n, 26\)"),
        (None, TypeError, "got None"),
        ("text", TypeError, "got a str"),
        (np.ones((2, 26), complex), TypeError, "got an array of complex128"),
    ],
)
def test_wrong_answers_of_an_encoder_name_it(
    filled: Retriever, made: Any, error: type[Exception], message: str
) -> None:
    filled.encoder.encode = lambda texts, kind: made  # type: ignore[method-assign]
    for call in (lambda: filled.add(["x", "y"]), lambda: filled.search(["x", "y"])):
        with pytest.raises(error, match=f"^encoder: {message}"):
            call()
    assert (len(filled), len(filled.index)) == (5, 5)


def test_filter_names_texts_by_their_ids() -> None:
    retriever = Retriever(Letters())
    retriever.add(TEXTS[:3], ids=[7, "b", 0])
    for ids, expected in [
        ([7], {7}),
        (7, {7}),
        ("b", {"b"}),
        (["b", 0, 99], {"b", 0}),
        ({7, "b"}, {7, "b"}),
        (range(1), {0}),
        (np.array([0, 7]), {0, 7}),
        ([], set()),
        ([1, 2], set()),
        (None, {7, "b", 0}),
    ]:
        assert {hit.id for hit in retriever.search("apple", k=9, filter=ids)} == expected


def test_contains_takes_anything(filled: Retriever) -> None:
    assert "a" in filled
    for other in (["a"], None, 1.5, "q", {}):
        assert other not in filled


def test_index_must_be_empty_and_of_the_right_dimension(filled: Retriever) -> None:
    with pytest.raises(ValueError, match="got dimension 7, expected 26"):
        Retriever(Letters(), nf.FlatIndex(7))
    with pytest.raises(ValueError, match="got 5 vectors whose texts are not known"):
        Retriever(Letters(), filled.index)
    with pytest.raises(TypeError, match="without 'dim'"):
        Retriever("all-MiniLM-L6-v2")  # type: ignore[arg-type]


def test_texts_arrive_in_chunks() -> None:
    encoder = Letters()
    Retriever(encoder).add([f"text {at}" for at in range(9000)])
    assert len(encoder.calls) > 1
    assert sum(n for n, _ in encoder.calls) == 9000


def test_save_and_load(filled: Retriever, tmp_path: Path) -> None:
    filled.remove("d")
    filled.add(["ünïcode \u2028 line\nbreak \x85"], payload=[None])
    filled.save(tmp_path / "new" / "folder")
    again = Retriever.load(tmp_path / "new" / "folder", Letters())
    for question in ("apple", "line", "zz"):
        assert again.search(question, k=9) == filled.search(question, k=9)
    assert again.add(["more"]) == filled.add(["more"])


def test_save_replaces_and_tidies(filled: Retriever, tmp_path: Path) -> None:
    (tmp_path / "index-notes.nf").write_text("the user's own")
    filled.save(tmp_path)
    filled.add(["another"])
    filled.save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 4
    assert "index-notes.nf" in names
    assert len(Retriever.load(tmp_path, Letters())) == 6


def test_failed_save_keeps_the_old_one(filled: Retriever, tmp_path: Path) -> None:
    filled.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filled.add(["odd"], ids=["odd"], payload=[{1, 2}])
    with pytest.raises(TypeError, match="payload of 'odd' cannot be saved"):
        filled.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_interrupted_save_keeps_the_old_one(
    filled: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filled.add(["another"])

    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("nearfield.retriever_files.os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        filled.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_load_compares_fingerprints(filled: Retriever, tmp_path: Path) -> None:
    filled.save(tmp_path)
    with pytest.raises(ValueError, match=r"document_prompt 'doc: ' .stored: ''"):
        Retriever.load(tmp_path, Letters(document_prompt="doc: "))
    with pytest.raises(ValueError, match="model 'other'"):
        Retriever.load(tmp_path, Letters(model="other"))
    with pytest.warns(UserWarning, match="questions get the prompt 'q: '"):
        Retriever.load(tmp_path, Letters(query_prompt="q: "))


def test_same_weights_from_another_place(tmp_path: Path) -> None:
    retriever = Retriever(Letters(model="/here", weights="abc"))
    retriever.add(TEXTS)
    retriever.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Retriever.load(tmp_path, Letters(model="/there", weights="abc"))


def test_load_without_a_described_encoder(tmp_path: Path) -> None:
    encoder = Letters()
    del encoder.fingerprint
    retriever = Retriever(encoder)
    retriever.add(TEXTS)
    retriever.save(tmp_path)
    with pytest.raises(ValueError, match="pass encoder="):
        Retriever.load(tmp_path)
    assert len(Retriever.load(tmp_path, Letters())) == 5


def change_manifest(folder: Path, **values: Any) -> None:
    path = folder / "retriever.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / "retriever.json").write_text("{"),
        lambda d: (d / "retriever.json").write_text("[]"),
        lambda d: change_manifest(d, format=99),
        lambda d: change_manifest(d, index="../../etc/passwd"),
        lambda d: change_manifest(d, count="many"),
        lambda d: change_manifest(d, count=4),
        lambda d: next(d.glob("texts-*")).write_bytes(b"{}\n"),
        lambda d: next(d.glob("texts-*")).unlink(),
        lambda d: next(d.glob("index-*")).unlink(),
        lambda d: next(d.glob("index-*")).write_bytes(b"\0" * 100),
    ],
)
def test_damage_is_noticed(
    filled: Retriever, tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    filled.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(nf.CorruptFileError):
        Retriever.load(tmp_path, Letters())


def test_index_of_another_save_is_noticed(filled: Retriever, tmp_path: Path) -> None:
    filled.save(tmp_path)
    filled.remove("a")
    filled.index.save(next(tmp_path.glob("index-*")))
    with pytest.raises(nf.CorruptFileError, match="do not match"):
        Retriever.load(tmp_path, Letters())


def test_load_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Retriever.load(tmp_path / "absent", Letters())


def test_search_beside_add_and_remove(filled: Retriever) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                for hit in filled.search("apple", k=20):
                    assert hit.text
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(30):
        filled.add([f"apple {round_}", "pear"], ids=[f"x{round_}", f"y{round_}"])
        filled.remove([f"x{round_}"])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(filled) == 35
