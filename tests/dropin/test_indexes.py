"""Indexes under FAISS's names: its conventions, and what is refused."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import nearfield as nf
import nearfield.faiss as faiss
import numpy as np
import pytest

LARGEST = float(np.finfo(np.float32).max)
D = 6


@pytest.fixture
def rows() -> np.ndarray:
    """Small integers: every distance is exact, and there are ties."""
    return np.random.default_rng(3).integers(-3, 4, (60, D)).astype(np.float32)


def make(kind: str, metric: int = faiss.METRIC_L2) -> Any:
    """Return an index whose search sees every row."""
    if kind == "flat":
        return faiss.IndexFlat(D, metric)
    if kind == "ivf":
        index = faiss.IndexIVFFlat(faiss.IndexFlat(D, metric), D, 4, metric)
        index.nprobe = 4
        return index
    index = faiss.IndexHNSWFlat(D, 8, metric)
    index.hnsw.efSearch = 64
    return index


def defined(x: np.ndarray, q: np.ndarray, k: int, metric: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the answer by its definition in float64, ties by smaller id."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    apart = ((q[:, None] - x[None]) ** 2).sum(2) if metric == faiss.METRIC_L2 else q @ x.T
    key = apart if metric == faiss.METRIC_L2 else -apart
    best = np.argsort(key, axis=1, kind="stable")[:, :k]
    lack = max(k - x.shape[0], 0)
    fill = LARGEST if metric == faiss.METRIC_L2 else -LARGEST
    distances = np.pad(
        np.take_along_axis(apart, best, 1), [(0, 0), (0, lack)], constant_values=fill
    )
    return distances, np.pad(best, [(0, 0), (0, lack)], constant_values=-1)


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_search_is_its_definition(rows: np.ndarray, kind: str, metric: int) -> None:
    index = make(kind, metric)
    assert (index.d, index.ntotal, index.metric_type) == (D, 0, metric)
    index.train(rows)
    assert index.is_trained
    index.add(rows[:40].astype(np.float64))
    index.add(np.asfortranarray(rows[40:].astype(np.int32)))
    assert index.ntotal == 60
    for k in (1, 7, 64):
        distances, ids = index.search(rows[:9] + 1, k)
        wanted = defined(rows, rows[:9] + 1, k, metric)
        assert (distances.dtype, ids.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(ids, wanted[1])
        np.testing.assert_allclose(distances, wanted[0], rtol=1e-6)
    np.testing.assert_array_equal(index.assign(rows[:3]), index.search(rows[:3], k=1)[1])
    np.testing.assert_array_equal(index.reconstruct(5), rows[5])
    np.testing.assert_array_equal(index.reconstruct_n(0, index.ntotal), rows)
    np.testing.assert_array_equal(index.reconstruct_n(50), rows[50:])
    np.testing.assert_array_equal(index.reconstruct_batch([3, 3, 1]), rows[[3, 3, 1]])
    index.reset()
    assert (index.ntotal, index.is_trained) == (0, True)
    index.add(rows[5:8])
    assert index.search(rows[6:7], 4)[1][0, -1] == -1
    np.testing.assert_array_equal(index.reconstruct_n(), rows[5:8])


def test_results_are_written_where_asked(rows: np.ndarray) -> None:
    index = make("flat")
    index.add(rows)
    distances, ids = np.empty((2, 3), np.float32), np.empty((2, 3), np.int64)
    found = index.search(rows[:2], 3, D=distances, I=ids)
    assert found[0] is distances
    assert found[1] is ids
    np.testing.assert_array_equal(ids, index.search(rows[:2], 3)[1])
    row = np.empty(D, np.float32)
    assert index.reconstruct(2, row) is row
    np.testing.assert_array_equal(row, rows[2])


def test_removing_from_a_flat_index_renumbers(rows: np.ndarray) -> None:
    index = make("flat")
    index.add(rows)
    assert index.remove_ids(np.array([0, 2, 2, 99])) == 2
    left = np.delete(rows, [0, 2], axis=0)
    np.testing.assert_array_equal(index.reconstruct_n(), left)
    index.add(rows[:1])
    assert index.ntotal == 59
    assert index.remove_ids([-5]) == 0


def test_ids_of_an_ivf_index(rows: np.ndarray) -> None:
    index = make("ivf")
    assert not index.is_trained
    with pytest.raises(RuntimeError, match="not trained"):
        index.add(rows)
    index.train(rows)
    index.train(rows)
    assert index.quantizer.ntotal == index.nlist == 4
    ids = np.arange(1000, 1060)
    ids[7] = 1003  # twice
    index.add_with_ids(rows, ids)
    index.add(rows[:2])
    assert set(index.search(rows[7:8], 60)[1][0]) >= {1003, 60, 61}
    np.testing.assert_array_equal(index.reconstruct(61), rows[1])
    assert index.remove_ids(np.array([1003, 60])) == 3
    assert index.ntotal == 59
    with pytest.raises(RuntimeError, match="1003 is not in the index"):
        index.reconstruct(1003)
    index.nprobe = 0
    with pytest.raises(ValueError, match="nprobe"):
        index.search(rows[:1], 1)
    with pytest.raises(ValueError, match="without rows"):
        faiss.IndexIVFFlat(index.quantizer, D, 4)


def test_settings_of_a_graph(rows: np.ndarray) -> None:
    index = faiss.IndexHNSWFlat(D, 8)
    assert (index.hnsw.efConstruction, index.hnsw.efSearch) == (40, 16)
    index.hnsw.efConstruction = 77
    index.add(rows)
    assert index.native.ef_construction == 77
    index.hnsw.efConstruction = 50
    with pytest.warns(UserWarning, match="the graph goes on with 77"):
        index.add(rows)
    with pytest.raises(AttributeError):
        index.hnsw.efSerach = 3
    with pytest.raises(RuntimeError, match="remove_ids: IndexHNSWFlat keeps its rows"):
        index.remove_ids([1])


@pytest.mark.parametrize("kind", [faiss.IndexIDMap, faiss.IndexIDMap2])
def test_id_maps(rows: np.ndarray, kind: type[faiss.IndexIDMap]) -> None:
    index = kind(make("flat", faiss.METRIC_INNER_PRODUCT))
    assert (index.search(rows[:1], 2)[1] == -1).all()
    ids = np.array([10, 11, 12, 13, 10])
    index.add_with_ids(rows[:5], ids)
    assert (index.d, index.ntotal, index.is_trained, index.metric_type) == (D, 5, True, 0)
    distances, found = index.search(rows[:3], 6)
    inner = defined(rows[:5], rows[:3], 6, faiss.METRIC_INNER_PRODUCT)
    np.testing.assert_array_equal(found, np.where(inner[1] < 0, -1, ids[inner[1]]))
    np.testing.assert_allclose(distances, inner[0], rtol=1e-6)
    np.testing.assert_array_equal(faiss.vector_to_array(index.id_map), ids)
    assert (index.id_map.at(3), index.id_map.size()) == (13, 5)
    if kind is faiss.IndexIDMap2:
        np.testing.assert_array_equal(index.reconstruct(11), rows[1])
        with pytest.raises(RuntimeError, match="id 99 is not"):
            index.reconstruct(99)
    else:
        with pytest.raises(RuntimeError, match="use IndexIDMap2"):
            index.reconstruct(11)
    assert index.remove_ids(np.array([10, 99])) == 2
    assert index.search(rows[:1], 4)[1][0].tolist().count(-1) == 1
    with pytest.raises(RuntimeError, match="use add_with_ids"):
        index.add(rows)
    with pytest.raises(RuntimeError, match="without rows"):
        kind(index.index)
    index.reset()
    assert (index.ntotal, len(index.id_map)) == (0, 0)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_copies_change_on_their_own(rows: np.ndarray, kind: str) -> None:
    index = make(kind)
    index.train(rows)
    index.add(rows[:20])
    mapped = faiss.IndexIDMap(make("flat"))
    mapped.add_with_ids(rows[:4], [4, 3, 2, 1])
    for original in (index, mapped):
        for other in (copy.copy(original), pickle.loads(pickle.dumps(original))):
            before = original.search(rows[:5], 3)
            if original is mapped:
                other.add_with_ids(rows[:5], np.arange(70, 75))
            else:
                other.add(rows[20:])
            np.testing.assert_array_equal(original.search(rows[:5], 3), before)
            assert other.ntotal > original.ntotal
    third = copy.copy(index)
    index.add(rows[20:30])
    assert (index.ntotal, third.ntotal) == (30, 20)


def test_normalize(rows: np.ndarray) -> None:
    x = np.concatenate([rows, np.zeros((1, D), np.float32)])
    assert faiss.normalize_L2(x) is None
    lengths = np.linalg.norm(x.astype(np.float64), axis=1)
    zero = np.append((rows == 0).all(1), True)
    np.testing.assert_allclose(lengths, np.where(zero, 0, 1), atol=1e-6)
    for bad in (rows.astype(np.float64), rows.tolist()):
        with pytest.raises(TypeError, match="in place"):
            faiss.normalize_L2(bad)
    for bad in (rows[:, ::2], rows[0]):
        with pytest.raises(ValueError, match="C-contiguous"):
            faiss.normalize_L2(bad)


def test_knn(rows: np.ndarray) -> None:
    distances, ids = faiss.knn(rows[:4], rows, 5, metric=faiss.METRIC_INNER_PRODUCT)
    wanted = defined(rows, rows[:4], 5, faiss.METRIC_INNER_PRODUCT)
    np.testing.assert_array_equal(ids, wanted[1])
    np.testing.assert_allclose(distances, wanted[0], rtol=1e-6)


def test_kmeans(rows: np.ndarray) -> None:
    clusters = faiss.Kmeans(D, 3, niter=9, nredo=3, verbose=True, gpu=False, seed=5)
    with pytest.raises(RuntimeError, match="no centroids yet"):
        clusters.assign(rows)
    with pytest.warns(UserWarning, match="at least 117 are advised"):
        objective = clusters.train(rows)
    assert clusters.centroids.shape == (3, D)
    assert objective == clusters.obj[-1]
    distances, numbers = clusters.assign(rows)
    assert float(distances.sum()) == pytest.approx(objective, rel=1e-4)
    np.testing.assert_array_equal(clusters.index.search(rows, 1)[1].ravel(), numbers)
    once = [faiss.Kmeans(D, 3, niter=9, seed=seed) for seed in (5, 6, 7)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert objective == min(each.train(rows) for each in once)
    few = faiss.Kmeans(D, 2, min_points_per_centroid=1, max_points_per_centroid=10)
    few.train(rows)
    again = faiss.Kmeans(D, 2, min_points_per_centroid=1, max_points_per_centroid=10)
    again.train(rows)
    np.testing.assert_array_equal(few.centroids, again.centroids)
    with pytest.raises(TypeError, match="weights"):
        few.train(rows, np.ones(60))


def test_bad_input_changes_nothing(rows: np.ndarray) -> None:
    index = make("flat")
    index.add(rows)
    nan = rows.copy()
    nan[3, 1] = np.nan
    for bad, error, message in (
        (rows[0], ValueError, r"x: got shape \(6,\), expected \(n, 6\); one vector is x\[None\]"),
        (rows[:, :5], ValueError, r"x: got shape \(60, 5\), expected \(n, 6\)"),
        (nan, ValueError, "row 3"),
        (np.array([["a"] * D]), TypeError, "expected numbers"),
        (None, TypeError, "expected numbers"),
    ):
        with pytest.raises(error, match=message):
            index.add(bad)
        with pytest.raises(error):
            index.search(bad, 1)
    for k in (0, -1, 1.5, None):
        with pytest.raises((TypeError, ValueError), match="k: got"):
            index.search(rows, k)
    with pytest.raises(TypeError, match="params"):
        index.search(rows, 1, params=object())
    for key in (60, -1):
        with pytest.raises(RuntimeError, match="reconstruct"):
            index.reconstruct(key)
    with pytest.raises(RuntimeError, match="rows 50 to 70, expected some of 60"):
        index.reconstruct_n(50, 20)
    with pytest.raises(RuntimeError, match="use IndexIDMap"):
        index.add_with_ids(rows, np.arange(60))
    assert index.ntotal == 60
    for metric in (2, "l2", True):
        with pytest.raises(ValueError, match="metric: got"):
            faiss.IndexFlat(D, metric)
    with pytest.raises(ValueError, match="d: got 0"):
        faiss.IndexFlatL2(0)
    with pytest.raises(TypeError, match="Index is what"):
        faiss.Index(3)


def test_what_is_not_there_yet_says_so(rows: np.ndarray) -> None:
    with pytest.raises(AttributeError, match="no 'IndexPQ': where FAISS has it, it is not there"):
        faiss.IndexPQ(D, 2, 8)
    index = make("flat")
    assert not hasattr(index, "range_search")
    with pytest.raises(AttributeError, match="'range_search': where FAISS has it, it is not there"):
        index.range_search(rows, 1.0)
    with pytest.raises(AttributeError, match="IndexFlat has no attribute 'nprobe'"):
        index.nprobe = 3
    assert set(faiss.__all__) <= set(dir(faiss))
    assert nf.faiss is faiss


def test_torch_tensors(rows: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rows)
    for index in (make("flat"), faiss.IndexIDMap(make("flat"))):
        if isinstance(index, faiss.IndexIDMap):
            index.add_with_ids(x, torch.arange(60))
        else:
            index.add(x)
        distances, ids = index.search(x[:4].double(), 61)
        wanted = index.search(rows[:4], 61)
        assert (distances.dtype, ids.dtype) == (torch.float32, torch.int64)
        np.testing.assert_array_equal(distances.numpy(), wanted[0])
        np.testing.assert_array_equal(ids.numpy(), wanted[1])
