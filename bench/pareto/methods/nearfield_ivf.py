"""nearfield.IVFIndex: inverted lists scanned list by list, exact within the lists looked into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.pareto.judge import Array
from bench.pareto.methods.base import Params, required
from bench.pareto.methods.faiss_ivf import PROBES, list_count, sub_quantizers
from bench.pareto.methods.nearfield_flat import as_bytes
from bench.pareto.methods.nearfield_index import NearfieldIndex

EPSILONS = (0.8, 1.2, 1.8)


class NearfieldIvf(NearfieldIndex):
    """As many lists as faiss's inverted file gets; rows in float16, half of float32's bytes."""

    name = "nearfield-ivf"
    family = "ivf"
    storage: ClassVar[str] = "float16"
    refine: ClassVar[str | None] = None

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Train the lists on the rows, then add them."""
        self._nearfield = required("nearfield")
        self._threads, self._params = threads, {"nprobe": 1}
        self._lists = list_count(len(base))
        self._index = self._nearfield.IVFIndex(
            base.shape[1], self._lists, metric, **self._coding(base.shape[1], metric)
        )
        rows = self._stored(base)
        self._index.train(rows, threads=threads)
        self._index.add(rows, threads=threads)

    def _coding(self, dim: int, metric: str) -> dict[str, Any]:
        return {"quantizer": self.storage, "refine": self.refine}

    def _stored(self, base: Array) -> Array:
        return base

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited."""
        return [[{"nprobe": probes} for probes in PROBES if probes <= self._lists]]


class NearfieldIvfFloat32(NearfieldIvf):
    """The same over float32 rows: nothing is rounded."""

    name = "nearfield-ivf-f32"
    storage = "float32"


class NearfieldIvfBytes(NearfieldIvf):
    """The same over uint8 rows, for data that are bytes."""

    name = "nearfield-ivf-u8"
    storage = "uint8"

    def _stored(self, base: Array) -> Array:
        return as_bytes(base)


class NearfieldIvfRabitq(NearfieldIvf):
    """Bounds from one bit a dimension decide which rows are scored; float16 rows score them."""

    name = "nearfield-ivf-rabitq"
    storage = "rabitq1"
    refine = "float16"

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited, for each of a few certainties."""
        return [
            [{"nprobe": probes, "epsilon": epsilon} for probes in PROBES if probes <= self._lists]
            for epsilon in EPSILONS
        ]


class NearfieldIvfPqFs(NearfieldIvf):
    """4-bit product codes, two dimensions each, choose rows; float16 rows score them.

    Codes are of residuals under inner product, where one set of tables serves all lists.
    """

    name = "nearfield-ivf-pqfs"
    refine = "float16"

    def _coding(self, dim: int, metric: str) -> dict[str, Any]:
        return {
            "quantizer": f"pq{sub_quantizers(dim)}x4",
            "refine": self.refine,
            "residual": metric == "ip",
        }

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Lists visited, and how many times k candidates are re-ranked."""
        factors = (2, 4, 8, 20, 50) if k <= 20 else (2, 4, 8)
        return [
            [{"nprobe": p, "rerank": k * factor} for p in PROBES if p <= self._lists]
            for factor in factors
        ]
