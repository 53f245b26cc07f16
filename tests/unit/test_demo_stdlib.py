"""The demo's documents: what is found, and that no question stands in its own document."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from nearfield.demo.measures import collect_questions
from nearfield.demo.stdlib import (
    Document,
    first_sentence,
    module_name,
    read_library,
    read_module,
)

MODULE = '''
"""A module about nothing in particular."""
import os

def plain(a, b=2):
    """Add two numbers together.

    More about it.
    """
    return a + b

def one_line(): "Only a docstring stands here."

async def waits():
    """Wait for the result, e.g. of a task.  Second sentence."""; x = 1
    return x

def _private():
    """Nobody may see this one."""

if os.name == "posix":
    @decorator(1)
    def branch(x):
        # Return the value unchanged, always.
        """Return the value unchanged, always."""
        return x
else:
    def other_branch():
        """Return nothing on this platform."""

class Shape:
    """A shape with an area."""

    def area(self):
        r"""area() -> float

        Return the area in square metres.
        """
        def inner():
            """An inner function nobody sees."""
            return "Grüße"
        return inner()

    def __len__(self):
        """Return the length of it."""

    class Part:
        """Part of a shape, nested in it."""
        def name(self): return "n"

class _Hidden:
    def visible(self):
        """This is in a private class."""
'''


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, Document]:
    (tmp_path / "thing.py").write_text(MODULE, encoding="utf-8")
    return {d.name: d for d in read_module(tmp_path / "thing.py", tmp_path)}


def test_public_definitions_are_found(documents: dict[str, Document]) -> None:
    assert {name: document.kind for name, document in documents.items()} == {
        "thing.plain": "function",
        "thing.one_line": "function",
        "thing.waits": "function",
        "thing.branch": "function",
        "thing.other_branch": "function",
        "thing.Shape": "class",
        "thing.Shape.area": "method",
        "thing.Shape.Part": "class",
        "thing.Shape.Part.name": "method",
    }


def test_questions(documents: dict[str, Document]) -> None:
    assert {name: document.question for name, document in documents.items()} == {
        "thing.plain": "Add two numbers together.",
        "thing.one_line": "Only a docstring stands here.",
        "thing.waits": "Wait for the result, e.g. of a task.",
        "thing.branch": None,  # its sentence is also a comment in the source
        "thing.other_branch": "Return nothing on this platform.",
        "thing.Shape": "A shape with an area.",
        "thing.Shape.area": "Return the area in square metres.",
        "thing.Shape.Part": "Part of a shape, nested in it.",
        "thing.Shape.Part.name": None,
    }


def test_sources_have_no_docstrings(documents: dict[str, Document]) -> None:
    assert documents["thing.plain"].text == "thing.plain\ndef plain(a, b=2):\n    return a + b"
    assert documents["thing.one_line"].source == "def one_line(): ..."
    assert documents["thing.waits"].source == "async def waits():\n    x = 1\n    return x"
    assert documents["thing.branch"].source.startswith("@decorator(1)\ndef branch(x):")
    assert documents["thing.other_branch"].source == "def other_branch():\n    ..."
    shape = documents["thing.Shape"].source
    assert '"""' not in shape
    assert 'return "Grüße"' in shape
    for document in documents.values():
        compile(document.source, document.name, "exec")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("", None),
        ("Too short.", None),
        ("No full stop at the end", "No full stop at the end"),
        ("Two lines\nof one sentence. And more.", "Two lines of one sentence."),
        ("D.pop(k[,d]) -> v, remove specified key and return it.", None),
        ("pop(k) -> value\n\nRemove a key from it.", "Remove a key from it."),
        ("dump(obj, file)\n    Write an object to a file.", "Write an object to a file."),
        ("Version 3.11 of this thing is here. Yes.", "Version 3.11 of this thing is here."),
    ],
)
def test_first_sentence(docstring: str, expected: str | None) -> None:
    if docstring.startswith("D.pop"):
        assert not (first_sentence(docstring) or "").startswith("D.pop")
    else:
        assert first_sentence(docstring) == expected


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("json/__init__.py", "json"),
        ("json/decoder.py", "json.decoder"),
        ("_pydecimal.py", "decimal"),
        ("_collections_abc.py", "collections.abc"),
        ("_private.py", None),
        ("json/__main__.py", None),
        ("test/test_json.py", None),
        ("idlelib/run.py", None),
        ("site-packages/x.py", None),
        ("config-3.11-x86_64/python-config.py", None),
    ],
)
def test_module_names(path: str, name: str | None) -> None:
    assert module_name(Path("/lib") / path, Path("/lib")) == name


def test_unreadable_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "binary.py").write_bytes(b"\0\xff\xfe")
    (tmp_path / "good.py").write_text("def f():\n    return 1\n")
    assert [d.name for d in read_library(tmp_path)] == ["good.f"]


def test_questions_are_distinct_and_copies_count() -> None:
    def document(name: str, source: str, question: str | None) -> Document:
        return Document(name, "function", "f.py", 1, source, question)

    questions = collect_questions(
        [
            document("a", "one", "What is it?"),
            document("b", "two", "What is it?"),
            document("c", "two", None),
            document("d", "three", "Another question here."),
            document("e", "four", None),
        ]
    )
    assert questions.texts == ["What is it?", "Another question here."]
    assert questions.qrels == {0: [0, 1, 2], 1: [3]}


@pytest.mark.slow
def test_the_running_interpreters_library() -> None:
    documents = read_library()
    names = {document.name for document in documents}
    assert {
        "json.dumps",
        "heapq.merge",
        "pathlib.Path",
        "argparse.ArgumentParser.parse_args",
    } <= names
    assert len(documents) > 5_000
    asked = [document for document in documents if document.question]
    assert len(asked) > 2_500
    for document in asked:
        assert document.question is not None
        words = " ".join(re.findall(r"\w+", document.question.lower()))
        assert words not in " ".join(re.findall(r"\w+", document.source.lower()))
    assert not [d.name for d in documents if d.name.startswith(("test.", "idlelib."))]
    assert sys.version_info >= (3, 10)
