"""Task: synopsis of a Debian package -> its long description, from the shared ``minilm-debian``.

The long descriptions do not hold the synopsis; the vectors are those of the data set. Group: a
family of packages. Two packages are of one family if their descriptions share the first paragraph
(packages of one source usually do), or if their names differ in what follows the first hyphen or
digit only (libfoo1, libfoo-dev), a language's prefix (python3-, ruby-, ...) not counted.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.datasets import data_root, unit_rows
from bench.quality.task import Task, Vectors

FOLDER = "minilm-debian"
_PREFIX = re.compile(
    r"^(?:python3?|ruby|node|golang|php|r-cran|r-bioc|r-other|haskell|fonts|elpa|texlive|gir1\.2|"
    r"task|language-pack|hunspell|aspell|myspell|gnome-shell-extension|librust|rust|erlang|ocaml|"
    r"gap|octave|vim|emacs|xfonts|lua|cl|libghc|gcc|g\+\+|gfortran|binutils|linux|plasma|kde|"
    r"gnome|gstreamer1\.0|golang-github|golang-gopkg|ttf|uwsgi|vdr|jmeter|postgresql)-"
)
_SHORTEST_STEM = 4  # "lib" of "lib3ds" says nothing
_SUFFIX = re.compile(r"(?<=[a-z])(?:[-.\d].*)$")


def stem(package: str) -> str:
    """What packages of one family share in their names: "libfoo" of "libfoo2-dev".

    A name with a language's prefix keeps all that follows: those packages have little in common.
    """
    if _PREFIX.match(package):
        return re.sub(r"-(?:dev|doc|data|common|utils|bin|dbg|docs|examples)$", "", package)
    short = _SUFFIX.sub("", package)
    return short if len(short) >= _SHORTEST_STEM else package


def families(names: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Family of each package: the smallest name in it."""
    keys = [
        (f"name {stem(name)}", f"text {text.split(chr(10) * 2)[0]}")
        for name, text in zip(names, texts, strict=True)
    ]
    return [names[at] for at in joined(keys)]


def joined(keys: Sequence[Iterable[str]]) -> list[int]:
    """First row of the set that each row belongs to; rows that share a key are in one set."""
    parent = list(range(len(keys)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    rows: dict[str, list[int]] = defaultdict(list)
    for at, words in enumerate(keys):
        for word in words:
            rows[word].append(at)
    for members in rows.values():
        for other in members[1:]:
            a, b = sorted((root(members[0]), root(other)))
            parent[b] = a
    return [root(at) for at in range(len(keys))]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; NEARFIELD_DATA names the folder of the data")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_documents() -> tuple[list[str], list[str]]:
    """Package names and long descriptions."""
    rows = _lines(data_root() / FOLDER / "docs.jsonl.gz")
    return [row["name"] for row in rows], [row["text"] for row in rows]


def synopsis_task() -> Task:
    """Read the task; a query that belongs to several families is one group with all of them."""
    names, texts = read_documents()
    queries = _lines(data_root() / FOLDER / "queries.jsonl.gz")
    relevant: list[list[int]] = [[] for _ in queries]
    for line in (data_root() / FOLDER / "qrels.tsv").read_text().splitlines():
        query, document, grade = (int(word) for word in line.split("\t"))
        if grade > 0:
            relevant[query].append(document)
    family = families(names, texts)
    groups = joined([[family[row] for row in rows] for rows in relevant])
    return Task(
        name="synopsis",
        corpus=texts,
        queries=[row["text"] for row in queries],
        relevant=relevant,
        groups=[family[relevant[first][0]] for first in groups],
        corpus_ids=names,
        query_ids=[str(row["qid"]) for row in queries],
        about={"data": FOLDER, "families": len(set(family))},
    )


def synopsis_vectors() -> tuple[Vectors, Vectors]:
    """Unit vectors of queries and corpus, as shipped (float16), in float32."""
    folder = data_root() / FOLDER
    asked, rows = np.load(folder / "queries.npy"), np.load(folder / "base.npy")
    return unit_rows(asked.astype(np.float32)), unit_rows(rows.astype(np.float32))
