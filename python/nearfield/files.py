"""Index files of any kind: :func:`load`."""

from __future__ import annotations

import os
import tempfile

from . import _core
from .arguments import as_flag, as_path
from .flat import FlatIndex
from .hnsw import HNSWIndex
from .index import Index
from .ivf import IVFIndex

__all__ = ["from_bytes", "load"]


def load(path: str | os.PathLike[str], mmap: bool = False, verify: bool = True) -> Index:
    """Open an index file written by :meth:`Index.save`.

    Parameters
    ----------
    path : path-like
        The file.
    mmap : bool, default False
        Map the file instead of reading it: opening is immediate and processes share the memory.
        The file must not change while it is mapped.
    verify : bool, default True
        Check every checksum. The structure of the file is always checked.

    Returns
    -------
    FlatIndex, IVFIndex or HNSWIndex
        What was saved.

    Raises
    ------
    CorruptFileError
        The bytes are not a valid index file.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import os, tempfile, numpy as np, nearfield as nf
    >>> index = nf.FlatIndex(2)
    >>> index.add(np.float32([[1, 2]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "small.nf")
    ...     index.save(path)
    ...     len(nf.load(path))
    1
    """
    mapped, checked = as_flag(mmap, name="mmap"), as_flag(verify, name="verify")
    return _around(_core.load(os.fsencode(as_path(path, name="path")), mapped, checked))


def from_bytes(data: bytes) -> Index:
    """Return the index whose file has these bytes."""
    with tempfile.TemporaryDirectory(prefix="nearfield-") as folder:
        path = os.path.join(folder, "index")
        with open(path, "wb") as file:
            file.write(data)
        return _around(_core.load(os.fsencode(path), False, True))


def _around(core: _core.Index) -> Index:
    """Return the Python object of a core index."""
    kinds: dict[type[_core.Index], type[Index]] = {
        _core.FlatIndex: FlatIndex,
        _core.IVFIndex: IVFIndex,
        _core.HNSWIndex: HNSWIndex,
    }
    return kinds[type(core)]._wrap(core)
