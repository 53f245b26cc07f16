"""`fit_adapter`: an adapter of one of the forms, chosen on held-out queries beside the identity."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from numpy.typing import ArrayLike

from ..arguments import as_positive, choose
from ..progress import Progress
from .choice import run_fit
from .forms import FORMS
from .model import AdapterModel
from .recipe import Recipe
from .report import FitReport
from .task import open_task
from .training import import_torch

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["AdapterFit", "fit_adapter"]


class AdapterFit(NamedTuple):
    """A fitted adapter.

    Attributes
    ----------
    transform : Transform
        For the queries: ``index.search(q, transform=fit.transform)``. The identity, exactly, where
        the report says so.
    corpus_transform : Transform or None
        For the corpus (``side="both"``): apply it to the vectors before they are added, or to an
        index in bulk; the factors of a `LowRank` without a bias fold into an index as they are.
    report : FitReport
        How it was chosen and what it is worth; prints as a table.
    """

    transform: Transform
    corpus_transform: Transform | None
    report: FitReport


def fit_adapter(
    queries: ArrayLike,
    corpus: ArrayLike,
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
    *,
    form: Literal["key_value", "low_rank", "affine", "diagonal", "residual_mlp"] = "key_value",
    side: Literal["query", "both"] = "query",
    rank: int = 64,
    loss: Literal["infonce", "margin"] = "infonce",
    negatives: Literal["global", "batch", "random"] = "global",
    metric: Literal["cosine", "ip"] = "cosine",
    measure: str = "ndcg@10",
    selection: float | Iterable[Any] = 0.1,
    test: float | Iterable[Any] = 0.2,
    groups: ArrayLike | None = None,
    query_ids: Sequence[Any] | None = None,
    corpus_ids: Sequence[Any] | None = None,
    lr: float | None = None,
    epochs: int = 12,
    patience: int = 4,
    batch_size: int = 256,
    temperature: float | None = None,
    gamma: float | None = None,
    per_query: int = 8,
    pool: int = 64,
    refresh: int = 1,
    weight_decay: float | None = None,
    recovery: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> AdapterFit:
    """Fit an adapter to judged queries, and say what it is worth on queries it never saw.

    The judged queries are divided into three parts: one to fit on, one on which epochs, learning
    rates and the identity are compared, and one that takes no part in any choice and on which the
    report's intervals are computed. The identity is chosen unless a candidate is ahead of it
    by more than luck explains.

    Parameters
    ----------
    queries : array_like, shape (n_queries, dim)
        Query embeddings, as they will be searched with.
    corpus : array_like, shape (n, dim)
        Corpus embeddings, as they are indexed.
    qrels : mapping
        ``{query id: {document id: grade}}`` or ``{query id: [relevant document ids]}``; ids are row
        numbers unless `query_ids` and `corpus_ids` say otherwise. Rows of a grade above 0 are
        relevant. Queries without any take no part.
    form : str, default "key_value"
        ``"key_value"`` (Adapted Dense Retrieval), ``"low_rank"``, ``"affine"``, ``"diagonal"`` or
        ``"residual_mlp"``; all start at the identity.
    side : {"query", "both"}, default "query"
        "both" fits a transform of the corpus too; low-rank and affine ones have no bias there, so
        that an index can fold them into its queries.
    rank : int, default 64
        Keys, rank or hidden units; "affine" and "diagonal" have none.
    loss : {"infonce", "margin"}, default "infonce"
        Cross entropy at a `temperature` with the relevant rows as alternatives, or a hinge on
        score differences below `gamma`.
    negatives : {"global", "batch", "random"}, default "global"
        Rows that a query is told apart from, beside the relevant rows of the batch's other
        queries: drawn from its `pool` nearest of the whole corpus under the current transform,
        none, or random ones. Relevant rows, and rows of their groups, never count as negatives.
    metric : {"cosine", "ip"}, default "cosine"
        How the index scores.
    measure : str, default "ndcg@10"
        What chooses: ``ndcg@1``, ``@3``, ``@5``, ``@10``, ``hit@1`` or ``hit@10``.
    selection, test : float or iterable of query ids, default 0.1 and 0.2
        The shares of the judged queries that choose and that are reported on, or those queries.
    groups : array_like, shape (n,), optional
        Group of every corpus row (a package, a document of many passages). Queries whose relevant
        rows share a group stay in one part, and rows of a relevant row's group are no negatives.
    query_ids, corpus_ids : sequence, optional
        Ids of the rows in `qrels`; they match as text.
    lr : float, optional
        Learning rate; by default three are tried and the selection part chooses.
    epochs, patience : int, default 12 and 4
        Passes over the queries at most, and how many without improvement end a run.
    batch_size : int, default 256
        Queries of a step.
    temperature : float, optional
        Of "infonce", default 0.04.
    gamma : float, optional
        Of "margin", default 0.1.
    per_query, pool : int, default 8 and 64
        Negatives of a query in each step, and from how many of its nearest they are drawn.
    refresh : int, default 1
        Epochs after which global negatives are mined again: stale ones are pushed below rows that
        nobody looks at.
    weight_decay : float, optional
        Pulls towards the identity: each step takes this times the learning rate from what was
        learned. Default 5, for "diagonal" 0.1.
    recovery : float, default 0
        Weight of the mean L1 distance of an adapted vector from what it was.
    seed : int, default 0
        Same seed, data and threads: same bytes.
    threads : int, optional
        Threads; :func:`nearfield.num_threads` by default. Torch's own setting is put back.
    progress : bool or callable, optional
        As elsewhere: None draws a bar on a terminal.

    Returns
    -------
    AdapterFit
        ``transform``, ``corpus_transform`` and ``report``.

    Raises
    ------
    ImportError
        Torch is missing; the message holds the pip line.
    TypeError, ValueError
        Unknown names, shapes that do not fit, NaN, unknown ids in `qrels`, or fewer judged queries
        than the three parts need.

    Notes
    -----
    Cost: for 3,500 queries, 64,000 rows of 384 and the defaults 20 to 60 seconds on two cores.

    References
    ----------
    Adapted Dense Retrieval for Heterogeneous Text ("ADDER"); LoRA; Search-Adaptor (recovery term).

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rng = np.random.default_rng(0)
    >>> corpus = rng.standard_normal((300, 8), dtype=np.float32)
    >>> queries = corpus * np.float32([4, 4, 4, 4, 1, 1, 1, 1])
    >>> qrels = {row: [row] for row in range(300)}
    >>> fit = nf.fit_adapter(queries, corpus, qrels, form="diagonal", epochs=8)  # doctest: +SKIP
    >>> index = nf.FlatIndex(8, "cosine"); index.add(corpus)  # doctest: +SKIP
    >>> index.search(fit.transform(queries), k=10)  # doctest: +SKIP
    >>> print(fit.report)  # doctest: +SKIP
    """
    begin = time.perf_counter()
    form_name = choose(form, tuple(FORMS), name="form")
    both = choose(side, ("query", "both"), name="side") == "both"
    rank = as_positive(rank, name="rank")
    usual = FORMS[form_name]
    recipe = Recipe(
        loss=loss,
        temperature=temperature,
        gamma=gamma,
        measure=measure,
        negatives=negatives,
        per_query=per_query,
        pool=pool,
        lr=lr,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        refresh=refresh,
        weight_decay=usual.weight_decay if weight_decay is None else weight_decay,
        recovery=recovery,
        seed=seed,
    )
    torch = import_torch("fit_adapter")
    task = open_task(
        queries,
        corpus,
        qrels,
        query_ids=query_ids,
        corpus_ids=corpus_ids,
        groups=groups,
        selection=selection,
        test=test,
        metric=choose(metric, ("cosine", "ip"), name="metric"),
        seed=recipe.seed,
        threads=threads,
    )
    model = AdapterModel(torch, task, usual, rank, both, recipe.measure, recipe.seed)
    words = {"form": form_name, "side": side}
    rates = recipe.rates(usual.learning_rate)
    parameters, report = run_fit(torch, model, task, recipe, rates, words, progress, begin)
    return AdapterFit(*model.transforms(parameters), report)
