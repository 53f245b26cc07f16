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
    name = quantizer
    if isinstance(quantizer, Quantizer):
        if quantizer._inner is not None:
            return _of_dim(quantizer._inner, dim)
        name = quantizer._name()
    if not isinstance(name, str):
        raise TypeError(
            f"quantizer: got a {type(quantizer).__name__}, expected a name or a quantizer of "
            "nf.quant"
        )
    try:
        return _core.Quantizer(name, dim)
    except ValueError as error:
        reason = str(error).removeprefix("quantizer: ")
        raise ValueError(f"quantizer: {reason}; or one of {', '.join(STORAGES)}") from None


def _of_dim(quantizer: _core.Quantizer, dim: int) -> _core.Quantizer:
    if quantizer.dim != dim:
        raise ValueError(
            f"quantizer: got one that was trained on {quantizer.dim} columns, expected {dim}"
        )
    return quantizer
