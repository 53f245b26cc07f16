"""Exact search on a device: what :func:`nearfield.topk` does with arrays that are there."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import LARGEST_DIM, Metric
from ..filters import LabelSpace, as_mask
from ..result import SearchResult
from .arrays import (
    DeviceMatrix,
    as_device_array,
    as_device_matrix,
    device_of,
    is_on_device,
    refuse_host_array,
)
from .holding import reading
from .library import library
from .owners import Owner, owner_of
from .programs import programs_read
from .streams import as_stream

__all__ = [
    "address_of",
    "answered",
    "is_for_device",
    "mask_on_device",
    "run",
    "scan_choice",
    "topk",
    "uploaded",
]


SCANS = ("groups", "thresholds", "bytes")


def is_for_device(queries: Any, corpus: Any) -> bool:
    """Tell whether a call belongs here: one of its arrays is on a device."""
    return is_on_device(queries) or is_on_device(corpus)


def topk(
    queries: Any,
    corpus: Any,
    k: int,
    metric: Metric,
    *,
    filter: Any,
    exclude_self: bool,
    stream: Any,
    mapped: tuple[Any, Any, Any] = (None, None, None),
) -> SearchResult:
    """Search; the arguments but for the arrays are checked already.

    Raises
    ------
    TypeError, ValueError
        An array on the host or on another device, of a type, shape or layout that is not taken.
    DeviceError
        The device fails or has too little memory, or the stream does not exist.
    """
    if not is_on_device(queries):
        refuse_host_array(queries, "queries", device_of(corpus, "corpus"), "corpus")
    device = device_of(queries, "queries")
    if not is_on_device(corpus):
        refuse_host_array(corpus, "corpus", device, "queries")
    owner = owner_of(queries)
    on = owner.current_stream(device) if stream is None else as_stream(stream, device)
    with reading(device, on):
        return _topk(queries, corpus, k, metric, filter, exclude_self, mapped, (device, on))


def _topk(
    queries: Any,
    corpus: Any,
    k: int,
    metric: Metric,
    filter: Any,
    exclude_self: bool,
    mapped: tuple[Any, Any, Any],
    place: tuple[int, int],
) -> SearchResult:
    """Take the arrays and enqueue the search."""
    device, on = place
    rows = as_device_matrix(corpus, name="corpus", device=device, stream=on)
    if rows.place[2] > LARGEST_DIM:
        raise ValueError(f"corpus: got {rows.place[2]} columns, expected at most {LARGEST_DIM}")
    from .transforms import queries_there, shaped

    dim = rows.place[2]
    q, lead = queries_there("queries", queries, dim, mapped, device, on, fuses=True)
    if exclude_self and (q.place[1] != rows.place[1] or lead is not None):
        raise ValueError(
            f"exclude_self: got {q.place[1]} queries for {rows.place[1]} rows, expected as many "
            "queries as rows and no bundle: query i leaves out row i"
        )
    mask = mask_on_device(filter, rows.place[1], device, on)
    owner = owner_of(queries)
    found = run(owner, q, rows, k, metric, device, on, mask=mask, exclude_self=exclude_self)
    return shaped(found, lead)


def run(
    owner: Owner,
    queries: DeviceMatrix,
    rows: DeviceMatrix,
    k: int,
    metric: str,
    device: int,
    stream: int,
    *,
    mask: Any = None,
    labels: Any = None,
    constants: Any = None,
    codes: Any = None,
    exclude_self: bool = False,
    folding: tuple[int, int, int, int, int] | None = None,
) -> SearchResult:
    """Enqueue a search on the stream; results are the owner's arrays, one vector's without an axis.

    Parameters
    ----------
    mask, labels, constants, codes : tuple, optional
        ``(keeper, address)`` of a byte and an int64 per row, and of what the native module keeps
        of rows that are searched more than once; codes: bytes beside them, to be scanned.
    folding : tuple of int, optional
        A linear map of the rows, as ``Folding.place`` of :mod:`nearfield.cuda.folded`.
    """
    native, place = library(), (device, stream)
    extras = (address_of(mask), address_of(labels), address_of(constants))
    asked = (k, extras, exclude_self)
    how = (scan_choice(), address_of(codes), folding, queries.unmapped)
    needed = native.scratch_bytes(queries.place, rows.place, *asked, *how)
    reads = programs_read(*place) if queries.unmapped is not None else nullcontext()

    def enqueue(out: tuple[int, int, int], scratch: int) -> None:
        with reads:
            native.search(queries.place, rows.place, metric, *asked, out, scratch, *place, *how)

    return answered(owner, queries, k, needed, place, enqueue)


def answered(
    owner: Owner,
    queries: DeviceMatrix,
    k: int,
    scratch_bytes: int,
    place: tuple[int, int],
    enqueue: Callable[[tuple[int, int, int], int], None],
) -> SearchResult:
    """Return the owner's arrays that a search fills; one vector's without an axis.

    Parameters
    ----------
    place : tuple of int
        The device and the stream.
    enqueue : callable
        Called with the addresses of ids, scores and counts, and of scratch memory.
    """
    n: tuple[int, ...] = () if queries.one_vector else (queries.place[1],)
    ids, ids_at = owner.empty((*n, k), "int64", *place)
    scores, scores_at = owner.empty((*n, k), "float32", *place)
    counts, counts_at = owner.empty(n, "int64", *place)
    scratch, scratch_at = owner.empty((max(scratch_bytes, 1),), "uint8", *place)
    enqueue((ids_at, scores_at, counts_at), scratch_at)
    del scratch
    return SearchResult(*map(owner.finished, (ids, scores, counts)))


def scan_choice() -> str:
    """Return how rows are scanned: what ``NEARFIELD_CUDA_SCAN`` says, by groups otherwise.

    Raises
    ------
    ValueError
        The variable is none of ``groups``, ``thresholds`` and ``bytes``.
    """
    choice = os.environ.get("NEARFIELD_CUDA_SCAN") or SCANS[0]
    if choice not in SCANS:
        expected = f"{', '.join(map(repr, SCANS[:-1]))} or {SCANS[-1]!r}"
        raise ValueError(f"NEARFIELD_CUDA_SCAN: got {choice!r}, expected {expected}")
    return choice


def address_of(kept: Any) -> int:
    """Return the address of a ``(keeper, address)``; 0 for None."""
    return 0 if kept is None else int(kept[1])


def mask_on_device(rows: Any, n: int, device: int, stream: int) -> Any:
    """Return a filter as a byte per row on the device: ``(keeper, address)``, or None."""
    if rows is None:
        return None
    if is_on_device(rows):
        array = as_device_array(rows, name="filter", device=device, stream=stream)
        if array.dtype not in ("bool", "uint8") or array.shape != (n,):
            raise ValueError(
                f"filter: got {array.dtype} of shape {array.shape} on cuda:{device}, expected bool "
                f"of shape ({n},)"
            )
        if array.strides not in (None, (1,)) and n > 1:
            raise ValueError(f"filter: got strides {array.strides}, expected a contiguous mask")
        return array.keep, array.address
    mask = as_mask(rows, LabelSpace(n))
    return None if mask is None else uploaded(mask.view(np.uint8), device, stream)


def uploaded(array: NDArray[Any], device: int, stream: int) -> tuple[Any, int]:
    """Copy an array to the device: ``(keeper, address)``."""
    there = library().DeviceArray((max(array.nbytes, 1),), "uint8", device, stream)
    library().upload(there, np.ascontiguousarray(array).reshape(-1), 0)
    return there, there._address
