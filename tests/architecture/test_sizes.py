"""Rooms small enough to live in: at most 500 lines a file, 80 lines a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.source_tree import BINDINGS, CPP, PACKAGE, ROOT, relative

MAX_FILE, MAX_FUNCTION = 500, 80
SUFFIXES = {".py", ".pyi", ".h", ".cpp", ".cu", ".cuh", ".txt"}
FOLDERS = (CPP, BINDINGS, PACKAGE, ROOT / "cuda", ROOT / "tests", ROOT / "bench")
NOT_SOURCES = {"results", "data", "__pycache__"}
FOUND = (file for folder in FOLDERS for file in sorted(folder.rglob("*")))
SOURCES = [
    ROOT / "nf",
    *(file for file in FOUND if file.suffix in SUFFIXES and not NOT_SOURCES & set(file.parts)),
]
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL,
)
# What stands before the brace of something that is not a function body.
NOT_A_FUNCTION = re.compile(r"^\s*(?:inline\s+)?(?:namespace|class|struct|union|enum|extern)\b")


def cpp_functions(text: str) -> Iterator[tuple[int, int]]:
    """Yield (first line, lines) of every brace block that looks like a function body.

    Rough by design: blanks comments and literals, then matches braces and takes the outermost
    block whose introduction ends in `)` (with qualifiers, initialisers or a trailing return type).
    """
    blank = NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    blank = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", "", blank, flags=re.MULTILINE)
    stack: list[tuple[bool, int]] = []  # is a function body, line of its brace
    last = 0
    for brace in re.finditer(r"[{};]", blank):
        line = blank.count("\n", 0, brace.start()) + 1
        if brace.group() == "{":
            head = blank[last : brace.start()]
            inside = any(is_function for is_function, _ in stack)
            stack.append((not inside and ")" in head and not NOT_A_FUNCTION.match(head), line))
        elif brace.group() == "}" and stack:
            is_function, first = stack.pop()
            if is_function:
                yield first, line - first + 1
        last = brace.end()


def python_functions(text: str) -> Iterator[tuple[int, int]]:
    """Yield (first line, lines without the docstring) of every function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            doc = (
                (first.end_lineno or first.lineno) - first.lineno + 1
                if ast.get_docstring(node) is not None
                else 0
            )
            yield node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1 - doc


def functions(file: Path) -> Iterator[tuple[int, int]]:
    """Yield (first line, lines) of the functions of a source file."""
    text = file.read_text(encoding="utf-8")
    if file.suffix in {".h", ".cpp", ".cu", ".cuh"}:
        yield from cpp_functions(text)
    elif file.suffix in {".py", ""}:
        yield from python_functions(text)


def test_files_are_short() -> None:
    lengths = {relative(f): f.read_text(encoding="utf-8").count("\n") for f in SOURCES}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_FILE}
    assert not long, f"over {MAX_FILE} lines, split by meaning: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{relative(file)}:{first}: {lines} lines"
        for file in SOURCES
        for first, lines in functions(file)
        if lines > MAX_FUNCTION
    ]
    assert not long, f"functions over {MAX_FUNCTION} lines:\n" + "\n".join(long)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("void f() {\n  g();\n}\n", [(1, 3)]),
        ("namespace n {\nstruct S {\n  int f() const { return 1; }\n};\n}\n", [(3, 1)]),
        ('void f() {\n  const char* s = "}";  // }\n  if (x) {\n  }\n}\n', [(1, 5)]),
        ("S::S(int a)\n    : a_(a) {\n}\n", [(2, 2)]),
    ],
)
def test_the_ruler_itself(text: str, expected: list[tuple[int, int]]) -> None:
    assert list(cpp_functions(text)) == expected
