"""Search in the inverted lists near a query: :class:`IVFIndex`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .adding import add_rows
from .arguments import (
    LARGEST_DIM,
    Metric,
    Reader,
    as_flag,
    as_margin,
    as_metric,
    as_natural,
    as_positive,
    as_threads,
    choose,
    naming,
)
from .arrays import as_rows
from .coding import as_coding
from .cuda.library import as_ordinal, library
from .index import Index
from .quant import Quantizer

__all__ = ["IVFIndex"]

Coarse = Literal["flat", "hierarchical"]
COARSE: tuple[Coarse, ...] = ("flat", "hierarchical")


class IVFIndex(Index):
    """Inverted file: rows lie in the lists of their nearest centroids, a search looks into a few.

    Within the lists it looks into, search is exact over what is stored, rows or codes, as that of
    :class:`FlatIndex`: with ``nprobe=nlist`` both answer the same.

    Parameters
    ----------
    dim : int
        Columns of the vectors, at most 65,536.
    nlist : int
        Inverted lists. A few times the square root of the number of rows is usual.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.
    quantizer, refine
        What is stored of a row, as in :class:`FlatIndex`.
    coarse : {"flat", "hierarchical"}, default "flat"
        How the nearest lists of a row or query are found. ``"flat"`` looks at every centroid.
        ``"hierarchical"`` has the centroids in about ``sqrt(8 * nlist)`` groups and looks at those
        of the ``16 + 4 * sqrt(nprobe)`` groups whose means are nearest, or at all where that would
        be half of the groups. It pays from some thousands of lists on; see Notes.
    residual : bool, default True
        Whether a quantizer codes what a row differs from the centroid of its list, which is
        smaller than the row. Ignored where rows are stored as they are.
    seed : int, default 0
        What training draws its sample and first centroids by.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong type, or an unknown name (the message lists the names).

    Notes
    -----
    Any number of threads may search while others add, remove or save.

    The first :meth:`add` to an index that is not trained yet trains it on the rows it adds, with a
    warning.

    Search parameters: `nprobe`, the lists to look into at most, by default the square root of
    `nlist`; and `margin`: lists further from the query than the nearest one by more than that are
    left out, by default none. Distances are Euclidean under ``"l2"``, otherwise differences of the
    cosine. At equal recall a larger `nprobe` with a margin looks into fewer rows than `nprobe`
    alone. Where these lists hold fewer than `k` rows that may answer, more are looked into.

    What ``coarse="hierarchical"`` is worth on 331,479 rows of 100 columns, in CPU time of one
    thread with AMX, against ``"flat"`` with as many lists and probes:

    =====  ======  ===========  ===========  ===============  ===============
    nlist  nprobe  train + add  one query    batch, coarse    recall@10
    =====  ======  ===========  ===========  ===============  ===============
    1024   32      3.6 (2.7) s  89 (84) us   11 (7) us        0.913 (0.922)
    4096   64      4.6 (5.3) s  93 (133) us  20 (14) us       0.908 (0.916)
    16384  128     7.4 (15) s   130 (399) us 42 (43) us       0.909 (0.916)
    =====  ======  ===========  ===========  ===============  ===============

    In parentheses: ``"flat"``. *One query* is a whole search, *batch, coarse* the share of a query
    in finding the lists for 5,000 at once. Below 4,096 lists it gains nothing. Without AMX batches
    gain as well: two to four times less for these 16,384 lists on AVX-512 and AVX2.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rows = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
    >>> index = nf.IVFIndex(2, nlist=2)
    >>> index.train(rows)
    >>> index.add(rows)
    >>> index.search(np.float32([8, 8]), k=2, nprobe=1).ids
    array([3, 2])
    """

    _core: _core.IVFIndex
    _range_params: ClassVar[Mapping[str, Reader]] = {"nprobe": as_positive, "margin": as_margin}

    def __init__(
        self,
        dim: int,
        nlist: int,
        metric: Metric = "l2",
        *,
        quantizer: str | Quantizer = "float32",
        refine: str | None = None,
        coarse: Coarse = "flat",
        residual: bool = True,
        seed: int = 0,
    ) -> None:
        dim = as_positive(dim, name="dim", largest=LARGEST_DIM)
        nlist = as_positive(nlist, name="nlist", largest=2**24)
        coding = as_coding(quantizer, refine, dim)
        residual = as_flag(residual, name="residual")
        choose(coarse, COARSE, name="coarse")
        seed = as_natural(seed, name="seed")
        kind = as_metric(metric)
        self._bind(
            _core.IVFIndex(
                dim,
                kind,
                coding.dtype,
                nlist,
                seed,
                coding.quantizer,
                coding.keeps_rows,
                residual,
                coarse == "hierarchical",
            )
        )

    def train(self, x: ArrayLike, *, threads: int | None = None, device: str | None = None) -> None:
        """Find the centroids of the lists by k-means, and train the quantizer, if there is one.

        Parameters
        ----------
        x : array_like, shape (n, dim)
            Rows like those that will be added, at least `nlist` of them; of many, 256 a list are
            drawn.
        threads : int, optional
            Threads for this call. Never changes the result.
        device : str, optional
            Where the centroids are found: ``"cpu"``, ``"cuda"`` or ``"cuda:<number>"``, by default
            where the index is searched. Never changes the result. A quantizer is trained on the
            CPU.

        Raises
        ------
        ValueError
            Fewer rows than lists, NaN or infinity, or an index that is trained already.
        DeviceError
            No device, or one that fails or has too little memory. The index is then as it was.

        Examples
        --------
        See :class:`IVFIndex`.
        """
        ordinal = self._where(device)
        rows, _ = as_rows(x, name="x", dim=self.dim, storage=self._core.dtype)
        try:
            if ordinal is None:
                self._core.train(rows, as_threads(threads))
            else:
                library().train_lists(self._core, rows, as_threads(threads), ordinal)
        except ValueError as error:
            raise naming(error, query="q", row="x") from None

    def add(
        self,
        x: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        on_duplicate: Literal["raise", "replace"] = "raise",
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        """Add rows to the lists of their nearest centroids.

        Parameters
        ----------
        x, ids, on_duplicate, threads
            As in :meth:`Index.add`.
        device : str, optional
            Where the lists of the rows are found: ``"cpu"``, ``"cuda"`` or ``"cuda:<number>"``, by
            default where the index is searched. The index becomes the same either way. Lists found
            through groups (``coarse="hierarchical"``), and those of an index that is not trained,
            are found on the CPU.

        Raises
        ------
        TypeError, ValueError
            As in :meth:`Index.add`. Nothing is added then.
        DeviceError
            No device, or one that fails or has too little memory. Nothing is added then.

        Examples
        --------
        See :class:`IVFIndex`.
        """
        ordinal = self._where(device)
        append: Callable[..., None] = self._core.add
        if ordinal is not None and self.is_trained and self.coarse == "flat":
            append = partial(library().add_to_lists, self._core, device=ordinal)
        add_rows(self, x, ids, on_duplicate, threads, append)

    def _where(self, device: str | None) -> int | None:
        """Return the device of the lists: the first of those that searches run on."""
        return as_ordinal(self.device.partition(",")[0] if device is None else device)

    @property
    def _untrained(self) -> str:
        return f"its {self.nlist} lists are"

    def _bind(self, core: Any) -> None:
        super()._bind(core)
        self._defaults = {"nprobe": max(1, round(self.nlist**0.5))}

    def _empty(self, dim: int) -> IVFIndex:
        return IVFIndex(
            dim,
            self.nlist,
            as_metric(self.metric),
            quantizer=self.quantizer,
            refine=self.refine,
            coarse=self.coarse,
            residual=self.residual,
            seed=self.seed,
        )

    @property
    def nlist(self) -> int:
        """Inverted lists."""
        return self._core.nlist

    @property
    def coarse(self) -> Coarse:
        """How the nearest lists of a query are found."""
        return "hierarchical" if self._core.hierarchical else "flat"

    @property
    def residual(self) -> bool:
        """Whether codes are of what rows differ from centroids; False where there are no codes."""
        return self._core.residual

    @property
    def seed(self) -> int:
        """What training draws by."""
        return self._core.seed

    @property
    def centroids(self) -> NDArray[np.float32]:
        """Centroids of the lists, shape (nlist, dim); a copy."""
        return self._core.centroids()

    @property
    def list_sizes(self) -> NDArray[np.uint32]:
        """Rows of every list, shape (nlist,), those removed since the last compaction included."""
        return self._core.list_sizes()

    def __repr__(self) -> str:
        return (
            f"IVFIndex(dim={self.dim}, nlist={self.nlist}, metric={self.metric!r}, "
            f"quantizer={self.quantizer!r}) with {len(self)} rows"
        )
