"""What a method is: a library's index behind five small calls.

A method searches float32 rows by "ip" or "l2" and returns row numbers. Everything that costs time
in real use (threads, conversions a user must make) belongs inside ``search``; everything a user
does once belongs in ``build``. Knobs of one search go into ``sweep`` and are set by ``configure``,
untimed.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from bench.pareto.judge import Array

Params = dict[str, Any]


def required(module: str) -> Any:
    """Import a library that may be missing; the runner reports the ImportError and goes on."""
    return importlib.import_module(module)


class Method(ABC):
    """One library's way of searching.

    Attributes
    ----------
    name : str
        Name on the command line, in records and in plots.
    family : {"exact", "graph", "ivf", "quantized", "reduced"}
        "exact" claims exact answers; "quantized" is brute force over codes with re-ranking;
        "reduced" is brute force in lower precision.
    package : str
        Distribution whose version is recorded.
    modules : tuple of str
        What to import before building is timed.
    chunk : int
        Queries handled at a time by this class itself; 0 when the library gets the whole batch.
        Beyond one chunk the rate cannot depend on the batch, so slow methods may be timed on a few
        chunks.
    borrows_base : bool
        Whether the caller's array is searched in place: its bytes are then not in the measured
        growth.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    package: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    chunk: ClassVar[int] = 0
    borrows_base: ClassVar[bool] = False

    @abstractmethod
    def build(self, base: Array, metric: str, threads: int) -> None:
        """Index the rows; called once."""

    @abstractmethod
    def set_threads(self, threads: int) -> None:
        """Use so many threads from now on; called before every timed block, untimed."""

    @abstractmethod
    def search(self, queries: Array, k: int) -> Array:
        """Row numbers of the k best, shape (len(queries), k), best first."""

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Series of search settings, each from fast to accurate; exact methods have one setting."""
        return [[{}]]

    def configure(self, params: Params) -> None:  # noqa: B027
        """Apply one of the settings of ``sweep``."""

    def isa(self) -> str:
        """Instruction set the library says it uses, empty where it does not say."""
        return ""


class UnsupportedDataError(Exception):
    """The method cannot serve this data set; the message says why."""
