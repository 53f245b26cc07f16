"""nearfield.FlatIndex: exact search; answers do not depend on batch, threads or level."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from bench.pareto.judge import Array
from bench.pareto.methods.base import Method, UnsupportedDataError, required


def as_bytes(base: Array) -> Array:
    """The same values as uint8; UnsupportedDataError where they are none."""
    rows = base.astype(np.uint8)
    if not (rows == base).all():
        raise UnsupportedDataError("got values that are not bytes, expected 0 to 255, whole")
    return rows


class NearfieldFlat(Method):
    """Exact index; ``NEARFIELD_ISA`` in the environment of its process forces a level."""

    name = "nearfield"
    family = "exact"
    package = "nearfield"
    modules = ("nearfield",)
    storage: ClassVar[str] = "float32"

    def build(self, base: Array, metric: str, threads: int) -> None:
        """Add the rows."""
        self._nearfield: Any = required("nearfield")
        self._threads = threads
        self._index = self._nearfield.FlatIndex(base.shape[1], metric, quantizer=self.storage)
        self._index.add(self._stored(base), threads=threads)

    def _stored(self, base: Array) -> Array:
        return base

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


class NearfieldBytes(NearfieldFlat):
    """The same over uint8 rows, for data that are bytes; the others hold them as float32."""

    name = "nearfield-u8"
    storage = "uint8"

    def _stored(self, base: Array) -> Array:
        return as_bytes(base)
