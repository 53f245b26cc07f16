"""What the architecture checks read: the project's files and the includes and imports in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPP = ROOT / "cpp"
CUDA = ROOT / "cuda"
BINDINGS = ROOT / "python" / "bindings"
PACKAGE = ROOT / "python" / "nearfield"
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


@dataclass(frozen=True)
class Include:
    """One #include: where it stands, what it names, and whether it names one of our files."""

    file: Path
    name: str
    ours: bool

    def __str__(self) -> str:
        quoted = f'"{self.name}"' if self.ours else f"<{self.name}>"
        return f"{relative(self.file)} includes {quoted}"


def relative(path: Path) -> str:
    """Return a path as messages show it."""
    return str(path.relative_to(ROOT))


def cpp_files(*folders: Path) -> list[Path]:
    """Return the C++ files below the folders (default: engine, CUDA and bindings)."""
    found = (file for folder in folders or (CPP, CUDA, BINDINGS) for file in folder.rglob("*"))
    return sorted(file for file in found if file.suffix in {".h", ".cpp"})


def python_files(*folders: Path) -> list[Path]:
    """Return the Python files below the folders (default: the package)."""
    return sorted(file for folder in folders or (PACKAGE,) for file in folder.rglob("*.py"))


def includes(file: Path) -> Iterator[Include]:
    """Yield the includes of a C++ file."""
    for quoted, angled in INCLUDE.findall(file.read_text(encoding="utf-8")):
        yield Include(file, quoted or angled, ours=bool(quoted))


def resolve(include: Include) -> Path | None:
    """Return the file one of our includes means: below cpp/, "cuda/...", or where it stands."""
    for base in (CPP, ROOT, include.file.parent):
        if (base / include.name).is_file():
            return (base / include.name).resolve()
    return None


def is_importing_types_only(node: ast.AST) -> bool:
    """Tell whether a node is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def top_level_imports(file: Path) -> Iterator[str]:
    """Yield the modules imported when the file is imported; relative ones start with a dot."""
    pending: list[ast.AST] = list(ast.parse(file.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ) and not is_importing_types_only(node):
            pending.extend(ast.iter_child_nodes(node))
