"""Memory: of the index itself, and the peak while building and searching."""

from __future__ import annotations

from .slices import filled_index, library, queries_of, rows_of


class Size:
    """Bytes that the index says it holds, per vector."""

    params = (["minilm-debian", "glove100", "sift"],)
    param_names = ("data",)
    unit = "bytes"

    def setup(self, data: str) -> None:
        self.index = filled_index(library(), data)

    def track_bytes_per_vector(self, data: str) -> float:
        return float(self.index.nbytes / len(self.index))


class Peak:
    """Peak of the process; the slice itself is part of it, as ``peakmem_data_alone`` shows."""

    def setup(self) -> None:
        self.nearfield = library()

    def peakmem_data_alone(self) -> None:
        self.rows = rows_of("minilm-debian")

    def peakmem_build(self) -> None:
        self.index = filled_index(self.nearfield, "minilm-debian")

    def peakmem_search_4096(self) -> None:
        # Without a score matrix: 4,096 x 20,000 scores would be 328 MB.
        filled_index(self.nearfield, "minilm-debian").search(queries_of("minilm-debian", 4096), 100)
