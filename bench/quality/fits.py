"""Fits of adapters as the tables ask for them: examples in, answers to their test queries out."""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

from bench.quality.kept import keep
from bench.quality.scores import DEPTH
from bench.quality.task import Vectors

Rows = NDArray[np.intp]
Map = nf.transforms.Transform


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


def named(names: str) -> list[Form]:
    """Forms of a comma list, in the order of the table; one name has a comma in itself.

    Raises
    ------
    SystemExit
        None, or a name of no form.
    """
    left, found = names, set()
    for form in sorted(FORMS, key=lambda form: -len(form.name)):
        if form.name in left:
            left = left.replace(form.name, "")
            found.add(form.name)
    if left.strip(", ") or not found:
        known = "; ".join(form.name for form in FORMS)
        raise SystemExit(f"--forms: got {names!r}, expected some of {known}")
    return [form for form in FORMS if form.name in found]


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


@dataclass(frozen=True)
class Outcome:
    """What a fit is worth: the answers to its test queries, best first.

    Attributes
    ----------
    ids : ndarray of int64
        (test queries, `DEPTH`)
    identity : bool
        Whether the fit leaves every vector as it is.
    seconds : float
        Of the fit alone.
    about : dict
        What the fit says of itself.
    """

    ids: NDArray[np.int64]
    identity: bool
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)


Fit = Callable[[Examples, Form, int], Fitted]
Judge = Callable[[Examples, Form, int], Outcome]


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
        told(fit.report),
    )


def told(report: nf.FitReport) -> dict[str, Any]:
    """What a table says of a fit."""
    return {"chosen": report.chosen, "lr": report.learning_rate, "epoch": report.epoch}


def judged(fit: Fit) -> Judge:
    """Fit, then search exactly, by cosine, for the test queries."""

    def judge(examples: Examples, form: Form, seed: int) -> Outcome:
        fitted = fit(examples, form, seed)
        queries, corpus = examples.queries[examples.test], examples.corpus
        if fitted.corpus is not None:
            corpus = fitted.corpus(corpus)
        ids = nf.topk(queries, corpus, DEPTH, metric="cosine", transform=fitted.query).ids
        same = fitted.query is None and fitted.corpus is None
        return Outcome(ids, same, fitted.seconds, fitted.about)

    return judge


def kept(judge: Judge, folder: Path, *words: str) -> Judge:
    """Judge each fit once: outcomes lie in `folder`, by all they depend on.

    Parameters
    ----------
    judge : callable
    folder : Path
    words : str
        What an outcome depends on beside examples, form and seed: the code, its arguments.
    """

    def once(examples: Examples, form: Form, seed: int) -> Outcome:
        path = folder / f"{_key(examples, [*words, repr(form), str(seed)])}.npz"
        if path.is_file():
            with np.load(path) as found:
                return Outcome(found["ids"], **json.loads(str(found["rest"])))
        outcome = judge(examples, form, seed)
        rest = {name: getattr(outcome, name) for name in ("identity", "seconds", "about")}
        keep(path, ids=outcome.ids, rest=json.dumps(rest))
        return outcome

    return once


def code() -> str:
    """Digest of the code that fits, and of this file: a change of either is another outcome."""
    folder = Path(importlib.import_module("nearfield.fitting").__file__ or "").parent
    sources = [*sorted(folder.glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _key(examples: Examples, words: Sequence[str]) -> str:
    sha = hashlib.sha256("\n".join(words).encode())
    sha.update(json.dumps(examples.qrels(), sort_keys=True).encode())
    for array in (examples.train, examples.selection, examples.test):
        sha.update(np.ascontiguousarray(array, dtype=np.int64).tobytes() + b"|")
    for vectors in (examples.queries, examples.corpus):
        sha.update(np.ascontiguousarray(vectors).tobytes())
    return sha.hexdigest()[:24]
