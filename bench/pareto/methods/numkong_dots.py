"""NumKong: packed inner products in bfloat16 and int8, top k by torch; reduced precision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, UnsupportedDataError, required


class NumkongBfloat16(Method):
    """bfloat16 rows, float32 scores; one Python thread per half of the batch."""

    name = "numkong-bf16"
    family = "reduced"
    package = "numkong"
    modules = ("numkong", "torch", "ml_dtypes")
    chunk = 512
    kind: ClassVar[str] = "bfloat16"

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Convert and pack the rows."""
        if metric != "ip":
            raise UnsupportedDataError(f"packed dot products rank by 'ip', got metric {metric!r}")
        self._library: Any = required("numkong")
        self._torch: Any = required("torch")
        self._scale = self._step(base)
        self._packed = self._library.dots_pack(self._reduced(base), dtype=self.kind)
        self.set_threads(threads)

    def _step(self, base: Array) -> float:
        return 1.0

    def _reduced(self, rows: Array) -> Any:
        return rows.astype(required("ml_dtypes").bfloat16)

    def set_threads(self, threads: int) -> None:
        """Threads that this class starts; torch's topk gets one inside each."""
        self._threads = threads
        self._torch.set_num_threads(1)

    def _part(self, queries: Array, k: int) -> Array:
        found = np.empty((len(queries), k), dtype=np.int64)
        for first in range(0, len(queries), 64):
            reduced = self._reduced(queries[first : first + 64])
            scores = np.asarray(self._library.dots_packed(reduced, self._packed))
            found[first : first + 64] = self._torch.topk(self._torch.from_numpy(scores), k)[
                1
            ].numpy()
        return found

    def search(self, queries: Array, k: int) -> Array:
        """Split the batch over the threads."""
        if self._threads == 1 or len(queries) < 2:
            return self._part(queries, k)
        parts = np.array_split(queries, self._threads)
        with ThreadPoolExecutor(self._threads) as pool:
            return np.concatenate(list(pool.map(lambda part: self._part(part, k), parts)))


class NumkongInt8(NumkongBfloat16):
    """int8 rows with one step for the whole set."""

    name = "numkong-i8"
    kind = "int8"

    def _step(self, base: Array) -> float:
        return float(127 / np.abs(base).max())

    def _reduced(self, rows: Array) -> Any:
        return np.clip(np.rint(rows * self._scale), -127, 127).astype(np.int8)
