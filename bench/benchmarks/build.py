"""Building, changing, saving and loading an index."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .slices import METRICS, filled_index, library, rows_of


class Add:
    """All rows at once, and a hundred at a time."""

    params = (["minilm-debian", "glove100", "sift"],)
    param_names = ("data",)

    def setup(self, data: str) -> None:
        self.nearfield: Any = library()
        self.rows = rows_of(data)

    def _empty(self, data: str) -> Any:
        return self.nearfield.FlatIndex(self.rows.shape[1], METRICS[data])

    def time_add_at_once(self, data: str) -> None:
        self._empty(data).add(self.rows)

    def time_add_by_hundreds(self, data: str) -> None:
        index = self._empty(data)
        for first in range(0, len(self.rows), 100):
            index.add(self.rows[first : first + 100])


class Remove:
    """A tenth of the rows; the index is built anew for every sample."""

    number = 1
    repeat = (3, 10, 5.0)

    def setup(self) -> None:
        self.index = filled_index(library(), "minilm-debian")
        self.gone = np.arange(0, len(self.index), 10)

    def time_remove(self) -> None:
        self.index.remove(self.gone)


class File:
    """The container: write (with and without waiting for the disk), read, map, check."""

    def setup(self) -> None:
        # First: teardown runs as well where the rest of setup skips.
        self.folder = tempfile.TemporaryDirectory()
        self.nearfield: Any = library()
        self.index = filled_index(self.nearfield, "minilm-debian")
        self.path = str(Path(self.folder.name) / "index.nf")
        self.index.save(self.path)

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_save_durable(self) -> None:
        self.index.save(self.path)

    def time_save(self) -> None:
        self.index.save(self.path, durable=False)

    def time_load(self) -> None:
        self.nearfield.load(self.path)

    def time_load_mapped(self) -> None:
        self.nearfield.load(self.path, mmap=True, verify=False)

    def track_file_bytes_per_vector(self) -> float:
        return Path(self.path).stat().st_size / len(self.index)


File.track_file_bytes_per_vector.unit = "bytes"  # type: ignore[attr-defined]
