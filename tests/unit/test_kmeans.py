"""KMeans against the oracle, and what it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import kmeans as oracle
from plugins.isa import Level

X = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)


def blobs(n: int, dim: int, centres: int, seed: int = 0) -> np.ndarray:
    """Return float32 rows around a few centres."""
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, dim)) * 3
    return (middle[rng.integers(0, centres, n)] + rng.standard_normal((n, dim))).astype(np.float32)


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize(("dim", "k"), [(3, 7), (16, 12), (40, 30), (150, 5)])
def test_iterations_are_those_of_the_definition(dim: int, k: int, spherical: bool) -> None:
    x = blobs(700, dim, 6, seed=dim)
    start = x[:k].copy()
    wide = x.astype(np.float64)
    centroids, _ = oracle.lloyd(wide, start, 6, spherical=spherical)
    found = nf.KMeans(k, 6, spherical, tolerance=0).fit(x, init=start)
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-5, atol=1e-6)
    own = found.centroids.astype(np.float64)
    labels = oracle.assign(wide, own, spherical=spherical)
    assert (found.labels_ == labels).all()
    assert found.inertia_ == pytest.approx(oracle.inertia(wide, own, labels), rel=1e-9)
    assert (found.predict(x) == labels).all()
    assert found.predict(x[5]) == labels[5]


def test_results_have_documented_types() -> None:
    found = nf.KMeans(4).fit(X)
    assert (found.centroids.shape, found.centroids.dtype) == ((4, 5), np.float32)
    assert (found.labels_.shape, found.labels_.dtype) == ((60,), np.int64)
    assert isinstance(found.inertia_, float)
    assert 1 <= found.n_iter_ <= 25
    assert found.predict(X).dtype == np.int64
    assert found.predict(np.empty((0, 5), np.float32)).shape == (0,)
    assert repr(found) == "KMeans(k=4, niter=25, spherical=False, seed=0; dim=5)"


@pytest.mark.parametrize("dim", [6, 48])
@pytest.mark.parametrize("spherical", [False, True])
def test_levels_and_threads_give_the_same_bits(
    dim: int, spherical: bool, levels: list[Level]
) -> None:
    x = blobs(3000, dim, 20)
    found = {
        (level.name, threads): level.call(
            "unit.test_kmeans:fitted", x, 40, spherical=spherical, threads=threads
        )
        for level in levels
        for threads in (1, 3)
    }
    first = next(iter(found.values()))
    for way, result in found.items():
        assert result == first, way


def fitted(x: np.ndarray, k: int, **options: Any) -> bytes:
    """Return everything a fit finds; called in a level's process."""
    found = nf.KMeans(k, 8, seed=3, **options).fit(x)
    return pickle.dumps([found.centroids, found.labels_, found.inertia_, found.predict(x)])


def test_seeds_choose_the_start() -> None:
    one, same, other = (nf.KMeans(6, 1, seed=seed).fit(X).centroids for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_stops_early() -> None:
    x = blobs(2000, 8, 4)
    loose, tight, none = (
        nf.KMeans(16, 200, tolerance=tolerance).fit(x) for tolerance in (0.05, 1e-4, 0)
    )
    assert loose.n_iter_ < tight.n_iter_ < none.n_iter_ < 200
    assert none.inertia_ <= tight.inertia_ <= loose.inertia_


@pytest.mark.parametrize("dim", [4, 60])
def test_fewer_different_rows_than_clusters(dim: int) -> None:
    x = np.repeat(blobs(5, dim, 2), 20, axis=0)
    found = nf.KMeans(30).fit(x)
    assert np.isfinite(found.centroids).all()
    assert found.inertia_ == pytest.approx(0, abs=1e-9)
    assert len(np.unique(found.labels_)) == 5


def test_one_row_per_cluster() -> None:
    found = nf.KMeans(60).fit(X)
    assert found.inertia_ == 0
    assert sorted(found.labels_) == list(range(60))


@pytest.mark.parametrize("spherical", [False, True])
def test_hierarchical_is_nearly_as_good(spherical: bool) -> None:
    x = blobs(6000, 24, 40)
    flat = nf.KMeans(150, spherical=spherical).fit(x)
    found = nf.KMeans(150, spherical=spherical, hierarchical=True).fit(x)
    assert len(np.unique(found.labels_)) == 150
    assert (found.labels_ == found.predict(x)).all()
    assert found.inertia_ < 1.05 * flat.inertia_
    again = nf.KMeans(150, spherical=spherical, hierarchical=True, threads=1).fit(x)
    assert (again.centroids == found.centroids).all()


def test_hierarchical_with_repeated_rows() -> None:
    x = np.repeat(blobs(5, 30, 2), 30, axis=0)
    found = nf.KMeans(64, hierarchical=True).fit(x)
    assert found.inertia_ == pytest.approx(0, abs=1e-9)
    assert len(np.unique(found.labels_)) == 5


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("dim", [8, 40])
def test_growing_samples_end_as_good(dim: int, spherical: bool, levels: list[Level]) -> None:
    x = blobs(20_000, dim, 300)
    plain = nf.KMeans(40, 25, spherical).fit(x)
    found = nf.KMeans(40, 25, spherical, growing=True).fit(x)
    few = [nf.KMeans(40, 2, spherical, tolerance=0, growing=grow).fit(x) for grow in (False, True)]
    assert found.inertia_ < 1.02 * plain.inertia_
    assert few[1].n_iter_ == 2
    assert few[1].inertia_ < few[0].inertia_, "samples did not help at all"
    assert (found.labels_ == found.predict(x)).all()
    ways = [
        level.call("unit.test_kmeans:fitted", x[:4000], 20, growing=True, threads=threads)
        for level in levels
        for threads in (1, 3)
    ]
    assert len(set(ways)) == 1


def test_growing_needs_enough_rows_a_cluster() -> None:
    x = blobs(3000, 8, 20)
    one, same = (nf.KMeans(40, 5, growing=grow).fit(x).centroids for grow in (False, True))
    assert (one == same).all()
    start = x[:20] * 3
    assert nf.KMeans(20, 5, growing=True).fit(x, init=start).n_iter_ <= 5


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize(("dim", "k", "balanced"), [(3, 20, 1.0), (12, 60, 1.5), (60, 80, True)])
def test_balanced_clusters_keep_to_their_bound(
    dim: int, k: int, balanced: bool | float, spherical: bool
) -> None:
    x = blobs(1503, dim, 9, seed=dim)
    wide = x.astype(np.float64)
    plain = nf.KMeans(k, spherical=spherical, seed=2).fit(x)
    found = nf.KMeans(k, spherical=spherical, seed=2, balanced=balanced).fit(x)
    sizes = np.bincount(found.labels_, minlength=k)
    times = 1.25 if balanced is True else balanced
    most = max(-(-1503 // k), int(times * 1503 / k))
    assert sizes.max() <= most < np.bincount(plain.labels_).max()
    means = oracle.means(wide, found.labels_, k, spherical=spherical)
    np.testing.assert_allclose(found.centroids, means, rtol=1e-5, atol=1e-5)
    own = found.centroids.astype(np.float64)
    assert found.inertia_ == pytest.approx(oracle.inertia(wide, own, found.labels_), rel=1e-9)
    # Blobs that do not divide into clusters of the mean size pay for it.
    assert found.inertia_ < (2 if times == 1 else 1.05) * plain.inertia_
    assert (found.predict(x) == oracle.assign(wide, own, spherical=spherical)).all()


def test_balanced_costs_little_more_than_the_best_assignment() -> None:
    """Against the least total distance any assignment of so many rows each can have."""
    x = blobs(60, 2, 3, seed=4)
    found = nf.KMeans(6, balanced=1.0, seed=1).fit(x)
    assert np.bincount(found.labels_).tolist() == [10] * 6
    best = oracle.even_cost(x.astype(np.float64), found.centroids.astype(np.float64), 10)
    assert best <= found.inertia_ * (1 + 1e-9) <= 1.1 * best


def test_balanced_clusters_of_equal_rows_and_of_one_row_each() -> None:
    x = np.repeat(X[:4], 25, axis=0)
    sizes = np.bincount(nf.KMeans(20, balanced=1.0).fit(x).labels_, minlength=20)
    assert sizes.tolist() == [5] * 20
    assert sorted(nf.KMeans(60, balanced=True).fit(X).labels_) == list(range(60))
    assert nf.KMeans(1, balanced=True).fit(X).labels_.tolist() == [0] * 60


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("dim", [6, 48])
def test_balanced_at_all_levels(dim: int, hierarchical: bool, levels: list[Level]) -> None:
    x = blobs(2000, dim, 20)
    found = {
        (level.name, threads): level.call(
            "unit.test_kmeans:fitted",
            x,
            40,
            balanced=1.1,
            threads=threads,
            hierarchical=hierarchical,
        )
        for level in levels
        for threads in (1, 3)
    }
    assert len(set(found.values())) == 1


def test_zero_rows_if_spherical() -> None:
    x = np.vstack([np.zeros((3, 5), np.float32), X])
    found = nf.KMeans(4, spherical=True).fit(x)
    assert found.labels_[:3].tolist() == [0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-6)
    assert np.isfinite(
        nf.KMeans(2, spherical=True).fit(np.zeros((4, 5), np.float32)).centroids
    ).all()


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "uint8"])
def test_other_types_are_taken_as_float32(kind: str) -> None:
    x = np.random.default_rng(1).integers(0, 100, (80, 30)).astype(kind)
    found = nf.KMeans(5).fit(x)
    same = nf.KMeans(5).fit(x.astype(np.float32))
    assert (found.centroids == same.centroids).all()
    assert (found.predict(x) == same.labels_).all()


def with_bad_row(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 2] = x[9, 0] = value
    return x


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: nf.KMeans(0), ValueError, "k: got 0, expected an integer >= 1"),
    (lambda: nf.KMeans(2.0), TypeError, "k: got 2.0 of type float"),  # type: ignore[arg-type]
    (lambda: nf.KMeans(True), TypeError, "k: got the bool True"),
    (lambda: nf.KMeans(2, 0), ValueError, "niter: got 0"),
    (lambda: nf.KMeans(2, spherical=1), TypeError, "spherical: got a int"),  # type: ignore[arg-type]
    (lambda: nf.KMeans(2, seed=-1), ValueError, "seed: got -1"),
    (lambda: nf.KMeans(2, seed=2**64), ValueError, "seed: got 18446744073709551616"),
    (lambda: nf.KMeans(2, seed="a"), TypeError, "seed: got 'a'"),  # type: ignore[arg-type]
    (lambda: nf.KMeans(2, balanced=0.9), ValueError, "balanced: got 0.9, expected True, False or"),
    (lambda: nf.KMeans(2, balanced=0), ValueError, "balanced: got 0.0"),
    (lambda: nf.KMeans(2, balanced=float("inf")), ValueError, "balanced: got inf"),
    (lambda: nf.KMeans(2, balanced="x"), TypeError, "balanced: got 'x'"),  # type: ignore[arg-type]
    (lambda: nf.KMeans(2, tolerance=-1), ValueError, "tolerance: got -1"),
    (lambda: nf.KMeans(2, tolerance=float("nan")), ValueError, "tolerance: got NaN"),
    (lambda: nf.KMeans(2, threads=0), ValueError, "threads: got 0"),
    (lambda: nf.KMeans(61).fit(X), ValueError, "x: got 60 rows for k=61, expected at least 61"),
    (lambda: nf.KMeans(1).fit(X[:0]), ValueError, "x: got 0 rows for k=1"),
    (lambda: nf.KMeans(2).fit(X[0]), ValueError, r"x: got shape \(5,\), expected \(n, dim\)"),
    (lambda: nf.KMeans(2).fit(X.astype(complex)), TypeError, "x: got an array of complex128"),
    (lambda: nf.KMeans(2).fit(with_bad_row(np.nan)), ValueError, "x: row 7 holds NaN"),
    (lambda: nf.KMeans(2).fit(with_bad_row(np.inf)), ValueError, "x: row 7 holds NaN"),
    (
        lambda: nf.KMeans(2).fit(X, init=X),
        ValueError,
        r"init: got shape \(60, 5\), expected \(2, 5\)",
    ),
    (lambda: nf.KMeans(2).fit(X, init=X[:2, :4]), ValueError, "init: got shape"),
    (
        lambda: nf.KMeans(9).fit(X, init=with_bad_row(np.nan)[:9]),
        ValueError,
        "init: row 7 holds NaN",
    ),
    (lambda: nf.KMeans(2, growing=1), TypeError, "growing: got a int"),  # type: ignore[arg-type]
    (
        lambda: nf.KMeans(20, hierarchical=True, growing=True),
        ValueError,
        "growing: got True with hierarchical=True",
    ),
    (lambda: nf.KMeans(2, hierarchical=2), TypeError, "hierarchical"),  # type: ignore[arg-type]
    (
        lambda: nf.KMeans(20, hierarchical=True).fit(X, init=X[:20]),
        ValueError,
        "init: got centroids for a hierarchical",
    ),
    (lambda: nf.KMeans(2).predict(X), nf.NotTrainedError, "call fit"),
    (lambda: nf.KMeans(2).centroids, nf.NotTrainedError, "call fit"),
    (lambda: nf.KMeans(2).inertia_, nf.NotTrainedError, "call fit"),
    (lambda: nf.KMeans(2).fit(X).predict(X[:, :4]), ValueError, "x: got shape"),
    (lambda: nf.KMeans(2).fit(X).predict(with_bad_row(np.nan)), ValueError, "x: row 7 holds NaN"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_failed_fit_changes_nothing() -> None:
    found = nf.KMeans(3).fit(X)
    before = found.centroids.copy()
    with pytest.raises(ValueError, match="row 7"):
        found.fit(with_bad_row(np.nan))
    assert (found.centroids == before).all()
