"""Mapping the rows of an index in bulk into a new one: :func:`map_corpus`.

For maps that a search cannot fold into the query, such as a key-value adapter on the corpus side.
Rows are mapped block by block; with a path, through a file that an interrupted call goes on with
(``mapped_rows.py``). The new index is made from all of them at the end, so the way there does not
show in it.

Cost: one pass of the transform over the rows, and building the index. Source: own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arguments import as_flag, as_path, as_positive, as_threads
from .mapped_rows import mapped_rows
from .progress import Progress, bar

if TYPE_CHECKING:
    from .index import Index
    from .transforms import Transform

__all__ = ["MapsCorpus", "map_corpus"]

_BLOCK_BYTES = 1 << 24
_SAMPLED_ROWS = 1024


def map_corpus(
    index: Index,
    transform: Transform,
    path: str | os.PathLike[str] | None = None,
    *,
    into: Index | None = None,
    approximate: bool = False,
    block_rows: int | None = None,
    progress: Progress = None,
    threads: int | None = None,
) -> Index:
    """Make an index of the mapped rows of another, under the same labels.

    Parameters
    ----------
    index : Index
        Where the rows are; it is only read, and must not change meanwhile.
    transform : Transform
        What maps them. Linear maps need no new index: see ``add_corpus_adapter``.
    path : path-like, optional
        File to save the new index to. Mapped rows then go through the folder ``<path>.mapping``:
        a call that was interrupted leaves it behind, and the same call made again goes on from it
        and ends with the same bytes. Training and building the index start anew.
    into : Index, optional
        An empty index that takes the mapped rows; by default one of the same kind and settings as
        `index`. If it is not trained it is trained on them.
    approximate : bool, default False
        Map decoded codes where the index keeps no rows. Under ``"cosine"`` they are of unit length.
    block_rows : int, optional
        Rows mapped at a time; by default as many as take 16 MiB. Never changes the result.
    progress : bool or callable, optional
        Draw a bar or not, or be called with rows done and all rows; by default a bar on a terminal.
    threads : int, optional
        Threads for this call. Never changes the result.

    Returns
    -------
    Index
        `into`, or the new index. Labels of rows that were removed count as free in it.

    Raises
    ------
    TypeError, ValueError
        A transform that needs tokens or takes another dimension; an index that keeps no rows,
        without `approximate`; rows stored as int8 or uint8, without `into`; too few rows to train
        on; a ``<path>.mapping`` of another index or transform. `index` and any file at `path` are
        as they were.
    CorruptFileError
        ``<path>.mapping`` is damaged; remove it.
    RuntimeError
        The index changed while it was being mapped.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> index = nf.FlatIndex(2)
    >>> index.add(np.float32([[3, 0], [0, 5]]), ids=[10, 20])
    >>> mapped = nf.map_corpus(index, nf.transforms.Normalize())
    >>> mapped.reconstruct([20])
    array([[0., 1.]], dtype=float32)
    """
    _check_transform(transform, index.dim)
    _check_source(index, into, as_flag(approximate, name="approximate"))
    as_threads(threads)
    dim = transform.out_dim or index.dim
    made = index._empty(dim) if into is None else _checked_into(into, index, dim)
    size = max(1, _BLOCK_BYTES // (4 * max(index.dim, dim)))
    if block_rows is not None:
        size = as_positive(block_rows, name="block_rows")
    labels = index.ids
    blocks = MappedBlocks(index, transform, labels, size, threads)
    if path is None:
        rows = np.empty((len(labels), dim), np.float32)
        with bar(len(labels), "Mapping", "row", progress) as advance:
            for start, block in blocks.after(0):
                rows[start : start + len(block)] = block
                advance(len(block))
        _fill(made, index, rows, labels, threads)
        return made
    target = as_path(path, name="path")
    with mapped_rows(target + ".mapping", blocks, dim, progress) as rows:
        _fill(made, index, rows, labels, threads)
    made.save(target)
    shutil.rmtree(target + ".mapping")
    return made


class MapsCorpus:
    """The part of an index that makes another of its rows."""

    def _empty(self, dim: int) -> Index:
        """Return an empty index of `dim` columns with the settings of this one."""
        raise TypeError(f"{type(self).__name__} has no settings to make an index by")

    map_corpus = map_corpus  # the function as a method: `index` is what it is called on


class MappedBlocks:
    """The rows of an index, mapped some at a time in the order of adding."""

    def __init__(
        self,
        index: Index,
        transform: Transform,
        labels: NDArray[np.int64],
        size: int,
        threads: int | None,
    ) -> None:
        self._index, self._transform = index, transform
        self._labels, self._size, self._threads = labels, size, threads

    def __len__(self) -> int:
        return len(self._labels)

    def after(self, first: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield number and mapped values of the rows from `first` on."""
        for start in range(first, len(self._labels), self._size):
            rows = self._stored(self._labels[start : start + self._size])
            try:
                yield start, self._transform(rows, threads=self._threads)
            except ValueError as error:
                raise ValueError(f"rows {start} to {start + len(rows) - 1}: {error}") from None

    def fingerprint(self) -> str:
        """Return what tells this mapping from others: labels, a sample of rows, the transform."""
        from . import __version__

        digest = hashlib.sha256()
        config = [__version__, self._index.dim, self._transform.kind, self._transform.config()]
        digest.update(json.dumps(config).encode())
        for name, array in self._transform.parameters().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.tobytes())
        digest.update(self._labels.tobytes())
        stride = max(1, len(self._labels) // _SAMPLED_ROWS)
        digest.update(self._stored(self._labels[::stride]).tobytes())
        return digest.hexdigest()

    def _stored(self, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            return self._index.reconstruct(labels)
        except KeyError:
            raise _changed() from None


def _changed() -> RuntimeError:
    return RuntimeError("the index changed while it was being mapped; nothing was made of it")


def _check_transform(transform: Any, dim: int) -> None:
    from .transforms import Transform

    if not isinstance(transform, Transform) or transform.kind == "lexical":
        raise TypeError(
            f"transform: got a {type(transform).__name__}, expected a transform of vectors alone"
        )
    if transform.in_dim not in (None, dim):
        raise ValueError(f"transform: takes {transform.in_dim} dimensions, but the rows have {dim}")


def _check_source(index: Index, into: Index | None, approximate: bool) -> None:
    if not index._core.keeps_rows and not approximate:
        raise ValueError(
            f"index: keeps only {index.quantizer} codes of its rows; approximate=True maps what "
            "they decode to, an index with refine= keeps rows"
        )
    if into is None and index._core.dtype in ("int8", "uint8"):
        raise ValueError(
            f"index: its rows are {index._core.dtype}, which mapped rows are not; pass an empty "
            "index that holds float16 or float32 as into="
        )


def _checked_into(into: Any, index: Index, dim: int) -> Index:
    from .index import Index as AnyIndex

    if not isinstance(into, AnyIndex):
        raise TypeError(f"into: got a {type(into).__name__}, expected an index")
    if len(into) or into.dim != dim:
        raise ValueError(
            f"into: got {len(into)} rows of {into.dim} dimensions, expected none, of {dim}"
        )
    return into


def _fill(
    made: Index,
    index: Index,
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    threads: int | None,
) -> None:
    """Train `made` if it must be, and add the rows, all of them at once."""
    if not np.array_equal(index.ids, labels):
        raise _changed()
    if not len(labels):
        return
    if not made.is_trained:
        try:
            made.train(rows, threads=threads)
        except ValueError as error:
            raise ValueError(f"{error}; pass an index that suits the rows as into=") from None
    numbered = np.array_equal(labels, np.arange(len(labels)))
    made.add(rows, ids=None if numbered else labels, threads=threads)
