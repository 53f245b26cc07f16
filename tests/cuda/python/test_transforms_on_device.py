"""Transforms on a device against those of the CPU engine: the same bits, so the same ids."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin, contents

T = nf.transforms
DIM = 300  # more than a block of products, and no multiple of anything
SYNCHRONISING = ("cuStreamSynchronize", "cuEventSynchronize", "cuMemFree", "cuMemAlloc")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def forms(dim: int = DIM) -> dict[str, Any]:
    """Return a transform of every kind, and chains of them."""
    small = random(7, dim) / 8
    mlp = (random(150, dim) / 16, random(150), random(dim, 150) / 16)
    return {
        "affine": T.Affine(random(dim, dim) / 16, random(dim)),
        "affine without bias": T.Affine(random(dim, dim) / 16),
        "low rank": T.LowRank(small, random(dim, 7) / 8, 0.7, random(dim)),
        "key value": T.KeyValue(random(40, dim), random(40, dim), 3.0),
        "relu": T.ResidualMLP(*mlp, random(dim), 0.5, "relu"),
        "leaky": T.ResidualMLP(*mlp, gate=0.5, activation="leaky_relu"),
        "tanh": T.ResidualMLP(mlp[0], None, mlp[2], random(dim), 1.5, "tanh"),
        "sigmoid": T.ResidualMLP(*mlp, activation="sigmoid"),
        "diagonal": T.Diagonal(random(dim)),
        "normalize": T.Normalize(),
        "activation": T.Activation("tanh"),
        "chain": T.Chain(
            [
                T.LowRank(small, random(dim, 7) / 8),
                T.Affine(random(dim + 33, dim) / 16),
                T.Activation("sigmoid"),
                T.Affine(random(dim, dim + 33) / 16, random(dim)),
                T.Normalize(),
            ]
        ),
        "empty chain": T.Chain(),
    }


FORMS = tuple(forms(16))


@pytest.mark.parametrize("form", FORMS)
def test_mapped_rows_are_the_cpus_bits(standin: Standin, form: str) -> None:
    transform, x = forms()[form], random(11, DIM, seed=1)
    x[3] = 0
    there = transform(DlpackArray(standin, x))
    np.testing.assert_array_equal(contents(there, standin), transform(x))
    one = transform(DlpackArray(standin, x[5]))
    np.testing.assert_array_equal(contents(one, standin), transform(x[5]))


def test_modulation(standin: Standin) -> None:
    tokens = nf.Tokens([7, 9, 9, 3, 0, 499], [0, 3, 3, 6], [0.5, -1, 2, 3, 0.1, 4])
    many = nf.Tokens(np.arange(400) % 311, [0, 200, 390, 400])
    x = random(3, DIM, seed=1)
    table, bias = random(500, DIM) / 20, random(DIM)
    logits = random(3, 500, seed=2)
    for transform, given in (
        (T.LexicalModulation(table, bias, scale=0.3, special_ids=[9]), many),
        (T.LexicalModulation(table, bias, "llr", normalize=False), tokens),
        (T.LexicalModulation(table, mode="clr", special_ids=[3]), tokens),
        (T.LexicalModulation(table, bias, "clr", special_ids=[3]), logits),
    ):
        there = transform(DlpackArray(standin, x), given)
        np.testing.assert_array_equal(contents(there, standin), transform(x, given))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint8"])
def test_types_of_rows(standin: Standin, dtype: str) -> None:
    transform = forms(40)["chain"]
    x = random(9, 40, seed=1)
    if dtype == "bfloat16":
        bits = (x.view(np.uint32) >> 16).astype(np.uint16)
        wide = (bits.astype(np.uint32) << 16).view(np.float32)
        there = transform(DlpackArray(standin, bits, bfloat16=True))
        standin.finish()
        assert there.dtype == "bfloat16"
        off = (there.numpy().astype(np.uint32) << 16).view(np.float32) - transform(wide)
        assert (np.abs(off) <= 2.0**-8 * np.abs(transform(wide))).all()
        return
    rows = (10 * x).astype(np.int8).astype(dtype) if dtype.endswith("int8") else x.astype(dtype)
    got = contents(transform(DlpackArray(standin, rows)), standin)
    wanted = transform(rows.astype(np.float32))
    assert got.dtype == (np.float16 if dtype == "float16" else np.float32)
    np.testing.assert_array_equal(got, wanted.astype(got.dtype))


def several(count: int = 5, dim: int = 24) -> list[Any]:
    return [T.LowRank(random(3, dim, seed=i), random(dim, 3, seed=50 + i)) for i in range(count)]


@pytest.mark.parametrize("where", ["host", "int64", "int32"])
@pytest.mark.parametrize("count", [1, 5, 300])
def test_every_row_has_its_own(standin: Standin, where: str, count: int) -> None:
    transforms, x = several(count), random(61, 24, seed=9)
    ids = np.random.default_rng(3).integers(-1, count, 61)
    given = ids if where == "host" else DlpackArray(standin, ids.astype(where))
    there = T.apply(DlpackArray(standin, x), transforms, transform_ids=given)
    here = T.apply(x, transforms, transform_ids=ids)
    np.testing.assert_array_equal(contents(there, standin), here)
    for row, chosen in enumerate(ids):
        wanted = x[row] if chosen < 0 else transforms[chosen](x[row])
        np.testing.assert_array_equal(here[row], wanted)


def test_bundles_of_rows(standin: Standin) -> None:
    transforms, x = several(), random(7, 24)
    for ids in (None, np.array([[0, -1], [4, 3], [1, 1], [2, 0], [0, 4], [-1, -1], [3, 2]])):
        here = T.apply(x, transforms, transform_ids=ids)
        there = T.apply(DlpackArray(standin, x), transforms, transform_ids=ids)
        assert here.shape == (7, 5 if ids is None else 2, 24)
        np.testing.assert_array_equal(contents(there, standin), here)


def test_ids_out_of_range_on_the_device_give_nan(standin: Standin) -> None:
    transforms, x = several(3), random(6, 24)
    ids = np.array([0, 3, -2, 2**40, -1, 2])
    got = T.apply(DlpackArray(standin, x), transforms, transform_ids=DlpackArray(standin, ids))
    rows = contents(got, standin)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, True, True, False, False]
    np.testing.assert_array_equal(rows[5], transforms[2](x[5]))
    with pytest.raises(ValueError, match="transform_ids: got 3, expected"):
        T.apply(DlpackArray(standin, x), transforms, transform_ids=ids)


def test_wide_rows_work_beyond_a_blocks_memory(standin: Standin) -> None:
    """One row a tile, and then memory of the device."""
    for dim in (9000, 26000):
        transform = T.Chain([T.LowRank(random(2, dim), random(dim, 2)), T.Normalize()])
        x = random(3, dim, seed=5)
        there = transform(DlpackArray(standin, x))
        np.testing.assert_array_equal(contents(there, standin), transform(x))


def test_nothing_waits_and_nothing_is_left_behind(standin: Standin) -> None:
    transforms, x = several(), DlpackArray(standin, random(9, 24))
    ids = DlpackArray(standin, np.arange(9) % 5)
    T.apply(x, transforms, transform_ids=ids)
    standin.finish()
    before, blocks = [standin.calls(name) for name in SYNCHRONISING], standin.live_blocks
    ran = standin.launches
    there = T.apply(x, transforms, transform_ids=ids)
    assert [standin.calls(name) for name in SYNCHRONISING] == before
    assert standin.launches == ran
    del there
    standin.finish()
    assert standin.live_blocks == blocks
    del transforms
    standin.finish()
    assert standin.live_blocks < blocks


def same(there: nf.SearchResult, here: nf.SearchResult, standin: Standin) -> None:
    ids, scores, counts = (
        part if isinstance(part, np.ndarray) else contents(part, standin) for part in there
    )
    np.testing.assert_array_equal(ids, here.ids)
    np.testing.assert_array_equal(counts, here.counts)
    np.testing.assert_allclose(scores, here.scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("quantizer", ["float32", "float16", "int8"])
def test_searches(standin: Standin, metric: str, quantizer: str) -> None:
    index = nf.FlatIndex(24, metric, quantizer=quantizer)
    by_groups = (metric, quantizer) == ("cosine", "float16")
    rows = random(2603 if by_groups else 90, 24)
    index.add((30 * rows).clip(-127, 127).astype(np.int8) if quantizer == "int8" else rows)
    there = index.to("cuda")
    q, transforms = random(6, 24, seed=4), several()
    queries = DlpackArray(standin, q)
    one = T.Chain([transforms[0], T.Affine(random(24, 24)), T.Normalize()])
    ids = np.array([4, -1, 0, 0, 2, 3])
    bundle = ids.reshape(6, 1).repeat(2, axis=1)
    table = T.LexicalModulation(random(30, 24))
    for how in (
        {"transform": one},
        {"transform": T.Affine(random(24, 24)[:, :24])},
        {"transform": transforms, "transform_ids": ids},
        {"transform": transforms, "transform_ids": bundle},
        {"transform": transforms},
        {"transform": table, "tokens": nf.Tokens(np.arange(12), np.arange(0, 13, 2))},
    ):
        here = index.search(q, k=5, **how)
        same(there.search(queries, k=5, **how), here, standin)
        if not by_groups:
            same(there.search(q, k=5, **how), here, standin)
    there_ids = DlpackArray(standin, ids)
    found = there.search(queries, k=5, transform=transforms, transform_ids=there_ids)
    same(found, index.search(q, k=5, transform=transforms, transform_ids=ids), standin)


def test_topk(standin: Standin) -> None:
    rows, q, transforms = random(70, 24), random(4, 24, seed=4), several()
    arrays = DlpackArray(standin, q), DlpackArray(standin, rows)
    wider = T.Affine(random(24, 31))
    for how in (
        {"transform": transforms[0]},
        {"transform": transforms},
        {"transform": transforms, "transform_ids": [[0, 1], [2, -1], [4, 4], [3, 0]]},
    ):
        same(nf.topk(*arrays, k=3, **how), nf.topk(q, rows, k=3, **how), standin)
    wide = random(4, 31)
    found = nf.topk(DlpackArray(standin, wide), arrays[1], k=3, transform=wider)
    same(found, nf.topk(wide, rows, k=3, transform=wider), standin)
    one = nf.topk(DlpackArray(standin, q[0]), arrays[1], k=3, transform=transforms)
    same(one, nf.topk(q[0], rows, k=3, transform=transforms), standin)


def test_an_overflow_finds_nothing_there_and_is_told_from_here(standin: Standin) -> None:
    index = nf.FlatIndex(4)
    index.add(random(9, 4))
    there = index.to("cuda")
    huge = T.Diagonal([3e38, 1, 1, 1])
    q = np.float32([[1, 0, 0, 0], [9, 0, 0, 0]])
    found = there.search(DlpackArray(standin, q), k=2, transform=huge)
    assert contents(found.counts, standin)[1] == 0
    with pytest.raises(ValueError, match="1 is taken beyond float32 by its transform"):
        there.search(q, k=2, transform=huge)
    same(
        there.search(q[:1], k=2, transform=huge), index.search(q[:1], k=2, transform=huge), standin
    )


def test_what_is_not_taken(standin: Standin) -> None:
    transforms, x = several(), DlpackArray(standin, random(6, 24))
    with pytest.raises(ValueError, match=r"x: got shape \(6, 24\), expected \(n, 300\)"):
        forms()["affine"](x)
    with pytest.raises(ValueError, match=r"transform_ids: got shape \(5,\)"):
        T.apply(x, transforms, transform_ids=DlpackArray(standin, np.arange(5)))
    with pytest.raises(TypeError, match="transform_ids: got float32, expected int64 or int32"):
        T.apply(x, transforms, transform_ids=DlpackArray(standin, np.zeros(6, np.float32)))
    with pytest.raises(ValueError, match="on cuda:1, expected one on cuda:0"):
        T.apply(x, transforms, transform_ids=DlpackArray(standin, np.zeros(6, np.int64), device=1))
    with pytest.raises(TypeError, match="tokens: needs transform=, a LexicalModulation"):
        nf.topk(x, x, tokens=nf.Tokens([1], [0, 1]))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'tokens'"):
        T.LexicalModulation(random(3, 24))(x)
    with pytest.raises(ValueError, match="transform: gives vectors of 300 dimensions, expected 24"):
        nf.topk(x, x, transform=forms()["affine"])
    with pytest.raises(ValueError, match="no bundle"):
        nf.topk(x, x, transform=transforms, exclude_self=True)


def test_the_index_outlives_every_failure(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = nf.FlatIndex(24)
    index.add(random(40, 24))
    there, q = index.to("cuda"), random(3, 24)
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel"):
        transforms = several()
        for nth in (1, 2, 4):
            monkeypatch.setenv("STANDIN_FAILS", f"{function}=2@{nth}")
            with pytest.raises(nf.DeviceError):
                there.search(DlpackArray(standin, q), transform=transforms)
            monkeypatch.delenv("STANDIN_FAILS")
        found = there.search(DlpackArray(standin, q), transform=transforms)
        same(found, index.search(q, transform=transforms), standin)


class Counted:
    """Launches and allocations of a search that is enqueued and run."""

    def __init__(self, standin: Standin, search: Any) -> None:
        search()  # compiled, copied
        standin.finish()
        before = standin.launches, standin.calls("cuMemAllocAsync")
        self.found = search()
        standin.finish()
        self.launches = standin.launches - before[0]
        self.allocations = standin.calls("cuMemAllocAsync") - before[1]


def test_a_scan_reads_queries_as_they_are_mapped(standin: Standin) -> None:
    """The map and the preparation are one launch, in no memory but the search's own."""
    rows, q, transform = random(2304, 8), random(3, 8, seed=4), several(1, 8)[0]
    index = nf.FlatIndex(8, "ip", quantizer="float16")
    index.add(rows)
    there, queries = index.to("cuda"), DlpackArray(standin, q)
    plain = Counted(standin, lambda: there.search(queries, k=1))
    mapped = Counted(standin, lambda: there.search(queries, k=1, transform=transform))
    assert (mapped.launches, mapped.allocations) == (plain.launches, plain.allocations)
    same(mapped.found, index.search(q, k=1, transform=transform), standin)
    # Which of some transforms a few rows have takes their numbers, and no sorting.
    ids, some = DlpackArray(standin, np.array([1, -1, 0])), several(2, 8)
    how = {"transform": some, "transform_ids": ids}
    chosen = Counted(standin, lambda: there.search(queries, k=1, **how))
    assert chosen.launches == plain.launches + 1
    same(chosen.found, index.search(q, k=1, transform=some, transform_ids=[1, -1, 0]), standin)
    # All rows scored exactly: a launch for the map.
    few = nf.FlatIndex(8, "ip")
    few.add(rows[:50])
    away = few.to("cuda")
    exact = Counted(standin, lambda: away.search(queries, k=1))
    away_mapped = Counted(standin, lambda: away.search(queries, k=1, transform=transform))
    assert away_mapped.launches == exact.launches + 1
    assert away_mapped.allocations == exact.allocations


@pytest.mark.slow
def test_tiles_of_queries_that_are_mapped_at_once(standin: Standin) -> None:
    """More queries than a scan takes at a time, each with a transform of its own, and bundles."""
    rows, some = random(2304, 4), several(3, 4)
    q = random(4100, 4, seed=4)
    ids = np.random.default_rng(1).integers(-1, 3, 4100)
    found = nf.topk(
        DlpackArray(standin, q), DlpackArray(standin, rows), k=1, transform=some, transform_ids=ids
    )
    same(found, nf.topk(q, rows, k=1, transform=some, transform_ids=ids), standin)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_transform_with_a_corpus_adapter(standin: Standin, metric: str) -> None:
    """What is folded is mapped by a launch of its own: folding reads whole queries."""
    index = nf.FlatIndex(8, metric)
    index.add(random(2304, 8))
    index.add_corpus_adapter("legal", random(8, 2, seed=1), random(8, 2, seed=2))
    there, q = index.to("cuda"), random(3, 8, seed=4)
    how = {"k": 1, "transform": several(1, 8)[0], "corpus_adapter": "legal"}
    same(there.search(DlpackArray(standin, q), **how), index.search(q, **how), standin)
    same(there.search(q, **how), index.search(q, **how), standin)
