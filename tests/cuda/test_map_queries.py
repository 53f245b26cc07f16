"""Queries mapped and prepared in one launch: the bits of map_rows, then prepare_queries."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import nearfield as nf
import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed
from cuda.test_map_rows import launched

T = nf.transforms
# Elements of prepared queries by the name of their kernel, and the number of their type.
TYPES = {
    "f32": (np.float32, 0),
    "f16": (np.float16, 1),
    "bf16": (ml_dtypes.bfloat16, 2),
    "i8": (np.int8, 3),
}
u32, u64, i32 = np.uint32, np.uint64, np.int32


class Prepared:
    """Queries as a scan reads them."""

    def __init__(self, count: int, dim: int, kind: str, metric: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.stride, self.metric, self.kind, self.dim = -(-dim // 16) * 16, u32(metric), kind, dim
        self.limits = np.array([3.0, 0.1], np.float32)
        shapes = {"elements": (count, self.stride), "unit": count, "margin": count, "norms": count}
        types = (TYPES[kind][0], np.float32, np.float32, np.float64)
        self.parts = {
            name: GuardedArray(shape, dtype, rng)
            for (name, shape), dtype in zip(shapes.items(), types, strict=True)
        }
        self.init = GuardedArray(count, np.int32, rng)

    @property
    def places(self) -> tuple[Any, ...]:
        """Where kernels write, in their order."""
        elements, *rest = (part.array for part in self.parts.values())
        return (elements, u64(self.stride), *rest)

    def checked(self) -> dict[str, np.ndarray]:
        """Return what was written."""
        parts = dict(self.parts) if self.kind != "i8" else {**self.parts, "init": self.init}
        return {name: part.check().view(f"u{part.array.itemsize}") for name, part in parts.items()}


def check(shim: Shim | Overlaid, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    dim, rows, metric = int(rng.integers(17, 150)), int(rng.integers(9, 30)), seed % 3

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32) / 4

    x = 3 * normal(rows, dim)
    x[0] = 0
    transforms: list[Any] = [T.LowRank(normal(3, dim), normal(dim, 3)) for _ in range(2)]
    transforms.append(T.Chain([T.KeyValue(normal(9, dim), normal(9, dim)), T.Normalize()]))
    ids = rng.integers(-1, 3, rows)
    wanted = T.apply(x, transforms, transform_ids=ids)
    apart = Prepared(rows, dim, kind, metric, seed)
    shim.launch(
        *(f"prepare_queries_{kind}", (-(-rows // 2),), (64,), wanted, u64(dim), u32(rows)),
        *(u32(dim), apart.metric, apart.limits, *apart.places),
        *((i32(0), apart.init.array) if kind == "i8" else ()),
        seed=seed,
    )
    for tile in (1, 8):
        together = Prepared(rows, dim, kind, metric, seed)
        out, beyond = GuardedArray((rows, dim), np.float32, rng), np.zeros(1, u32)
        to = (beyond, out.array, u32(dim), together.metric, together.limits, u32(TYPES[kind][1]))
        last = (i32(0), together.init.array)
        launched(
            *(shim, f"map_queries_{tile}", seed, x, transforms, ids),
            *(*to, *together.places, *last),
        )
        np.testing.assert_array_equal(out.check(), wanted)
        assert beyond[0] == 0
        for name, part in apart.checked().items():
            np.testing.assert_array_equal(together.checked()[name], part, err_msg=name)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("seed", range(3))
def test_one_launch_is_two(shim: Shim, kind: str, seed: int) -> None:
    check(shim, seed, kind)


FAULTS = {
    "prepared by their place in the tile": (
        "prepare_as(type, m.x + r * m.stride, row_of(r),",
        "prepare_as(type, m.x + r * m.stride, tile.first + r,",
    ),
    "the first row of a tile for all": (
        "prepare_as(type, m.x + r * m.stride,",
        "prepare_as(type, m.x,",
    ),
    "the next tile is read too soon": (
        "    __syncthreads();  // the last tile has been stored\n",
        "",
    ),
    "bytes are prepared as halves": ("case kF16: prepare", "case kI8: prepare"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    faulty = Overlaid(compiler.planted("map_queries.cu", FAULTS[fault]), shim)
    kind = "i8" if "bytes" in fault else "bf16"
    assert is_noticed(lambda seed: check(faulty, seed, kind), 6), "nobody noticed"
