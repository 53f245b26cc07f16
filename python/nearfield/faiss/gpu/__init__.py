"""FAISS's GPU names: on a device where there is one, else on the CPU with a warning."""

from .brute_force import bruteForceKnn, knn_gpu
from .cloning import (
    get_num_gpus,
    index_cpu_to_all_gpus,
    index_cpu_to_gpu,
    index_cpu_to_gpu_multiple,
    index_cpu_to_gpu_multiple_py,
    index_cpu_to_gpus_list,
    index_gpu_to_cpu,
)
from .indexes import GpuIndex, GpuIndexFlat, GpuIndexFlatIP, GpuIndexFlatL2, GpuIndexIVFFlat
from .options import (
    INDICES_32_BIT,
    INDICES_64_BIT,
    INDICES_CPU,
    INDICES_IVF,
    GpuClonerOptions,
    GpuIndexFlatConfig,
    GpuIndexIVFFlatConfig,
    GpuMultipleClonerOptions,
)
from .parameters import GpuParameterSpace, ParameterSpace
from .resources import GpuResourcesVector, Int32Vector, StandardGpuResources

__all__ = [
    "INDICES_32_BIT",
    "INDICES_64_BIT",
    "INDICES_CPU",
    "INDICES_IVF",
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
    "Int32Vector",
    "ParameterSpace",
    "StandardGpuResources",
    "bruteForceKnn",
    "get_num_gpus",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
    "knn_gpu",
]
