"""Task: first sentence of a docstring -> source of its function, all docstrings cut out.

Functions and methods of the standard library and of the packages installed beside it, found by
parsing (nothing is imported). The demo's rules hold: a sentence has three words at least, a
signature in front is dropped, and a sentence that also stands in the source asks nothing. Sources
that are copies or near copies of an earlier one are left out; a sentence counts as a query if one
function alone has it. Group: the top-level package, each module of the standard library one.
"""

from __future__ import annotations

import random
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from nearfield.demo.stdlib import Document, read_module, source_files

from bench.quality.near_copies import without_near_copies
from bench.quality.task import SEED, Task

PER_PACKAGE = 800  # functions: no package may be the task
LARGEST = 18_000  # functions in all
QUERIES = 5_000  # at most
SHORTEST = 80  # characters of source: one-line wrappers have nothing to find
FEWEST = 10  # queries of a package that takes part
# Ours changes with every commit; the others are copies of packages under other names.
LEFT_OUT = {"nearfield", "pkg_resources", "functorch", "mypyc"}


def read_packages(
    folders: Sequence[Path], limit: int = PER_PACKAGE, seed: int = SEED
) -> Iterator[tuple[str, list[Document]]]:
    """Yield (package, functions), packages in the order of their names.

    Parameters
    ----------
    folders : sequence of Path
        Each is one that modules are imported from.
    limit : int
        Functions of a package; its files are read in a shuffled order until there are so many.
    """
    files: dict[str, list[tuple[Path, Path]]] = {}
    for folder in folders:
        for path in source_files(folder):
            name = path.relative_to(folder).parts[0].removesuffix(".py")
            files.setdefault(name, []).append((path, folder))
    for name in sorted(set(files) - LEFT_OUT):
        yield name, _functions(files[name], limit, random.Random(f"{seed} {name}"))


def _functions(files: list[tuple[Path, Path]], limit: int, rng: random.Random) -> list[Document]:
    found: list[Document] = []
    for path, folder in rng.sample(files, len(files)):
        found += [
            document
            for document in read_module(path, folder)
            if document.kind in ("function", "method") and len(document.source) >= SHORTEST
        ]
        if len(found) >= limit:
            break
    # Those with a question first: what takes part should ask.
    asking = [document for document in found if document.question is not None]
    silent = [document for document in found if document.question is None]
    return [*rng.sample(asking, len(asking)), *rng.sample(silent, len(silent))][:limit]


def default_folders() -> list[Path]:
    """The standard library and the packages installed beside it."""
    paths = sysconfig.get_paths()
    return [Path(paths["stdlib"]), *dict.fromkeys(Path(paths[k]) for k in ("purelib", "platlib"))]


def docstring_task(
    folders: Sequence[Path] | None = None,
    per_package: int = PER_PACKAGE,
    largest: int = LARGEST,
    fewest: int = FEWEST,
    queries: int = QUERIES,
) -> Task:
    """Make the task from source files below `folders`.

    Parameters
    ----------
    folders : sequence of Path, optional
        Default: those of the running interpreter.
    per_package, largest : int
        Functions of one package, and of all.
    fewest : int
        A package with fewer queries only adds to the corpus.
    queries : int
        As many are drawn where there are more.
    """
    found: list[tuple[str, Document]] = []
    for package, functions in read_packages(folders or default_folders(), per_package):
        found += [(package, document) for document in functions]
    read = len(found)
    found = [found[at] for at in without_near_copies([d.source for _, d in found])]
    distinct = len(found)
    if len(found) > largest:
        chosen = sorted(random.Random(SEED).sample(range(len(found)), largest))
        found = [found[at] for at in chosen]
    rows = _asking_rows(found, fewest)
    asking = len(rows)
    rows = sorted(random.Random(SEED).sample(rows, min(queries, asking)))
    return Task(
        name="docstring",
        corpus=[document.source for _, document in found],
        queries=[str(found[row][1].question) for row in rows],
        relevant=[[row] for row in rows],
        groups=[found[row][0] for row in rows],
        corpus_ids=[document.name for _, document in found],
        query_ids=[found[row][1].name for row in rows],
        about={
            "functions_read": read,
            "without_near_copies": distinct,
            "functions_that_ask": asking,
            "packages": len({package for package, _ in found}),
            "per_package": per_package,
            "seed": SEED,
            "python": sys.version.split()[0],
            "versions": _versions(package for package, _ in found),
        },
    )


def _asking_rows(found: Sequence[tuple[str, Document]], fewest: int) -> list[int]:
    """Rows whose sentence no other row has, of packages that have enough of them."""
    sentences = Counter((document.question or "").lower() for _, document in found)
    rows = [
        row
        for row, (_, document) in enumerate(found)
        if document.question is not None and sentences[document.question.lower()] == 1
    ]
    sizes = Counter(found[row][0] for row in rows)
    return [row for row in rows if sizes[found[row][0]] >= fewest]


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions by top-level package, those of the standard library left out."""
    owners = metadata.packages_distributions()
    return {
        package: metadata.version(owners[package][0])
        for package in sorted(set(packages))
        if package in owners
    }
