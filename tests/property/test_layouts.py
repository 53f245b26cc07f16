"""A hundred thousand random array layouts: the contiguous copy's answer, or a clear TypeError."""

from __future__ import annotations

import time
from typing import Any

import ml_dtypes
import nearfield as nf
import numpy as np
import pytest
from nearfield.arrays import as_queries, as_rows
from numpy.random import Generator

ACCEPTED = ("float32", "float64", "float16", "bfloat16", "int8", "uint8")
REFUSED = ("bool", "int16", "uint16", "int32", "int64", "uint64", "complex64", "longdouble")
LAYOUTS = 100_000
CHUNKS = 20


class Wrapped:
    """An object known only by `__array__`."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._array


class Capsule:
    """An object known only by DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def random_view(rng: Generator, name: str) -> np.ndarray:
    """Return a (n, d) view of random bytes' worth of values: any strides, offset, byte order."""
    n, d = int(rng.integers(1, 6)), int(rng.integers(1, 8))
    size = 2 if name == "bfloat16" else np.dtype(name).itemsize
    inner = int(rng.choice([size, size, -size, 2 * size, -3 * size, size + 1, 0]))
    span = abs(inner) * (d - 1) + size
    outer = int(rng.choice([span, span, -span, span + size, span + 3, -(span + 1), size, 0]))
    low = min(0, inner * (d - 1)) + min(0, outer * (n - 1))
    high = max(0, inner * (d - 1)) + max(0, outer * (n - 1)) + size
    offset = -low + int(rng.choice([0, 0, 1, size, 7]))
    buffer = np.zeros(offset + high, np.uint8)
    swapped = size > 1 and rng.random() < 0.3
    if name == "bfloat16":
        view = np.ndarray((n, d), np.uint16, buffer, offset, (outer, inner))
        values = np.float32(rng.standard_normal((n, d)))
        view[...] = values.astype(ml_dtypes.bfloat16).view(np.uint16)
        return view.view(ml_dtypes.bfloat16)
    dtype = np.dtype(name).newbyteorder("S" if swapped else "=")
    view = np.ndarray((n, d), dtype, buffer, offset, (outer, inner))
    with np.errstate(invalid="ignore"):
        view[...] = np.abs(rng.standard_normal((n, d)) * 9).astype(name)
    return view.T if rng.random() < 0.2 else view


def dressed(rng: Generator, view: np.ndarray) -> Any:
    """Return the view as one of the objects users have."""
    kind = int(rng.integers(0, 8))
    if kind == 0:
        view = view.view()
        view.flags.writeable = False
    elif kind == 1:
        return Wrapped(view)
    elif kind == 2 and view.dtype.isnative and view.dtype != ml_dtypes.bfloat16:
        return memoryview(view)
    elif kind == 3 and view.dtype != ml_dtypes.bfloat16:
        try:
            view.__dlpack__()
        except (BufferError, TypeError):
            return view
        return Capsule(view)
    elif kind == 4:
        return [*view]
    return view


def plain(view: np.ndarray) -> np.ndarray:
    """Return the contiguous native copy."""
    if view.dtype == ml_dtypes.bfloat16:
        return np.array([list(row) for row in view], ml_dtypes.bfloat16).reshape(view.shape)
    return np.array(view, dtype=view.dtype.newbyteorder("="), order="C", copy=True)


def outcome(corpus: Any, query: Any) -> object:
    """Return the bytes of every conversion and of a search, or the error and its message."""
    rows, name = as_rows(corpus, name="corpus")
    assert rows.flags.c_contiguous
    assert rows.flags.aligned
    queries, _ = as_queries(query, name="queries", dim=rows.shape[1])
    assert queries.flags.c_contiguous
    assert queries.dtype == np.float32
    try:
        found = nf.topk(query, corpus, k=2, metric="l2", threads=1)
    except ValueError as error:  # overlapping elements may spell NaN
        return name, rows.tobytes(), queries.tobytes(), str(error)
    return name, rows.tobytes(), queries.tobytes(), *(part.tobytes() for part in found)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_layouts_answer_as_their_contiguous_copy(chunk: int) -> None:
    rng = np.random.default_rng(chunk)
    started = time.perf_counter()
    for _ in range(LAYOUTS // CHUNKS):
        view = random_view(rng, ACCEPTED[rng.integers(len(ACCEPTED))])
        with np.errstate(all="ignore"):
            copy = plain(view)
            if copy.dtype == np.float64 and not (np.abs(copy) < 1e38).all():
                # Overlapping float64 elements may spell values outside float32.
                with pytest.raises(ValueError, match="row"):
                    nf.topk(view, view, k=1, metric="ip")
                continue
        assert outcome(dressed(rng, view), view) == outcome(copy, copy), (
            f"{view.dtype.str} shape {view.shape} strides {view.strides}"
        )
    assert time.perf_counter() - started < 60


def test_refused_types_in_any_layout_say_how_to_convert() -> None:
    rng = np.random.default_rng(0)
    for _ in range(4000):
        view = random_view(rng, REFUSED[rng.integers(len(REFUSED))])
        with pytest.raises(
            TypeError, match=r"^corpus: got .*expected .*(convert with|pick a part)"
        ):
            nf.topk(view, dressed(rng, view), k=1)
