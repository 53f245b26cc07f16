"""coded_lists: rows of probed lists, numbered, cut into slices and gathered."""

from __future__ import annotations

import numpy as np
import pytest
from cuda.shim_library import GuardedArray, Overlaid, Shim, ShimCompiler, is_noticed, noisy

NONE = 2**32 - 1


def check(shim: Shim | Overlaid, seed: int) -> None:
    """Beside the definition, list by list."""
    rng = np.random.default_rng(seed)
    lists, code_size, dim = (int(rng.integers(1, high)) for high in (12, 70, 9))
    sizes = rng.integers(0, 50, lists) * (rng.random(lists) < 0.7)
    offsets = np.concatenate([[0], np.cumsum(sizes), [sizes.sum()]]).astype(np.uint32)
    rows = int(sizes.sum())
    codes = rng.integers(0, 256, (max(rows, 1), code_size)).astype(np.uint8)
    names = rng.permutation(max(rows, 1)).astype(np.uint32)
    names[rng.random(len(names)) < 0.2] = NONE
    probes = rng.integers(0, lists + 1, int(rng.integers(1, 100))).astype(np.uint32)
    wanted = [one for one in range(lists) if one in probes]
    chosen = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in wanted] or [[]])
    first, count = int(rng.integers(0, rows + 1)), int(rng.integers(1, 80))
    place = check_starts(shim, offsets, probes, (first, count), seed)
    check_gathered(shim, (offsets, place, codes, names), chosen, (first, count), seed)
    check_centres(shim, lists, dim, seed)


def check_starts(
    shim: Shim | Overlaid,
    offsets: np.ndarray,
    probes: np.ndarray,
    part: tuple[int, int],
    seed: int,
) -> np.ndarray:
    """Return where each list starts among the rows wanted; check them, and those of a slice."""
    rng, lists = np.random.default_rng(seed), len(offsets) - 2
    starts = GuardedArray((lists + 2,), np.uint32, rng)
    starts.array[:] = 0
    grid = (-(-len(probes) // 32),), (32,)
    parts = (noisy(probes, rng), np.uint64(len(probes)), noisy(offsets, rng))
    shim.launch("mark_probed", *grid, *parts, starts.array, seed=seed)
    shim.launch("place_of_counts", (1,), (256,), starts.array, np.uint32(lists + 2), seed=seed)
    held = np.isin(np.arange(lists + 1), probes) * np.diff(offsets.astype(np.int64))
    want = np.concatenate([[0], np.cumsum(held)])
    np.testing.assert_array_equal(starts.check(), want)
    cut = GuardedArray((lists + 2,), np.uint32, rng)
    numbers = map(np.uint32, (lists, *part))
    grid = (-(-(lists + 2) // 32),), (32,)
    shim.launch("cut_lists", *grid, starts.array, *numbers, cut.array, seed=seed)
    np.testing.assert_array_equal(cut.check(), np.clip(want - part[0], 0, part[1]))
    return starts.array.copy()


def check_gathered(
    shim: Shim | Overlaid,
    index: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    chosen: np.ndarray,
    part: tuple[int, int],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    offsets, starts, codes, names = index
    (first, count), lists = part, len(offsets) - 2
    out = GuardedArray((count, codes.shape[1]), np.uint8, rng)
    out_names, list_of, bias = (
        GuardedArray((count,), dtype, rng) for dtype in (np.uint32, np.uint32, np.float32)
    )
    shim.launch(
        *("gather_codes", (-(-count // 2),), (64,), starts, noisy(offsets, rng)),
        *(*map(np.uint32, (lists, *part)), noisy(codes, rng), np.uint32(codes.shape[1])),
        *(noisy(names, rng), out.array, out_names.array, list_of.array),
        seed=seed,
    )
    source = chosen[first : first + count].astype(np.int64)
    n = len(source)
    np.testing.assert_array_equal(out.check()[:n], codes[source])
    assert not out.array[n:].any()
    np.testing.assert_array_equal(out_names.check()[:n], names[source])
    assert (out_names.array[n:] == NONE).all()
    of_rows = np.searchsorted(offsets[1:-1], source, side="right")
    np.testing.assert_array_equal(list_of.check()[:n], of_rows)
    assert (list_of.array[n:] == lists).all()
    given = noisy(rng.standard_normal(count).astype(np.float32), rng) if seed % 2 else None
    parts = (out_names.array, given, np.uint32(count))
    shim.launch("leave_out_nameless", (-(-count // 32),), (32,), *parts, bias.array, seed=seed)
    want = np.zeros(count, np.float32) if given is None else given
    want = np.where(out_names.array == NONE, np.float32(-np.inf), want)
    np.testing.assert_array_equal(bias.check(), want)


def check_centres(shim: Shim | Overlaid, lists: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, stride = int(rng.integers(1, 9)), dim + 3
    rows = GuardedArray((count, stride), np.float32, rng)
    rows.array[:] = before = rng.standard_normal((count, stride)).astype(np.float32)
    centres = rng.standard_normal((lists, dim)).astype(np.float32)
    of = rng.integers(0, lists + 1, count).astype(np.uint32)
    parts = (of, np.uint32(lists), noisy(centres, rng), np.uint32(dim), rows.array)
    shim.launch("add_centres", (count,), (64,), *parts, np.uint64(stride), seed=seed)
    want = before.copy()
    there = of < lists
    want[there, :dim] += centres[of[there]]
    np.testing.assert_array_equal(rows.check(), want)


def test_it_is_the_definition(shim: Shim) -> None:
    for seed in range(40):
        check(shim, seed)


FAULTS = {
    "a list that starts where another ends is not found": (
        *("if (starts[middle] <= at)", "if (starts[middle] < at)"),
    ),
    "rows past the last are some of another list": (
        *("const bool is_there = at < starts[lists + 1];", "const bool is_there = true;"),
    ),
    "a slice starts at the first row": ("min(starts[list] - first, count)", "starts[list]"),
    "lists nobody wants are there": ("sizes[list] =", "sizes[0] = offsets[1]; sizes[list] ="),
    "rows of no list have a centre": ("if (list >= lists) return;", "if (list > lists) return;"),
    "rows that may not answer take part": (*("names[row] == kNoId ? -infinity() : bias", "bias"),),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(shim: Shim, compiler: ShimCompiler, fault: str) -> None:
    planted = Overlaid(compiler.planted("coded_lists.cu", FAULTS[fault]), shim)
    assert is_noticed(lambda seed: check(planted, seed), 40), "nobody noticed"
