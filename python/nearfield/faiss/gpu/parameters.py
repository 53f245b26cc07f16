"""Search parameters by name: :class:`ParameterSpace`."""

from __future__ import annotations

from typing import Any

from ..hnsw import IndexHNSWFlat
from ..id_map import IndexIDMap
from ..index import Index
from ..ivf import IndexIVFFlat

__all__ = ["GpuParameterSpace", "ParameterSpace"]


class ParameterSpace:
    """Sets ``nprobe``, ``efSearch`` and ``efConstruction`` of an index, inside of an id map too.

    Examples
    --------
    >>> import nearfield.faiss as faiss
    >>> index = faiss.IndexIVFFlat(faiss.IndexFlatL2(2), 2, 8)
    >>> faiss.ParameterSpace().set_index_parameter(index, "nprobe", 4)
    >>> index.nprobe
    4
    """

    def initialize(self, index: Index) -> None:
        """Accept an index."""

    def set_index_parameter(self, index: Any, name: str, value: float) -> None:
        """Set one.

        Raises
        ------
        RuntimeError
            The index has no such parameter.
        """
        while isinstance(index, IndexIDMap):
            index = index.index
        if name == "verbose":
            index.verbose = bool(value)
        elif name == "nprobe" and isinstance(index, IndexIVFFlat):
            index.nprobe = int(value)
        elif name in ("efSearch", "efConstruction") and isinstance(index, IndexHNSWFlat):
            setattr(index.hnsw, name, int(value))
        else:
            raise RuntimeError(f"could not set {name!r}: {index!r} has no such parameter")

    def set_index_parameters(self, index: Any, description: str) -> None:
        """Set those of a description such as ``"nprobe=4,verbose=1"``."""
        for part in description.split(","):
            name, equals, value = part.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = None
            if not equals or number is None:
                raise RuntimeError(f"description: got {part!r}, expected <name>=<number>")
            self.set_index_parameter(index, name.strip(), number)


class GpuParameterSpace(ParameterSpace):
    """The same for indexes on GPUs."""
