"""What only a GPU can show, as bench/gpu_check.py does at length: pytest -m gpu --require=cuda."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from plugins.require import required

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def device(request: pytest.FixtureRequest) -> str:
    """Skip where there is no device; --require=cuda makes that a failure."""
    if "cuda" not in required(request.config):
        pytest.skip("needs a GPU of its own process: run pytest -m gpu --require=cuda")
    if not nf.devices():
        pytest.skip(f"no cuda device: {nf.runtime.cuda_report()['driver_error']}")
    return nf.devices()[0].device


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_torch_arrays(metric: str, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="torch makes the arrays")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no cuda")
    kind = getattr(torch, dtype)
    rows, queries = torch.randn(5000, 96).to(kind), torch.randn(40, 96).to(kind)
    here = nf.topk(queries, rows, k=50, metric=metric)
    there = nf.topk(queries.cuda(), rows.cuda(), k=50, metric=metric)
    assert there.ids.is_cuda
    np.testing.assert_array_equal(there.ids.cpu().numpy(), here.ids)
    np.testing.assert_allclose(there.scores.cpu().numpy(), here.scores, rtol=1e-6, atol=1e-6)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        again = nf.topk(queries.cuda(), rows.cuda(), k=50, metric=metric)
    side.synchronize()
    assert torch.equal(again.ids, there.ids)


def test_cupy_arrays() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    rows = np.random.default_rng(1).standard_normal((999, 48), dtype=np.float32)
    there = nf.topk(cupy.asarray(rows[:9]), cupy.asarray(rows), k=7)
    assert isinstance(there.ids, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(there.ids), nf.topk(rows[:9], rows, k=7).ids)


def test_an_index_on_the_device() -> None:
    rows = np.random.default_rng(1).standard_normal((20_000, 64), dtype=np.float32)
    index = nf.FlatIndex(64, "cosine")
    index.add(rows)
    there = index.to("cuda")
    np.testing.assert_array_equal(there.search(rows[:50]).ids, index.search(rows[:50]).ids)


def test_lists_on_the_device() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((20_000, 64), dtype=np.float32)
    for quantizer in ("float32", "bfloat16"):
        index = nf.IVFIndex(64, 100, quantizer=quantizer)
        index.train(rows)
        index.add(rows)
        there, chosen = index.to("cuda"), rng.random(20_000) < 0.1
        for asked in ({"nprobe": 8}, {"nprobe": 1, "k": 300}, {"filter": chosen}):
            here = index.search(rows[:500], **asked)
            np.testing.assert_array_equal(there.search(rows[:500], **asked).ids, here.ids)


def test_clusters_and_codes() -> None:
    torch = pytest.importorskip("torch", reason="torch makes the arrays")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no cuda")
    rows = torch.randn(20_000, 32)
    here, there = nf.KMeans(100, 5).fit(rows), nf.KMeans(100, 5).fit(rows.cuda())
    assert there.labels_.is_cuda
    assert there.inertia_ == here.inertia_
    np.testing.assert_array_equal(there.labels_.cpu().numpy(), here.labels_)
    np.testing.assert_array_equal(there.centroids.cpu().numpy(), here.centroids)
    np.testing.assert_array_equal(there.predict(rows.cuda()).cpu().numpy(), here.labels_)
    for quantizer in (nf.quant.ProductQuantizer(m=8, nbits=8), nf.quant.ScalarQuantizer()):
        codes = quantizer.train(rows).encode(rows.cuda())
        np.testing.assert_array_equal(codes.cpu().numpy(), quantizer.encode(rows))


def test_the_check_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.gpu_check", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (tmp_path / "results.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["phase"] for line in lines} >= {"device", "correctness", "timing"}
