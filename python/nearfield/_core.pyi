"""Native module: the C++ engine behind :mod:`nearfield`.

Private. Arrays passed in are already C-contiguous and of the stated type; bfloat16 travels as
uint16. ``threads=0`` is the default number of threads.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_THREADS: int
MISSING: int
cuda: ModuleType

# k, batch, nprobe, rerank, ef_search, margin, level, recall, lower, seconds, rows
_Setting = tuple[int, int, int, int, int, float, float, float, float, float, int]

class Index:
    def __len__(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def is_trained(self) -> bool: ...
    @property
    def quantizer(self) -> str: ...
    @property
    def keeps_rows(self) -> bool: ...
    @property
    def by_signs(self) -> bool: ...
    def train(self, rows: NDArray[Any], threads: int) -> None: ...
    def add(
        self, rows: NDArray[Any], labels: NDArray[np.int64] | None, replace: bool, threads: int
    ) -> None: ...
    def remove(self, labels: NDArray[np.int64]) -> int: ...
    def search(
        self,
        q: NDArray[np.float32],
        k: int,
        mask: NDArray[np.bool_] | None,
        threads: int,
        nprobe: int = 1,
        rerank: int = 0,
        margin: float = ...,
        epsilon: float = ...,
        ef_search: int = ...,
        map: QueryMap | None = None,
        corpus_adapters: list[tuple[str, float]] = ...,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
    def range_search(
        self,
        q: NDArray[np.float32],
        threshold: float,
        mask: NDArray[np.bool_] | None,
        threads: int,
        nprobe: int = 1,
        margin: float = ...,
        map: QueryMap | None = None,
        corpus_adapters: list[tuple[str, float]] = ...,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]: ...
    def reconstruct(
        self, labels: NDArray[np.int64], corpus_adapters: list[tuple[str, float]] = ...
    ) -> NDArray[np.float32]: ...
    def add_corpus_adapter(
        self, name: str, u: NDArray[np.float32], v: NDArray[np.float32] | None, threads: int
    ) -> None: ...
    def remove_corpus_adapter(self, name: str) -> None: ...
    def corpus_adapters(self) -> list[str]: ...
    def labels(self) -> NDArray[np.int64]: ...
    def contains(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]: ...
    def save(self, path: str | bytes, durable: bool) -> None: ...
    def tuning(self) -> list[_Setting]: ...
    def add_tuning(self, settings: list[_Setting]) -> None: ...
    def setting_for(self, k: int, recall: float, queries: int) -> _Setting: ...
    def stats(self) -> dict[str, Any]: ...

class FlatIndex(Index):
    def __init__(
        self,
        dim: int,
        metric: str,
        dtype: str,
        quantizer: Quantizer | None = None,
        keeps_rows: bool = False,
    ) -> None: ...

class IVFIndex(Index):
    def __init__(
        self,
        dim: int,
        metric: str,
        dtype: str,
        nlist: int,
        seed: int,
        quantizer: Quantizer | None = None,
        keeps_rows: bool = False,
        residual: bool = False,
        hierarchical: bool = False,
    ) -> None: ...
    @property
    def nlist(self) -> int: ...
    @property
    def hierarchical(self) -> bool: ...
    @property
    def residual(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    def centroids(self) -> NDArray[np.float32]: ...
    def list_sizes(self) -> NDArray[np.uint32]: ...

class HNSWIndex(Index):
    def __init__(
        self,
        dim: int,
        metric: str,
        dtype: str,
        m: int,
        ef_construction: int,
        seed: int,
        quantizer: Quantizer | None = None,
        keeps_rows: bool = False,
    ) -> None: ...
    @property
    def m(self) -> int: ...
    @property
    def ef_construction(self) -> int: ...
    @property
    def seed(self) -> int: ...

class Quantizer:
    def __init__(self, name: str, dim: int) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def code_size(self) -> int: ...
    @property
    def is_trained(self) -> bool: ...
    def train(self, rows: NDArray[np.float32], seed: int, threads: int) -> None: ...
    def encode(self, rows: NDArray[np.float32], threads: int) -> NDArray[np.uint8]: ...
    def decode(self, codes: NDArray[np.uint8], threads: int) -> NDArray[np.float32]: ...
    def scores(
        self, q: NDArray[np.float32], codes: NDArray[np.uint8], metric: str, threads: int
    ) -> NDArray[np.float32]: ...
    def parameters(self) -> list[tuple[str, NDArray[np.float32]]]: ...
    def restore(self, parameters: list[tuple[str, NDArray[np.float32]]]) -> None: ...

class Transform:
    def __init__(
        self,
        kind: str,
        arrays: dict[str, NDArray[np.float32]],
        numbers: dict[str, float],
        words: dict[str, str],
    ) -> None: ...
    @staticmethod
    def chain(parts: list[Transform]) -> Transform: ...

class Modulation:
    def __init__(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        special_ids: NDArray[np.int64],
        kind: str,
        constant: float,
        normalize: bool,
    ) -> None: ...
    def bags(
        self,
        ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32] | None,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.float32]]: ...
    def weighed(self, weights: NDArray[np.float32]) -> NDArray[np.float32]: ...

class QueryMap:
    @property
    def per_query(self) -> int: ...
    @staticmethod
    def one(transform: Transform) -> QueryMap: ...
    @staticmethod
    def each(transforms: list[Transform], ids: NDArray[np.int64], per_query: int) -> QueryMap: ...
    @staticmethod
    def modulated(
        modulation: Modulation,
        ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float32] | None,
    ) -> QueryMap: ...
    @staticmethod
    def modulated_densely(modulation: Modulation, weights: NDArray[np.float32]) -> QueryMap: ...

def map_queries(map: QueryMap, q: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
def quantizer_forms() -> list[str]: ...
def topk(
    q: NDArray[np.float32],
    corpus: NDArray[Any],
    dtype: str,
    k: int,
    metric: str,
    mask: NDArray[np.bool_] | None,
    exclude_self: bool,
    threads: int,
    map: QueryMap | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
def load(path: str | bytes, mmap: bool, verify: bool) -> Index: ...
def kmeans(
    rows: NDArray[np.float32],
    k: int,
    iterations: int,
    seed: int,
    spherical: bool,
    tolerance: float,
    hierarchical: bool,
    growing: bool,
    balance: float,
    start: NDArray[np.float32] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], float, NDArray[np.float64]]: ...
def kmeans_assign(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], spherical: bool, threads: int
) -> NDArray[np.int64]: ...
def verify(path: str | bytes) -> dict[str, Any]: ...
def cpu_features() -> dict[str, bool]: ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
def num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
