"""Indexes from FAISS's description strings: :func:`index_factory`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from . import _core
from .arguments import Metric, as_metric, as_positive
from .arrays import STORAGES
from .flat import FlatIndex
from .hnsw import HNSWIndex
from .index import Index
from .ivf import IVFIndex

__all__ = ["index_factory"]

_LINKS = "32"  # of an HNSW that says no number
_STORAGES = {"Flat": "float32", "SQfp16": "float16", "SQbf16": "bfloat16"}
_ROWS = "|".join([*_STORAGES, *STORAGES])
_GRAMMAR = re.compile(
    r"(?:OPQ(?P<rotated>[0-9]+),)?"
    r"(?:IVF(?P<nlist>[0-9]{1,8}),|(?P<graph>HNSW)(?P<links>[0-9]{0,8})[,_])?"
    r"(?P<code>[A-Za-z0-9]+)"
    rf"(?:,(?:R(?P<flat>Flat)|Refine\((?P<refine>{_ROWS})\)))?"
)
_GRAPH_ALONE = re.compile(r"(HNSW[0-9]*)(?=$|,R(?:Flat|efine))")
_PRODUCT = re.compile(r"PQ(?P<m>[0-9]+)(?:x(?P<bits>[0-9]+)(?:(?<=x4)fsr?)?)?")
_RABITQ = re.compile(r"RaBitQ(?P<bits>[1-8]?)")


class _Parts(NamedTuple):
    nlist: int | None
    links: int | None
    quantizer: str
    refine: str | None


def index_factory(description: str, dim: int, metric: Metric = "l2") -> Index:
    """Make an index from a description in FAISS's grammar.

    Parameters
    ----------
    description : str
        What is stored of a row: ``"Flat"``, ``"SQfp16"`` or ``"SQbf16"`` (float32, float16 or
        bfloat16 rows), ``"SQ8"``, ``"SQ4"``, ``"PQ<m>"`` (8 bits a part), ``"PQ<m>x<bits>"``
        (``"PQ<m>x4fs"`` is ``"PQ<m>x4"``), ``"RaBitQ"`` (1 bit), ``"RaBitQ<bits>"``, or any
        `quantizer` of :class:`FlatIndex` by its name there.

        ``"IVF<nlist>,"`` before it puts the rows in inverted lists, coded about the centroids;
        ``"HNSW<m>,"`` or ``"HNSW<m>_"`` makes a graph over them, with 32 links where no number is
        given; alone it is one over float32 rows. ``"OPQ<m>,"`` before all of it learns a rotation
        for ``PQ<m>``. After it,
        ``",RFlat"``, ``",Refine(SQfp16)"`` or ``",Refine(SQbf16)"`` keeps rows to re-rank by, as
        `refine`.
    dim : int
        Columns of the vectors.
    metric : {"l2", "ip", "cosine"}, default "l2"
        Squared Euclidean distance, inner product, or cosine similarity.

    Returns
    -------
    FlatIndex, IVFIndex or HNSWIndex

    Raises
    ------
    TypeError, ValueError
        A description this version does not know; the message lists those it does.

    Notes
    -----
    The rotation of OPQ belongs to the quantizer here: lists are found before it, which rotation
    does not change, and it is learned from what a row differs from its centroid.

    Examples
    --------
    >>> import nearfield as nf
    >>> nf.index_factory("IVF64,SQfp16", 8, "ip")
    IVFIndex(dim=8, nlist=64, metric='ip', quantizer='float16') with 0 rows
    >>> index = nf.index_factory("OPQ4,IVF64,PQ4x4fs,RFlat", 8)
    >>> index.quantizer, index.refine
    ('opq4x4', 'float32')
    >>> nf.index_factory("HNSW16_SQ8", 8)
    HNSWIndex(dim=8, m=16, metric='l2', quantizer='sq8') with 0 rows
    """
    as_metric(metric)
    if not isinstance(description, str):
        raise TypeError(f"description: got a {type(description).__name__}, expected a str")
    parts = _parts(description)
    keywords: dict[str, Any] = {"quantizer": parts.quantizer, "refine": parts.refine}
    if parts.links is not None:
        return HNSWIndex(dim, parts.links, metric, **keywords)
    if parts.nlist is None:
        return FlatIndex(dim, metric, **keywords)
    return IVFIndex(dim, as_positive(parts.nlist, name="nlist"), metric, **keywords)


def _parts(description: str) -> _Parts:
    words = _GRAPH_ALONE.sub(r"\1,Flat", description.replace(" ", ""))
    found = _GRAMMAR.fullmatch(words)
    quantizer = _quantizer(found["code"], found["rotated"]) if found else None
    if found is None or quantizer is None:
        raise ValueError(
            f"description: got {description!r}, expected one of Flat, SQfp16, SQbf16, SQ8, SQ4, "
            "PQ<m>, PQ<m>x<bits>, PQ<m>x4fs, RaBitQ, RaBitQ<bits>, "
            f"{', '.join([*STORAGES, *_core.quantizer_forms()])}; before it OPQ<m>, (of a PQ with "
            "equal m), IVF<nlist>, or HNSW<m>, after it ,RFlat or ,Refine(Flat|SQfp16|SQbf16)"
        )
    kept = found["flat"] or found["refine"]
    refine = None if kept is None else _STORAGES.get(kept, kept)
    nlist = int(found["nlist"]) if found["nlist"] else None
    links = int(found["links"] or _LINKS) if found["graph"] else None
    return _Parts(nlist, links, quantizer, refine)


def _quantizer(code: str, rotated: str | None) -> str | None:
    """Return our name of a code, None where there is none; rotated: the parts of an OPQ before."""
    if product := _PRODUCT.fullmatch(code):
        if rotated is not None and int(rotated) != int(product["m"]):
            return None
        prefix = "pq" if rotated is None else "opq"
        return f"{prefix}{int(product['m'])}x{int(product['bits'] or 8)}"
    if rotated is not None:
        return None
    if rabitq := _RABITQ.fullmatch(code):
        return f"rabitq{rabitq['bits'] or 1}"
    if code in ("SQ8", "SQ4"):
        return code.lower()
    ours = code in STORAGES or re.fullmatch(r"(sq|o?pq|rabitq)[0-9x]+", code)
    return code if ours else _STORAGES.get(code)
