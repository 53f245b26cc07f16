"""faiss-cpu brute force over fast-scan codes, re-ranked by the raw vectors."""

from __future__ import annotations

from collections.abc import Sequence

from bench.pareto.methods.base import Params
from bench.pareto.methods.faiss_ivf import FaissIvfPqFs


class FaissFlatPqFs(FaissIvfPqFs):
    """``PQ{d/2}x4fs,RFlat``."""

    name = "faiss-flat-pqfs"
    family = "quantized"
    spec = "PQ{parts}x4fs,RFlat"
    factors = (1, 2, 4, 8, 16, 32, 64, 128)

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """How many times k candidates are re-ranked."""
        return [[{"k_factor": factor} for factor in self.factors]]


class FaissFlatRabitqFs(FaissFlatPqFs):
    """``RaBitQfs,RFlat``."""

    name = "faiss-flat-rabitqfs"
    spec = "RaBitQfs,RFlat"
    factors = (2, 4, 8, 16, 32, 64, 128, 256)
