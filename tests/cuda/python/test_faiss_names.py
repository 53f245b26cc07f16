"""FAISS's GPU names: on the stand-in's devices, and on the CPU where there is none."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import nearfield as nf
import nearfield.faiss as faiss
import numpy as np
import pytest
from cuda.python.test_absence import run
from cuda.standin import Standin

D = 6


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-3, 4, (50, D)).astype(np.float32)


def same(there: Any, here: Any, x: np.ndarray, k: int = 7) -> None:
    for a, b in zip(there.search(x, k), here.search(x, k), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def filled(rows: np.ndarray, metric: int = faiss.METRIC_L2) -> faiss.IndexFlat:
    index = (faiss.IndexFlatIP if metric == 0 else faiss.IndexFlatL2)(D)
    index.add(rows)
    return index


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
def test_one_gpu_in_every_call_style(standin: Standin, rows: np.ndarray, metric: int) -> None:
    assert faiss.get_num_gpus() == 2
    index, res = filled(rows, metric), faiss.StandardGpuResources()
    res.setTempMemory(64 << 20)
    res.noTempMemory()
    res.setDefaultNullStreamAllDevices()
    options = faiss.GpuClonerOptions()
    options.usePrecomputed = False
    ran = standin.launches
    for there in (
        faiss.index_cpu_to_gpu(res, 0, index),
        faiss.index_cpu_to_gpu(res, 1, index, options),
        faiss.index_cpu_to_gpu(provider=res, device=1, index=index, options=options),
    ):
        assert isinstance(there, faiss.GpuIndexFlat)
        assert there.native.device == f"cuda:{there.getDevice()}"
        same(there, index, rows[:5] + 1)
        same(there, index, rows[:5], k=60)
        here = faiss.index_gpu_to_cpu(there)
        assert (type(here), here.native.device) == (type(index), "cpu")
        same(here, index, rows[:5])
    assert standin.launches > ran
    assert index.native.device == "cpu"


def test_copies_change_on_their_own(standin: Standin, rows: np.ndarray) -> None:
    index = filled(rows)
    there = faiss.index_cpu_to_gpu(None, 0, index)
    there.add(rows[:3] + 9)
    assert (index.ntotal, there.ntotal, there.native.device) == (50, 53, "cuda:0")
    assert there.search(rows[:3] + 9, 1)[1].ravel().tolist() == [50, 51, 52]
    index.reset()
    assert (index.ntotal, there.ntotal) == (0, 53)
    back = faiss.index_gpu_to_cpu(there)
    assert there.remove_ids(np.array([0, 1])) == 2
    assert (back.ntotal, there.ntotal) == (53, 51)
    assert there.native.device == "cuda:0"
    for other in (copy.copy(there), pickle.loads(pickle.dumps(there))):
        assert other.native.device == "cuda:0"
        same(other, there, rows[:4])
        other.reset()
        assert there.ntotal == 51


@pytest.mark.parametrize("shard", [True, False])
def test_several_gpus(standin: Standin, rows: np.ndarray, shard: bool) -> None:
    index = filled(rows)
    options = faiss.GpuMultipleClonerOptions()
    options.shard = shard
    resources, numbers = faiss.GpuResourcesVector(), faiss.Int32Vector()
    for number in range(2):
        resources.push_back(faiss.StandardGpuResources())
        numbers.push_back(number)
    for there in (
        faiss.index_cpu_to_all_gpus(index, co=options),
        faiss.index_cpu_to_all_gpus(index, options, ngpu=2),
        faiss.index_cpu_to_gpus_list(index, options, gpus=[0, 1]),
        faiss.index_cpu_to_gpu_multiple_py(list(resources), index, options),
        faiss.index_cpu_to_gpu_multiple(resources, numbers, index, options),
    ):
        assert there.native.device == ("cuda:0,cuda:1" if shard else "cuda:0")
        same(there, index, rows[:5] + 1)
        there.add(rows[:1])
        same(faiss.index_gpu_to_cpu(there), there, rows[:5])
        used = [native.device for native in there._all_replicas()]
        assert used == (["cuda:0,cuda:1"] if shard else ["cuda:0", "cuda:1"])
        same(there, faiss.index_gpu_to_cpu(there), rows[:1])
        assert there.search(rows[:0], 3)[1].shape == (0, 3)
    same(pickle.loads(pickle.dumps(there)), there, rows[:5])
    assert faiss.index_cpu_to_gpus_list(index, gpus=[1]).native.device == "cuda:1"
    with pytest.raises(ValueError, match="each once"):
        faiss.index_cpu_to_gpus_list(index, gpus=[0, 0])
    with pytest.raises(nf.DeviceError, match="no device cuda:5"):
        faiss.index_cpu_to_gpus_list(index, options, gpus=[0, 5])
    assert index.ntotal == 50


def test_half_the_memory(standin: Standin, rows: np.ndarray) -> None:
    x = rows + np.float32(0.1)  # not a float16
    index = filled(x)
    options = faiss.GpuClonerOptions(useFloat16=True)
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    direct = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), D, config)
    direct.add(x)
    rounded = filled(x.astype(np.float16).astype(np.float32))
    for there in (faiss.index_cpu_to_gpu(None, 0, index, options), direct):
        assert there.native.quantizer == "float16"
        same(there, rounded, x[:5])
        same(faiss.index_gpu_to_cpu(there), rounded, x[:5])
        assert type(faiss.index_gpu_to_cpu(there)) is faiss.IndexFlatL2
    np.testing.assert_array_equal(index.reconstruct_n(), x)


def test_indexes_made_on_a_gpu(standin: Standin, rows: np.ndarray) -> None:
    res, config = faiss.StandardGpuResources(), faiss.GpuIndexFlatConfig()
    config.device = 1
    for index in (
        faiss.GpuIndexFlatL2(res, D, config),
        faiss.GpuIndexFlatIP(res, D),
        faiss.GpuIndexFlat(res, D, faiss.METRIC_L2, config),
        faiss.GpuIndexFlat(res, D, config),
    ):
        index.add(rows)
        assert index.native.device == f"cuda:{index.getDevice()}"
        same(index, filled(rows, index.metric_type), rows[:4])
    moved = faiss.GpuIndexFlatL2(res, filled(rows), config)
    same(moved, filled(rows), rows[:4])
    with pytest.raises(ValueError, match="got metric 0, expected 1"):
        faiss.GpuIndexFlatL2(res, faiss.IndexFlatIP(D))
    with pytest.raises(TypeError, match="expected a GpuIndexFlatConfig"):
        faiss.GpuIndexFlatL2(res, D, 3)
    with pytest.raises(AttributeError, match="no option 'devise'"):
        config.devise = 1


def test_id_maps_lists_and_graphs(standin: Standin, rows: np.ndarray) -> None:
    mapped = faiss.IndexIDMap(faiss.IndexFlatL2(D))
    mapped.add_with_ids(rows, np.arange(50) * 3)
    there = faiss.index_cpu_to_all_gpus(mapped, faiss.GpuMultipleClonerOptions(shard=True))
    assert there.native.device == "cuda:0,cuda:1"
    same(there, mapped, rows[:4])
    same(faiss.index_gpu_to_cpu(there), mapped, rows[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what stays on the CPU so far
        lists = faiss.GpuIndexIVFFlat(faiss.StandardGpuResources(), D, 4)
        lists.train(rows)
        lists.add(rows)
        faiss.GpuParameterSpace().set_index_parameters(lists, "nprobe=4,verbose=0")
        assert lists.nprobe == 4
        same(lists, filled(rows), rows[:4])
        assert type(faiss.index_gpu_to_cpu(lists)) is faiss.IndexIVFFlat
        graph = faiss.IndexHNSWFlat(D, 8)
        graph.add(rows)
        moved = faiss.index_cpu_to_gpu(None, 0, graph)
        faiss.GpuParameterSpace().set_index_parameter(moved, "efSearch", 64)
        assert (moved.hnsw.efSearch, graph.hnsw.efSearch) == (64, 16)
        same(moved, filled(rows), rows[:4])
    options = faiss.GpuMultipleClonerOptions(shard=True)
    for index in (faiss.index_gpu_to_cpu(lists), graph):
        everywhere = faiss.index_cpu_to_all_gpus(index, options)
        assert everywhere.native.device == "cuda:0,cuda:1"
        same(everywhere, index, rows[:4], k=3)
    for name in ("nprobe", "efSearch", "ht"):
        with pytest.raises(RuntimeError, match=f"could not set '{name}'"):
            faiss.GpuParameterSpace().set_index_parameter(there, name, 3)
    with pytest.raises(RuntimeError, match="expected <name>=<number>"):
        faiss.GpuParameterSpace().set_index_parameters(there, "nprobe")


def test_search_without_an_index(standin: Standin, rows: np.ndarray) -> None:
    res = faiss.StandardGpuResources()
    wanted = faiss.knn(rows[:3], rows, 4)
    for a, b in zip(faiss.knn_gpu(res, rows[:3], rows, 4, device=1), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    distances, ids = np.empty((3, 4), np.float32), np.empty((3, 4), np.int64)
    for order in (True, False):
        xb, xq = (np.ascontiguousarray(a if order else a.T) for a in (rows, rows[:3]))
        faiss.bruteForceKnn(
            *(res, faiss.METRIC_L2, faiss.swig_ptr(xb), order, 50, faiss.swig_ptr(xq), order),
            *(3, D, 4, faiss.swig_ptr(distances), faiss.swig_ptr(ids)),
        )
        np.testing.assert_array_equal(ids, wanted[1])
        np.testing.assert_allclose(distances, wanted[0])


def test_clusters_are_those_of_the_cpu(standin: Standin, rows: np.ndarray) -> None:
    ran, found = standin.launches, []
    for gpu, devices in ((False, 0), (1, 1), (True, 2), (-1, 2)):
        copies = standin.calls("cuMemcpyPeerAsync")
        clusters = faiss.Kmeans(D, 3, niter=3, gpu=gpu, min_points_per_centroid=1)
        clusters.train(rows)
        assert (standin.launches > ran) == bool(gpu)
        assert (standin.calls("cuMemcpyPeerAsync") > copies) == (devices > 1)
        found.append(clusters.centroids)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    with pytest.raises(nf.DeviceError, match="no device cuda:2"):
        faiss.Kmeans(D, 3, gpu=3, min_points_per_centroid=1).train(rows)
    with pytest.raises(ValueError, match="gpu: got -2, expected True, False, -1"):
        faiss.Kmeans(D, 3, gpu=-2)


def test_the_index_outlives_every_failure(
    standin: Standin, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = filled(rows)
    before = index.search(rows[:4], 3)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@2")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        faiss.index_cpu_to_all_gpus(index, faiss.GpuMultipleClonerOptions(shard=True))
    monkeypatch.delenv("STANDIN_FAILS")
    np.testing.assert_array_equal(index.search(rows[:4], 3), before)
    for bad in (-1, "0", True):
        with pytest.raises(ValueError, match="device: got"):
            faiss.index_cpu_to_gpu(None, bad, index)
    with pytest.raises(TypeError, match="index: got"):
        faiss.index_cpu_to_gpu(None, 0, rows)
    with pytest.raises(TypeError, match="options: got"):
        faiss.index_cpu_to_gpu(None, 0, index, object())
    index.add(rows)
    assert index.ntotal == 100


PROGRAM = """
import warnings
import numpy as np, nearfield.faiss as faiss
x = np.eye(3, dtype=np.float32)
index = faiss.IndexFlatIP(3)
index.add(x)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    co = faiss.GpuMultipleClonerOptions()
    co.shard = co.useFloat16 = True
    found = [
        faiss.index_cpu_to_all_gpus(index, co=co).search(x, 1)[1].tolist(),
        faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index).search(x, 1)[1].tolist(),
        faiss.knn_gpu(faiss.StandardGpuResources(), x, x, 1)[1].tolist(),
        faiss.index_gpu_to_cpu(index).search(x, 1)[1].tolist(),
    ]
assert found == [[[0], [1], [2]]] * 4, found
print(faiss.get_num_gpus(), len({str(w.message) for w in said}), *{str(w.message) for w in said})
"""


def test_programs_run_with_two_gpus_one_or_none(standin_path: Path) -> None:
    assert run(PROGRAM, standin_path).split() == ["2", "0"]
    assert run(PROGRAM, standin_path, STANDIN_DEVICES="1").split() == ["1", "0"]
    for none in ({"STANDIN_DEVICES": "0"}, {"NEARFIELD_LIBCUDA": "/nowhere.so"}):
        assert run(PROGRAM, standin_path, **none).startswith(
            "0 1 searches run on the CPU: there is no"
        )
