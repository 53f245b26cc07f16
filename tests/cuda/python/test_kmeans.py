"""KMeans on a device against KMeans on the CPU: the same bits."""

from __future__ import annotations

import pickle
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import on_host, values
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents

DTYPES = ("float32", "float16", "bfloat16", "int8", "uint8")


def blobs(rng: np.random.Generator, n: int, dim: int, centres: int = 6) -> np.ndarray:
    """Return float32 rows around a few centres, some of them equal."""
    middle = rng.standard_normal((centres, dim)) * 3
    rows = middle[rng.integers(0, centres, n)] + rng.standard_normal((n, dim))
    rows[n // 2 :: 5] = rows[0]
    return rows.astype(np.float32)


def same(there: nf.KMeans, here: nf.KMeans, standin: Standin) -> None:
    """Compare everything that two clusterings found."""
    assert there.n_iter_ == here.n_iter_
    assert there.inertia_ == here.inertia_
    for name in ("centroids", "labels_"):
        got, expected = getattr(there, name), getattr(here, name)
        got = got if isinstance(got, np.ndarray) else contents(got, standin)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(
    standin: Standin, rng: np.random.Generator, dtype: str, spherical: bool
) -> None:
    rows = values(rng, (300, 21), dtype)
    rows[40:60] = rows[:20]
    there = DlpackArray(standin, rows, bfloat16=dtype == "bfloat16")
    how: dict[str, Any] = {"niter": 7, "spherical": spherical, "seed": 4, "tolerance": 0}
    here = nf.KMeans(9, **how).fit(on_host(rows, dtype))
    same(nf.KMeans(9, **how).fit(there), here, standin)


@pytest.mark.parametrize(
    "how",
    [
        {"growing": True, "niter": 5},
        {"hierarchical": True, "niter": 4, "k": 30},
        {"hierarchical": True, "k": 5},
        {"spherical": True, "niter": 9, "seed": 8},
        {"niter": 30, "tolerance": 0.01},
        {"k": 1},
        {"k": 280, "niter": 3},
    ],
)
def test_every_way(standin: Standin, rng: np.random.Generator, how: dict[str, Any]) -> None:
    rows, how = blobs(rng, 660 if "growing" in how else 300, 5), {"k": 2, **how}
    here = nf.KMeans(**how).fit(rows)
    same(nf.KMeans(**how, device="cuda:0").fit(rows), here, standin)
    same(nf.KMeans(**how).fit(DlpackArray(standin, rows)), here, standin)


def test_empty_clusters_are_filled(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 200, 4, centres=3)
    init = np.repeat(rows[:1], 8, axis=0) + np.float32(50) * np.arange(8, dtype=np.float32)[:, None]
    for spherical in (False, True):
        how: dict[str, Any] = {"niter": 6, "spherical": spherical, "tolerance": 0}
        here = nf.KMeans(8, **how).fit(rows, init=init)
        assert len(np.unique(here.labels_)) > 3, "none was empty"
        there = nf.KMeans(8, **how).fit(DlpackArray(standin, rows), init=init)
        same(there, here, standin)


def test_fewer_different_rows_than_clusters(standin: Standin) -> None:
    rows = np.repeat(np.float32([[0, 1], [5, 5], [9, 0]]), 20, axis=0)
    here = nf.KMeans(7).fit(rows)
    same(nf.KMeans(7).fit(DlpackArray(standin, rows)), here, standin)


def test_long_clusters_and_rows_that_leave(standin: Standin, rng: np.random.Generator) -> None:
    """More rows than one segment of a sum; later iterations move few of them."""
    rows = (rng.standard_normal((4300, 1)) / 3).astype(np.float32)
    rows[:100] += 4
    init, how = np.float32([[0], [9]]), {"niter": 3, "tolerance": 0.0}
    here = nf.KMeans(2, **how).fit(rows, init=init)
    assert np.bincount(here.labels_).max() > 4096
    same(nf.KMeans(2, **how, device="cuda").fit(rows, init=init), here, standin)


def test_rows_of_very_unequal_length(standin: Standin, rng: np.random.Generator) -> None:
    """Nothing is subtracted then."""
    rows = blobs(rng, 300, 3)
    rows[7] *= 1e15
    here = nf.KMeans(5, tolerance=0).fit(rows)
    same(nf.KMeans(5, tolerance=0).fit(DlpackArray(standin, rows)), here, standin)


def test_rows_may_lie_apart(standin: Standin, rng: np.random.Generator) -> None:
    rows = values(rng, (120, 20), "float32")[::2, 3:11]
    here = nf.KMeans(4).fit(rows)
    for kind in (DlpackArray, InterfaceArray):
        there = nf.KMeans(4).fit(kind(standin, rows))
        same(there, here, standin)
        labels = there.predict(kind(standin, rows))
        np.testing.assert_array_equal(contents(labels, standin), here.labels_)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predicting_waits_for_nothing(
    standin: Standin, rng: np.random.Generator, dtype: str
) -> None:
    rows = values(rng, (150, 12), dtype)
    clusters = nf.KMeans(11, spherical=dtype == "float16").fit(on_host(rows, dtype))
    there = DlpackArray(standin, rows, bfloat16=dtype == "bfloat16", stream=standin.stream())
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    labels = clusters.predict(there)
    other = clusters.predict(there, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    expected = clusters.labels_
    for found in (labels, other):
        assert found.dtype == "int64"
        np.testing.assert_array_equal(contents(found, standin), expected)
    one = clusters.predict(DlpackArray(standin, rows[3], bfloat16=dtype == "bfloat16"))
    assert one.shape == ()
    assert contents(one, standin) == expected[3]


def test_kinds_may_be_mixed(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 200, 6)
    here = nf.KMeans(5).fit(rows)
    there = nf.KMeans(5, device="cuda:1").fit(rows)
    same(there, here, standin)
    assert (there.device, here.device) == ("cuda:1", "cpu")
    np.testing.assert_array_equal(there.predict(rows), here.labels_)
    assert there.predict(rows[3]) == here.labels_[3]
    assert there.predict(np.empty((0, 6), np.float32)).shape == (0,)
    for model in (here, there):
        for device in (0, 1):
            labels = model.predict(DlpackArray(standin, rows, device=device))
            assert labels.device == f"cuda:{device}"
            np.testing.assert_array_equal(contents(labels, standin), here.labels_)
    on_device = nf.KMeans(5).fit(DlpackArray(standin, rows))
    np.testing.assert_array_equal(on_device.predict(rows), here.labels_)


def test_rows_of_the_cpu_go_there_in_blocks(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = blobs(rng, 70, 3)
    clusters = nf.KMeans(5, device="cuda").fit(rows)
    monkeypatch.setattr("nearfield.cuda.training._BLOCK_BYTES", 4 * 3 * 32)
    np.testing.assert_array_equal(clusters.predict(rows), clusters.labels_)


def test_copies(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 40, 3)
    clusters = nf.KMeans(5, device="cuda").fit(rows)
    clusters.predict(rows)
    other = pickle.loads(pickle.dumps(clusters))
    np.testing.assert_array_equal(other.predict(rows), clusters.labels_)


def test_what_is_not_finite(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 50, 3)
    clusters = nf.KMeans(4).fit(rows)
    before = clusters.centroids.copy()
    bad = rows.copy()
    bad[7, 1], bad[9, 0] = np.nan, np.inf
    for x in (bad, DlpackArray(standin, bad)):
        with pytest.raises(ValueError, match="x: row 7 holds NaN or infinity"):
            nf.KMeans(4, device="cuda").fit(x)
    with pytest.raises(ValueError, match="x: row 7 holds NaN or infinity"):
        clusters.fit(DlpackArray(standin, bad))
    np.testing.assert_array_equal(clusters.centroids, before)
    labels = contents(clusters.predict(DlpackArray(standin, bad)), standin)
    assert np.flatnonzero(labels == nf.MISSING).tolist() == [7, 9]
    good = np.delete(np.arange(50), [7, 9])
    np.testing.assert_array_equal(labels[good], clusters.labels_[good])
    with pytest.raises(ValueError, match="x: row 7 holds NaN"):
        nf.KMeans(4, device="cuda").fit(rows).predict(bad)
    bad = np.full((3, 3), 1e30, np.float32)  # finite, however large
    np.testing.assert_array_equal(
        contents(clusters.predict(DlpackArray(standin, bad)), standin), clusters.predict(bad)
    )


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 30, 4)
    there = DlpackArray(standin, rows)
    with pytest.raises(ValueError, match="x: got 30 rows for k=31"):
        nf.KMeans(31).fit(there)
    with pytest.raises(ValueError, match="balanced: got clusters of bounded size on cuda:0"):
        nf.KMeans(3, balanced=True).fit(there)
    with pytest.raises(ValueError, match="balanced"):
        nf.KMeans(3, balanced=1.5, device="cuda")
    with pytest.raises(ValueError, match=r"init: got shape \(2, 4\), expected \(3, 4\)"):
        nf.KMeans(3).fit(there, init=rows[:2])
    with pytest.raises(ValueError, match="init: got 3 x 2 values, expected 3 x 4"):
        nf.KMeans(3).fit(there, init=rows[:3, :2])
    with pytest.raises(ValueError, match="init: row 1 holds NaN"):
        nf.KMeans(2).fit(there, init=np.float32([[1] * 4, [np.nan] * 4]))
    with pytest.raises(ValueError, match="init"):
        nf.KMeans(2, hierarchical=True).fit(there, init=rows[:2])
    with pytest.raises(TypeError, match="x: got float64 on cuda:0"):
        nf.KMeans(2).fit(DlpackArray(standin, rows.astype(np.float64)))
    with pytest.raises(ValueError, match="device: got 'gpu'"):
        nf.KMeans(2, device="gpu")
    with pytest.raises(nf.DeviceError, match="no device cuda:7"):
        nf.KMeans(2, device="cuda:7").fit(rows)
    clusters = nf.KMeans(2).fit(rows)
    for call in (clusters.fit, clusters.predict):
        with pytest.raises(TypeError, match="stream: got one for rows on the CPU"):
            call(rows, stream=1)
    with pytest.raises(ValueError, match=r"x: got shape \(30, 3\)"):
        clusters.predict(DlpackArray(standin, rows[:, :3].copy()))
    with pytest.raises(nf.NotTrainedError):
        nf.KMeans(2).predict(there)


def test_failures_leave_it_as_it_was(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = blobs(rng, 60, 3)
    clusters = nf.KMeans(4, device="cuda").fit(rows)
    before = clusters.centroids.copy()
    there = DlpackArray(standin, rows[::-1].copy())
    for function in (
        "cuMemAllocAsync",
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuMemsetD8Async",
        "cuLaunchKernel",
        "cuStreamSynchronize",
    ):
        for call in (1, 2, 4):
            for x in (there, rows[::-1]):
                monkeypatch.setenv("STANDIN_FAILS", f"{function}=2@{call}")
                with pytest.raises(nf.DeviceError):
                    clusters.fit(x)
                monkeypatch.delenv("STANDIN_FAILS")
        np.testing.assert_array_equal(clusters.centroids, before)
    np.testing.assert_array_equal(clusters.predict(rows), clusters.labels_)


def test_nothing_is_left_behind(standin: Standin, rng: np.random.Generator) -> None:
    rows = blobs(rng, 60, 3)
    there = DlpackArray(standin, rows)
    clusters = nf.KMeans(4).fit(there)
    clusters.predict(there)
    standin.finish()
    before = standin.live_blocks
    for _ in range(3):
        clusters.fit(there)
        clusters.predict(there)
    standin.finish()
    assert standin.live_blocks == before
