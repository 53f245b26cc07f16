"""What a retrieval task is here, and how its queries are split.

Queries of one group (a package, a family of packages) are alike; a fit that saw some of them knows
the others. So a group is never on both sides of a split. Folds: every group is in one fold, every
fold is the test part of one seed, and together the test parts hold every query once.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20_261_130

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """Texts with judgements.

    Attributes
    ----------
    name : str
        Of the task, as in tables.
    corpus, queries : list of str
        What is searched, and what is asked.
    relevant : list of list of int
        Rows of the corpus that answer each query, all of grade 1.
    groups : list of str
        Group of each query.
    corpus_ids, query_ids : list of str
        Where each text comes from, so that the same task can be made again.
    about : dict
        How it was made: sizes after each step, seeds, limits.
    """

    name: str
    corpus: list[str]
    queries: list[str]
    relevant: list[list[int]]
    groups: list[str]
    corpus_ids: list[str]
    query_ids: list[str]
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {len(self.queries), len(self.relevant), len(self.groups), len(self.query_ids)}
        if len(sizes) != 1 or len(self.corpus) != len(self.corpus_ids):
            raise ValueError(f"{self.name}: queries, judgements, groups and ids differ in length")
        if any(not rows for rows in self.relevant):
            raise ValueError(f"{self.name}: a query without a relevant text")

    def qrels(self, rows: Sequence[int] | NDArray[np.intp]) -> dict[int, list[int]]:
        """Judgements of some queries, numbered 0, 1, 2, ... in the order of `rows`."""
        return {at: self.relevant[row] for at, row in enumerate(rows)}

    def summary(self) -> dict[str, Any]:
        """Sizes, and digests of the texts and their origins."""
        return {
            "task": self.name,
            "corpus": len(self.corpus),
            "queries": len(self.queries),
            "groups": len(set(self.groups)),
            "relevant_per_query": sum(map(len, self.relevant)) / max(1, len(self.relevant)),
            "corpus_digest": digest(self.corpus),
            "queries_digest": digest(self.queries),
            **self.about,
        }

    def write_ids(self, folder: Path) -> Path:
        """Write query id, group and relevant corpus ids, one query a line."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}-ids.tsv.gz"
        lines = (
            "\t".join([query, group, *(self.corpus_ids[row] for row in rows)]) + "\n"
            for query, group, rows in zip(self.query_ids, self.groups, self.relevant, strict=True)
        )
        # No time stamp inside: the same task gives the same bytes.
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            file.writelines(line.encode("utf-8", "replace") for line in lines)
        return path


def ungrouped(task: Task) -> Task:
    """Return the task with every query a group of its own: relatives may be on both sides."""
    return replace(task, groups=[str(row) for row in range(len(task.queries))])


def digest(texts: Sequence[str], *words: str) -> str:
    """16 hex digits that tell two lists of texts apart."""
    sha = hashlib.sha256()
    for text in [*words, *texts]:
        data = text.encode("utf-8", "surrogatepass")
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()[:16]


def folds(groups: Sequence[str], count: int = 5, seed: int = SEED) -> NDArray[np.intp]:
    """Fold of each query: whole groups, dealt out so that folds have about equally many queries.

    Parameters
    ----------
    groups : sequence of str
        Group of each query.
    count : int
        Folds.
    seed : int
        Breaks ties between groups of equal size.

    Raises
    ------
    ValueError
        Fewer groups than folds.
    """
    names, inverse, sizes = np.unique(
        np.asarray(groups, dtype=object).astype(str), return_inverse=True, return_counts=True
    )
    if len(names) < count:
        raise ValueError(f"groups: got {len(names)} different ones, expected at least {count}")
    order = list(range(len(names)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda at: -sizes[at])
    fold_of, load = np.empty(len(names), dtype=np.intp), [0] * count
    for at in order:
        fold_of[at] = fold = load.index(min(load))
        load[fold] += int(sizes[at])
    return fold_of[inverse]
