"""RaBitQ-Library: inverted lists of RaBitQ codes, scanned by one bit and refined by the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params, required
from bench.pareto.methods.faiss_ivf import PROBES, list_count

KMEANS_ROUNDS = 10


class RabitqlibIvf(Method):
    """Seven bits a dimension, no raw vectors. Lists by faiss's k-means, as its examples make them.

    Neither factor of its search is a re-ranking count: its bounds decide what is refined.
    """

    name = "rabitqlib-ivf7"
    family = "ivf"
    package = "rabitqlib"
    modules = ("rabitqlib", "faiss")
    bits: ClassVar[int] = 7

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Cluster, then encode."""
        library, faiss = required("rabitqlib"), required("faiss")
        self._threads, self._probes = threads, 1
        self._lists = list_count(len(base))
        faiss.omp_set_num_threads(threads)
        means = faiss.Kmeans(base.shape[1], self._lists, niter=KMEANS_ROUNDS, seed=1)
        means.train(base)
        nearest = means.index.search(base, 1)[1][:, 0].astype(np.uint32)
        self._index: Any = library.IvfIndex(
            base.shape[1], len(base), self._lists, self.bits, metric
        )
        self._index.build(
            base, means.centroids, nearest, num_threads=threads, fast_quantization=True
        )

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited."""
        return [[{"nprobe": probes} for probes in PROBES if probes <= self._lists]]

    def configure(self, params: Params) -> None:
        """Remember: it is an argument of each call."""
        self._probes = params["nprobe"]

    def search(self, queries: Array, k: int) -> Array:
        """Search the batch in one call."""
        found = self._index.search(queries, k, self._probes, num_threads=self._threads)
        ids: Array = next(part for part in found if part.dtype.kind in "iu")
        return ids


class RabitqlibIvfNineBits(RabitqlibIvf):
    """Nine bits, the most that it offers."""

    name = "rabitqlib-ivf9"
    bits = 9


class RabitqlibIvfRaw(RabitqlibIvf):
    """One bit a dimension, and the raw vectors to refine by."""

    name = "rabitqlib-ivf-raw"
    bits = 32
