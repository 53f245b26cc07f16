"""Do adapters help? Fits of every form on several seeds, beside the base, BM25 and their fusion.

Seed s is tested on fold s (groups are never split) and trained on the others: its own start, its
own batches, its own training and test part; five seeds test every query once. A fit chooses on a
part of its training queries, the identity among the candidates. Whatever is judged is judged by
exact search over the whole corpus.

Controls: *shuffled*, where the judgements of the training queries are permuted, so that there is
nothing to learn; *saturated*, where the queries are the vectors of the corpus itself, so that there
is nothing to gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

from bench.quality import lexical
from bench.quality.fits import FORMS, Examples, Form, Judge, Outcome, Rows
from bench.quality.scores import DEPTH, NAMES, by_query
from bench.quality.task import SEED, Task, Vectors, folds

Floats = NDArray[np.float64]

FOLDS = 5
SELECTION = 8  # one part in so many of the training queries chooses
SIZES = (250, 500, 1_000, 2_000)
CURVE = ("affine", "low-rank 16", "key-value 64")
CONTROLLED = ("affine", "key-value 64")
SATURATED = 2_000  # queries of the saturated task
EQUAL = 1e-5  # cosines of vectors that count as one
BASE = "base"


@dataclass(frozen=True)
class Result:
    """Scores of one method under one seed on the test part of that seed.

    Attributes
    ----------
    part : str
        "main", "size", "shuffled" or "saturated".
    rows : ndarray
        Test queries.
    scores, base : dict of str to ndarray
        By measure, one number per test query: the method's, and those of plain dense search.
    train : int
        Training queries.
    weight : float or None
        Of the dense list, where two are fused.
    outcome : Outcome or None
        None for what is not fitted.
    """

    part: str
    method: str
    seed: int
    rows: Rows
    scores: dict[str, Floats]
    base: dict[str, Floats]
    train: int = 0
    weight: float | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Plan:
    """How much to do."""

    forms: Sequence[Form] = FORMS
    seeds: int = 5
    curve_seeds: int = 2
    control_seeds: int = 2
    sizes: Sequence[int] = SIZES
    lexical: bool = True


class Study:
    """All measurements of one task.

    Parameters
    ----------
    task : Task
    queries, corpus : ndarray
        Vectors of its texts.
    judge : callable
        Fits, and answers the test queries: ``judge(examples, form, seed)``.
    say : callable
        Is told of every result.
    work : Path, optional
        Where BM25's answers are kept.
    """

    def __init__(
        self,
        task: Task,
        queries: Vectors,
        corpus: Vectors,
        judge: Judge,
        say: Callable[[str], None] = print,
        work: Path | None = None,
    ) -> None:
        self.work = work
        self.task, self.queries, self.corpus = task, queries, corpus
        self.judge, self.say = judge, say
        self.fold = folds(task.groups, FOLDS)
        self.dense = lexical.dense(queries, corpus)
        self.base = by_query(self.dense.ids, task.relevant)

    def run(self, plan: Plan) -> list[Result]:
        """Measure everything of a plan, the main table first."""
        results: list[Result] = []
        for result in self._all(plan):
            change = result.scores["ndcg@10"] - result.base["ndcg@10"]
            fit = result.outcome
            took = f", {fit.seconds:.1f} s {fit.about}" if fit else ""
            same = ", the identity" if fit and fit.identity else ""
            self.say(
                f"{self.task.name} {result.part} {result.method} seed {result.seed} "
                f"({result.train} to train on): nDCG@10 {result.scores['ndcg@10'].mean():.4f} "
                f"({change.mean():+.4f}){took}{same}"
            )
            results.append(result)
        return results

    def _all(self, plan: Plan) -> Iterator[Result]:
        for seed in range(plan.seeds):
            yield self._result(
                "main", BASE, seed, self.test_part(seed), self.dense.ids[self.test_part(seed)]
            )
            if plan.lexical:
                yield from self._beside(seed)
            for form in plan.forms:
                yield self._fitted("main", form, seed, self.examples(seed))
        for form in _named(plan.forms, CONTROLLED):
            for seed in range(plan.control_seeds):
                yield self._shuffled(form, seed)
            yield self._saturated(form)
        for form in _named(plan.forms, CURVE):
            for seed in range(plan.curve_seeds):
                for size in plan.sizes:
                    if size < len(self.train_part(seed)):
                        yield self._fitted("size", form, seed, self.examples(seed, size))

    def test_part(self, seed: int) -> Rows:
        """Queries that a seed is judged by."""
        return np.flatnonzero(self.fold == seed % FOLDS)

    def train_part(self, seed: int) -> Rows:
        """Queries that a seed may be fitted to."""
        return np.flatnonzero(self.fold != seed % FOLDS)

    def examples(self, seed: int, size: int | None = None) -> Examples:
        """What a seed is fitted to: `size` of its training queries, an eighth of them to choose."""
        rows = self.train_part(seed)
        if size is not None:
            rows = np.sort(np.random.default_rng([SEED, seed]).permutation(rows)[:size])
        part = folds([self.task.groups[row] for row in rows], SELECTION, SEED + seed)
        return Examples(
            self.queries,
            self.corpus,
            self.task.relevant,
            rows[part != 0],
            rows[part == 0],
            self.test_part(seed),
        )

    def _fitted(self, part: str, form: Form, seed: int, examples: Examples) -> Result:
        outcome = self.judge(examples, form, seed)
        train = len(examples.train) + len(examples.selection)
        return self._result(
            part, form.name, seed, examples.test, outcome.ids, train=train, outcome=outcome
        )

    def _shuffled(self, form: Form, seed: int) -> Result:
        rows = self.train_part(seed)
        relevant = list(self.task.relevant)
        drawn = np.random.default_rng([SEED, seed, 1]).permutation(rows)
        for row, other in zip(rows, drawn, strict=True):
            relevant[row] = self.task.relevant[other]
        return self._fitted("shuffled", form, seed, replace(self.examples(seed), relevant=relevant))

    def _saturated(self, form: Form) -> Result:
        study = saturated(self)
        return study._fitted("saturated", form, 0, study.examples(0))

    def _beside(self, seed: int) -> Iterator[Result]:
        """BM25, and dense search fused with it; the weight comes from the training part."""
        words = self._words
        rows, train = self.test_part(seed), self.train_part(seed)
        weight = lexical.best_weight(
            self.dense[train], words[train], [self.task.relevant[row] for row in train]
        )
        for name, (ids, share) in lexical.beside(self.dense[rows], words[rows], weight).items():
            yield self._result("main", name, seed, rows, ids, weight=share)

    def _result(
        self, part: str, method: str, seed: int, rows: Rows, ids: lexical.Ids, **more: Any
    ) -> Result:
        scores = by_query(ids, [self.task.relevant[row] for row in rows])
        base = {name: self.base[name][rows] for name in NAMES}
        return Result(part, method, seed, rows, scores, base, **more)

    @cached_property
    def _words(self) -> lexical.Listed:
        return lexical.bm25(self.task.queries, self.task.corpus, self.work)


def saturated(study: Study, count: int = SATURATED) -> Study:
    """The same corpus asked with `count` of its own vectors; those equal to it are relevant too."""
    rows = np.random.default_rng(SEED).permutation(len(study.corpus))[:count]
    found = nf.topk(study.corpus[rows], study.corpus, DEPTH, metric="cosine")
    same = found.scores >= found.scores[:, :1] - EQUAL
    few = ~same[:, -1]  # more copies than answers are looked at: who is relevant is not known
    relevant = [ids[mask].tolist() for ids, mask in zip(found.ids[few], same[few], strict=True)]
    rows = rows[few]
    task = replace(
        study.task,
        name=f"{study.task.name}, saturated",
        queries=[study.task.corpus[row] for row in rows],
        relevant=relevant,
        groups=[str(min(group)) for group in relevant],
        query_ids=[study.task.corpus_ids[row] for row in rows],
    )
    return Study(task, study.corpus[rows], study.corpus, study.judge, study.say)


def _named(forms: Sequence[Form], names: Sequence[str]) -> list[Form]:
    return [form for form in forms if form.name in names]
