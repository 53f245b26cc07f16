"""The methods that can be compared: one class per library and kind, found by name."""

from __future__ import annotations

from bench.pareto.methods.base import Method, Params, UnsupportedDataError
from bench.pareto.methods.faiss_codes import FaissFlatPqFs, FaissFlatRabitqFs
from bench.pareto.methods.faiss_flat import FaissFlat
from bench.pareto.methods.faiss_hnsw import FaissHnsw
from bench.pareto.methods.faiss_ivf import FaissIvfPqFs, FaissIvfRabitqFs
from bench.pareto.methods.hnswlib_hnsw import HnswlibHnsw
from bench.pareto.methods.nearfield_flat import NearfieldBytes, NearfieldFlat
from bench.pareto.methods.nearfield_hnsw import (
    NearfieldHnsw,
    NearfieldHnswBytes,
    NearfieldHnswFloat16,
    NearfieldHnswSixteen,
)
from bench.pareto.methods.nearfield_ivf import (
    NearfieldIvf,
    NearfieldIvfBytes,
    NearfieldIvfFloat32,
    NearfieldIvfPqFs,
    NearfieldIvfRabitq,
)
from bench.pareto.methods.ngt_onng import NgtOnng
from bench.pareto.methods.numkong_dots import NumkongBfloat16, NumkongInt8
from bench.pareto.methods.numpy_matmul import NumpyMatmul
from bench.pareto.methods.rabitqlib_ivf import (
    RabitqlibIvf,
    RabitqlibIvfNineBits,
    RabitqlibIvfRaw,
)
from bench.pareto.methods.rabitqlib_symqg import RabitqlibSymqg, RabitqlibSymqgBytes
from bench.pareto.methods.scann_tree import ScannTree
from bench.pareto.methods.svs_vamana import SvsLeanVec, SvsLvq4x8, SvsLvq8
from bench.pareto.methods.torch_matmul import TorchBfloat16, TorchFloat32
from bench.pareto.methods.usearch_exact import UsearchExact
from bench.pareto.methods.usearch_hnsw import UsearchHnsw
from bench.pareto.methods.vsag_hgraph import VsagHgraph

REGISTRY: dict[str, type[Method]] = {
    method.name: method
    for method in (
        NearfieldFlat,
        NearfieldBytes,
        FaissFlat,
        TorchFloat32,
        NumpyMatmul,
        UsearchExact,
        TorchBfloat16,
        NumkongBfloat16,
        NumkongInt8,
        NearfieldHnsw,
        NearfieldHnswFloat16,
        NearfieldHnswBytes,
        NearfieldHnswSixteen,
        HnswlibHnsw,
        FaissHnsw,
        UsearchHnsw,
        RabitqlibSymqg,
        RabitqlibSymqgBytes,
        SvsLvq4x8,
        SvsLvq8,
        SvsLeanVec,
        VsagHgraph,
        NgtOnng,
        NearfieldIvf,
        NearfieldIvfFloat32,
        NearfieldIvfBytes,
        NearfieldIvfPqFs,
        NearfieldIvfRabitq,
        FaissIvfPqFs,
        FaissIvfRabitqFs,
        ScannTree,
        RabitqlibIvf,
        RabitqlibIvfNineBits,
        RabitqlibIvfRaw,
        FaissFlatPqFs,
        FaissFlatRabitqFs,
    )
}


def expand(words: str) -> list[str]:
    """Turn a comma list of names, families and "all" into method names, each once, in order.

    A name may carry a level, ``nearfield@avx512``: it then runs in a process of its own.
    """
    chosen: list[str] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        if word.partition("@")[0] in REGISTRY:
            names = [word]
        else:
            names = [name for name, kind in REGISTRY.items() if word in (kind.family, "all")]
        if not names:
            families = sorted({kind.family for kind in REGISTRY.values()})
            raise ValueError(
                f"unknown method {word!r}: expected 'all', a family of {families}, or a name of "
                f"{sorted(REGISTRY)}"
            )
        chosen += [name for name in names if name not in chosen]
    return chosen


__all__ = ["REGISTRY", "Method", "Params", "UnsupportedDataError", "expand"]
