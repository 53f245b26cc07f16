"""What the commands read: vectors from .npy, texts and records from .txt and .jsonl, ids.

Text files may be gzipped. Every error names the file and the line.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Records", "read_ids", "read_records", "read_vectors"]

FORMATS = ".npy, .jsonl, .jsonl.gz, .txt or .txt.gz"
_VECTOR_KEYS = ("vector", "embedding")


@dataclass
class Records:
    """The content of a file: either vectors or texts, perhaps with ids and payloads.

    Attributes
    ----------
    vectors : ndarray or None
        (n, dim), mapped rather than read where the file allows.
    texts : list of str or None
        None when `vectors` is not.
    ids : list or None
        One per row where every record has one.
    payload : list or None
        The records' other fields, where any has some.
    """

    vectors: NDArray[Any] | None = None
    texts: list[str] | None = None
    ids: list[Any] | None = None
    payload: list[Any] | None = None


def kind_of(path: str) -> str:
    """Return "npy", "jsonl" or "txt" by the file's name, or raise ValueError."""
    name = path.removesuffix(".gz")
    for kind in ("npy", "jsonl", "txt"):
        if name.endswith(f".{kind}") and not (kind == "npy" and path.endswith(".gz")):
            return kind
    raise ValueError(f"{path}: unknown kind of file, expected {FORMATS}")


def read_records(path: str) -> Records:
    """Read a file by the kind its name tells."""
    kind = kind_of(path)
    if kind == "npy":
        return Records(vectors=read_vectors(path))
    if kind == "txt":
        return Records(texts=[line for _, line in _lines(path)])
    return _read_jsonl(path)


def read_vectors(path: str) -> NDArray[Any]:
    """Map a two-dimensional .npy file; Python objects in it are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a .npy file of numbers ({error})") from None
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2):
        shape = getattr(array, "shape", type(array).__name__)
        raise ValueError(f"{path}: got shape {shape}, expected (n, dim)")
    return array[np.newaxis] if array.ndim == 1 else array


def read_ids(path: str) -> list[Any]:
    """Read ids: integers from .npy, or one per line of .txt (integers where all of them are)."""
    if kind_of(path) == "npy":
        array = np.load(path, allow_pickle=False)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: got {array.dtype} of shape {array.shape}, expected integers of shape (n,)"
            )
        return [int(value) for value in array]
    if kind_of(path) != "txt":
        raise ValueError(f"{path}: ids come from a .npy file or a .txt file with one per line")
    names = [line for _, line in _lines(path)]
    try:
        return [int(name) for name in names]
    except ValueError:
        return list(names)


def _read_jsonl(path: str) -> Records:
    vectors: list[Any] = []
    texts: list[str] = []
    ids: list[Any] = []
    payload: list[Any] = []
    for number, line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error})") from None
        record = {"text": record} if isinstance(record, str) else record
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{number}: expected an object or a string")
        key = next((key for key in _VECTOR_KEYS if key in record), None)
        if key is not None:
            vectors.append(record.pop(key))
        elif isinstance(record.get("text"), str):
            texts.append(record.pop("text"))
        else:
            raise ValueError(f'{path}:{number}: expected "text" (a string) or "vector" (numbers)')
        if "id" in record:
            ids.append(record.pop("id"))
        payload.append(record.pop("payload") if set(record) == {"payload"} else record or None)
    rows = len(payload)
    if vectors and texts:
        raise ValueError(f"{path}: {len(vectors)} records have vectors and {len(texts)} only texts")
    if ids and len(ids) != rows:
        raise ValueError(f"{path}: {len(ids)} of {rows} records have an id, expected all or none")
    return Records(
        vectors=_as_matrix(path, vectors) if vectors else None,
        texts=None if vectors else texts,
        ids=ids or None,
        payload=payload if any(one is not None for one in payload) else None,
    )


def _as_matrix(path: str, vectors: list[Any]) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(vectors, dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError(f"{path}: vectors of different lengths, or not of numbers") from None
    if matrix.ndim != 2:
        raise ValueError(f"{path}: got vectors of shape {matrix.shape}, expected (n, dim)")
    return matrix


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of the lines that are not blank."""
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not readable as UTF-8 text ({error})") from None


def _open(path: str) -> IO[str]:
    if Path(path).suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return open(path, encoding="utf-8", newline="\n")
