"""FAISS's names over nearfield's indexes, so far those that most programs use.

``import nearfield.faiss as faiss``. On a GPU names run on a device where there is one, and on the
CPU where there is none. A name that is not there yet raises an AttributeError that says so.

Examples
--------
>>> import numpy as np, nearfield.faiss as faiss
>>> index = faiss.IndexFlatL2(2)
>>> index.add(np.float32([[0, 0], [3, 4]]))
>>> D, I = index.search(np.float32([[3, 3]]), 2)
>>> D
array([[ 1., 18.]], dtype=float32)
>>> I
array([[1, 0]])
"""

from __future__ import annotations

from typing import Any

from .distances import knn, normalize_L2, swig_ptr
from .flat import IndexFlat, IndexFlatIP, IndexFlatL2
from .gpu import (
    INDICES_32_BIT,
    INDICES_64_BIT,
    INDICES_CPU,
    INDICES_IVF,
    GpuClonerOptions,
    GpuIndex,
    GpuIndexFlat,
    GpuIndexFlatConfig,
    GpuIndexFlatIP,
    GpuIndexFlatL2,
    GpuIndexIVFFlat,
    GpuIndexIVFFlatConfig,
    GpuMultipleClonerOptions,
    GpuParameterSpace,
    GpuResourcesVector,
    Int32Vector,
    ParameterSpace,
    StandardGpuResources,
    bruteForceKnn,
    get_num_gpus,
    index_cpu_to_all_gpus,
    index_cpu_to_gpu,
    index_cpu_to_gpu_multiple,
    index_cpu_to_gpu_multiple_py,
    index_cpu_to_gpus_list,
    index_gpu_to_cpu,
    knn_gpu,
)
from .hnsw import HNSW, IndexHNSWFlat
from .id_map import IndexIDMap, IndexIDMap2
from .ids import IdVector, vector_to_array
from .index import Index, clone_index
from .ivf import IndexIVFFlat
from .kmeans import Kmeans
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2

__all__ = [
    "HNSW",
    "INDICES_32_BIT",
    "INDICES_64_BIT",
    "INDICES_CPU",
    "INDICES_IVF",
    "METRIC_INNER_PRODUCT",
    "METRIC_L2",
    "GpuClonerOptions",
    "GpuIndex",
    "GpuIndexFlat",
    "GpuIndexFlatConfig",
    "GpuIndexFlatIP",
    "GpuIndexFlatL2",
    "GpuIndexIVFFlat",
    "GpuIndexIVFFlatConfig",
    "GpuMultipleClonerOptions",
    "GpuParameterSpace",
    "GpuResourcesVector",
    "IdVector",
    "Index",
    "IndexFlat",
    "IndexFlatIP",
    "IndexFlatL2",
    "IndexHNSWFlat",
    "IndexIDMap",
    "IndexIDMap2",
    "IndexIVFFlat",
    "Int32Vector",
    "Kmeans",
    "ParameterSpace",
    "StandardGpuResources",
    "bruteForceKnn",
    "clone_index",
    "get_num_gpus",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
    "knn",
    "knn_gpu",
    "normalize_L2",
    "swig_ptr",
    "vector_to_array",
]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"nearfield.faiss has no {name!r}: where FAISS has it, it is not there yet; nearfield "
        "itself may have what it does (README, Coming from FAISS)"
    )
