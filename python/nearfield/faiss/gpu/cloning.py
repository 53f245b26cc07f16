"""Copies of indexes between CPU and GPUs: ``index_cpu_to_gpu`` and the like.

A copy changes on its own; rows are copied once either of the two changes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..flat import IndexFlat, IndexFlatIP, IndexFlatL2
from ..id_map import IndexIDMap
from ..index import Index, clone_index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .indexes import ON_GPU, GpuIndex, GpuIndexFlat, GpuIndexFlatIP, GpuIndexFlatL2
from .options import GpuClonerOptions
from .placing import Devices, all_devices

__all__ = [
    "get_num_gpus",
    "index_cpu_to_all_gpus",
    "index_cpu_to_gpu",
    "index_cpu_to_gpu_multiple",
    "index_cpu_to_gpu_multiple_py",
    "index_cpu_to_gpus_list",
    "index_gpu_to_cpu",
]

_FLAT_ON_GPU = {METRIC_L2: GpuIndexFlatL2, METRIC_INNER_PRODUCT: GpuIndexFlatIP}
_FLAT = {METRIC_L2: IndexFlatL2, METRIC_INNER_PRODUCT: IndexFlatIP}


def get_num_gpus() -> int:
    """Return how many GPUs there are; 0 where there is no driver.

    Examples
    --------
    >>> import nearfield.faiss as faiss
    >>> faiss.get_num_gpus() >= 0
    True
    """
    return len(all_devices())


def index_cpu_to_gpu(
    provider: Any = None, device: int = 0, index: Any = None, options: Any = None
) -> Any:
    """Return a copy of an index that is searched on a GPU.

    Parameters
    ----------
    provider : StandardGpuResources
        Accepted.
    device : int
        Number of the GPU.
    index : Index
    options : GpuClonerOptions, optional

    Returns
    -------
    Index
        On the CPU, with a warning, where there is no GPU or it does not search such an index yet.

    Raises
    ------
    DeviceError
        There are GPUs, but no such one, or it has too little memory; `index` is as it was.
    """
    return _on_devices(index, Devices((_number(device),)), options)


def index_cpu_to_gpu_multiple(
    provider: Any, devices: Sequence[int], index: Any, options: Any = None
) -> Any:
    """Return a copy that is searched on several GPUs: rows split with ``options.shard``."""
    numbers = tuple(_number(device) for device in devices)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"devices: got {list(devices)}, expected some, each once")
    return _on_devices(index, Devices(numbers, bool(getattr(options, "shard", False))), options)


def index_cpu_to_gpu_multiple_py(
    resources: Sequence[Any], index: Any, co: Any = None, gpus: Sequence[int] | None = None
) -> Any:
    """Return a copy that is searched on several GPUs, as many as there are resources."""
    numbers = range(len(resources)) if gpus is None else gpus
    return index_cpu_to_gpu_multiple(resources, list(numbers), index, co)


def index_cpu_to_gpus_list(
    index: Any, co: Any = None, gpus: Sequence[int] | None = None, ngpu: int = -1
) -> Any:
    """Return a copy that is searched on the GPUs of a list, the first `ngpu` or all."""
    if gpus is None:
        found = all_devices()
        gpus = (found if ngpu == -1 else list(range(ngpu))) or [0]
    return index_cpu_to_gpu_multiple(None, gpus, index, co)


def index_cpu_to_all_gpus(index: Any, co: Any = None, ngpu: int = -1) -> Any:
    """Return a copy that is searched on all GPUs: rows split with ``co.shard``.

    Examples
    --------
    >>> import warnings, numpy as np, nearfield.faiss as faiss
    >>> index = faiss.IndexFlatL2(2)
    >>> index.add(np.eye(2))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # where there is no GPU
    ...     there = faiss.index_cpu_to_all_gpus(index)
    >>> there.search(np.eye(2), 1)[1].ravel()
    array([0, 1])
    """
    return index_cpu_to_gpus_list(index, co, None, ngpu)


def index_gpu_to_cpu(index: Any) -> Any:
    """Return a copy of an index that is searched on the CPU.

    Rows that were rounded to float16 stay rounded.
    """
    if isinstance(index, IndexIDMap):
        return _mapped(index, index_gpu_to_cpu(index.index))
    if not isinstance(index, Index):
        raise TypeError(f"index: got {index!r}, expected an index of nearfield.faiss")
    if not isinstance(index, GpuIndex):
        return clone_index(index)
    if isinstance(index, GpuIndexFlat) and index._stored != "float32":
        flat = _FLAT[index.metric_type](index.d)
        flat.add(index.reconstruct_n())
        return flat
    other = clone_index(index, _kind_on_cpu(index))
    other._native = other._native.to("cpu")
    for name in ("_devices", "_replicas"):
        other.__dict__.pop(name, None)
    return other


def _on_devices(index: Any, devices: Devices, options: Any) -> Any:
    if options is not None and not isinstance(options, GpuClonerOptions):
        raise TypeError(f"options: got {options!r}, expected a GpuClonerOptions")
    if isinstance(index, IndexIDMap):
        return _mapped(index, _on_devices(index.index, devices, options))
    kind = _kind_on_gpu(index)
    other = clone_index(index, kind)
    other._devices = devices
    if isinstance(index, IndexFlat) and getattr(options, "useFloat16", False) and all_devices():
        index._sharers.discard(other)
        other._stored = "float16"
        other.reset()
        other._append(index.reconstruct_n())
    else:
        other._native = devices.put(other._native)
    other._all_replicas()  # too little memory is told now
    return other


def _mapped(index: IndexIDMap, inner: Index) -> IndexIDMap:
    other: IndexIDMap = copy.copy(index)
    other.index = inner
    return other


def _kind_on_gpu(index: Any) -> type[GpuIndex]:
    if isinstance(index, GpuIndex):
        return type(index)
    if isinstance(index, IndexFlat):
        return _FLAT_ON_GPU[index.metric_type]
    for kind, there in ON_GPU.items():
        if isinstance(index, kind):
            return there
    raise TypeError(f"index: got {index!r}, expected an index of nearfield.faiss")


def _kind_on_cpu(index: GpuIndex) -> type[Index]:
    if isinstance(index, IndexFlat):
        return _FLAT[index.metric_type]
    return next(kind for kind in ON_GPU if isinstance(index, kind))


def _number(device: Any) -> int:
    if isinstance(device, bool) or not isinstance(device, int) or device < 0:
        raise ValueError(f"device: got {device!r}, expected the number of a GPU")
    return device
