"""Options of copies and of indexes on GPUs. What has no effect here is accepted and said so.

An attribute that FAISS has not either raises.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "INDICES_32_BIT",
    "INDICES_64_BIT",
    "INDICES_CPU",
    "INDICES_IVF",
    "GpuClonerOptions",
    "GpuIndexFlatConfig",
    "GpuIndexIVFFlatConfig",
    "GpuMultipleClonerOptions",
]

INDICES_CPU, INDICES_IVF, INDICES_32_BIT, INDICES_64_BIT = range(4)


class _Options:
    def __init__(self, **options: Any) -> None:
        for name, value in options.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no option {name!r}")
        super().__setattr__(name, value)


class GpuClonerOptions(_Options):
    """How an index is copied to a GPU.

    Attributes
    ----------
    useFloat16 : bool
        Rows of flat indexes are stored as float16 on the GPU: half the memory, distances of the
        rounded rows.
    indicesOptions, useFloat16CoarseQuantizer, usePrecomputed, reserveVecs, storeTransposed,
    verbose, use_cuvs, allowCpuCoarseQuantizer
        Without effect.
    """

    useFloat16: bool = False
    indicesOptions: int = INDICES_64_BIT
    useFloat16CoarseQuantizer: bool = False
    usePrecomputed: bool = False
    reserveVecs: int = 0
    storeTransposed: bool = False
    verbose: bool = False
    use_cuvs: bool = False
    allowCpuCoarseQuantizer: bool = False


class GpuMultipleClonerOptions(GpuClonerOptions):
    """How an index is copied to several GPUs.

    Attributes
    ----------
    shard : bool
        Rows of flat indexes and of inverted lists are split over the GPUs. False, and for graphs:
        each GPU has all rows and answers a part of the queries of a search; where it is False, CUDA
        tensors are searched on the first.
    shard_type, common_ivf_quantizer
        Without effect.
    """

    shard: bool = False
    shard_type: int = 1
    common_ivf_quantizer: bool = False


class GpuIndexFlatConfig(_Options):
    """Of a flat index on a GPU: ``device`` and ``useFloat16``; the rest has no effect."""

    device: int = 0
    useFloat16: bool = False
    storeTransposed: bool = False
    memorySpace: int = 0
    use_cuvs: bool = False


class GpuIndexIVFFlatConfig(_Options):
    """Of inverted lists on a GPU: ``device``; the rest has no effect."""

    device: int = 0
    indicesOptions: int = INDICES_64_BIT
    interleavedLayout: bool = True
    memorySpace: int = 0
    use_cuvs: bool = False
    allowCpuCoarseQuantizer: bool = False
