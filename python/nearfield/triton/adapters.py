"""Transforms on the GPU: :class:`Adapters`, parameters on the device, and :func:`adapt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import as_flag
from ..transforms.key_value import KeyValue
from ..transforms.lexical import LexicalModulation
from ..transforms.linear import LowRank
from ..transforms.tokens import Tokens
from .launching import is_interpreted, on, packages
from .modulation import modulated
from .segments import segments
from .tensors import TAKEN, as_labels, as_matrix

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["Adapters", "adapt"]

LARGEST_RANK = 128
"""Hidden values that a tile of rows can keep in registers."""
LARGEST_MODULATED = 8192
"""Columns of a row that one program can keep in registers."""


class Adapters:
    """Transforms of one kind, with their parameters on a device.

    Parameters
    ----------
    transforms : LowRank, KeyValue or LexicalModulation, or a sequence of the first or the second
        From :mod:`nearfield.transforms`, of one kind and one width.
    device : torch.device or str
        Where the rows will be.

    Raises
    ------
    TypeError, ValueError
        Other or mixed kinds, different widths, none at all, more than 128 hidden values, or a
        modulation of more than 8,192 columns.

    Notes
    -----
    An adapter is copied to the device once, here.

    Examples
    --------
    >>> adapters = nearfield.triton.Adapters([legal, medical], "cuda")  # doctest: +SKIP
    >>> nearfield.triton.adapt(x, adapters, transform_ids=ids)  # doctest: +SKIP
    """

    def __init__(self, transforms: Transform | Sequence[Transform], device: Any) -> None:
        many = list(transforms) if isinstance(transforms, Sequence) else [transforms]
        if not many:
            raise ValueError("transforms: got none, expected at least one")
        kind = type(many[0])
        if kind not in (LowRank, KeyValue, LexicalModulation):
            raise TypeError(
                f"transforms: got a {kind.__name__}, expected LowRank, KeyValue or "
                "LexicalModulation; others run on the CPU"
            )
        if any(type(t) is not kind for t in many):
            raise TypeError("transforms: got several kinds, expected one kind in a batch")
        widths = sorted({int(t.in_dim or 0) for t in many})
        if len(widths) > 1:
            raise ValueError(f"transforms: got widths {widths}, expected one")
        self.kind, self.count, self.dim = kind.kind, len(many), widths[0]
        if kind is LexicalModulation:
            self._modulation(many, device)
        else:
            self._residuals(many, device)

    def __repr__(self) -> str:
        """Return what it holds."""
        return f"Adapters({self.count} x {self.kind}, dim={self.dim})"

    def _modulation(self, many: list[Any], device: Any) -> None:
        torch, _ = packages()
        if len(many) > 1:
            raise ValueError(f"transforms: got {len(many)} modulations, expected one")
        if self.dim > LARGEST_MODULATED:
            raise ValueError(
                f"transforms: got {self.dim} columns, expected at most {LARGEST_MODULATED}"
            )
        self.modulation = many[0]
        self.matrix = torch.tensor(many[0].weight, device=device)
        bias = many[0].bias
        self.bias = None if bias is None else torch.tensor(bias, device=device)

    def _residuals(self, many: list[Any], device: Any) -> None:
        """Stack both factors of every adapter, padded with zeros to one rank."""
        torch, triton = packages()
        parts = [_factors(t) for t in many]
        ranks = [len(down) for down, _, _ in parts]
        if max(ranks) > LARGEST_RANK:
            raise ValueError(
                f"transforms: got {max(ranks)} hidden values, expected at most {LARGEST_RANK}"
            )
        self.rank = max(16, triton.next_power_of_2(max(ranks)))
        stacked = np.zeros((2, len(many), self.rank, self.dim), np.float32)
        for i, (down, up, _) in enumerate(parts):
            stacked[0, i, : len(down)], stacked[1, i, : len(up)] = down, up
        self.down, self.up = torch.from_numpy(stacked).to(device)
        self.ranks = torch.tensor(ranks, device=device)
        self.bias = None
        if any(bias is not None for _, _, bias in parts):
            zero = np.zeros(self.dim, np.float32)
            biases = np.stack([zero if bias is None else bias for _, _, bias in parts])
            self.bias = torch.from_numpy(biases).to(device)


def _factors(transform: Any) -> tuple[Any, Any, Any]:
    """Return the map to hidden values, the map back, both (rank, dim), and the bias or None."""
    if isinstance(transform, LowRank):
        return transform.a, np.float32(transform.scale) * transform.b.T, transform.bias
    return transform.keys / np.float32(transform.temperature), transform.values, None


def adapt(
    x: Any,
    transform: Transform | Sequence[Transform] | Adapters,
    *,
    transform_ids: Any = None,
    tokens: Tokens | None = None,
    normalize: bool = False,
    dtype: Any = None,
) -> Any:
    """Apply transforms to rows on the GPU, a different one to every row where wanted.

    Parameters
    ----------
    x : torch.Tensor, shape (n, dim) or (dim,)
        float32, float64, float16 or bfloat16 on a CUDA device.
    transform : LowRank, KeyValue, LexicalModulation, a sequence of one kind, or Adapters
        :class:`Adapters` are on the device already; others are copied to it by every call.
    transform_ids : torch.Tensor of an integer type, shape (n,), optional
        Which transform is each row's, -1 for none. The first is everybody's by default.
    tokens : Tokens, optional
        For LexicalModulation: token ids, with weights where the mode has them.
    normalize : bool, default False
        Whether results have unit length (a modulation does as it was made).
    dtype : torch.dtype, optional
        Of the result: float32 by default, or float16 or bfloat16.

    Returns
    -------
    torch.Tensor, shape (n, dim) or (dim,)
        Near what the transforms themselves return: within 1e-6 of the size of the sums behind a
        value. A row's result does not depend on the others.

    Raises
    ------
    TypeError, ValueError
        Wrong shapes or types, ids that number no transform, tokens missing or not wanted.
    DeviceError
        Tensors on the CPU or on different devices.

    Notes
    -----
    Rows are sorted by transform, and one program takes rows of one transform only: parameters are
    read once a tile, not once a row. Values beyond the result's type are infinite.

    Examples
    --------
    >>> t = [nf.transforms.LowRank(a, b), nf.transforms.LowRank(c, d)]  # doctest: +SKIP
    >>> nearfield.triton.adapt(x, t, transform_ids=ids, normalize=True)  # doctest: +SKIP
    """
    torch, _ = packages()
    unit = as_flag(normalize, name="normalize")
    one = isinstance(x, torch.Tensor) and x.ndim == 1
    rows = as_matrix(x[None] if one else x, name="x", dtypes=TAKEN)
    rows = rows.float() if rows.dtype == torch.float64 else rows
    if dtype not in (None, torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"dtype: got {dtype}, expected torch.float32, float16 or bfloat16")
    with on(rows):
        adapters = transform
        if not isinstance(adapters, Adapters):
            adapters = Adapters(adapters, rows.device)
        if rows.shape[1] != adapters.dim:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected {adapters.dim} columns")
        out = torch.empty(rows.shape, dtype=dtype or torch.float32, device=rows.device)
        if adapters.kind == "lexical":
            if transform_ids is not None:
                raise ValueError("transform_ids: got some for a modulation, which is one for all")
            modulated(rows, adapters, tokens, out)
        else:
            if tokens is not None:
                raise ValueError(f"tokens: got some, but {adapters.kind} takes none")
            _adapted(rows, adapters, transform_ids, unit, out)
    return out[0] if one else out


def _adapted(rows: Any, adapters: Adapters, ids: Any, normalize: bool, out: Any) -> None:
    """Run the kernel over rows sorted by adapter, those without one first."""
    torch, _ = packages()
    from .kernels.adapt import adapt

    if ids is None:
        ids = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    else:
        ids = as_labels(
            ids, name="transform_ids", n=len(rows), least=-1, limit=adapters.count, like=rows
        )
    size, columns, warps = tile_of(adapters.rank)
    cut = segments(ids + 1, adapters.count + 1, size)
    adapt[(len(cut.first),)](
        rows, cut.order, cut.first, cut.count, cut.kind, adapters.down, adapters.up,
        adapters.down if adapters.bias is None else adapters.bias, adapters.ranks, out,
        rows.shape[1],
        MIXES=adapters.kind == "key_value", BIASED=adapters.bias is not None, NORMALIZE=normalize,
        RANK=adapters.rank, PRECISION="tf32x3", SIMULATE=is_interpreted(), BM=size,
        BD=columns, num_warps=warps, num_stages=2,
    )  # fmt: skip


def tile_of(rank: int) -> tuple[int, int, int]:
    """Return rows and columns of a tile and its warps: what a rank leaves registers for."""
    if is_interpreted():
        return 16, 64, 4
    return (64, 64, 4) if rank <= 16 else (32, 32, 4) if rank <= 64 else (16, 32, 8)
