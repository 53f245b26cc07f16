"""Data sets: folders of arrays with ground truth, and the HDF5 files of ann-benchmarks.

A folder holds ``base.npy``, ``queries.npy`` and, where known, ``gt_ids.npy`` (exact neighbours,
best first). An HDF5 file holds ``train``, ``test``, ``neighbors`` and the attribute ``distance``
(or ``metric``). Either way every method gets the same C-contiguous float32 arrays: for angular sets
unit vectors with metric "ip", so that cosine, inner product and distance rank alike.

Queries are asked in one shuffled order: a file may have the easy ones first, as glove100 does, and
at one query a call slow methods ask the first ones only.

Batches larger than the stored queries are filled up with perturbed copies (see ``query_pool``), so
that no call meets the same vector twice and no library profits from answering a query again.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.pareto.judge import Array, exact_neighbours, true_scores

PERTURBATION = 0.1  # length of the noise relative to the query
POOL_SEED = 20_240_607
TRUTH_DEPTH = 100
# Shared folders by name: the metric they are ranked by.
SHIPPED = {"minilm-debian": "ip", "glove100": "ip", "sift": "l2"}
FOLDERS = {**SHIPPED, "debian-sentences": "ip"}  # python -m bench.pareto make
_ANGULAR = {"angular", "cosine", "ip", "dot"}
_SQUARED = {"euclidean", "l2", "sqeuclidean"}


@dataclass(frozen=True)
class Source:
    """Which data to load and how much of it: small enough to send to another process.

    Attributes
    ----------
    name : str
        A folder under the data root, a path of a folder, or a path of an HDF5 file.
    rows, queries : int
        Upper limits; 0 means all. A limit on rows makes the ground truth anew.
    pool : int
        How many distinct queries to have, perturbed ones included; 0 means the stored ones.
    """

    name: str
    rows: int = 0
    queries: int = 0
    pool: int = 0


@dataclass(frozen=True)
class Dataset:
    """One data set in memory. ``pool[:judged]`` are the stored queries, which ``kth`` belongs
    to."""

    name: str
    metric: str
    base: Array
    pool: Array
    judged: int
    truth_scores: Array
    largest_norm: float
    integral: bool

    @property
    def n(self) -> int:
        """Number of base rows."""
        return len(self.base)

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return int(self.base.shape[1])

    def kth(self, k: int) -> Array:
        """Exact k-th score of every stored query."""
        depth = self.truth_scores.shape[1]
        if k > depth:
            raise ValueError(
                f"k={k} for {self.name}: ground truth is known up to k={depth}; ask less"
            )
        column: Array = self.truth_scores[:, k - 1]
        return column


def data_root() -> Path:
    """Folder with the data sets: ``NEARFIELD_DATA``, or ``../shared/data`` beside the
    repository."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("NEARFIELD_DATA", default))


def unit_rows(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def query_pool(stored: Array, size: int, integral: bool) -> Array:
    """Stored queries first, then perturbed copies of them until there are ``size``.

    The noise is Gaussian, a tenth of the query's length, from a fixed seed. Queries of integer data
    are rounded and clipped to bytes again, so that they stay what the data are. The copies are
    perturbed queries and not perturbed base rows: those would have a neighbour at distance nearly
    zero, which flatters every method that prunes by the best score so far.
    """
    if size <= len(stored):
        return stored
    rng = np.random.default_rng(POOL_SEED)
    picks = np.arange(size - len(stored)) % len(stored)
    source = stored[picks]
    noise = rng.standard_normal(source.shape, dtype=np.float32)
    noise *= np.linalg.norm(source, axis=1, keepdims=True) / np.linalg.norm(
        noise, axis=1, keepdims=True
    )
    extra = source + PERTURBATION * noise
    if integral:
        extra = np.clip(np.rint(extra), 0, 255)
    return np.ascontiguousarray(np.concatenate([stored, extra]), dtype=np.float32)


def _read_folder(folder: Path, metric: str) -> tuple[Array, Array, Array | None, str]:
    truth = folder / "gt_ids.npy"
    ids = np.load(truth) if truth.exists() else None
    return np.load(folder / "base.npy"), np.load(folder / "queries.npy"), ids, metric


def _read_hdf5(path: Path) -> tuple[Array, Array, Array | None, str]:
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        word = file.attrs.get("distance", file.attrs.get("metric", ""))
        word = word.decode() if isinstance(word, bytes) else str(word)
        if word.lower() in _ANGULAR:
            metric = "ip" if word.lower() in {"ip", "dot"} else "cosine"
        elif word.lower() in _SQUARED:
            metric = "l2"
        else:
            raise ValueError(
                f"{path.name}: attribute 'distance' is {word!r}, expected one of "
                f"{sorted(_ANGULAR | _SQUARED)}; set it in the file"
            )
        missing = {"train", "test"} - set(file.keys())
        if missing:
            raise ValueError(
                f"{path.name}: lacks {sorted(missing)}, expected ann-benchmarks' layout"
            )
        ids = file["neighbors"][:] if "neighbors" in file else None
        return file["train"][:], file["test"][:], ids, metric


def _read(name: str) -> tuple[Array, Array, Array | None, str]:
    path = Path(name)
    if path.suffix in {".hdf5", ".h5"}:
        if not path.is_file():
            raise FileNotFoundError(f"data file {name!r} is not there")
        return _read_hdf5(path)
    if path.is_dir():
        word = (path / "metric.txt").read_text().strip() if (path / "metric.txt").exists() else ""
        return _read_folder(path, word or FOLDERS.get(path.name, "l2"))
    folder = data_root() / name
    if name not in FOLDERS or not folder.is_dir():
        raise FileNotFoundError(
            f"no data set {name!r}: expected one of {sorted(FOLDERS)} under NEARFIELD_DATA "
            f"or ../shared/data, a folder with base.npy and queries.npy, or an .hdf5 file"
        )
    return _read_folder(folder, "cosine" if FOLDERS[name] == "ip" else FOLDERS[name])


def query_order(count: int) -> NDArray[np.intp]:
    """The order in which the stored queries are asked."""
    return np.random.default_rng(POOL_SEED).permutation(count)


def load(source: Source) -> Dataset:
    """Load a data set, with ground truth for its stored queries.

    Raises
    ------
    FileNotFoundError
        If there is no such data set.
    ValueError
        If a file's metric or layout is unknown.
    """
    raw_base, raw_queries, ids, metric = _read(source.name)
    order = query_order(len(raw_queries))
    raw_queries, ids = raw_queries[order], None if ids is None else ids[order]
    integral = raw_base.dtype.kind in "iu"
    base = np.ascontiguousarray(raw_base, dtype=np.float32)
    queries = np.ascontiguousarray(raw_queries, dtype=np.float32)
    if metric == "cosine":
        base, queries, metric = unit_rows(base), unit_rows(queries), "ip"
    if source.rows and source.rows < len(base):
        base, ids = np.ascontiguousarray(base[: source.rows]), None
    if source.queries:
        queries = queries[: source.queries]
    if ids is None:
        truth = exact_neighbours(base, queries, TRUTH_DEPTH, metric)[1]
    else:
        truth = true_scores(base, queries, ids[: len(queries), :TRUTH_DEPTH], metric)
    pool = query_pool(queries, source.pool, integral)
    if (
        metric == "ip"
        and source.pool > len(queries)
        and np.allclose(np.linalg.norm(queries[:64], axis=1), 1.0, atol=1e-3)
    ):
        pool = np.concatenate([queries, unit_rows(pool[len(queries) :])])
    return Dataset(
        name=Path(source.name).stem if "/" in source.name else source.name,
        metric=metric,
        base=base,
        pool=np.ascontiguousarray(pool),
        judged=min(len(queries), len(pool)),
        truth_scores=truth,
        largest_norm=float(np.einsum("nd,nd->n", base, base).max()),
        integral=integral,
    )
