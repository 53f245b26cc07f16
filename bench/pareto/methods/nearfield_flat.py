"""nearfield.FlatIndex: exact search, answers independent of batch, threads and instruction set."""

from __future__ import annotations

from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, required


class NearfieldFlat(Method):
    """Exact index; ``NEARFIELD_ISA`` in the environment of its process forces a level."""

    name = "nearfield"
    family = "exact"
    package = "nearfield"
    modules = ("nearfield",)

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Add the rows."""
        self._nearfield: Any = required("nearfield")
        self._threads = threads
        self._index = self._nearfield.FlatIndex(base.shape[1], metric)
        self._index.add(base)

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def search(self, queries: Array, k: int) -> Array:
        """Search through the public API, result object included."""
        ids: Array = self._index.search(queries, k, threads=self._threads).ids
        return ids

    def isa(self) -> str:
        """Level in use in this process."""
        return str(self._nearfield.isa())
