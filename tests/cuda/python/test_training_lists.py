"""Inverted lists whose centroids are found on a device: the index is the one the CPU trains."""

from __future__ import annotations

from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import Standin


def rows_of(rng: np.random.Generator, n: int = 250) -> np.ndarray:
    return rng.standard_normal((n, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "coarse"), [("l2", "flat"), ("cosine", "flat"), ("ip", "hierarchical")]
)
def test_the_index_is_the_same(
    standin: Standin, rng: np.random.Generator, tmp_path: Path, metric: str, coarse: str
) -> None:
    rows = rows_of(rng)
    files = []
    for device in (None, "cuda:0"):
        index = nf.IVFIndex(8, 20, metric, coarse=coarse, seed=5, quantizer="sq8")
        ran = standin.launches
        index.train(rows, device=device)
        assert (standin.launches > ran) == (device is not None)
        ran = standin.launches
        index.add(rows, device=device)
        assert (standin.launches > ran) == (device is not None and coarse == "flat")
        index.add(rows[:30] + 1, ids=range(1000, 1030), device=device)
        index.add(rows[:9], ids=range(9), on_duplicate="replace", device=device)
        files.append(tmp_path / f"{device}.nf")
        index.save(files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint8"])
def test_rows_of_every_type(standin: Standin, rng: np.random.Generator, dtype: str) -> None:
    rows = rng.integers(0, 99, (120, 8)).astype("uint8" if dtype == "uint8" else np.int8)
    here, there = (nf.IVFIndex(8, 7, "cosine", quantizer=dtype) for _ in range(2))
    here.train(rows)
    there.train(rows, device="cuda:1")
    here.add(rows)
    there.add(rows, device="cuda:1")
    np.testing.assert_array_equal(here.list_sizes, there.list_sizes)
    found, expected = there.search(rows[:9], nprobe=2), here.search(rows[:9], nprobe=2)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_the_first_add_may_train(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.IVFIndex(8, 4)
    with pytest.warns(UserWarning, match="4 lists are") as caught:
        index.add(rows_of(rng, 50), device="cuda")
    assert caught[0].filename == __file__
    assert len(index) == 50


def test_failures_leave_it_untrained(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(rng, 100)
    index = nf.IVFIndex(8, 4)
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel", "cuStreamCreate"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            index.train(rows, device="cuda")
        monkeypatch.delenv("STANDIN_FAILS")
        assert index.list_sizes.sum() == 0
        with pytest.raises(nf.NotTrainedError):
            _ = index.centroids
    bad = rows.copy()
    bad[5, 2] = np.nan
    with pytest.raises(ValueError, match="x: row 5 holds NaN"):
        index.train(bad, device="cuda")
    with pytest.raises(ValueError, match="device: got 'tpu'"):
        index.train(rows, device="tpu")
    index.train(rows, device="cuda")
    with pytest.raises(ValueError, match="trained already"):
        index.train(rows, device="cuda")
    for function in ("cuMemAllocAsync", "cuMemcpyDtoHAsync", "cuLaunchKernel"):
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            index.add(rows, device="cuda")
        monkeypatch.delenv("STANDIN_FAILS")
        assert len(index) == 0
    with pytest.raises(ValueError, match="x: row 5 holds NaN"):
        index.add(bad, device="cuda")
    with pytest.raises(ValueError, match="device: got 'tpu'"):
        index.add(rows, device="tpu")
    assert len(index) == 0
    index.add(rows, device="cuda")
    with pytest.raises(ValueError, match="3"):
        index.add(rows[:1], ids=[3], device="cuda")
    np.testing.assert_array_equal(index.search(rows[:5], k=1, nprobe=4).ids[:, 0], np.arange(5))
