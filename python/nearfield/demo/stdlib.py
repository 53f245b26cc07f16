"""The standard library of the running interpreter as documents with questions.

Every public function, every public class and every public method of a public class is a document:
its qualified name and its source, all docstrings cut out. The first sentence of its docstring is a
question that nobody wrote for this purpose. Found by parsing the source files; nothing is imported
or run. Cost: about 2 s for 10,000 documents.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import textwrap
import tokenize
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Document", "module_name", "read_library", "read_module", "source_files"]

_SKIPPED = {
    "test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages",
    "__pycache__", "__phello__", "ensurepip",
}  # fmt: skip
_LONGEST = (
    4_000  # characters kept of a source: beyond what the model reads, below what a page shows
)
_FEWEST_WORDS = 3
_ABBREVIATIONS = ("e.g.", "i.e.", "etc.", "cf.", "vs.", "approx.")
_SIGNATURE = re.compile(r"\A[\w.]+\([^\n]*\)(?:\s*->\s*[^\n.:]*)?[.:]?(?:\s+--)?\s*")

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Document:
    """One function, class or method.

    Attributes
    ----------
    name : str
        Qualified name with its module: "json.decoder.JSONDecoder.decode".
    kind : str
        "function", "class" or "method".
    file : str
        Source file, relative to the library's folder.
    line : int
        First line, from 1.
    source : str
        Source without any docstring, cut after 4,000 characters.
    question : str or None
        The docstring's first sentence; None without a docstring, when the sentence has fewer than
        three words, or when it also stands in the source (in a comment, say).
    """

    name: str
    kind: str
    file: str
    line: int
    source: str
    question: str | None

    @property
    def text(self) -> str:
        """What is encoded: the name on top of the source."""
        return f"{self.name}\n{self.source}"


def source_files(library: Path | None = None) -> list[Path]:
    """Return the public source files of the standard library, sorted."""
    library = library or Path(sysconfig.get_paths()["stdlib"])
    return [path for path in sorted(library.rglob("*.py")) if module_name(path, library)]


def module_name(path: Path, library: Path) -> str | None:
    """Return the name a module is imported by, None for what is private or no library module.

    ``_pydecimal`` counts as ``decimal``: the public module's Python source.
    """
    parts = list(path.relative_to(library).with_suffix("").parts)
    if _SKIPPED & set(parts) or not all(part.isidentifier() for part in parts):
        return None
    if parts[-1] == "__init__":
        parts.pop()
    if parts and parts[0].startswith("_py") and len(parts[0]) > 3:
        parts[0] = parts[0][3:]
    if parts == ["_collections_abc"]:
        parts = ["collections", "abc"]
    if not parts or any(part.startswith("_") for part in parts):
        return None
    return ".".join(parts)


def read_library(
    library: Path | None = None, advance: Callable[[int], None] = lambda n: None
) -> list[Document]:
    """Return the documents of the standard library, in the order of its files.

    Parameters
    ----------
    library : Path, optional
        Its folder; default that of the running interpreter.
    advance : callable
        Told of every finished file.
    """
    library = library or Path(sysconfig.get_paths()["stdlib"])
    documents: list[Document] = []
    seen: set[tuple[str, str]] = set()
    for path in source_files(library):
        for document in read_module(path, library):
            # A definition repeated word for word (in the branches of an if) is one document.
            if (document.name, document.source) not in seen:
                seen.add((document.name, document.source))
                documents.append(document)
        advance(1)
    return documents


def read_module(path: Path, library: Path) -> Iterator[Document]:
    """Yield the documents of one file; none where it does not parse."""
    module = module_name(path, library)
    try:
        with tokenize.open(path) as file:
            source = file.read()
        tree = ast.parse(source)
    except (SyntaxError, ValueError, OSError):
        return
    if module is None:
        return
    lines, documented = source.split("\n"), _documented(tree)
    for name, kind, node in _public(tree.body, module, inside_class=False):
        text = _without_docstrings(node, lines, documented)
        question = first_sentence(ast.get_docstring(node, clean=True) or "")
        if question is not None and _words(question) in _words(text):
            question = None
        relative = str(path.relative_to(library))
        yield Document(name, kind, relative, _first_line(node), text[:_LONGEST], question)


def first_sentence(docstring: str) -> str | None:
    """Return the first sentence of a docstring as one line, None when it is not a sentence.

    A signature in front ("pop(k) -> value") is dropped: it would give the answer's name away.
    """
    text = _SIGNATURE.sub("", inspect.cleandoc(docstring))
    paragraph = " ".join(re.split(r"\n\s*\n", text.strip())[0].split())
    for end in re.finditer(r"[.!?](?=\s|$)", paragraph):
        sentence = paragraph[: end.end()]
        if not sentence.lower().endswith(_ABBREVIATIONS):
            paragraph = sentence
            break
    words = re.findall(r"[A-Za-z]{2,}", paragraph)
    return paragraph if len(words) >= _FEWEST_WORDS else None


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _public(
    body: list[ast.stmt], prefix: str, *, inside_class: bool
) -> Iterator[tuple[str, str, _Definition]]:
    """Yield public definitions, those under if, try and with included."""
    for node in body:
        if isinstance(node, _Definition):
            if node.name.startswith("_"):
                continue
            name = f"{prefix}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield name, "class", node
                yield from _public(node.body, name, inside_class=True)
            else:
                yield name, "method" if inside_class else "function", node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            branches = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            branches += [handler.body for handler in getattr(node, "handlers", [])]
            for branch in branches:
                yield from _public(branch, prefix, inside_class=inside_class)


def _first_line(node: _Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _without_docstrings(node: _Definition, lines: list[str], documented: list[_Definition]) -> str:
    """Return the dedented source of `node` without its docstring and those inside it.

    `documented` are the module's definitions with a docstring, in source order.
    """
    first, last = _first_line(node), node.end_lineno or node.lineno
    kept = [line.encode() for line in lines[first - 1 : last]]
    # From the last to the first, so that earlier positions stay true.
    begin_at = bisect_left(documented, (first, 0), key=_docstring_start)
    end_at = bisect_left(documented, (last + 1, 0), key=_docstring_start)
    for inner in reversed(documented[begin_at:end_at]):
        expression = inner.body[0]
        begin, end = expression.lineno - first, (expression.end_lineno or 0) - first
        before = kept[begin][: expression.col_offset]
        after = kept[end][expression.end_col_offset or 0 :].lstrip(b"; \t")
        filler = b"..." if len(inner.body) == 1 else b""
        joined = (before + filler + after).rstrip()
        kept[begin : end + 1] = [joined] if joined.strip() else []
    return textwrap.dedent(b"\n".join(kept).decode()).strip("\n")


def _documented(tree: ast.Module) -> list[_Definition]:
    """Return the definitions of a module that have a docstring, in source order."""
    found = [
        inner
        for inner in ast.walk(tree)
        if isinstance(inner, _Definition) and ast.get_docstring(inner, clean=False) is not None
    ]
    return sorted(found, key=_docstring_start)


def _docstring_start(node: _Definition) -> tuple[int, int]:
    return node.body[0].lineno, node.body[0].col_offset
