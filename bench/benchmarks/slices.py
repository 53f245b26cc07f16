"""What the suite runs on: the library, loaded late, and slices of real data; or a skip.

The library is imported inside ``setup`` and never at the top of a file: asv forks its benchmarks
from one process, and ``NEARFIELD_ISA`` is read once, when the library loads.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Metric of each set; glove100 is stored raw and normalised here.
METRICS = {"minilm-debian": "ip", "glove100": "ip", "sift": "l2"}
ROWS = 20_000


def library(level: str = "") -> Any:
    """Import nearfield, at a forced level where one is named.

    Raises
    ------
    NotImplementedError
        Where the library or the level is not here: asv then skips the benchmark.
    """
    if level:
        os.environ["NEARFIELD_ISA"] = level
    try:
        nearfield = importlib.import_module("nearfield")
        got = nearfield.isa()
    except Exception as error:
        raise NotImplementedError(f"nearfield at level {level!r}: {error}") from error
    if level and got != level:
        raise NotImplementedError(f"level {level!r} was asked for, {got!r} is in use")
    return nearfield


def data_root() -> Path:
    """Folder with the data sets: ``NEARFIELD_DATA``, or ``shared/data`` beside the repository."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("NEARFIELD_DATA", default))


def stored(name: str, part: str, count: int) -> Array:
    """First rows as they are stored.

    Raises
    ------
    NotImplementedError
        Where the data are not here: asv then skips the benchmark.
    """
    path = data_root() / name / f"{part}.npy"
    if not path.is_file():
        raise NotImplementedError(f"no data set {name!r}: set NEARFIELD_DATA")
    rows: Array = np.ascontiguousarray(np.load(path, mmap_mode="r")[:count])
    return rows


def _ready(name: str, rows: Array) -> Array:
    ready = np.ascontiguousarray(rows, dtype=np.float32)
    if METRICS[name] == "ip":
        ready /= np.linalg.norm(ready, axis=1, keepdims=True)
    return ready


def rows_of(name: str, count: int = ROWS) -> Array:
    """First base rows as float32, unit vectors for angular sets."""
    return _ready(name, stored(name, "base", count))


def queries_of(name: str, count: int) -> Array:
    """First queries as float32, unit vectors for angular sets."""
    return _ready(name, stored(name, "queries", count))


def filled_index(nearfield: Any, name: str, count: int = ROWS) -> Any:
    """FlatIndex over the first rows of a set."""
    rows = rows_of(name, count)
    index = nearfield.FlatIndex(rows.shape[1], METRICS[name])
    index.add(rows)
    return index
