"""`fit_modulation`: LexSemBridge's projection, and LLR's scorer, on a frozen encoder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import as_positive, as_real, choose, most_memory
from ..arrays import finite_rows
from ..progress import Progress
from .choice import run_fit
from .lexical_model import LexicalModel
from .recipe import Recipe
from .report import FitReport
from .task import open_task
from .training import import_torch

if TYPE_CHECKING:
    from ..transforms import LexicalModulation, Tokens

__all__ = ["ModulationFit", "fit_modulation"]

_LEARNING_RATE = 1e-2


class ModulationFit(NamedTuple):
    """A fitted modulation and its report.

    Attributes
    ----------
    transform : LexicalModulation
        For the queries: ``index.search(q, transform=fit.transform, tokens=tokens)``; in mode "llr"
        the tokens carry ``fit.transform.token_weights(hidden_states)``.
    report : FitReport
        How it was chosen and what it is worth; prints as a table.
    """

    transform: LexicalModulation
    report: FitReport


def fit_modulation(
    queries: ArrayLike,
    tokens: Tokens,
    corpus: ArrayLike,
    qrels: Mapping[Any, Mapping[Any, int] | Iterable[Any]],
    *,
    mode: Literal["slr", "llr"] = "slr",
    hidden_states: ArrayLike | None = None,
    vocab: int | None = None,
    special_ids: Sequence[int] = (),
    negatives: Literal["global", "batch", "random"] = "global",
    temperature: float = 0.02,
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
    per_query: int = 8,
    pool: int = 64,
    refresh: int = 1,
    weight_decay: float = 1.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> ModulationFit:
    """Fit a lexical modulation to judged queries, the encoder and the corpus staying as they are.

    Parameters
    ----------
    queries : array_like, shape (n_queries, dim)
        Query embeddings.
    tokens : Tokens
        Token ids of every query, without weights.
    corpus : array_like, shape (n, dim)
        Corpus embeddings; scored by cosine.
    qrels : mapping
        As in :func:`nearfield.fit_adapter`.
    mode : {"slr", "llr"}, default "slr"
        Every token that occurs weighs the same, or a scorer of its hidden state weighs it; both in
        the published code's form. "clr" needs a masked-language head and is not fitted here.
    hidden_states : array_like, shape (len(tokens.ids), hidden)
        For "llr": the encoder's last hidden state of every token, in the order of ``tokens.ids``.
    vocab : int, optional
        Size of the vocabulary; by default one more than the largest id in `tokens`.
    special_ids : sequence of int, default ()
        Token ids that never weigh anything, such as those of [CLS] and [SEP].
    temperature : float, default 0.02
        Of the cross entropy (InfoNCE), as in the paper.
    negatives, measure, selection, test, groups, query_ids, corpus_ids, lr, epochs, patience, \
batch_size, per_query, pool, refresh, weight_decay, seed, threads, progress
        As in :func:`nearfield.fit_adapter`.

    Returns
    -------
    ModulationFit
        ``transform`` and ``report``; the identity where the report says so.

    Raises
    ------
    ImportError
        Torch is missing; the message holds the pip line.
    TypeError, ValueError
        As :func:`nearfield.fit_adapter`; tokens or hidden states that do not fit the queries.

    Notes
    -----
    Tokens that no training query holds keep the weight 0 and change nothing. Unlike the published
    training the encoder is frozen, so nothing has to be indexed again.

    References
    ----------
    LexSemBridge and its public repository (Jasaxion/LexSemBridge).

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rng = np.random.default_rng(0)
    >>> corpus = rng.standard_normal((200, 8), dtype=np.float32)
    >>> queries = corpus + rng.standard_normal((200, 8), dtype=np.float32)
    >>> tokens = nf.Tokens(rng.integers(0, 50, 600), offsets=np.arange(0, 601, 3))
    >>> qrels = {row: [row] for row in range(200)}
    >>> fit = nf.fit_modulation(queries, tokens, corpus, qrels, epochs=2)  # doctest: +SKIP
    >>> fit.report.chosen  # doctest: +SKIP
    'identity'
    """
    from ..transforms.lexical import as_special_ids

    begin = time.perf_counter()
    mode_name = choose(mode, ("slr", "llr"), name="mode")
    recipe = Recipe(
        loss="infonce",
        temperature=as_real(temperature, name="temperature"),
        gamma=None,
        measure=measure,
        negatives=negatives,
        per_query=per_query,
        pool=pool,
        lr=lr,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        refresh=refresh,
        weight_decay=weight_decay,
        recovery=0.0,
        seed=seed,
    )
    torch = import_torch("fit_modulation")
    task = open_task(
        queries,
        corpus,
        qrels,
        query_ids=query_ids,
        corpus_ids=corpus_ids,
        groups=groups,
        selection=selection,
        test=test,
        metric="cosine",
        seed=recipe.seed,
        threads=threads,
    )
    size = _check_tokens(tokens, task.queries.shape, vocab)
    specials = as_special_ids(special_ids, size)
    states = _as_states(hidden_states, mode_name, tokens)
    model = LexicalModel(torch, task, tokens, states, specials, recipe.measure)
    words = {"form": mode_name, "side": "query"}
    rates = recipe.rates(_LEARNING_RATE)
    parameters, report = run_fit(torch, model, task, recipe, rates, words, progress, begin)
    return ModulationFit(model.transform(parameters, size), report)


def _check_tokens(tokens: Any, shape: tuple[int, ...], vocab: int | None) -> int:
    """Return the size of the vocabulary, for queries of this shape."""
    from ..transforms import Tokens

    if not isinstance(tokens, Tokens):
        raise TypeError(f"tokens: got a {type(tokens).__name__}, expected nf.Tokens(ids, offsets)")
    n_queries, dim = shape
    if len(tokens) != n_queries:
        raise ValueError(
            f"tokens: got {len(tokens)} rows for {n_queries} queries, expected one per query"
        )
    if tokens.weights is not None:
        raise ValueError("tokens: got weights, expected none: the fit finds them")
    largest = int(tokens.ids.max(initial=-1))
    size = max(largest + 1, 1) if vocab is None else as_positive(vocab, name="vocab")
    if largest >= size:
        raise ValueError(f"vocab: got {size}, expected more than {largest}, an id in tokens")
    needed, most = 4 * dim * size, most_memory()
    if needed > most:
        raise ValueError(
            f"vocab: got {size}, for ids up to {largest} in tokens: a weight of "
            f"{needed / 2**30:.1f} GiB, expected at most {most / 2**30:.1f} GiB, half of the "
            "memory; are they ids of the tokenizer?"
        )
    return size


def _as_states(
    hidden_states: ArrayLike | None, mode: str, tokens: Tokens
) -> NDArray[np.float32] | None:
    if mode == "slr":
        if hidden_states is not None:
            raise ValueError("hidden_states: given for mode 'slr', only 'llr' reads them")
        return None
    if hidden_states is None:
        raise ValueError("hidden_states: got None, expected one row per token id for mode 'llr'")
    states = finite_rows(hidden_states, name="hidden_states")
    if len(states) != len(tokens.ids):
        raise ValueError(
            f"hidden_states: got {len(states)} rows for {len(tokens.ids)} token ids, expected one "
            "per id"
        )
    return states
