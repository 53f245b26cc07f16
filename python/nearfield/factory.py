"""Indexes from FAISS's description strings: :func:`index_factory`."""

from __future__ import annotations

import re
from typing import Any

from .arguments import Metric, as_metric, as_positive
from .flat import FlatIndex
from .index import Index
from .ivf import IVFIndex

__all__ = ["index_factory"]

_STORAGES = {"Flat": "float32", "SQfp16": "float16", "SQbf16": "bfloat16"}
_FORMS = ("Flat", "SQfp16", "SQbf16", "IVF<nlist>,Flat", "IVF<nlist>,SQfp16", "IVF<nlist>,SQbf16")


def index_factory(description: str, dim: int, metric: Metric = "l2") -> Index:
    """Make an index from a description in FAISS's grammar.

    Parameters
    ----------
    description : str
        ``"Flat"`` for float32 rows, ``"SQfp16"`` and ``"SQbf16"`` for float16 and bfloat16 rows;
        ``"IVF<nlist>,"`` before one of them puts the rows in inverted lists.
    dim : int
        Columns of the vectors.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.

    Returns
    -------
    FlatIndex or IVFIndex

    Raises
    ------
    TypeError, ValueError
        A description this version does not know; the message lists those it does.

    Examples
    --------
    >>> import nearfield as nf
    >>> nf.index_factory("IVF64,SQfp16", 8, "ip")
    IVFIndex(dim=8, nlist=64, metric='ip', quantizer='float16') with 0 rows
    """
    as_metric(metric)
    if not isinstance(description, str):
        raise TypeError(f"description: got a {type(description).__name__}, expected a str")
    lists, storage = _parts(description)
    keywords: dict[str, Any] = {"quantizer": storage}
    if lists is None:
        return FlatIndex(dim, metric, **keywords)
    return IVFIndex(dim, as_positive(lists, name="nlist"), metric, **keywords)


def _parts(description: str) -> tuple[int | None, str]:
    """Split a description into the number of lists, if any, and the storage of rows."""
    head, comma, tail = description.replace(" ", "").partition(",")
    numbered = re.fullmatch(r"IVF([0-9]{1,8})", head)
    if comma and numbered and tail in _STORAGES:
        return int(numbered[1]), _STORAGES[tail]
    if not comma and head in _STORAGES:
        return None, _STORAGES[head]
    raise ValueError(
        f"description: got {description!r}, expected one of {', '.join(_FORMS)}; product and "
        "rotated codes are trained by nf.quant and not yet kept by an index"
    )
