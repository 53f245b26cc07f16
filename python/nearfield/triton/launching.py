"""Where kernels run: Triton itself, the device of the tensors, the sizes of tiles.

Triton's interpreter (``TRITON_INTERPRET=1``, set before Triton is imported) runs the same kernels
on tensors of the CPU: slow, and right.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from ..errors import DeviceError

__all__ = [
    "GROUP",
    "Tile",
    "batch_tile",
    "descriptor",
    "has_tma",
    "is_interpreted",
    "on",
    "packages",
    "processors",
]

GROUP = 32
"""Consecutive rows that share one bound: of 16, 32 and 64 all cost about the same (computed)."""


class Tile(NamedTuple):
    """Sizes of one program's work in a product: queries, rows, columns a step; how it runs."""

    queries: int
    rows: int
    columns: int
    warps: int
    stages: int
    rows_first: bool = False


def packages() -> tuple[Any, Any]:
    """Return the modules torch and triton, or say how to install them."""
    try:
        import torch
        import triton
    except ImportError as error:
        raise ImportError(
            f"nearfield.triton needs PyTorch and Triton, and {error.name} is not installed: "
            'pip install "nearfield[triton]"'
        ) from error
    return torch, triton


def is_interpreted() -> bool:
    """Tell whether kernels run in Triton's interpreter."""
    _, triton = packages()
    return bool(triton.knobs.runtime.interpret)


def on(tensor: Any) -> contextlib.AbstractContextManager[Any]:
    """Make the tensor's device the current one; kernels run on its current stream."""
    torch, _ = packages()
    if tensor.device.type == "cuda":
        device: contextlib.AbstractContextManager[Any] = torch.cuda.device(tensor.device)
        return device
    if not is_interpreted():
        raise DeviceError(
            f"got a tensor on {tensor.device}, expected CUDA; nearfield.topk and the transforms "
            "search on the CPU (TRITON_INTERPRET=1 runs these kernels there, slowly)"
        )
    return contextlib.nullcontext()


def processors(tensor: Any) -> int:
    """Return how many programs run at a time, as a persistent kernel wants to know."""
    if tensor.device.type != "cuda":
        return 3
    torch, _ = packages()
    return int(torch.cuda.get_device_properties(tensor.device).multi_processor_count)


def batch_tile(n_queries: int, itemsize: int, major: int, aligned: bool) -> Tile:
    """Return the tile for a batch: rows on the long side where there are few queries.

    Only data-centre GPUs of compute capability 9 and 10 hold sums of a 128 x 256 tile beside the
    rest; odd widths take registers for addresses.
    """
    if major == 0:
        few = n_queries <= 16
        return Tile(16, 128, 64, 4, 1, True) if few else Tile(32, 128, 64, 4, 1)
    columns = 128 // itemsize
    if n_queries <= 64:
        queries = 16 if n_queries <= 16 else 32 if n_queries <= 32 else 64
        return Tile(queries, 128, columns, 4, 4, True)
    if itemsize == 4 or not aligned:
        return Tile(64, 128, 32, 8, 3)
    return Tile(128, 256 if major in (9, 10) else 128, columns, 8, 3)


def panel_rows() -> int:
    """Return how many rows one program measures; the interpreter is slow by the program."""
    return 256 if is_interpreted() else 32


def descriptor(matrix: Any, rows: int, columns: int) -> Any:
    """Return the matrix as a kernel takes it: a TMA descriptor where the device has that unit."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    if not has_tma(matrix):
        return matrix
    return TensorDescriptor(matrix, list(matrix.shape), list(matrix.stride()), [rows, columns])


def has_tma(matrix: Any) -> bool:
    """Tell whether the copy engine can read the matrix: 16-byte alignment and sm_90 or newer."""
    if matrix.data_ptr() % 16 or matrix.stride(0) * matrix.element_size() % 16:
        return False
    if matrix.device.type != "cuda":
        return True  # the interpreter knows descriptors
    return capability(matrix) >= 9


def capability(tensor: Any) -> int:
    """Return the major compute capability of the tensor's device, 0 in the interpreter."""
    if tensor.device.type != "cuda":
        return 0
    torch, _ = packages()
    return int(torch.cuda.get_device_capability(tensor.device)[0])
