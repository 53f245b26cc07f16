"""NumPy: float32 matrix product, then argpartition and a sort of the k found."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, required


class NumpyMatmul(Method):
    """Brute force as most people write it, with the score buffer reused between chunks."""

    name = "numpy"
    family = "exact"
    package = "numpy"
    modules = ("threadpoolctl",)
    chunk = 256
    borrows_base = True

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Keep the rows, and their squared norms for "l2"."""
        controller = required("threadpoolctl").ThreadpoolController()
        paths = [lib["filepath"] for lib in controller.info() if "numpy" in lib["filepath"]]
        # Only NumPy's own BLAS: other libraries in this process set theirs.
        self._blas: Any = controller.select(filepath=paths)
        self._base = base
        self._norms = np.einsum("nd,nd->n", base, base) if metric == "l2" else None
        self._scores = np.empty((0, len(base)), dtype=np.float32)

    def set_threads(self, threads: int) -> None:
        """Threads of NumPy's BLAS; argpartition has one whatever is asked."""
        for library in self._blas.lib_controllers:
            library.set_num_threads(threads)

    def _score(self, block: Array) -> Array:
        if len(block) == 1:
            row = self._base @ block[0]
            single: Array = row if self._norms is None else 2 * row - self._norms
            return single[None]
        if len(self._scores) < len(block):
            self._scores = np.empty((len(block), len(self._base)), dtype=np.float32)
        scores: Array = np.matmul(block, self._base.T, out=self._scores[: len(block)])
        if self._norms is not None:
            scores *= 2
            scores -= self._norms
        return scores

    def search(self, queries: Array, k: int) -> Array:
        """Search chunk by chunk, as a score matrix for the whole batch would not fit."""
        found = np.empty((len(queries), k), dtype=np.int64)
        for first in range(0, len(queries), self.chunk):
            scores = self._score(queries[first : first + self.chunk])
            top = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
            found[first : first + len(top)] = np.take_along_axis(top, order, axis=1)
        return found
