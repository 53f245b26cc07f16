"""Checks of tensors: kind, device, shape, dtype, finite values; each error names the argument."""

from __future__ import annotations

from typing import Any

from ..arguments import LARGEST_DIM
from ..errors import DeviceError
from .launching import packages

__all__ = ["STORED", "TAKEN", "as_finite", "as_labels", "as_matrix", "as_queries"]

STORED = ("float32", "float16", "bfloat16")
TAKEN = (*STORED, "float64")


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def as_matrix(
    x: Any, *, name: str, dim: int | None = None, like: Any = None, dtypes: tuple[str, ...] = STORED
) -> Any:
    """Return a contiguous matrix with the values of tensor `x`, on the device of `like`."""
    torch, _ = packages()
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: got a {type(x).__name__}, expected a torch.Tensor")
    if _dtype(x) not in dtypes:
        raise TypeError(f"{name}: got dtype {_dtype(x)}, expected one of {', '.join(dtypes)}")
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        expected = f"(n, {'dim' if dim is None else dim})"
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected {expected}")
    if not 1 <= x.shape[1] <= LARGEST_DIM:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected 1 to {LARGEST_DIM} columns")
    if like is not None and x.device != like.device:
        raise DeviceError(f"{name}: got a tensor on {x.device}, expected {like.device}")
    return x.detach().contiguous()


def as_queries(x: Any, *, name: str, like: Any) -> tuple[Any, bool]:
    """Return queries (n, dim) as float32 on the device of `like`, and whether it was one vector."""
    torch, _ = packages()
    one = isinstance(x, torch.Tensor) and x.ndim == 1
    matrix = as_matrix(x[None] if one else x, name=name, dim=like.shape[1], like=like, dtypes=TAKEN)
    return as_finite(matrix.float().contiguous(), name=name), one


def as_finite(x: Any, *, name: str) -> Any:
    """Return `x` unless it holds NaN or infinity; reads one flag back."""
    torch, _ = packages()
    if not bool(torch.isfinite(x).all()):
        bad = torch.nonzero(~torch.isfinite(x).reshape(len(x), -1).all(dim=1))[0, 0]
        raise ValueError(f"{name}: row {int(bad)} holds NaN or infinity, expected finite numbers")
    return x


def as_labels(labels: Any, *, name: str, n: int, least: int, limit: int, like: Any) -> Any:
    """Return one int64 in [least, limit) per row of `like`; reads one flag back."""
    torch, _ = packages()
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or labels.is_complex():
        got = _dtype(labels) if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise TypeError(f"{name}: got {got}, expected a tensor of integers")
    if labels.shape != (n,):
        raise ValueError(f"{name}: got shape {tuple(labels.shape)}, expected ({n},)")
    if labels.device != like.device:
        raise DeviceError(f"{name}: got a tensor on {labels.device}, expected {like.device}")
    labels = labels.to(torch.int64).contiguous()
    if bool(((labels < least) | (labels >= limit)).any()):
        raise ValueError(f"{name}: got a number outside [{least}, {limit})")
    return labels
