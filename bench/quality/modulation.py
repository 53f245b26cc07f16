"""Does lexical modulation help on fine-grained queries? SLR and LLR beside the base, BM25 and both.

The encoder is frozen; one modulation of each mode and seed is fitted to the training queries of all
kinds together, on passages that no task searches, and then used on every task. The weight of the
fusion is chosen on the training queries of the task's kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import nearfield as nf
import numpy as np

from bench.quality import lexical
from bench.quality.embeddings import TokenStates
from bench.quality.fits import told
from bench.quality.report import Comparison
from bench.quality.scores import DEPTH, by_query
from bench.quality.task import Task, Vectors, folds

MODES = ("slr", "llr")
PARTS = 16  # of the training groups: one is the fit's own test part, two choose


@dataclass(frozen=True)
class Encoded:
    """A task with its vectors: queries with their tokens, and the corpus."""

    task: Task
    queries: TokenStates
    corpus: Vectors

    @cached_property
    def dense(self) -> lexical.Listed:
        """What plain dense search finds."""
        return lexical.dense(self.queries.vectors, self.corpus)


@dataclass(frozen=True)
class Lesson:
    """Training queries of all kinds in a row, and the parts they are divided into."""

    queries: TokenStates
    corpus: Vectors
    relevant: list[list[int]]
    part: Any

    def rows(self, *parts: int) -> list[int]:
        """Queries of some parts."""
        found: list[int] = np.flatnonzero(np.isin(self.part, parts)).tolist()
        return found


class Modulation(Protocol):
    """Maps query vectors by their tokens."""

    def __call__(self, queries: TokenStates) -> Vectors: ...


@dataclass(frozen=True)
class Learned:
    """A fitted modulation and what is known of its fit."""

    apply: Modulation
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)


Fit = Callable[[Lesson, str, int], Learned]


@dataclass(frozen=True)
class Measured:
    """One method on one task, all seeds in a row."""

    task: str
    method: str
    comparison: Comparison
    seeds: int = 1
    weight: float | None = None
    identities: int = 0
    cosine: float = 1.0


def lesson(training: Sequence[Encoded], seed: int) -> Lesson:
    """Join the training queries; whole groups are in one part."""
    groups = [group for encoded in training for group in encoded.task.groups]
    queries = [encoded.queries for encoded in training]
    offsets = np.concatenate([[0], *(np.diff(one.offsets) for one in queries)]).cumsum()
    joined = TokenStates(
        np.concatenate([one.vectors for one in queries]),
        np.concatenate([one.ids for one in queries]),
        offsets,
        np.concatenate([one.states for one in queries]),
    )
    relevant = [rows for encoded in training for rows in encoded.task.relevant]
    return Lesson(joined, training[0].corpus, relevant, folds(groups, PARTS, seed))


def fit(taught: Lesson, mode: str, seed: int, vocab: int, **options: Any) -> Learned:
    """Fit with ``nf.fit_modulation``; `options` go there."""
    begin = time.perf_counter()
    queries = taught.queries
    found = nf.fit_modulation(
        queries.vectors,
        nf.Tokens(queries.ids, queries.offsets),
        taught.corpus,
        dict(enumerate(taught.relevant)),
        mode=mode,
        hidden_states=queries.states.astype(np.float32) if mode == "llr" else None,
        vocab=vocab,
        test=taught.rows(0),
        selection=taught.rows(1, 2),
        seed=seed,
        progress=False,
        **options,
    )
    made, seconds = found.transform, time.perf_counter() - begin

    def apply(asked: TokenStates) -> Vectors:
        weights = None
        if mode == "llr":
            weights = made.token_weights(asked.states.astype(np.float32))
        moved: Vectors = made(asked.vectors, nf.Tokens(asked.ids, asked.offsets, weights))
        return moved

    return Learned(apply, seconds, told(found.report))


def measure(
    tasks: Sequence[Encoded],
    training: Sequence[Encoded],
    learned: dict[str, list[Learned]],
    say: Callable[[str], None] = print,
) -> list[Measured]:
    """Every method on every task.

    Parameters
    ----------
    tasks, training : sequence of Encoded
        As `Material` has them.
    learned : dict
        Modulations of every mode, one for each seed.
    """
    found: list[Measured] = []
    for encoded in tasks:
        for one in [*_beside(encoded, training), *_modulated(encoded, learned)]:
            say(f"{one.task} {one.method}: nDCG@10 {one.comparison.scores['ndcg@10'].mean():.4f}")
            found.append(one)
    return found


def _beside(encoded: Encoded, training: Sequence[Encoded]) -> list[Measured]:
    """Base, BM25 and their fusions."""
    task = encoded.task
    dense, words = encoded.dense, lexical.bm25(task.queries, task.corpus)
    kind = task.name.removesuffix("@0")
    taught = next(other for other in training if other.task.name == kind)
    weight = lexical.best_weight(
        taught.dense,
        lexical.bm25(taught.task.queries, taught.task.corpus),
        taught.task.relevant,
    )
    lists = {"base": (dense.ids, None), **lexical.beside(dense, words, weight)}
    return [
        Measured(task.name, name, _compared(encoded, dense.ids, [ids]), weight=w)
        for name, (ids, w) in lists.items()
    ]


def _modulated(encoded: Encoded, learned: dict[str, list[Learned]]) -> list[Measured]:
    base = encoded.dense.ids
    vectors = encoded.queries.vectors
    found = []
    for mode, several in learned.items():
        moved = [one.apply(encoded.queries) for one in several]
        ids = [nf.topk(rows, encoded.corpus, DEPTH, metric="cosine").ids for rows in moved]
        found.append(
            Measured(
                encoded.task.name,
                mode.upper(),
                _compared(encoded, base, ids),
                seeds=len(several),
                identities=sum(one.about.get("chosen") == "identity" for one in several),
                cosine=float(np.mean([_cosine(vectors, rows) for rows in moved])),
            )
        )
    return found


def _compared(encoded: Encoded, base: Any, several: Sequence[Any]) -> Comparison:
    """All seeds in a row, each beside the base."""
    task = encoded.task
    scored = [by_query(ids, task.relevant) for ids in several]
    plain = by_query(base, task.relevant)
    return Comparison(
        {name: np.concatenate([one[name] for one in scored]) for name in plain},
        {name: np.tile(values, len(scored)) for name, values in plain.items()},
        np.tile(np.arange(len(task.queries)), len(scored)),
        list(task.groups) * len(scored),
    )


def _cosine(a: Vectors, b: Vectors) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float((np.einsum("nd,nd->n", a, b) / norms).mean())
