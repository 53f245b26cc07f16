"""Rows made ready for searching: :class:`Rows`, with all that does not depend on queries.

Every bound rests on one line. With q' what is multiplied in place of the query q times its factor,
x' in place of the row x, and a product that is off by at most e |q'| |x'|:

    |product - factor q.x|  <=  (e |q'| + |q' - factor q|) |x'| + factor |q| |x - x'|

so a group needs two numbers, its longest row and its largest left-over. Source: own.
"""

from __future__ import annotations

from typing import Any

from ..arguments import Metric, as_metric, choose
from .launching import GROUP, on, packages, panel_rows
from .tensors import as_matrix

__all__ = ["LONGEST", "Rows", "measured"]

SCANS = ("rows", "int8", "float16", "bfloat16")

LONGEST = 2.0**60
"""Rows up to this length are bounded; a square beyond is near the end of float32."""


class Rows:
    """Rows on the device, with the lengths and codes that searching them needs.

    Parameters
    ----------
    rows : torch.Tensor, shape (n, dim)
        float32, float16 or bfloat16 on a CUDA device; kept, not copied where it is contiguous.
    metric : {"l2", "ip", "cosine"}, default "l2"
        As in :func:`nearfield.topk`.
    scan : {"rows", "int8", "float16", "bfloat16"}, default "rows"
        What is read first: the rows, or shorter codes made of them and kept beside them. Results
        are the same, those of the rows; blurred codes make more rows be re-scored.
    name : str, default "rows"
        What errors call the rows.

    Raises
    ------
    TypeError, ValueError
        Another dtype or shape, NaN or infinity in a row.
    DeviceError
        Rows on the CPU.

    Notes
    -----
    Making one reads the rows and waits for the device once, to learn that they are finite. Later
    changes of the tensor are not seen. Any number of threads may search one.

    Examples
    --------
    >>> import nearfield.triton  # doctest: +SKIP
    >>> rows = nearfield.triton.Rows(corpus, "cosine", scan="int8")  # doctest: +SKIP
    >>> nearfield.triton.topk(queries, rows, k=100).ids  # doctest: +SKIP
    """

    def __init__(
        self, rows: Any, metric: Metric = "l2", *, scan: str = "rows", name: str = "rows"
    ) -> None:
        torch, _ = packages()
        self.metric: Metric = as_metric(metric)
        self.scan = choose(scan, SCANS, name="scan")
        self.stored = as_matrix(rows, name=name)
        self.n, self.dim = self.stored.shape
        self.n_groups = -(-self.n // GROUP)
        with on(self.stored):
            squares, largest = measured(self.stored, name)
            self.codes, scales, left = self.stored, None, torch.zeros_like(squares)
            if self.scan != "rows":
                self.codes, scales, left = self._coded(largest)
            self._weigh(squares.sqrt(), scales, left)
            self.biases = None
            if self.metric == "l2":
                self.biases = (-0.5 * squares).float()

    def __repr__(self) -> str:
        """Return what it holds."""
        return f"Rows(n={self.n}, dim={self.dim}, metric={self.metric!r}, scan={self.scan!r})"

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.n)

    def _coded(self, largest: Any) -> tuple[Any, Any, Any]:
        """Return codes, their scales or None, and squared lengths of what they leave over."""
        torch, triton = packages()
        from .kernels.measure import quantize

        integer = self.scan == "int8"
        # A row too small for a scale in float32 is coded as zeros and is all left over.
        scales = torch.where(largest > 2.0**-100, largest / 127, 1.0) if integer else None
        dtype = getattr(torch, self.scan)
        codes = torch.empty(self.n, self.dim, dtype=dtype, device=self.stored.device)
        left = torch.empty(self.n, dtype=torch.float64, device=self.stored.device)
        if self.n:
            quantize[(triton.cdiv(self.n, panel_rows()),)](
                self.stored, largest if scales is None else scales, codes, left, self.n, self.dim,
                INTEGER=integer, BR=panel_rows(), BD=64,
            )  # fmt: skip
        return codes, scales, left.nan_to_num(nan=torch.inf)

    def _weigh(self, length: Any, scales: Any, left: Any) -> None:
        """Set row weights, and per group the longest row and the largest left-over, as scored."""
        torch, _ = packages()
        weight = torch.ones_like(length) if scales is None else scales.double()
        if self.metric == "cosine":
            inverse = torch.where(length > 0, 1 / length.clamp(min=1e-300), 0.0)
            # A weight that is near the end of float32 is not used: such rows are always looked at.
            inverse = torch.where(inverse < 2.0**100, inverse, 0.0)
            beyond = (length > 0) & (inverse == 0)
            weight, left = weight * inverse, left.sqrt() * inverse
            reach = torch.where(length > 0, 1.0, 0.0)
        else:
            left, reach = left.sqrt(), length
            beyond = length > LONGEST
        # Products that underflow are off by 2^-125 each, before they are weighed.
        left = left * (1 + 2.0**-40) + self.dim * 2.0**-125 * weight
        reach = torch.where(beyond, torch.inf, reach + left)
        left = left.nan_to_num(nan=torch.inf)
        self.lengths = self._group_maximum(reach)
        self.residuals = self._group_maximum(left)
        weighted = scales is not None or self.metric == "cosine"
        self.weights = weight.float() if weighted else None

    def _group_maximum(self, values: Any) -> Any:
        """Return the largest value of every group, rounded up."""
        torch, _ = packages()
        missing = self.n_groups * GROUP - self.n
        padded = torch.nn.functional.pad(values, (0, missing), value=0.0)
        return (padded.reshape(-1, GROUP).amax(dim=1) * (1 + 2.0**-22)).float()


def measured(x: Any, name: str) -> tuple[Any, Any]:
    """Return squared lengths in float64 and largest absolute values; all must be finite."""
    torch, triton = packages()
    from .kernels.measure import lengths

    squares = torch.empty(len(x), dtype=torch.float64, device=x.device)
    largest = torch.empty(len(x), dtype=torch.float32, device=x.device)
    if len(x):
        lengths[(triton.cdiv(len(x), panel_rows()),)](
            x, squares, largest, *x.shape, BR=panel_rows(), BD=64
        )
    if not bool(torch.isfinite(squares).all()):
        bad = int(torch.nonzero(~torch.isfinite(squares))[0, 0])
        raise ValueError(f"{name}: row {bad} holds NaN or infinity, expected finite numbers")
    return squares, largest
