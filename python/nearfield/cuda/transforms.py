"""Transforms on a device: queries of searches, and rows in bulk.

Mapped rows are the CPU engine's to the bit, so a search finds what it finds on the CPU. Nothing
waits: what a transform takes beyond float32, and rows whose id of a transform is on the device and
out of range, become NaN, which no search finds anything for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..queries import Plan, as_chosen, as_plan
from ..result import SearchResult
from .arrays import DeviceMatrix, as_device_array, as_device_matrix, device_of, is_on_device
from .holding import reading
from .library import library
from .owners import owner_of
from .programs import Needs, needs_of, programs_read, resident
from .search import uploaded

if TYPE_CHECKING:
    from ..transforms import Transform

__all__ = ["applied", "mapped", "queries_there", "shaped", "unmapped"]

_FLOATS = ("float32", "float16", "bfloat16")


class _Ids(NamedTuple):
    """Ids on the device, one for every row that is searched."""

    address: int
    are_wide: bool
    keep: Any


def queries_there(
    name: str,
    q: Any,
    dim: int,
    given: tuple[Any, Any, Any],
    device: int,
    stream: int,
    *,
    fuses: bool = False,
) -> tuple[DeviceMatrix, tuple[int, ...] | None]:
    """Take queries on the device and what `transform`, `transform_ids` and `tokens` make of them.

    Returns
    -------
    DeviceMatrix
        Rows as they are searched. Their map is enqueued, or, with `fuses`, left to the search.
    tuple of int or None
        Axes of the results before the last where there is one for a bundle, for :func:`shaped`.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit each other.
    """
    transform, ids, tokens = given
    chosen = as_chosen(dim, *given)
    if chosen is None:
        return as_device_matrix(q, name=name, device=device, stream=stream, dim=dim), None
    transforms, in_dim = chosen
    there = as_device_matrix(q, name=name, device=device, stream=stream, dim=in_dim)
    plan = Plan(transforms, tokens=tokens)
    if transform is not transforms[0]:
        plan = _several(transforms, ids, there.place[1], in_dim, dim, device, stream)
    rows, _ = (unmapped if fuses else mapped)(there, plan, dim, device, stream)
    if plan.bundle is None:
        return rows, None
    return rows, (plan.bundle,) if there.one_vector else (there.place[1], plan.bundle)


def shaped(found: SearchResult, lead: tuple[int, ...] | None) -> SearchResult:
    """Return results of mapped queries with an axis for a bundle, where there is one."""
    if lead is None:
        return found
    k = found.ids.shape[-1]
    ids, scores, counts = found
    return SearchResult(ids.reshape((*lead, k)), scores.reshape((*lead, k)), counts.reshape(lead))


def mapped(
    rows: DeviceMatrix, plan: Plan, dim: int, device: int, stream: int, *, checks: bool = False
) -> tuple[DeviceMatrix, Any]:
    """Enqueue a map of rows to float32 rows of `dim` columns.

    Returns
    -------
    DeviceMatrix
        The rows; `one_vector` where one was given and there is no bundle.
    DeviceArray or None
        With `checks`, a uint32 that becomes 1 where a row given is not finite.
    """
    beyond = _beyond(checks, device, stream)
    given = rows.place[1] * (plan.bundle or 1)
    out = library().DeviceArray((max(given, 1), dim), "float32", device, stream)
    place = (out._address, given, dim, dim, "float32")
    _run(rows, plan, place, device, stream, 0 if beyond is None else beyond._address)
    return DeviceMatrix(place, rows.one_vector and plan.bundle is None, out), beyond


def unmapped(
    rows: DeviceMatrix, plan: Plan, dim: int, device: int, stream: int, *, checks: bool = False
) -> tuple[DeviceMatrix, Any]:
    """Return what :func:`mapped` returns with the map left to the search that reads the rows."""
    beyond, given = _beyond(checks, device, stream), rows.place[1] * (plan.bundle or 1)
    fields, keep = _fields(plan, rows.place[1], rows.place[2], given, device, stream)
    fields["is_beyond"] = 0 if beyond is None else beyond._address
    place = (0, given, dim, dim, "float32")
    one_vector = rows.one_vector and plan.bundle is None
    return DeviceMatrix(place, one_vector, (rows.keep, keep), (fields, rows.place)), beyond


def _beyond(checks: bool, device: int, stream: int) -> Any:
    return uploaded(np.zeros(1, np.uint32), device, stream)[0] if checks else None


def applied(
    transform: Transform | Sequence[Transform],
    x: Any,
    tokens: Any = None,
    transform_ids: Any = None,
    name: str = "x",
) -> Any:
    """Enqueue a map of vectors on their owner's current stream; an array of the owner's kind.

    Parameters
    ----------
    transform : Transform or sequence of Transform
        Of a sequence, `transform_ids` says which for every row.
    x : array on a device, shape (n, in_dim) or (in_dim,)
        float32, float16, bfloat16, int8 or uint8.
    tokens, transform_ids : optional
        As a search takes them.

    Returns
    -------
    array, shape (n, out_dim), (n, a, out_dim) or (out_dim,)
        float16 and bfloat16 as they were given, else float32. NaN in rows that are beyond its
        range, and where `transform_ids` on the device are out of range.
    """
    device, owner = device_of(x, name), owner_of(x)
    stream = owner.current_stream(device)
    with reading(device, stream):
        out = _applied(transform, x, tokens, transform_ids, name, (device, stream))
    return owner.finished(out)


def _applied(
    transform: Transform | Sequence[Transform],
    x: Any,
    tokens: Any,
    transform_ids: Any,
    name: str,
    place: tuple[int, int],
) -> Any:
    """Take the arrays and enqueue the map."""
    (device, stream), owner = place, owner_of(x)
    several, first = isinstance(transform, (list, tuple)), transform
    if isinstance(transform, (list, tuple)) and transform:
        first = transform[0]
    dim = getattr(first, "out_dim", None) or getattr(first, "in_dim", None)
    columns = as_device_array(x, name=name, device=device, stream=stream).shape[-1:]
    chosen = as_chosen(dim or next(iter(columns), 1), transform, transform_ids, tokens)
    assert chosen is not None
    transforms, in_dim = chosen
    there = as_device_matrix(x, name=name, device=device, stream=stream, dim=in_dim)
    n, out_dim = there.place[1], dim or in_dim
    plan = Plan(transforms, tokens=tokens)
    if several:
        plan = _several(transforms, transform_ids, n, in_dim, out_dim, device, stream)
    dtype = there.place[4] if there.place[4] in _FLOATS else "float32"
    lead: tuple[int, ...] = () if there.one_vector else (n,)
    lead += () if plan.bundle is None else (plan.bundle,)
    out, address = owner.empty((*lead, out_dim), dtype, device, stream)
    given = n * (plan.bundle or 1)
    _run(there, plan, (address, given, out_dim, out_dim, dtype), device, stream, 0)
    return out


def _several(
    transforms: tuple[Any, ...],
    ids: Any,
    n: int,
    columns: int,
    dim: int,
    device: int,
    stream: int,
) -> Plan:
    if ids is None or not is_on_device(ids):
        return as_plan(transforms, ids, n, columns, dim)
    name = "transform_ids"
    array = as_device_array(ids, name=name, device=device, stream=stream)
    if array.dtype not in ("int64", "int32"):
        raise TypeError(f"{name}: got {array.dtype}, expected int64 or int32")
    shape = array.shape
    if len(shape) not in (1, 2) or shape[0] != n or shape[1:] == (0,):
        raise ValueError(
            f"{name}: got shape {shape}, expected ({n},), one per query, or ({n}, a) for a bundle "
            "of a transforms per query"
        )
    dense = (shape[1], 1) if len(shape) == 2 else (1,)
    if array.strides not in (None, dense) and n > 0:
        raise ValueError(f"{name}: got strides {array.strides}, expected a contiguous array")
    held = _Ids(array.address, array.dtype == "int64", array.keep)
    return Plan(transforms, held, shape[1] if len(shape) == 2 else None)


def _run(
    rows: DeviceMatrix,
    plan: Plan,
    out: tuple[int, int, int, int, str],
    device: int,
    stream: int,
    beyond: int,
) -> None:
    native, given = library(), out[1]
    if given == 0:
        return
    fields, keep = _fields(plan, rows.place[1], rows.place[2], given, device, stream)
    fields["is_beyond"] = beyond
    needed = native.map_scratch_bytes(fields, given)
    scratch = native.DeviceArray((max(needed, 1),), "uint8", device, stream)
    with programs_read(device, stream):
        native.map_rows(fields, rows.place, out, scratch._address, device, stream)
    del keep


def _fields(
    plan: Plan, n: int, columns: int, given: int, device: int, stream: int
) -> tuple[dict[str, int], list[Any]]:
    """Return a ``RowMap`` of cuda/search/row_map.h, and what it points to."""
    programs = [resident(transform, device) for transform in plan.transforms]
    needs = Needs(columns)
    for transform in plan.transforms:
        needs |= needs_of(transform, columns)
    table: tuple[Any, int] = (programs[0].keep, programs[0].address)
    if len(programs) > 1:
        entries = np.array([program.entry for program in programs], np.uint64)
        table = uploaded(entries, device, stream)
    numbers, bags, vocabulary = _numbers(plan, given, device, stream), None, 0
    if plan.transforms[0].kind == "lexical":
        bags, vocabulary = _bags(plan, n, device, stream)
    parts = {"programs": table, "numbers": numbers, "bags": bags}
    fields = {key: 0 if part is None else int(part[1]) for key, part in parts.items()}
    fields |= {"count": len(programs), "vocabulary": vocabulary, "per_query": plan.bundle or 1}
    fields |= {key: int(value) for key, value in needs._asdict().items()}
    return fields, [parts, programs]


def _numbers(plan: Plan, given: int, device: int, stream: int) -> tuple[Any, int] | None:
    """Return which program every row has, a uint32 each: 0 none, else one more than its id."""
    if plan.ids is None:
        return None
    if not isinstance(plan.ids, _Ids):
        return uploaded((plan.ids + 1).astype(np.uint32), device, stream)
    numbers = library().DeviceArray((4 * given,), "uint8", device, stream)
    at, count = numbers._address, len(plan.transforms)
    library().numbers_of_ids(plan.ids.address, plan.ids.are_wide, given, count, at, device, stream)
    return numbers, at


def _bags(plan: Plan, n: int, device: int, stream: int) -> tuple[tuple[Any, int], int]:
    """Return the tokens of a modulation, weighed by the CPU engine, and the vocabulary of dense."""
    transform = plan.transforms[0]
    tokens = transform._as_tokens(plan.tokens, n)
    if isinstance(tokens, np.ndarray):
        weights = transform._modulation.weighed(tokens)
        return uploaded(weights, device, stream), transform.vocab
    parts = transform._modulation.bags(tokens.ids, tokens.offsets, tokens.weights)
    whole = np.concatenate([part.view(np.uint8) for part in parts])
    return uploaded(whole, device, stream), 0
