"""Documents that stay true: README's example runs, docstring examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import textwrap
from pathlib import Path

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
    (example,) = PYTHON_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(textwrap.dedent(example), "README.md", "exec"), names)
    ids, again, queries = names["ids"], names["again"], names["queries"]
    assert ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (again.search(queries, k=10).ids == ids).all()


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
