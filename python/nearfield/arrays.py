"""Python objects to the matrices the core takes: the only place where that happens.

Every dtype is taken as it is, widened exactly, or rounded knowingly in blocks; anything else is a
``TypeError`` that says how to convert. A C-contiguous, aligned array of the wanted dtype is passed
on without a copy. bfloat16 travels as uint16 next to the name ``"bfloat16"``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DeviceError

__all__ = [
    "STORAGES",
    "as_floats",
    "as_labels",
    "as_queries",
    "as_rows",
    "finite_rows",
    "foreign_code",
    "kind_of",
    "to_numpy",
]

STORAGES = ("float32", "float16", "bfloat16", "int8", "uint8")
"""Element types an index can hold."""

_ACCEPTED = ("float32", "float64", "float16", "bfloat16", "int8", "uint8")
_CARRIER: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
}
_FLOAT32 = np.dtype(np.float32)
_BLOCK_ELEMENTS = 1 << 20
_HOST_DEVICES = {1, 3, 11, 13}  # DLPack: CPU, CUDA pinned host, ROCm pinned host, CUDA managed
_EXACT_INTEGER = 2**24  # up to here float32 holds every integer


def as_rows(
    obj: Any, *, name: str, dim: int | None = None, storage: str | None = None
) -> tuple[NDArray[Any], str]:
    """Turn `obj` into C-contiguous rows of the storage type.

    Parameters
    ----------
    obj : array_like, shape (n, dim)
        NumPy array, anything with ``__array__``, the buffer protocol or DLPack on the CPU, or
        nested lists of numbers.
    name : str
        Argument name for messages.
    dim : int, optional
        Columns expected; any number if None.
    storage : str, optional
        One of :data:`STORAGES`; the array's own type (float64 becomes float32) if None.

    Returns
    -------
    rows : ndarray, shape (n, dim)
        The object's own memory where nothing had to change.
    dtype_name : str
        One of :data:`STORAGES`; ``"bfloat16"`` rows are uint16.

    Raises
    ------
    TypeError
        The object or its element type cannot be taken without loss.
    ValueError
        Wrong shape, or a finite value overflows the storage type.
    """
    array, source = _numbers(obj, name)
    target = storage or ("float32" if source == "float64" else source)
    if array.shape == (0,) and dim is not None and isinstance(obj, (list, tuple)):
        return np.empty((0, dim), _CARRIER[target]), target
    _check_matrix(array, name, dim)
    return _convert(array, source, target, name), target


def as_queries(obj: Any, *, name: str, dim: int) -> tuple[NDArray[np.float32], bool]:
    """Turn `obj` into C-contiguous float32 queries.

    Parameters
    ----------
    obj : array_like, shape (n, dim) or (dim,)
        As in :func:`as_rows`.
    name : str
        Argument name for messages.
    dim : int
        Columns expected.

    Returns
    -------
    queries : ndarray of float32, shape (n, dim)
    one_vector : bool
        True where `obj` was a single vector of shape ``(dim,)``.

    Raises
    ------
    TypeError, ValueError
        As :func:`as_rows`.
    """
    # What nearly every call brings: the longer way would cost more than a small search.
    if type(obj) is np.ndarray and obj.dtype == _FLOAT32 and obj.shape[-1:] == (dim,):
        one_vector, flags = obj.ndim == 1, obj.flags
        if obj.ndim <= 2 and flags.c_contiguous and flags.aligned:
            return obj[np.newaxis] if one_vector else obj, one_vector
    array, source = _numbers(obj, name)
    if array.shape == (0,) and isinstance(obj, (list, tuple)):
        return np.empty((0, dim), np.float32), False
    one_vector = array.ndim == 1
    if one_vector:
        if array.shape[0] != dim:
            raise ValueError(f"{name}: got shape {array.shape}, expected ({dim},) or (n, {dim})")
        array = array[np.newaxis]
    _check_matrix(array, name, dim)
    return _convert(array, source, "float32", name), one_vector


def as_labels(obj: Any, *, name: str, length: int | None = None) -> NDArray[np.int64]:
    """Turn `obj` into a 1-D int64 array of labels.

    Parameters
    ----------
    obj : array_like of int, set of int, range, or int
        Any integer type whose values fit int64; a single integer is one label.
    name : str
        Argument name for messages.
    length : int, optional
        How many labels are expected.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Wrong shape or length, or a value outside int64.
    """
    if isinstance(obj, (Set, range)):
        obj = list(obj)
    array, _ = to_numpy([obj] if isinstance(obj, (int, np.integer)) else obj, name)
    if array.size == 0 and isinstance(obj, (list, tuple)):
        array = np.empty(0, np.int64)
    plain = isinstance(obj, (list, tuple))
    # NumPy takes a bool among integers for one of them, and large integers for floats or objects.
    if array.dtype.kind == "O" or (plain and (array.dtype.kind == "f" or bool in map(type, obj))):
        array = _integers_of_list(obj, name)
    if array.dtype.kind not in "iu" or array.dtype.names is not None:
        raise TypeError(
            f"{name}: got {_describe(array)}, expected integers (int64); "
            "convert with np.asarray(ids, dtype='int64') if the values are whole numbers"
        )
    if array.ndim != 1 or (length is not None and array.shape[0] != length):
        wanted = "(n,)" if length is None else f"({length},), one label per row"
        raise ValueError(f"{name}: got shape {array.shape}, expected {wanted}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > 2**63 - 1:
        raise ValueError(f"{name}: got {int(array.max())}, expected labels below 2**63 (int64)")
    return np.ascontiguousarray(array, dtype=np.int64)


def as_floats(obj: Any, *, name: str, ndim: int) -> NDArray[np.float32]:
    """Turn `obj` into a float32 array of one or two dimensions: a new one, finite, read-only.

    Parameters
    ----------
    obj : array_like
        As in :func:`as_rows`.
    name : str
        Argument name for messages.
    ndim : {1, 2}
        Dimensions expected, each at least 1 long.

    Raises
    ------
    TypeError
        The object or its element type cannot be taken without loss.
    ValueError
        Wrong shape, NaN or infinity, or a finite value overflows float32.
    """
    array, source = _numbers(obj, name)
    if array.ndim != ndim or array.size == 0:
        wanted = "a vector (n,)" if ndim == 1 else "a matrix (rows, columns)"
        raise ValueError(f"{name}: got shape {array.shape}, expected {wanted} that is not empty")
    shape = array.shape
    flat = _convert(array.reshape(1, -1), source, "float32", name).reshape(shape)
    if not np.isfinite(flat).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(flat))[0])
        raise ValueError(f"{name}: got {flat[where]} at {where}, expected finite numbers")
    owned: NDArray[np.float32] = np.array(flat, dtype=np.float32, order="C", copy=True)
    owned.flags.writeable = False
    return owned


def finite_rows(obj: Any, *, name: str, dim: int | None = None) -> NDArray[np.float32]:
    """Turn `obj` into float32 rows as :func:`as_rows` does; ValueError where one is not finite."""
    rows, _ = as_rows(obj, name=name, dim=dim, storage="float32")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        at = int(np.argmin(finite))
        raise ValueError(f"{name}: row {at} holds NaN or infinity, expected finite numbers")
    return rows


def to_numpy(obj: Any, name: str) -> tuple[NDArray[Any], str]:
    """Return `obj` as a plain NumPy array, sharing its memory where it can, and its dtype's name.

    No value is converted; bfloat16 is shown as uint16 with the name ``"bfloat16"``.
    """
    # Looked up, not imported: without the module loaded nobody holds an object of its types.
    masked_type = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    if masked_type is not None and isinstance(obj, masked_type):
        raise TypeError(
            f"{name}: got a masked array, expected one without a mask; "
            "call .filled(value) or .compressed() first"
        )
    if isinstance(obj, np.ndarray):
        return _named(np.asarray(obj))
    tensor_type = getattr(sys.modules.get("torch"), "Tensor", None)
    if tensor_type is not None and isinstance(obj, tensor_type):
        return _from_torch(obj, name)
    if isinstance(obj, (list, tuple)):
        return _from_sequence(obj, name)
    if obj is None or isinstance(obj, (str, bytes, dict, set, frozenset, int, float, complex)):
        raise TypeError(f"{name}: got {kind_of(obj)}, expected an array of numbers")
    return _from_protocol(obj, name)


def _named(array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    dtype = array.dtype
    if dtype.names is None and dtype.itemsize == 2 and dtype.name == "bfloat16":
        swapped = not dtype.isnative
        return array.view(np.dtype(np.uint16).newbyteorder("S" if swapped else "=")), "bfloat16"
    return array, dtype.name


def _from_torch(tensor: Any, name: str) -> tuple[NDArray[Any], str]:
    if tensor.requires_grad:
        raise TypeError(f"{name}: got a tensor that requires grad; call .detach() first")
    if tensor.device.type != "cpu":
        raise TypeError(
            f"{name}: got a tensor on {tensor.device}, expected one on the CPU; call .cpu() first"
        )
    if str(tensor.layout) != "torch.strided":
        raise TypeError(
            f"{name}: got a {tensor.layout} tensor, expected a dense one; call .to_dense() first"
        )
    tensor = tensor.resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":
        bits = tensor.view(sys.modules["torch"].int16)
        return bits.numpy().view(np.uint16), "bfloat16"
    try:
        return _named(tensor.numpy())
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name}: got a tensor of {tensor.dtype} that NumPy cannot show ({error}); "
            "convert with x.to(torch.float32)"
        ) from None


def _from_sequence(obj: Any, name: str) -> tuple[NDArray[Any], str]:
    plain = (list, tuple, str, bytes, int, float, complex, np.generic, type(None))
    if len(obj) and not isinstance(obj[0], plain):
        return _from_arrays(obj, name)
    with foreign_code(obj, name):
        try:
            return _named(np.asarray(obj))
        except (ValueError, OverflowError) as error:
            reason = error
    raise ValueError(
        f"{name}: got a list that is not a matrix ({reason}); every row needs the same length"
    )


def _from_arrays(obj: Any, name: str) -> tuple[NDArray[Any], str]:
    parts = [to_numpy(part, f"{name}[{i}]") for i, part in enumerate(obj)]
    shape, dtype_name = parts[0][0].shape, parts[0][1]
    for i, (part, part_name) in enumerate(parts):
        if part.shape != shape:
            raise ValueError(
                f"{name}: got {name}[{i}] of shape {part.shape} beside {name}[0] of shape {shape};"
                " every row needs the same length"
            )
        if part_name != dtype_name:
            raise TypeError(
                f"{name}: got {name}[{i}] of {part_name} beside {name}[0] of {dtype_name}; "
                "convert them to one dtype first"
            )
    return np.stack([part for part, _ in parts]), dtype_name


def _from_protocol(obj: Any, name: str) -> tuple[NDArray[Any], str]:
    with foreign_code(obj, name):
        device = int(obj.__dlpack_device__()[0]) if hasattr(obj, "__dlpack_device__") else 1
    if device not in _HOST_DEVICES:
        raise TypeError(
            f"{name}: got {kind_of(obj)} on an accelerator (DLPack device {device}), "
            "expected one on the CPU; copy it to the host first (.cpu(), .get() or "
            "jax.device_get)"
        )
    with foreign_code(obj, name):
        if hasattr(obj, "__array__"):
            return _named(np.asarray(obj))
        if hasattr(obj, "__dlpack__"):
            return _named(np.from_dlpack(obj))
        return _named(np.asarray(memoryview(obj)))


@contextlib.contextmanager
def foreign_code(obj: Any, name: str) -> Iterator[None]:
    """Turn what a foreign object's methods raise, which may be anything, into a TypeError."""
    try:
        yield
    except (MemoryError, OSError, DeviceError):  # no fault of the object
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        if not isinstance(error, (TypeError, ValueError)):
            reason = f"{type(error).__name__}: {reason}"
        fix = ""
        if callable(getattr(type(obj), "toarray", None)):
            fix = "; call .toarray() first"
        elif callable(getattr(type(obj), "__iter__", None)) and not isinstance(obj, list):
            fix = "; pass list(x), or an array"
        raise TypeError(
            f"{name}: got {kind_of(obj)}, expected an array of numbers ({reason}){fix}"
        ) from error


def _integers_of_list(obj: Any, name: str) -> NDArray[np.int64]:
    values = list(obj)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(
                f"{name}: got {kind_of(value)} ({value!r}) in a list, expected integers (int64)"
            )
        if not -(2**63) <= int(value) < 2**63:
            raise ValueError(f"{name}: got {value}, expected labels that fit int64")
    return np.asarray(values, dtype=np.int64)


def _numbers(obj: Any, name: str) -> tuple[NDArray[Any], str]:
    """Return `obj` as an array of one of the accepted types."""
    array, source = to_numpy(obj, name)
    dtype = array.dtype
    if source in _ACCEPTED and dtype.names is None and dtype.kind in "fiu":
        return array, source
    if dtype.kind in "iu" and _is_plain_list(obj):
        # Python integers have no element type of their own: they are taken where float32 is exact.
        wrong = array[(array > _EXACT_INTEGER) | (array < -_EXACT_INTEGER)]
        if wrong.size:
            raise ValueError(
                f"{name}: got the integer {int(wrong[0])}, which float32 cannot be trusted to "
                "hold; expected at most 2**24"
            )
        return array.astype(np.float32), "float32"
    raise TypeError(
        f"{name}: got {_describe(array)}, expected one of {', '.join(_ACCEPTED)}; {_fix(dtype)}"
    )


def _is_plain_list(obj: Any) -> bool:
    while isinstance(obj, (list, tuple)) and len(obj):
        obj = obj[0]
    return isinstance(obj, int)


def _fix(dtype: np.dtype[Any]) -> str:
    if dtype.names is not None:
        return "convert with np.lib.recfunctions.structured_to_unstructured(x)"
    if dtype.kind == "c":
        return "pick a part, e.g. x.real.astype('float32')"
    if dtype.kind in "OSUT":
        return "make it a matrix of numbers, e.g. np.stack(x) or np.asarray(x, dtype='float32')"
    if dtype.kind in "mM":
        return "convert with x.astype('int64').astype('float32')"
    if dtype == np.uint16:
        return "convert with x.astype('float32'), or x.view(ml_dtypes.bfloat16) if these are bits"
    if dtype.kind in "iu":
        return "convert with x.astype('float32'), which is exact up to 2**24"
    return "convert with x.astype('float32')"


def _describe(array: NDArray[Any]) -> str:
    kind = "structured" if array.dtype.names is not None else array.dtype.name
    return f"an array of {kind}"


def kind_of(obj: Any) -> str:
    """Return what messages call an object."""
    return "None" if obj is None else f"a {type(obj).__name__}"


def _check_matrix(array: NDArray[Any], name: str, dim: int | None) -> None:
    columns = "dim" if dim is None else str(dim)
    if array.ndim == 2 and array.shape[1] >= 1 and dim in (None, array.shape[1]):
        return
    fix = ""
    if array.ndim == 1 and array.size and array.shape[0] == (dim or array.shape[0]):
        fix = "; for one row pass x.reshape(1, -1)"
    elif array.ndim == 2 and dim == array.shape[0]:
        fix = "; is it transposed (x.T)?"
    raise ValueError(f"{name}: got shape {array.shape}, expected (n, {columns}){fix}")


def _convert(array: NDArray[Any], source: str, target: str, name: str) -> NDArray[Any]:
    carrier = _CARRIER[target]
    if source == target:
        flags = array.flags
        if flags.c_contiguous and flags.aligned and array.dtype.isnative:
            return array
        return np.array(array, dtype=carrier, order="C", copy=True)
    if target in ("int8", "uint8"):
        raise TypeError(
            f"{name}: got {source}, expected {target}, the type this index stores; scale and round "
            f"it yourself, e.g. np.asarray(x, dtype='{target}') where every value is a whole "
            "number in range"
        )
    if source in ("int8", "uint8") and target in ("float32", "float16"):
        return array.astype(carrier, order="C")
    if source == "float16" and target == "float32":
        return array.astype(carrier, order="C")
    return _convert_blocks(array, source, target, name)


def _convert_blocks(array: NDArray[Any], source: str, target: str, name: str) -> NDArray[Any]:
    widen: Callable[[NDArray[Any]], NDArray[Any]] = (
        _widen_bfloat16 if source == "bfloat16" else _as_is
    )
    out = np.empty(array.shape, _CARRIER[target])
    for rows in _row_blocks(array):
        block = widen(array[rows])
        if target == "bfloat16":
            out[rows] = _round_bfloat16(block)
            overflowed = (out[rows] & 0x7FFF) == 0x7F80
        else:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                out[rows] = block
            overflowed = np.isinf(out[rows])
        if overflowed.any():
            # An infinity that was there before is the core's to report.
            overflowed &= np.isfinite(block)
            bad = np.flatnonzero(overflowed.any(axis=1))
            if bad.size:
                _raise_overflow(name, rows.start, int(bad[0]), overflowed, block, target)
    return out


def _raise_overflow(
    name: str, start: int, row: int, overflowed: NDArray[Any], block: NDArray[Any], target: str
) -> None:
    value = float(block[row, int(np.argmax(overflowed[row]))])
    raise ValueError(
        f"{name}: row {start + row} holds {value:g}, which overflows {target}; "
        "scale the vectors down"
        + ("" if target == "float32" else " or store them in a type with more range")
    )


def _row_blocks(array: NDArray[Any]) -> Iterator[slice]:
    step = max(1, _BLOCK_ELEMENTS // max(1, array.shape[1]))
    for start in range(0, array.shape[0], step):
        yield slice(start, min(start + step, array.shape[0]))


def _as_is(block: NDArray[Any]) -> NDArray[Any]:
    return block


def _widen_bfloat16(block: NDArray[Any]) -> NDArray[Any]:
    wide = block.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _round_bfloat16(block: NDArray[Any]) -> NDArray[np.uint16]:
    """Round float64, float32, float16 or integers to bfloat16, nearest even."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = block.astype(np.float32, order="C")
        if block.dtype.itemsize == 8:
            # Round to odd first: two roundings to nearest would differ from one.
            bits = single.view(np.uint32)
            inexact = (single != block) & ~np.isnan(single)
            bits -= inexact & (np.abs(single) > np.abs(block))
            bits |= inexact
    bits = single.view(np.uint32)
    nan = np.isnan(single)
    bits += 0x7FFF + ((bits >> 16) & 1)
    rounded = (bits >> 16).astype(np.uint16)
    rounded[nan] = 0x7FC0
    return rounded
