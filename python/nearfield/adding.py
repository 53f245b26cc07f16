"""Rows that are added to an index, wherever the work is done: :func:`add_rows`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arguments import as_threads, choose, naming
from .arrays import as_labels, as_rows
from .result import MISSING

if TYPE_CHECKING:
    from .index import Index

__all__ = ["add_rows"]


def add_rows(
    index: Index,
    x: Any,
    ids: Any,
    on_duplicate: str,
    threads: int | None,
    append: Callable[..., None],
) -> None:
    """Check the arguments of :meth:`Index.add` and add the rows.

    Parameters
    ----------
    append : callable
        Called as ``append(rows, labels, replace, threads)`` while the index may change.
    """
    replace = choose(on_duplicate, ("raise", "replace"), name="on_duplicate") == "replace"
    thread_count = as_threads(threads)
    rows, _ = as_rows(x, name="x", dim=index.dim, storage=index._core.dtype)
    labels = None
    if isinstance(ids, (set, frozenset)):
        raise TypeError("ids: got a set, which has no order, expected one label per row")
    if ids is not None:
        labels = as_labels(ids, name="ids", length=rows.shape[0])
        if (labels == MISSING).any():
            raise ValueError(f"ids: got {MISSING}, which nf.MISSING reserves for no result")
    if len(rows) and not index.is_trained:
        warnings.warn(
            f"the index is not trained yet: {index._untrained} now trained on the {len(rows)} rows "
            "added; call train() first to choose the rows",
            stacklevel=3,
        )
    try:
        index._rows.change(lambda: append(rows, labels, replace, thread_count))
    except ValueError as error:
        raise naming(error, query="q", row="x") from None
