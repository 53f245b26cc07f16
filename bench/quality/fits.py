"""Fits as the tables ask for them: training queries in, maps and what is known of them out.

The only place that calls ``nf.fit_adapter`` and ``nf.fit_modulation``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

from bench.quality.task import Vectors

Rows = NDArray[np.intp]
Map = Callable[[Vectors], Vectors]


@dataclass(frozen=True)
class Form:
    """An adapter as a line of a table: its name, and the arguments of the fit that make it."""

    name: str
    options: dict[str, Any]


FORMS = (
    Form("affine", {"form": "affine"}),
    Form("low-rank 16", {"form": "low_rank", "rank": 16}),
    Form("low-rank 64", {"form": "low_rank", "rank": 64}),
    Form("diagonal", {"form": "diagonal"}),
    Form("key-value 16", {"form": "key_value", "rank": 16}),
    Form("key-value 64", {"form": "key_value", "rank": 64}),
    Form("key-value 128", {"form": "key_value", "rank": 128}),
    Form("key-value 64, both sides", {"form": "key_value", "rank": 64, "side": "both"}),
)


@dataclass(frozen=True)
class Examples:
    """What a fit gets: vectors, judgements, and which queries train, choose and are kept out."""

    queries: Vectors
    corpus: Vectors
    relevant: Sequence[Sequence[int]]
    train: Rows
    selection: Rows
    test: Rows

    def qrels(self) -> dict[int, list[int]]:
        """Judgements of the three parts by query row."""
        rows = np.concatenate([self.train, self.selection, self.test])
        return {int(row): list(self.relevant[row]) for row in rows}


@dataclass(frozen=True)
class Fitted:
    """A fitted pair of maps, None standing for the identity, and how it came about."""

    query: Map | None
    corpus: Map | None
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def is_identity(self) -> bool:
        """Whether both maps leave every vector as it is."""
        return self.query is None and self.corpus is None


def moves(transform: Map | None, sample: Vectors) -> Map | None:
    """Return `transform`, or None where it gives every row of `sample` back bit for bit."""
    if transform is None or np.array_equal(transform(sample), sample):
        return None
    return transform


def adapter(examples: Examples, form: Form, seed: int, **options: Any) -> Fitted:
    """Fit an adapter with ``nf.fit_adapter``; `options` go there, a form's own come first."""
    begin = time.perf_counter()
    fit = nf.fit_adapter(
        examples.queries,
        examples.corpus,
        examples.qrels(),
        selection=examples.selection.tolist(),
        test=examples.test.tolist(),
        seed=seed,
        progress=False,
        **{**options, **form.options},
    )
    seconds = time.perf_counter() - begin
    return Fitted(
        moves(fit.transform, examples.queries),
        moves(fit.corpus_transform, examples.corpus[:1_000]),
        seconds,
        {"chosen": fit.report.chosen, "lr": fit.report.learning_rate, "epoch": fit.report.epoch},
    )


def search(queries: Vectors, corpus: Vectors, fitted: Fitted | None, depth: int) -> Any:
    """Exact cosine search under the maps."""
    if fitted is not None and fitted.corpus is not None:
        corpus = fitted.corpus(corpus)
    if fitted is not None and fitted.query is not None:
        queries = fitted.query(queries)
    return nf.topk(queries, corpus, depth, metric="cosine")
