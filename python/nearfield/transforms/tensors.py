"""Named float tensors in files: safetensors, and what torch has pickled.

Files are hostile until checked. Nothing in them is run: safetensors hold none, and torch reads
pickles as plain weights only. No file takes more memory than a small multiple of its own size.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..arguments import LARGEST_DIM
from ..errors import CorruptFileError

__all__ = [
    "Tensors",
    "check_shapes",
    "read_dim",
    "read_header",
    "read_json",
    "read_list",
    "read_safetensors",
    "read_torch",
    "require_safetensors",
    "to_bytes",
]

Tensors = dict[str, NDArray[np.float32]]

_LARGEST_JSON = 16 << 20  # no list of tensors that one of our transforms has comes near it
_NUMPY_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}


def require_safetensors() -> Any:
    """Return the package, or raise ImportError with the pip line."""
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            f"files of transforms need safetensors ({error}); install it with: "
            'pip install "nearfield[adapters]"'
        ) from error
    return safetensors


def to_bytes(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file; the bytes are the same each time for at most one key of metadata.

    Parameters
    ----------
    tensors : mapping of ndarray
        By name.
    metadata : mapping of str
        The format leaves the order of several keys to chance.
    """
    require_safetensors()
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    written: bytes = save(contiguous, dict(metadata))
    return written


def read_header(file: BinaryIO, path: str) -> dict[str, str]:
    """Return the metadata of a safetensors file, without reading its tensors."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(_LARGEST_JSON, os.fstat(file.fileno()).st_size):
        raise CorruptFileError(f"{path}: not a safetensors file, or cut short")
    what = "the header at offset 8"
    header = _as_object(_parse(file.read(length), path, what), path, what)
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise CorruptFileError(f"{path}: metadata is a {type(metadata).__name__}, not an object")
    return metadata


def read_safetensors(file: BinaryIO, path: str) -> Tensors:
    """Return the tensors of a file, widened or rounded to float32.

    Raises
    ------
    CorruptFileError
        No valid safetensors file, or a tensor that is not of float16, bfloat16, float32 or float64.
    ImportError
        safetensors is not installed.
    """
    safetensors = require_safetensors()
    file.seek(0)
    try:
        entries = safetensors.deserialize(file.read())
    except safetensors.SafetensorError as error:
        raise CorruptFileError(f"{path}: no valid safetensors file ({error})") from None
    return dict(_converted(entries, path))


def read_torch(path: str) -> Tensors:
    """Return the tensors of a state dict that torch has pickled, as float32.

    Raises
    ------
    CorruptFileError
        Not a state dict of plain floating-point tensors.
    ImportError
        torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} was written by torch, which is needed to read it ({error}); install it with: "
            'pip install "torch>=2.2"'
        ) from error
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _refuse_expanding(file, path, size)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # what torch raises for bad bytes is of many types
            reason = str(error).strip().split("\n", 1)[0] or type(error).__name__
            raise CorruptFileError(f"{path}: torch reads no plain weights here: {reason}") from None
    if not isinstance(state, dict):
        raise CorruptFileError(f"{path}: got a {type(state).__name__}, expected a state dict")
    return {str(name): _of_torch(value, f"{path}: {name}", size) for name, value in state.items()}


def read_json(path: str) -> dict[str, Any]:
    """Return the object that a small JSON file holds."""
    return _as_object(_parse(_small_file(path), path, "it"), path, "it")


def read_list(path: str) -> list[dict[str, Any]]:
    """Return the list of objects that a small JSON file holds."""
    parsed = _parse(_small_file(path), path, "it")
    if not isinstance(parsed, list):
        raise CorruptFileError(f"{path}: it is a {type(parsed).__name__}, expected a list")
    return [_as_object(entry, path, f"entry {i}") for i, entry in enumerate(parsed)]


def read_dim(config: Mapping[str, Any], key: str, path: str) -> int:
    """Return a number of columns that a configuration names."""
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= LARGEST_DIM:
        raise CorruptFileError(
            f"{path}: {key} is {value!r:.80}, expected an integer from 1 to {LARGEST_DIM}"
        )
    return value


def check_shapes(
    tensors: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], path: str
) -> None:
    """Raise CorruptFileError unless there are just these tensors, of these shapes."""
    got = {name: array.shape for name, array in tensors.items()}
    wrong = sorted(name for name in got.keys() | shapes if got.get(name) != shapes.get(name))
    if wrong:
        name = wrong[0]
        raise CorruptFileError(
            f"{path}: {name!r:.80} is {_shape(got.get(name))}, expected {_shape(shapes.get(name))}"
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else f"of shape {shape}"


def _small_file(path: str) -> bytes:
    with open(path, "rb") as file:
        text = file.read(_LARGEST_JSON + 1)
    if len(text) > _LARGEST_JSON:
        raise CorruptFileError(f"{path}: more than {_LARGEST_JSON} bytes of JSON")
    return text


def _parse(text: bytes, path: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else error
        raise CorruptFileError(f"{path}: {what} is not JSON ({reason})") from None


def _as_object(parsed: Any, path: str, what: str) -> dict[str, Any]:
    if not isinstance(parsed, dict):
        raise CorruptFileError(f"{path}: {what} is a {type(parsed).__name__}, expected an object")
    return parsed


def _converted(entries: Any, path: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, entry in entries:
        kind, data = entry["dtype"], entry["data"]
        if kind == "BF16":
            values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        elif kind in _NUMPY_TYPES:
            values = np.frombuffer(data, _NUMPY_TYPES[kind])
        else:
            raise CorruptFileError(
                f"{path}: {name:.80} is of type {kind}, expected one of F16, BF16, F32, F64"
            )
        try:
            shaped = values.reshape(entry["shape"])
        except ValueError as error:  # an empty tensor may claim any shape, a small one many axes
            raise CorruptFileError(
                f"{path}: {name:.80} has no shape of an array ({error})"
            ) from None
        yield name, _as_float32(shaped, f"{path}: {name:.80}")


def _as_float32(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrowed = values.astype(np.float32, copy=False)
    if not np.isfinite(narrowed).all():
        raise CorruptFileError(f"{what} holds NaN, infinity, or a value beyond float32")
    return narrowed


def _refuse_expanding(file: BinaryIO, path: str, size: int) -> None:
    """Refuse an archive whose entries would be larger than the file: torch does not compress."""
    import zipfile

    if zipfile.is_zipfile(file):
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                total = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise CorruptFileError(f"{path}: a damaged archive ({error})") from None
        if total > size:
            raise CorruptFileError(f"{path}: {size} bytes that claim to hold {total}")
    file.seek(0)


def _of_torch(value: Any, what: str, size: int) -> NDArray[np.float32]:
    import torch

    known = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    is_plain = isinstance(value, torch.Tensor) and value.layout is torch.strided
    if not is_plain or value.dtype not in known or value.device.type != "cpu":
        got = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise CorruptFileError(f"{what}: got {got}, expected a tensor of a floating-point type")
    # A view may repeat few stored numbers as often as it likes.
    if math.prod(value.shape) * value.element_size() > size:
        raise CorruptFileError(f"{what}: a tensor {tuple(value.shape)} in a file of {size} bytes")
    wide = torch.float32 if value.dtype == torch.bfloat16 else value.dtype
    return _as_float32(value.detach().to(wide).resolve_neg().contiguous().numpy(), what)
