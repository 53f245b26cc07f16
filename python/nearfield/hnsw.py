"""Search along the links of a graph over the rows: :class:`HNSWIndex`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from . import _core
from .arguments import (
    LARGEST_DIM,
    Metric,
    Reader,
    as_margin,
    as_metric,
    as_natural,
    as_positive,
)
from .coding import as_coding
from .index import Index
from .quant import Quantizer

__all__ = ["HNSWIndex"]

_SEARCH_PARAMS: Mapping[str, Reader] = {
    "ef_search": as_positive,
    "margin": as_margin,
    "rerank": as_positive,
}


class HNSWIndex(Index):
    """A graph of links between near rows: a search walks from row to row towards the query.

    Parameters
    ----------
    dim : int
        Columns of the vectors, at most 65,536.
    m : int, default 32
        Links of a row, 2 to 512: at most `m` on the upper levels of the graph and twice as many on
        the lowest, which has every row. More links find more, for more memory.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.
    ef_construction : int, default 200
        Rows among which the links of a new one are chosen, 1 to 65,536. More make a better graph
        and a slower :meth:`add`.
    quantizer, refine
        What is stored of a row, as in :class:`FlatIndex`.
    seed : int, default 0
        What the codes of a walk are rotated by, and which rows the upper levels have.

    Raises
    ------
    TypeError, ValueError
        A parameter of the wrong type or out of its range, or an unknown name (the message lists
        the names).

    Notes
    -----
    Any number of threads may search while others add, remove or save.

    Search parameters, the first and the last integers of at least 1:

    `ef_search`
        Breadth of a search, 64 by default and never less than `k`: it ends when no link leads to a
        row nearer than the `ef_search` nearest ones it has seen. The price of recall. With as many
        as there are rows, or more, every row is scored and the answer is exact.
    `margin`
        A search also ends when what is left is further away than ``1 + margin`` times the distance
        of the `k`-th nearest row it has seen (Euclidean; under ``"cosine"`` and, where all rows
        are about equally long, ``"ip"``, that of unit vectors); by default that ends none. So a
        query among many rows almost as near as the `k` nearest is given more time, and others
        less: at equal recall 1.3 to 1.8 times fewer rows are looked at than with `ef_search`
        alone, which is 1,024 by default where there is a margin. 0.05 to 0.15 are usual.
    `rerank`
        How many of these are scored by what is stored of them, by default as many as the index
        finds enough for `k` and the search's length. A walk ranks rows by codes of its own, 4 bits
        a dimension, whatever `quantizer` is.

    Scores are those of what is stored, to the bit what :class:`FlatIndex` gives to the same row.
    With a `filter` that lets few rows through, these are scored one and all instead of walking, so
    that `k` rows come back wherever `k` may answer. :meth:`range_search` reads every row, is exact
    and takes no parameters.

    Rows that are stored as they are need no training. Removed rows never answer, but walks pass
    through them until enough of them have come together and the graph goes on without them.

    The graph and the answers are the same for any number of threads and any level, but not for
    rows that were added in other portions. On a device (:meth:`to`) `ef_search` and `margin` are
    taken, and rows added in bulk, as to an empty index, get their links there, from the rows that
    are truly nearest to each: ``nf.HNSWIndex(dim).to("cuda:0").add(rows)``. Codes
    without `refine` are linked on the CPU, and on a device they take the memory of float32 rows.

    References
    ----------
    Yu. A. Malkov, D. A. Yashunin, "Efficient and robust approximate nearest neighbor search using
    Hierarchical Navigable Small World graphs", arXiv:1603.09320. `margin`: Y. Al-Jazzazi et al.,
    "Distance adaptive beam search for provably accurate graph-based nearest neighbor search",
    arXiv:2505.15636.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> rows = np.random.default_rng(0).standard_normal((1000, 16), dtype=np.float32)
    >>> index = nf.HNSWIndex(16, m=8)
    >>> index.add(rows)
    >>> index.search(rows[:3], k=1, ef_search=32).ids
    array([[0],
           [1],
           [2]])
    """

    _core: _core.HNSWIndex
    _rerank: ClassVar[int] = 0

    def __init__(
        self,
        dim: int,
        m: int = 32,
        metric: Metric = "l2",
        *,
        ef_construction: int = 200,
        quantizer: str | Quantizer = "float32",
        refine: str | None = None,
        seed: int = 0,
    ) -> None:
        dim = as_positive(dim, name="dim", largest=LARGEST_DIM)
        m = as_positive(m, name="m", least=2, largest=512)
        kind = as_metric(metric)
        breadth = as_positive(ef_construction, name="ef_construction", largest=2**16)
        coding = as_coding(quantizer, refine, dim)
        seed = as_natural(seed, name="seed")
        self._bind(
            _core.HNSWIndex(
                dim, kind, coding.dtype, m, breadth, seed, coding.quantizer, coding.keeps_rows
            )
        )

    def _bind(self, core: Any) -> None:
        super()._bind(core)
        self._search_params = _SEARCH_PARAMS

    @property
    def m(self) -> int:
        """Links of a row on the upper levels; the lowest has up to twice as many."""
        return self._core.m

    @property
    def ef_construction(self) -> int:
        """Rows among which the links of a new one are chosen."""
        return self._core.ef_construction

    @property
    def seed(self) -> int:
        """What chance is drawn by."""
        return self._core.seed

    def _empty(self, dim: int) -> HNSWIndex:
        return HNSWIndex(
            dim,
            self.m,
            as_metric(self.metric),
            ef_construction=self.ef_construction,
            quantizer=self.quantizer,
            refine=self.refine,
            seed=self.seed,
        )

    def stats(self) -> dict[str, Any]:
        """Return figures about the index and its graph.

        Returns
        -------
        dict
            As of every index, and: ``levels``, the nodes of each level from the lowest on, removed
            ones included; of the lowest level ``mean_links``, ``least_links`` and ``most_links`` of
            a node and ``reachable``, the nodes that links lead to; ``link_bytes``, and
            ``walk_bytes`` of the codes that walks read; ``m``, ``ef_construction`` and ``seed``.
            All links are read for it.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.HNSWIndex(4, m=8)
        >>> index.add(np.random.default_rng(0).standard_normal((50, 4), dtype=np.float32))
        >>> stats = index.stats()
        >>> stats["levels"], stats["reachable"]
        ([50], 50)
        """
        return super().stats()

    def __repr__(self) -> str:
        return (
            f"HNSWIndex(dim={self.dim}, m={self.m}, metric={self.metric!r}, "
            f"quantizer={self.quantizer!r}) with {len(self)} rows"
        )
