"""Queries as a search takes them, with the transforms that apply to them: :class:`Queries`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import as_labels, as_queries, to_numpy
from .result import SearchResult

if TYPE_CHECKING:
    from ._core import QueryMap

__all__ = ["Plan", "Queries", "as_chosen", "as_mapped", "as_plan"]

_IDS = "transform_ids"


class Plan(NamedTuple):
    """What a search does to its queries, as whoever does it elsewhere takes it.

    Attributes
    ----------
    transforms : tuple of Transform
    ids : ndarray of int64, shape (searched,), or None
        The transform of every row that is searched, -1 for none; None: the first.
    bundle : int or None
        How many transforms every query goes through; None: no axis for them.
    tokens : Tokens, ndarray or None
        Of a lexical modulation.
    """

    transforms: tuple[Any, ...]
    ids: Any = None
    bundle: int | None = None
    tokens: Any = None


class Queries(NamedTuple):
    """Rows, what the core does to them first, and the shape of the answer.

    Attributes
    ----------
    rows : ndarray of float32, shape (n, in_dim)
    one_vector : bool
        Whether the caller gave a single vector.
    map : QueryMap or None
        None: they are searched as they are.
    bundle : int or None
        How many transforms every query goes through; None: no axis for them.
    plan : Plan or None
        The same as `map`.
    """

    rows: NDArray[np.float32]
    one_vector: bool
    map: QueryMap | None = None
    bundle: int | None = None
    plan: Plan | None = None

    @property
    def searched(self) -> int:
        """How many rows are searched."""
        n = len(self.rows)
        return n if self.bundle is None else n * self.bundle

    def shaped(self, found: SearchResult) -> SearchResult:
        """Return results with an axis for the bundle, or without one for a single query."""
        if self.bundle is not None:
            shape, k = (len(self.rows), self.bundle), found.ids.shape[1]
            ids, scores, counts = found
            found = SearchResult(
                ids.reshape(*shape, k), scores.reshape(*shape, k), counts.reshape(shape)
            )
        return found._without_query_axis() if self.one_vector else found


def as_mapped(
    name: str,
    q: ArrayLike,
    dim: int,
    transform: Any = None,
    transform_ids: Any = None,
    tokens: Any = None,
) -> Queries:
    """Check queries and their transforms.

    Parameters
    ----------
    name : str
        Argument name of `q` for messages.
    q : array_like, shape (n, in_dim) or (in_dim,)
        Queries; `in_dim` is what the transform takes.
    dim : int
        Columns of the rows that are searched.
    transform : Transform or sequence of Transform, optional
        What is applied.
    transform_ids : array_like of int, shape (n,) or (n, a), optional
        Which transforms of a sequence; -1: none.
    tokens : Tokens or array_like, optional
        For lexical modulation.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit each other.
    """
    chosen = as_chosen(dim, transform, transform_ids, tokens)
    if chosen is None:
        rows, one_vector = as_queries(q, name=name, dim=dim)
        return Queries(rows, one_vector)
    transforms, in_dim = chosen
    rows, one_vector = as_queries(q, name=name, dim=in_dim)
    if transform is transforms[0]:
        plan = Plan(transforms, tokens=tokens)
        return Queries(rows, one_vector, transform._map(rows, tokens), None, plan)
    from ._core import QueryMap

    plan = as_plan(transforms, transform_ids, len(rows), in_dim, dim)
    cores = [transform._native for transform in transforms]
    each = QueryMap.each(cores, plan.ids, plan.bundle or 1)
    return Queries(rows, one_vector, each, plan.bundle, plan)


def as_chosen(
    dim: int, transform: Any, transform_ids: Any, tokens: Any
) -> tuple[tuple[Any, ...], int] | None:
    """Check a search's transforms: all of them, and the columns they take; None: there are none.

    A transform that is not in a sequence is the only one.
    """
    if transform is None:
        _refuse("tokens", tokens, "needs transform=, a LexicalModulation")
        _refuse("transform_ids", transform_ids, "needs transform=, a list of transforms")
        return None
    if isinstance(transform, (list, tuple)):
        _refuse("tokens", tokens, "needs a LexicalModulation as the only transform")
        return tuple(transform), _check_several(transform, dim)
    _check_transform(transform, "transform", dim)
    _refuse("transform_ids", transform_ids, "needs a list of transforms")
    if transform.kind != "lexical":
        _refuse("tokens", tokens, "needs transform=, a LexicalModulation")
    elif tokens is None:
        raise TypeError("tokens: got None, expected nf.Tokens: LexicalModulation needs them")
    return (transform,), transform.in_dim or dim


def _check_several(transforms: Sequence[Any], dim: int) -> int:
    """Return the columns that several transforms take."""
    if not transforms:
        raise ValueError("transform: got an empty list, expected at least one transform")
    for i, transform in enumerate(transforms):
        _check_transform(transform, f"transform[{i}]", dim, among_others=True)
    in_dims = {transform.in_dim for transform in transforms} - {None}
    if len(in_dims) > 1:
        raise ValueError(
            f"transform: got some that take {min(in_dims)} dimensions and others that take "
            f"{max(in_dims)}, expected the same for all"
        )
    return int(next(iter(in_dims), dim))


def as_plan(transforms: tuple[Any, ...], numbers: Any, n: int, columns: int, dim: int) -> Plan:
    """Return which of several transforms `n` queries of so many columns go through."""
    ids, bundle = _as_ids(numbers, n, len(transforms))
    if columns != dim and (ids < 0).any():
        raise ValueError(
            f"transform_ids: got -1 (none) for queries of {columns} dimensions, expected "
            f"queries of {dim}, those of the index"
        )
    return Plan(transforms, ids, bundle)


def _as_ids(numbers: Any, n: int, count: int) -> tuple[NDArray[np.int64], int | None]:
    """Return the transform of every row that is searched, and how many rows a query has."""
    if numbers is None:
        return np.tile(np.arange(count, dtype=np.int64), n), count
    shape = () if isinstance(numbers, (int, np.integer)) else to_numpy(numbers, _IDS)[0].shape
    bundle = shape[1] if len(shape) == 2 else None
    if bundle == 0 or len(shape) > 2 or shape[:1] not in ((n,), ()):
        raise ValueError(
            f"transform_ids: got shape {shape}, expected ({n},), one per query, or ({n}, a) for a "
            "bundle of a transforms per query"
        )
    flat = numbers if bundle is None else to_numpy(numbers, _IDS)[0].reshape(-1)
    ids = as_labels(flat, name=_IDS, length=n * (bundle or 1))
    wrong = ids[(ids < -1) | (ids >= count)]
    if wrong.size:
        raise ValueError(
            f"transform_ids: got {wrong[0]}, expected numbers from 0 to {count - 1}, or -1 for none"
        )
    return ids, bundle


def _check_transform(transform: Any, name: str, dim: int, *, among_others: bool = False) -> None:
    from .transforms import Transform

    if not isinstance(transform, Transform) or not transform.kind:
        raise TypeError(
            f"{name}: got a {type(transform).__name__}, expected a transform of nf.transforms"
            + ("" if among_others else " or a list of them")
        )
    if among_others and transform.kind == "lexical":
        raise TypeError(f"{name}: a LexicalModulation needs tokens and cannot be one of several")
    if transform.out_dim not in (None, dim):
        raise ValueError(
            f"{name}: gives vectors of {transform.out_dim} dimensions, expected {dim}, those of "
            "the rows searched"
        )


def _refuse(name: str, value: Any, reason: str) -> None:
    if value is not None:
        raise TypeError(f"{name}: {reason}")
