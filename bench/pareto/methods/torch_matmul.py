"""PyTorch on the CPU: matrix product, then topk, in float32 and in bfloat16."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, required


class TorchFloat32(Method):
    """matmul and topk by chunks of queries, with the score buffer reused between chunks."""

    name = "torch-f32"
    family = "exact"
    package = "torch"
    modules = ("torch",)
    chunk = 512
    borrows_base = True
    kind: ClassVar[str] = "float32"

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Wrap (or convert) the rows; squared norms for "l2"."""
        self._torch: Any = required("torch")
        self._dtype = getattr(self._torch, self.kind)
        rows = self._torch.from_numpy(base)
        self._negative_norms = -(rows * rows).sum(1) if metric == "l2" else None
        self._rows = rows.to(self._dtype)
        self._scores = self._torch.empty((0, len(base)), dtype=self._dtype)

    def set_threads(self, threads: int) -> None:
        """Threads within an operation."""
        self._torch.set_num_threads(threads)

    def _score(self, block: Any) -> Any:
        torch = self._torch
        if len(block) == 1:
            scores = torch.mv(self._rows, block[0])[None]
        else:
            if len(self._scores) < len(block):
                self._scores = torch.empty((len(block), len(self._rows)), dtype=self._dtype)
            scores = torch.matmul(block, self._rows.T, out=self._scores[: len(block)])
        if self._negative_norms is None:
            return scores
        if self._dtype == torch.float32:
            return scores.mul_(2).add_(self._negative_norms)
        return scores.float().mul_(2).add_(self._negative_norms)

    def search(self, queries: Array, k: int) -> Array:
        """Search chunk by chunk."""
        torch = self._torch
        found = np.empty((len(queries), k), dtype=np.int64)
        with torch.inference_mode():
            asked = torch.from_numpy(queries).to(self._dtype)
            for first in range(0, len(queries), self.chunk):
                top = torch.topk(self._score(asked[first : first + self.chunk]), k)[1]
                found[first : first + len(top)] = top.numpy()
        return found


class TorchBfloat16(TorchFloat32):
    """The same in bfloat16: scores are rounded to 8 bits, so answers are not exact."""

    name = "torch-bf16"
    family = "reduced"
    borrows_base = False
    kind = "bfloat16"
