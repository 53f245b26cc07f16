"""What our indexes that are searched by parameters have in common."""

from __future__ import annotations

from typing import Any

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, Params


class NearfieldIndex(Method):
    """build() sets the module, the index, the threads and the first parameters."""

    package = "nearfield"
    modules = ("nearfield",)
    _nearfield: Any
    _index: Any
    _threads: int
    _params: Params

    def set_threads(self, threads: int) -> None:
        """Threads are an argument of each call."""
        self._threads = threads

    def configure(self, params: Params) -> None:
        """Keep the parameters for the calls to come."""
        self._params = dict(params)

    def search(self, queries: Array, k: int) -> Array:
        """Search through the public API, result object included."""
        ids: Array = self._index.search(queries, k, threads=self._threads, **self._params).ids
        return ids

    def isa(self) -> str:
        """Level in use in this process."""
        return str(self._nearfield.isa())
