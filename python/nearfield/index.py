"""What every index can do: :class:`Index`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .adding import add_rows
from .arguments import (
    Reader,
    as_deviations,
    as_flag,
    as_path,
    as_positive,
    as_real,
    as_threads,
    check_result_size,
    naming,
)
from .arrays import as_labels, as_rows
from .corpus_adapters import AdaptableIndex, CorpusAdapter, as_shares
from .live import LiveRows
from .mapping import MapsCorpus
from .placement import PlacedIndex
from .queries import as_mapped
from .result import RangeResult, SearchResult
from .tuning import Tuning, as_recall, params_reaching, setting_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._core import Index as CoreIndex
    from .transforms import Tokens, Transform

__all__ = ["Index"]

_TAKEN = ("filter", "transform", "corpus_adapter")


class Index(AdaptableIndex, MapsCorpus, PlacedIndex):
    """What every index can do: a :class:`FlatIndex`, :class:`IVFIndex` or :class:`HNSWIndex`.

    Notes
    -----
    Any number of threads may search while others add, remove or save.
    """

    _core: CoreIndex
    _range_params: ClassVar[Mapping[str, Reader]] = {}
    """How a range search's parameters are read, beyond those that every index takes."""
    _search_params: Mapping[str, Reader]
    """Likewise a search's."""
    _defaults: Mapping[str, int]
    """Of both, where a call does not give them."""
    _rerank: ClassVar[int] = 8
    """Rows re-ranked by default, as a multiple of k; 0: as the core chooses."""

    def __init__(self) -> None:
        raise TypeError(
            "Index is what indexes have in common; make a FlatIndex, an IVFIndex or an HNSWIndex"
        )

    @classmethod
    def _wrap(cls, core: CoreIndex) -> Self:
        index = cls.__new__(cls)
        index._bind(core)
        return index

    def _bind(self, core: CoreIndex) -> None:
        self._core = core
        self._rows = LiveRows(core)
        self._defaults = {}
        self._search_params = self._range_params
        if self.refine is not None:
            name, reader = ("epsilon", as_deviations) if core.by_signs else ("rerank", as_positive)
            self._search_params = {**self._range_params, name: reader}

    def _read_params(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Check the parameters of one search that only some kinds have."""
        if not params:
            return dict(self._defaults)
        known = self._search_params if method == "search" else self._range_params
        if not params.keys() <= known.keys():
            unknown = ", ".join(repr(name) for name in params if name not in known)
            recall = ["recall"] if method == "search" else []
            taken = [*_TAKEN, *known, *recall]
            raise TypeError(
                f"{method}() got unknown parameters {unknown}; a {type(self).__name__} "
                f"takes only {', '.join(taken)} and threads"
            )
        read = {name: known[name](value, name=name) for name, value in params.items()}
        return {**self._defaults, **read}

    @property
    def _untrained(self) -> str:
        return f"its {self.quantizer} codes are"

    def train(self, x: ArrayLike, *, threads: int | None = None) -> None:
        """Train the quantizer; where there is none, or a trained one, do nothing.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            Rows like those that will be added; large sets are sampled.
        threads : int, optional
            Threads for this call. Never changes the result.

        Raises
        ------
        ValueError
            Too few rows for the quantizer, or NaN or infinity.
        """
        if self.is_trained:
            return
        rows, _ = as_rows(x, name="x", dim=self.dim, storage=self._core.dtype)
        try:
            self._core.train(rows, as_threads(threads))
        except ValueError as error:
            raise naming(error, query="q", row="x") from None

    def add(
        self,
        x: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        on_duplicate: Literal["raise", "replace"] = "raise",
        threads: int | None = None,
    ) -> None:
        """Add rows.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            float32, float64, float16, bfloat16, int8 or uint8 in any memory layout.
        ids : array_like of int, shape (n,), optional
            int64 labels; by default the next row numbers, counting every row ever added.
        on_duplicate : {"raise", "replace"}, default "raise"
            What to do with a label that is already in the index.
        threads : int, optional
            Threads for this call.

        Raises
        ------
        TypeError
            An element type that would have to be guessed at.
        ValueError
            Wrong shape, NaN or infinity (the first such row is named), a value that overflows the
            stored type, or a duplicate label. Nothing is added then.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(1)
        >>> index.add(np.float32([[1], [2]]), ids=[7, 8])
        >>> index.add(np.float32([[5]]), ids=[7], on_duplicate="replace")
        >>> index.reconstruct([7, 8])
        array([[5.],
               [2.]], dtype=float32)
        """
        add_rows(self, x, ids, on_duplicate, threads, self._append)

    def remove(self, ids: ArrayLike) -> int:
        """Remove rows by label.

        Parameters
        ----------
        ids : array_like of int, or int
            Labels; unknown ones are skipped.

        Returns
        -------
        int
            How many rows were removed.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(1)
        >>> index.add(np.float32([[1], [2]]))
        >>> index.remove([1, 99])
        1
        """
        labels = as_labels(ids, name="ids")
        return self._rows.change(lambda: self._core.remove(labels))

    def search(
        self,
        q: ArrayLike,
        k: int = 10,
        *,
        filter: Any = None,
        transform: Transform | Sequence[Transform] | None = None,
        transform_ids: ArrayLike | None = None,
        tokens: Tokens | ArrayLike | None = None,
        corpus_adapter: CorpusAdapter = None,
        recall: float | None = None,
        threads: int | None = None,
        **params: Any,
    ) -> SearchResult:
        """Find the `k` nearest rows for every query.

        Parameters
        ----------
        q : array_like, shape (n_queries, dim) or (dim,)
            Queries, taken as float32.
        k : int, default 10
            Results per query, at least 1. May exceed the number of rows.
        filter : optional
            Rows that may answer: a boolean mask by row, an array of ids, a ``range`` of ids, or
            :class:`nearfield.Filter`.
        transform : Transform or sequence of Transform, optional
            What is applied to the queries first (:mod:`nearfield.transforms`), in the same call.
            `q` then has the dimensions that it takes. A sequence is a bundle: every query goes
            through each of its transforms, and results have an axis of that length after the
            queries.
        transform_ids : array_like of int, shape (n_queries,) or (n_queries, a), optional
            Which transform of the sequence each query goes through, -1 for none; with a second
            axis, a bundle for each query.
        tokens : Tokens, or array_like of shape (n_queries, vocab), optional
            What :class:`nearfield.transforms.LexicalModulation` takes beside the queries.
        corpus_adapter : str or mapping of str to float, optional
            Rows as a corpus adapter has them (:meth:`add_corpus_adapter`), or as the sum of the row
            and what each adapter adds to it, times its weight. A mixture that was not asked for
            since rows last changed takes one pass over them.
        recall : float, optional
            The share of the nearest rows to be found, in ``(0, 1]``: the search parameters are
            those that :func:`nearfield.tune` has measured as the fastest way to it, for the
            smallest level and `k` it knows that are large enough and the batch size nearest to the
            number of queries, without a filter. A flat index of rows as they are needs no tuning:
            it finds all.
        threads : int, optional
            Threads for this call. Never changes the result, but for another one than tuning had
            another setting may be the fastest.
        **params
            What only some indexes take: `nprobe` and `margin` (:class:`IVFIndex`), `ef_search`,
            `margin` and `rerank` (:class:`HNSWIndex`), with `refine` either `rerank` or `epsilon`
            (:class:`FlatIndex`, :class:`IVFIndex`), and `stream` (:meth:`to`). They and `recall`
            exclude each other.

        Returns
        -------
        SearchResult
            ``ids`` (labels), ``scores`` and ``counts``, best first, ties by smaller id. No query
            axis for one query of shape ``(dim,)``. Scores are those of what the index keeps of a
            row: the row itself, or what its code says where there is no more.

        Raises
        ------
        TypeError, ValueError
            As :func:`nearfield.topk`; `recall` together with other search parameters, or higher
            than tuning has reached, or for a larger `k`.
        NotTrainedError
            The index is not trained, or `recall` is given and it is not tuned.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(1)
        >>> index.add(np.float32([[0], [2], [5]]))
        >>> index.search(np.float32([1.9]), k=2, filter=range(1, 3)).ids
        array([1, 2])
        """
        if self._resident is not None:
            m = (transform, transform_ids, tokens)
            return self._resident.answer(q, k, filter, m, corpus_adapter, recall, threads, params)
        asked = self._read_params("search", params)
        if recall is not None and params:
            raise TypeError(
                f"search() got recall together with {', '.join(params)}: recall chooses them"
            )
        k = as_positive(k, name="k")
        if "rerank" in self._search_params:
            asked.setdefault("rerank", self._rerank * k)
        thread_count = as_threads(threads)
        queries = as_mapped("q", q, self._core.dim, transform, transform_ids, tokens)
        rows, n = queries.rows, queries.searched
        if recall is not None:
            asked |= params_reaching(self, as_recall(recall), k, n)
        if queries.map is not None:
            asked["map"] = queries.map
        if corpus_adapter is not None:
            asked["corpus_adapters"] = as_shares(corpus_adapter)
        check_result_size(n, k, self)
        try:
            found = self._rows.masked(
                filter, lambda m: self._core.search(rows, k, m, thread_count, **asked)
            )
        except ValueError as error:
            raise naming(error, query="q", row="x") from None
        return queries.shaped(SearchResult(*found))

    def range_search(
        self,
        q: ArrayLike,
        threshold: float,
        *,
        filter: Any = None,
        transform: Transform | Sequence[Transform] | None = None,
        transform_ids: ArrayLike | None = None,
        tokens: Tokens | ArrayLike | None = None,
        corpus_adapter: CorpusAdapter = None,
        threads: int | None = None,
        **params: Any,
    ) -> RangeResult:
        """Find every row within a threshold.

        Parameters
        ----------
        q : array_like, shape (n_queries, dim) or (dim,)
            Queries, taken as float32.
        threshold : float
            Largest squared distance for ``"l2"``, smallest similarity for ``"ip"`` and
            ``"cosine"``; rows whose float32 score equals the threshold answer. Where a score is
            beyond float32 its float64 value decides.
        filter, transform, transform_ids, tokens, corpus_adapter, threads, **params
            As :meth:`search`.

        Returns
        -------
        RangeResult
            Query ``i`` owns ``ids[lims[i]:lims[i + 1]]``, best first, ties by smaller id; of a
            bundle of `a` transforms, number `j` of query `i` counts as query ``i * a + j``.

        Raises
        ------
        TypeError, ValueError
            As :meth:`search`; a threshold that is no finite number.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(1)
        >>> index.add(np.float32([[0], [2], [5]]))
        >>> index.range_search(np.float32([1]), 1.0).ids
        array([0, 1])
        """
        asked = self._read_params("range_search", params)
        limit = as_real(threshold, name="threshold")
        asked["corpus_adapters"] = as_shares(corpus_adapter)
        thread_count = as_threads(threads)
        rows, _, mapping, *_ = as_mapped("q", q, self._core.dim, transform, transform_ids, tokens)
        try:
            found = self._rows.masked(
                filter,
                lambda m: self._core.range_search(
                    rows, limit, m, thread_count, map=mapping, **asked
                ),
            )
        except ValueError as error:
            raise naming(error, query="q", row="x") from None
        return RangeResult(*found)

    def reconstruct(
        self, ids: ArrayLike, *, corpus_adapter: CorpusAdapter = None
    ) -> NDArray[np.float32]:
        """Return stored rows by label.

        Parameters
        ----------
        ids : array_like of int, or int
            Labels, repeated or in any order.
        corpus_adapter : str or mapping of str to float, optional
            Rows as an adapter has them, see :meth:`search`.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            The stored values, widened exactly.

        Raises
        ------
        KeyError
            A label is not in the index.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(2, quantizer="uint8")
        >>> index.add(np.uint8([[1, 2], [3, 4]]))
        >>> index.reconstruct([1])
        array([[3., 4.]], dtype=float32)
        """
        labels = as_labels(ids, name="ids")
        try:
            return self._core.reconstruct(labels, as_shares(corpus_adapter))
        except (IndexError, KeyError) as error:
            raise KeyError(error.args[0] if error.args else f"ids: {error}") from None

    def save(self, path: str | os.PathLike[str], *, durable: bool = True) -> None:
        """Write the index to a file, all or nothing.

        Parameters
        ----------
        path : path-like
            Replaced only once the new file is complete.
        durable : bool, default True
            Return only after the bytes are on the disk.

        Raises
        ------
        OSError
            The file cannot be written; an older file at `path` is still whole.

        Examples
        --------
        See :func:`nearfield.load`.
        """
        self._core.save(os.fsencode(as_path(path, name="path")), as_flag(durable, name="durable"))

    def __len__(self) -> int:
        return len(self._core)

    def __contains__(self, label: Any) -> bool:
        return bool(self._core.contains(as_labels([label], name="label"))[0])

    @property
    def dim(self) -> int:
        """Columns of the vectors."""
        return self._core.dim

    @property
    def metric(self) -> str:
        """``"l2"``, ``"ip"`` or ``"cosine"``."""
        return self._core.metric

    @property
    def quantizer(self) -> str:
        """Name of the type the rows are stored in, or of the quantizer that codes them."""
        return self._core.quantizer

    @property
    def refine(self) -> str | None:
        """Type of the rows kept beside a quantizer's codes; None where there are none."""
        refines = self._core.keeps_rows and self._core.quantizer != self._core.dtype
        return self._core.dtype if refines else None

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added without training first."""
        return self._core.is_trained

    @property
    def nbytes(self) -> int:
        """Bytes of memory the index holds."""
        return self._core.nbytes

    @property
    def ids(self) -> NDArray[np.int64]:
        """Labels of the live rows, in the order a boolean filter names them; a copy."""
        return self._core.labels()

    @property
    def tuning(self) -> Tuning | None:
        """What :func:`nearfield.tune` has measured; None where it has not."""
        rows = self._core.tuning()
        if not rows:
            return None
        return Tuning(tuple(setting_of(row, self._search_params) for row in rows))

    def stats(self) -> dict[str, Any]:
        """Return figures about the index: rows, bytes and what the scan stores beside them."""
        return dict(self._core.stats())

    def __reduce__(self) -> tuple[Any, ...]:
        from .files import from_bytes

        with tempfile.TemporaryDirectory(prefix="nearfield-") as folder:
            path = os.path.join(folder, "index")
            self._core.save(os.fsencode(path), False)
            with open(path, "rb") as file:
                return (from_bytes, (file.read(),))
