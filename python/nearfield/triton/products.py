"""PQ codes on the GPU: :func:`encode`."""

from __future__ import annotations

from typing import Any

from ..quant import OPQ, ProductQuantizer
from .launching import is_interpreted, on, packages
from .tensors import as_finite, as_matrix

__all__ = ["encode"]

WIDEST = 128
"""Columns of a part that a tile can keep in registers."""


def encode(x: Any, quantizer: ProductQuantizer) -> Any:
    """Turn rows into codes, as :meth:`nearfield.quant.ProductQuantizer.encode` does.

    Parameters
    ----------
    x : torch.Tensor, shape (n, dim)
        float32, float16 or bfloat16 on a CUDA device.
    quantizer : nearfield.quant.ProductQuantizer
        Trained; not OPQ, whose rotation is applied on the CPU.

    Returns
    -------
    torch.Tensor of uint8, shape (n, code_size)
        Numbers of centroids, the first of equally near ones, packed from the lowest bit up.

    Raises
    ------
    TypeError, ValueError
        Another kind of quantizer; rows of other types or shapes, or with NaN or infinity.
    NotTrainedError
        The quantizer has not been trained.
    DeviceError
        A tensor on the CPU.

    Notes
    -----
    Exact: what float32 products cannot decide is decided by float64 differences. The codebooks
    are copied to the device by every call.

    Examples
    --------
    >>> codes = nearfield.triton.encode(x, pq)  # doctest: +SKIP
    """
    torch, _ = packages()
    if not isinstance(quantizer, ProductQuantizer) or isinstance(quantizer, OPQ):
        raise TypeError(f"quantizer: got a {type(quantizer).__name__}, expected a ProductQuantizer")
    codebooks = torch.from_numpy(quantizer.codebooks)
    m, _, width = codebooks.shape
    if width > WIDEST:
        raise ValueError(f"quantizer: got parts of {width} columns, expected at most {WIDEST}")
    rows = as_finite(as_matrix(x, name="x", dim=m * width), name="x")
    with on(rows):
        return _packed(_numbers(rows, codebooks.to(rows.device)), quantizer.nbits)


def _numbers(rows: Any, codebooks: Any) -> Any:
    """Return the numbers of the nearest centroids, (n, m) int32."""
    torch, triton = packages()
    from .kernels.encode import encode, settle

    n, (m, k, width) = len(rows), codebooks.shape
    squares = codebooks.double().square().sum(dim=2)
    halves, longest = (-0.5 * squares).float(), squares.amax(dim=1).sqrt().float()
    numbers = torch.empty(n, m, dtype=torch.int32, device=rows.device)
    doubt = torch.empty(n, m, dtype=torch.int8, device=rows.device)
    if n == 0:
        return numbers
    # Three products of tf32 stand for one of float32: three times the error told in bounds.py.
    share = (2 * width + 16) * 2.0**-21
    tile = 16 if is_interpreted() else 128
    encode[(triton.cdiv(n, tile), m)](
        rows, codebooks, halves, longest, numbers, doubt, n, m, k, width, share,
        SIMULATE=is_interpreted(), BM=tile, BK=min(128, max(16, triton.next_power_of_2(k))),
        WIDTH=max(16, triton.next_power_of_2(width)), num_warps=8,
    )  # fmt: skip
    tile = min(tile, 64)
    settle[(triton.cdiv(n, tile), m)](
        rows, codebooks, numbers, doubt, n, m, k, width, BM=tile, BK=32, num_warps=8
    )
    return numbers


def _packed(numbers: Any, nbits: int) -> Any:
    """Return numbers of nbits each side by side, lowest bits first, as bytes."""
    torch, _ = packages()
    if nbits == 8:
        return numbers.to(torch.uint8)
    n, m = numbers.shape
    bit = torch.arange(nbits, device=numbers.device)
    bits = (numbers[:, :, None] >> bit) & 1
    bits = torch.nn.functional.pad(bits.reshape(n, m * nbits), (0, -(m * nbits) % 8))
    weights = 1 << torch.arange(8, device=numbers.device)
    return (bits.reshape(n, bits.shape[1] // 8, 8) * weights).sum(dim=2).to(torch.uint8)
