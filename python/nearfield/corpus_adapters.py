"""Corpus adapters: rows searched as linear maps have them, without touching the index."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import as_natural, as_real, as_threads, naming
from .arrays import STORAGES, as_rows, finite_rows

if TYPE_CHECKING:
    from ._core import Index as CoreIndex
    from .index import Index
    from .result import SearchResult
    from .transforms import Transform

__all__ = ["AdaptableIndex", "AdapterReport", "CorpusAdapter", "as_shares"]

CorpusAdapter = str | Mapping[str, float] | None
"""What a search takes: a name, or names with weights."""

_Factors = tuple[NDArray[np.float32], NDArray[np.float32] | None]
_K = 10
_LOSS = 0.01
"""How much less recall than without the adapter is worth a warning."""
_SPREAD = (0.0, 0.5, 1.0)
_MOST_BREADTH = 65536


@dataclass(frozen=True)
class AdapterReport:
    """What registering a corpus adapter found; see :meth:`Index.add_corpus_adapter`.

    Attributes
    ----------
    rows : int
        Rows of the index.
    seconds : float
        What the pass over them took.
    sample : int
        Queries that recall was measured with; 0 where it was not.
    recall : float
        Share of the 10 nearest rows under the adapter that a search with default parameters finds,
        of those that an exhaustive one does; NaN without a sample.
    base_recall : float
        The same without the adapter, of the same rows as queries.
    lengths : tuple of float
        Smallest, median and largest factor by which the adapter changes the length of a row, among
        a sample of rows; NaN where there are none.
    warning : str or None
        What the user should know.
    """

    rows: int
    seconds: float
    sample: int
    recall: float
    base_recall: float
    lengths: tuple[float, float, float]
    warning: str | None


class AdaptableIndex:
    """What corpus adapters add to an :class:`Index`."""

    _core: CoreIndex

    def add_corpus_adapter(
        self,
        name: str,
        u: Any,
        v: ArrayLike | None = None,
        *,
        queries: ArrayLike | None = None,
        sample: int = 1000,
        threads: int | None = None,
    ) -> AdapterReport:
        """Name a linear map of all rows that searches may ask for.

        A search with ``corpus_adapter=name`` answers as an index of the mapped rows would, but
        rows, codes, lists and links stay as they are: the map is folded into the query, and its
        lengths of rows are kept beside them (16 to 36 bytes a row; none under ``"ip"``). Exact
        searches stay exact. Rows added later are mapped as well; files keep adapters.

        Parameters
        ----------
        name : str
            Not used by another adapter of this index.
        u : array_like or transform
            With `v`: shape (dim, r), the map is ``c -> c + u @ v.T @ c``. Without: a matrix
            (dim, dim), the map is ``c -> u @ c``, or a linear transform of
            :mod:`nearfield.transforms`: ``LowRank``, ``Affine`` or ``Diagonal`` without a bias.
        v : array_like, shape (dim, r), optional
            See `u`.
        queries : array_like, shape (n, dim), optional
            Queries like those to come, for measuring recall; by default stored rows as the adapter
            has them.
        sample : int, default 1000
            At most so many queries; 0: recall is not measured.
        threads : int, optional
            Threads for this call.

        Returns
        -------
        AdapterReport
            Time, recall of a search with default parameters and how lengths change. Where recall
            is 0.01 below what it is without the adapter, a warning says so: lists and links were
            made for other distances. Look further then (`nprobe`, `ef_search`, `rerank`).

        Raises
        ------
        TypeError, ValueError
            Shapes that do not fit, NaN or infinity, a name that is taken, a bias, or a map that
            lengthens or shortens by more than about ``2**40``. The index is as before.

        Notes
        -----
        Under ``"cosine"`` a row that is only there as a code counts as a unit vector, and what the
        map does to its length is that of the decoded row. A row that a low-rank map shortens by
        more than ``2**22`` is a row of zeros.

        What ``nearfield.tune`` has measured holds for searches without an adapter.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(2, metric="cosine")
        >>> index.add(np.float32([[1, 0.1], [0.2, 1]]))
        >>> report = index.add_corpus_adapter("swap", np.float32([[0, 1], [1, 0]]))
        >>> index.search(np.float32([1, 0]), k=1, corpus_adapter="swap").ids
        array([1])
        >>> index.corpus_adapters
        ('swap',)
        """
        index = cast("Index", self)
        left, right = _factors(u, v, index.dim)
        label = _as_name(name)
        most = as_natural(sample, name="sample")
        asked = None if queries is None else finite_rows(queries, name="queries", dim=index.dim)
        start = time.perf_counter()
        try:
            self._core.add_corpus_adapter(label, left, right, as_threads(threads))
        except ValueError as error:
            raise naming(error, query="q", row="u") from None
        seconds = time.perf_counter() - start
        try:
            report = _measured(index, label, asked, most, seconds)
            if report.warning is not None:
                warnings.warn(report.warning, stacklevel=2)
        except BaseException:
            self._core.remove_corpus_adapter(label)
            raise
        return report

    def remove_corpus_adapter(self, name: str) -> None:
        """Forget a corpus adapter.

        Parameters
        ----------
        name : str
            One of :attr:`corpus_adapters`.

        Raises
        ------
        ValueError
            There is no adapter of this name.
        """
        self._core.remove_corpus_adapter(_as_name(name))

    @property
    def corpus_adapters(self) -> tuple[str, ...]:
        """Names of the corpus adapters, in the order of adding."""
        return tuple(self._core.corpus_adapters())


def as_shares(value: Any) -> list[tuple[str, float]]:
    """Return a search's `corpus_adapter` as the core takes it."""
    if value is None:
        return []
    if isinstance(value, str):
        return [(value, 1.0)]
    if not isinstance(value, Mapping):
        raise TypeError(
            f"corpus_adapter: got a {type(value).__name__}, expected a name, or a mapping of names "
            "to weights"
        )
    shares = []
    for name, weight in value.items():
        if not isinstance(name, str):
            raise TypeError(
                f"corpus_adapter: got the key {name!r}, expected the name of an adapter"
            )
        shares.append((name, as_real(weight, name=f"corpus_adapter[{name!r}]")))
    return shares


def _as_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name: got a {type(name).__name__}, expected a str")
    if not name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > 256:
        raise ValueError(f"name: got {name!r}, expected 1 to 256 bytes of text without NUL")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"name: got {name!r}, which is no text ({error})") from None
    return name


def _factors(u: Any, v: Any, dim: int) -> _Factors:
    """Return u and v, or a matrix and None."""
    from .transforms import Transform

    if isinstance(u, Transform):
        if v is not None:
            raise TypeError("v: got an array beside a transform, expected None")
        return _factors_of(u, dim)
    if v is None:
        matrix, _ = as_rows(u, name="u", dim=dim, storage="float32")
        if matrix.shape != (dim, dim):
            raise ValueError(
                f"u: got shape {matrix.shape}, expected ({dim}, {dim}) without v, or ({dim}, r) "
                "with v of the same shape"
            )
        return matrix, None
    left, right = (_as_factor(x, name, dim) for x, name in ((u, "u"), (v, "v")))
    if left.shape != right.shape:
        raise ValueError(f"v: got shape {right.shape}, expected that of u: {left.shape}")
    return left, right


def _as_factor(x: Any, name: str, dim: int) -> NDArray[np.float32]:
    array = np.asarray(x)
    if array.ndim != 2 or array.shape[0] != dim or not 1 <= array.shape[1] <= dim:
        raise ValueError(f"{name}: got shape {array.shape}, expected ({dim}, r), r from 1 to {dim}")
    return as_rows(array, name=name, dim=array.shape[1], storage="float32")[0]


def _factors_of(transform: Transform, dim: int) -> _Factors:
    """Return the matrices of a linear transform."""
    from .transforms import Affine, Diagonal, LowRank

    if isinstance(transform, Diagonal):
        return _factors(np.diag(transform.w), None, dim)
    if not isinstance(transform, (Affine, LowRank)):
        raise TypeError(
            f"u: got a transform of kind {transform.kind!r}, expected a linear one: Affine, "
            "LowRank or Diagonal; others have to be applied to the rows"
        )
    bias = transform.b if isinstance(transform, Affine) else transform.bias
    if bias is not None and bias.any():
        raise ValueError("u: got a transform with a bias, expected a linear one without")
    if isinstance(transform, Affine):
        return _factors(transform.w, None, dim)
    left = np.float32(transform.scale) * transform.b
    if left.shape[1] > dim:  # of more factors than columns a matrix is what is smaller
        return _factors(np.eye(dim) + left.astype(np.float64) @ transform.a, None, dim)
    return _factors(left, transform.a.T.copy(), dim)


def _measured(
    index: Index, name: str, queries: NDArray[np.float32] | None, most: int, seconds: float
) -> AdapterReport:
    rows = len(index)
    ids = index.ids
    some = ids[np.linspace(0, rows - 1, min(rows, most), dtype=np.int64)] if rows else ids
    plain = index.reconstruct(some)
    mapped = index.reconstruct(some, corpus_adapter=name)
    before = np.linalg.norm(plain.astype(np.float64), axis=1)
    factors = np.linalg.norm(mapped.astype(np.float64), axis=1)[before > 0] / before[before > 0]
    spread = np.quantile(factors, _SPREAD) if factors.size else np.full(3, np.nan)
    recall = base = float("nan")
    asked = mapped if queries is None else queries[:most]
    if len(asked) and rows:
        recall = _recall(index, asked, name)
        base = _recall(index, plain if queries is None else asked, None)
    warning = None
    if recall < base - _LOSS:
        warning = (
            f"corpus adapter {name!r}: searches with default parameters find {recall:.3f} of the "
            f"{_K} nearest rows under it, {base:.3f} without; raise nprobe, ef_search or rerank"
        )
    low, middle, high = (float(x) for x in spread)
    return AdapterReport(rows, seconds, len(asked), recall, base, (low, middle, high), warning)


def _recall(index: Index, queries: NDArray[np.float32], name: str | None) -> float:
    """Return what a search with default parameters finds of what an exhaustive one does."""
    if index.quantizer in STORAGES and not index._search_params:
        return 1.0
    everything: dict[str, Any] = {}
    if "nprobe" in index._search_params:
        everything = {"nprobe": 2**24}
    elif "ef_search" in index._search_params:
        everything = {"ef_search": _MOST_BREADTH}
    if not everything:
        return 1.0  # what a flat index answers is defined by its codes

    def ids(**params: Any) -> SearchResult:
        return index.search(queries, _K, corpus_adapter=name, **params)

    found, wanted = ids(), ids(**everything)
    hits = 0
    for mine, theirs, n in zip(found.ids, wanted.ids, wanted.counts, strict=True):
        hits += np.isin(mine, theirs[:n]).sum()
    return float(hits / max(int(wanted.counts.sum()), 1))
