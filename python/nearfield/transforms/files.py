"""Files of transforms: :func:`load`, and what :meth:`Transform.save` writes.

A file is a safetensors file: the arrays as float32 tensors by argument name (those of a chain as
``<number>.<name>``), and one entry of metadata, ``nearfield.transform``, that holds version, kind
and the other arguments as JSON. One entry, because the order of several is left to chance and equal
transforms should make equal files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from ..arguments import as_path
from ..durable import replace_durably
from ..errors import CorruptFileError
from .base import KINDS, Transform
from .tensors import read_header, read_safetensors, require_safetensors, to_bytes

__all__ = ["load", "save"]

_ENTRY = "nearfield.transform"
_VERSION = 1
_DEEPEST = 16  # chains within chains


def save(transform: Transform, path: str | os.PathLike[str]) -> None:
    """Write `transform` to `path`, all or nothing."""
    config = transform.config()
    described = {"version": _VERSION, "kind": transform.kind, "config": config}
    deepest = max(map(_depth, config), default=0)
    if deepest > _DEEPEST:
        raise ValueError(f"got chains {deepest} deep, expected at most {_DEEPEST}; flatten them")
    metadata = {_ENTRY: json.dumps(described, allow_nan=False)}
    written = to_bytes(transform.parameters(), metadata)
    replace_durably(as_path(path, name="path"), [written])


def load(path: str | os.PathLike[str]) -> Transform:
    """Read a transform that :meth:`Transform.save` wrote.

    Parameters
    ----------
    path : path-like
        The file. Tensors may have been converted to float16, bfloat16 or float64 since; they are
        taken as float32.

    Returns
    -------
    Transform
        Of the kind that was saved.

    Raises
    ------
    CorruptFileError
        No file of a transform: cut short, of another format, of a kind or version this one does
        not know, with tensors missing, left over or of wrong shapes, or with NaN.
    OSError
        The file cannot be read.
    ImportError
        safetensors is not installed.

    Notes
    -----
    A file is data alone: nothing in it is run, and reading it takes no more memory than a small
    multiple of its size.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nearfield as nf
    >>> adapter = nf.transforms.LowRank([[1, 1]], [[1], [0]], scale=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "legal.safetensors")
    ...     adapter.save(path)
    ...     nf.transforms.load(path)
    LowRank(a=(1, 2), b=(2, 1), scale=0.5)
    """
    require_safetensors()
    name = as_path(path, name="path")
    with open(name, "rb") as file:
        kind, config = _described(read_header(file, name), name)
        tensors = read_safetensors(file, name)
    _check_names(tensors, name)
    try:
        return KINDS[kind].from_parameters(tensors, config)
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptFileError(f"{name}: {error!s:.400}") from None


def _described(metadata: dict[str, str], path: str) -> tuple[str, dict[str, Any]]:
    """Return kind and configuration, as the metadata has them."""
    text = metadata.get(_ENTRY)
    if not isinstance(text, str):
        raise CorruptFileError(
            f"{path}: metadata has no {_ENTRY!r}, so it is no file of Transform.save; "
            "nearfield.transforms also has from_sentence_transformers() and from_llama_index()"
        )
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        raise CorruptFileError(f"{path}: {_ENTRY!r} in the metadata is not JSON") from None
    if not isinstance(described, dict) or described.get("version") != _VERSION:
        got = described.get("version") if isinstance(described, dict) else described
        raise CorruptFileError(
            f"{path}: got version {got!r:.80}, expected {_VERSION}; it was written by another "
            "version of nearfield"
        )
    kind, config = described.get("kind"), described.get("config")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CorruptFileError(f"{path}: got kind {kind!r:.80}, expected one of {sorted(KINDS)}")
    if not isinstance(config, dict):
        raise CorruptFileError(f"{path}: got config {config!r:.80}, expected a JSON object")
    _check_names(config, path)
    return kind, config


def _check_names(names: Iterable[str], path: str) -> None:
    """Refuse names that would nest chains without end, before anything follows them."""
    for name in names:
        if _depth(name) > _DEEPEST:
            raise CorruptFileError(
                f"{path}: {name[:40]!r}... nests chains {_depth(name)} deep, expected at most "
                f"{_DEEPEST}"
            )


def _depth(name: str) -> int:
    return name.count(".")
