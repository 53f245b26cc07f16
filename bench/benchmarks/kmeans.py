"""k-means on slices of real data: coarse quantizers, and codebooks of short sub-vectors."""

from __future__ import annotations

from .slices import library, rows_of

LEVELS = ["portable", "avx2", "avx512", "amx"]


class Fit:
    """Five iterations over 20,000 rows, labels included."""

    params = (LEVELS, ["minilm-debian", "glove100"], [256, 1024], [False, True])
    param_names = ("level", "data", "k", "spherical")

    def setup(self, level: str, data: str, k: int, spherical: bool) -> None:
        if level == "portable" and k > 256:
            raise NotImplementedError("minutes")
        self.kmeans = library(level).KMeans(k, 5, spherical, tolerance=0, threads=1)
        self.rows = rows_of(data)

    def time_fit(self, level: str, data: str, k: int, spherical: bool) -> None:
        self.kmeans.fit(self.rows)


class Codebook:
    """Ten iterations over sub-vectors, as product quantizers train them."""

    params = (["avx2", "avx512"], [2, 4, 8, 16, 24, 32], [16, 256])
    param_names = ("level", "dim", "k")

    def setup(self, level: str, dim: int, k: int) -> None:
        self.kmeans = library(level).KMeans(k, 10, tolerance=0, threads=1)
        self.rows = rows_of("minilm-debian")[:, :dim].copy()

    def time_fit(self, level: str, dim: int, k: int) -> None:
        self.kmeans.fit(self.rows)
