"""Vectors and ids as FAISS's callers pass them: NumPy arrays of any type, or torch tensors.

A tensor gives tensors back, on its own device, as ``faiss.contrib.torch_utils`` does.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import as_labels
from ..cuda.arrays import is_on_device

__all__ = ["as_ids", "as_matrix", "is_tensor", "like"]


def is_tensor(x: Any) -> bool:
    """Tell whether an object is a torch tensor."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(x, tensor)


def as_matrix(x: Any, d: int | None = None, *, name: str = "x", on_device: bool = False) -> Any:
    """Return vectors as float32, one behind the other.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Any numbers; they are cast, as FAISS does.
    d : int, optional
        Columns expected.
    name : str
        Argument name for messages.
    on_device : bool
        Whether CUDA tensors of torch are taken, where they lie.

    Raises
    ------
    TypeError
        No numbers, or an array on a device.
    ValueError
        Another shape.
    """
    if is_tensor(x):
        if x.is_cuda and not on_device:
            raise TypeError(
                f"{name}: got a tensor on {x.device}, expected one on the CPU, where this is "
                "computed; pass x.cpu()"
            )
        x = x.detach().float().contiguous()
        matrix = x if x.is_cuda else x.numpy()
    elif is_on_device(x):
        raise TypeError(f"{name}: got an array on a device, expected NumPy's or a torch tensor")
    else:
        matrix = np.asarray(x)
        if matrix.dtype.kind not in "fiub" and matrix.dtype.name != "bfloat16":
            raise TypeError(f"{name}: got an array of {matrix.dtype}, expected numbers")
        with np.errstate(over="ignore"):  # what is infinite is refused by its row's number
            matrix = np.ascontiguousarray(matrix, np.float32)
    if len(matrix.shape) != 2 or d not in (None, matrix.shape[1]):
        wanted = "(n, d)" if d is None else f"(n, {d})"
        advice = "; one vector is x[None]" if len(matrix.shape) == 1 else ""
        raise ValueError(f"{name}: got shape {tuple(matrix.shape)}, expected {wanted}{advice}")
    return matrix


def as_ids(ids: Any, n: int) -> NDArray[np.int64]:
    """Return `n` ids as int64."""
    return as_labels(ids.cpu().numpy() if is_tensor(ids) else ids, name="ids", length=n)


def like(x: Any, array: NDArray[Any]) -> Any:
    """Return a result as a tensor where `x` is one."""
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(array)) if is_tensor(x) else array
