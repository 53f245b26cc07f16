"""What `quantizer` and `refine` of an index mean: what it keeps of a row, how it finds it."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core
from .arguments import choose
from .arrays import STORAGES
from .quant import Quantizer

__all__ = ["Coding", "as_coding"]


class Coding(NamedTuple):
    """Rows of an index.

    Attributes
    ----------
    dtype : str
        Element type of the rows that are kept, or taken where none are.
    quantizer : Quantizer or None
        What codes them; None where they are found by their own elements.
    keeps_rows : bool
        Whether rows are kept beside a quantizer's codes.
    """

    dtype: str
    quantizer: _core.Quantizer | None = None
    keeps_rows: bool = False


def as_coding(quantizer: Any, refine: Any, dim: int) -> Coding:
    """Read the arguments `quantizer` and `refine` of an index of `dim` columns.

    Raises
    ------
    TypeError, ValueError
        An unknown name (the message lists the names), a quantizer of another dimension, or
        `refine` where rows are kept as they are already.
    """
    if isinstance(quantizer, str) and quantizer in STORAGES:
        if refine is not None:
            raise ValueError(
                f"refine: got {refine!r}, expected None: with quantizer={quantizer!r} rows are "
                "kept as they are"
            )
        return Coding(quantizer)
    core = _as_quantizer(quantizer, dim)
    if refine is None:
        return Coding("float32", core)
    return Coding(choose(refine, STORAGES, name="refine"), core, keeps_rows=True)


def _as_quantizer(quantizer: Any, dim: int) -> _core.Quantizer:
    if isinstance(quantizer, Quantizer):
        if quantizer._inner is None:
            return _core.Quantizer(quantizer._name(), dim)
        if quantizer._inner.dim != dim:
            raise ValueError(
                f"quantizer: got one that was trained on {quantizer._inner.dim} columns, "
                f"expected {dim}"
            )
        return quantizer._inner
    if not isinstance(quantizer, str):
        raise TypeError(
            f"quantizer: got a {type(quantizer).__name__}, expected a name or a quantizer of "
            "nf.quant"
        )
    try:
        return _core.Quantizer(quantizer, dim)
    except ValueError as error:
        raise ValueError(f"quantizer: {error}; or one of {', '.join(STORAGES)}") from None
