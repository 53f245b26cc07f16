"""Transforms: beside plain search, sixteen beside one, and against NumPy before the search."""

from __future__ import annotations

from typing import Any

import numpy as np

from .slices import Array, filled_index, library, queries_of

DIM = 384


def asked_twice() -> Array:
    """Return 10,000 queries: the 5,000 there are, twice."""
    return np.tile(queries_of("minilm-debian", 5_000), (2, 1))


def _weights(rng: np.random.Generator, *shape: int) -> Array:
    return (rng.standard_normal(shape) * 0.05).astype(np.float32)


def adapter(form: str, seed: int = 0) -> Any:
    """Return an adapter of a usual size: rank 16, 64 keys, a full matrix, 128 hidden units."""
    rng, kinds = np.random.default_rng(seed), library().transforms
    if form == "low_rank":
        return kinds.LowRank(_weights(rng, 16, DIM), _weights(rng, DIM, 16))
    if form == "key_value":
        return kinds.KeyValue(_weights(rng, 64, DIM), _weights(rng, 64, DIM))
    if form == "affine":
        return kinds.Affine(np.eye(DIM) + _weights(rng, DIM, DIM))
    return kinds.ResidualMLP(_weights(rng, 128, DIM), None, _weights(rng, DIM, 128), None)


class Adapted:
    """10,000 queries against 20,000 rows: plain, through one adapter, through one of sixteen."""

    params = (["none", "low_rank", "key_value", "affine", "residual_mlp"], [1, 16])
    param_names = ("form", "adapters")

    def setup(self, form: str, adapters: int) -> None:
        self.queries = asked_twice()
        self.index = filled_index(library(), "minilm-debian")
        self.asked: dict[str, Any] = {}
        if form == "none" and adapters > 1:
            raise NotImplementedError
        if form != "none":
            self.asked["transform"] = adapter(form)
        if adapters > 1:
            self.asked["transform"] = [adapter(form, seed) for seed in range(adapters)]
            self.asked["transform_ids"] = np.arange(len(self.queries)) % adapters
        self.index.search(self.queries[:16], 10, **self._first(16))

    def _first(self, n: int) -> dict[str, Any]:
        cut = self.asked.get("transform_ids")
        return self.asked if cut is None else {**self.asked, "transform_ids": cut[:n]}

    def time_search(self, form: str, adapters: int) -> None:
        self.index.search(self.queries, 10, **self.asked)


class Alone:
    """The map by itself, 10,000 rows; NumPy's product with a normalisation for comparison."""

    params = (["low_rank", "key_value", "affine", "residual_mlp", "modulation"], [1, 2])
    param_names = ("form", "threads")

    def setup(self, form: str, threads: int) -> None:
        self.queries = asked_twice()
        nearfield, rng = library(), np.random.default_rng(0)
        if form != "modulation":
            self.apply = adapter(form)
            return
        modulation = nearfield.transforms.LexicalModulation(_weights(rng, 30_522, DIM))
        n = len(self.queries)
        tokens = nearfield.Tokens(rng.integers(0, 30_522, 16 * n), np.arange(n + 1) * 16)
        self.apply = lambda x, threads: modulation(x, tokens, threads=threads)

    def time_apply(self, form: str, threads: int) -> None:
        self.apply(self.queries, threads=threads)


class AgainstNumpy:
    """Affine, normalise, search: fused, and with the first two steps in NumPy."""

    params = (["fused", "numpy"],)
    param_names = ("way",)

    def setup(self, way: str) -> None:
        self.queries = asked_twice()
        self.index = filled_index(library(), "minilm-debian")
        kinds = library().transforms
        self.matrix = adapter("affine").w
        self.chain = kinds.Chain([kinds.Affine(self.matrix), kinds.Normalize()])

    def time_search(self, way: str) -> None:
        if way == "fused":
            self.index.search(self.queries, 10, transform=self.chain)
            return
        mapped = self.queries @ self.matrix.T
        mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
        self.index.search(mapped, 10)
