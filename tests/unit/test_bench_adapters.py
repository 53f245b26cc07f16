"""Benchmark of adapters: equal work on both sides of every ratio, and what the page says."""

from __future__ import annotations

import json
import sys

import nearfield as nf
import numpy as np
import pytest

from bench import adapters
from bench.pareto import datasets, judge


@pytest.fixture
def folder(tmp_path):
    """A small set of unit vectors in the layout of the shared folders."""
    rng = np.random.default_rng(5)
    for name, count in (("base", 600), ("queries", 40)):
        rows = rng.standard_normal((count, 48)).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", datasets.unit_rows(rows))
    (tmp_path / "metric.txt").write_text("cosine")
    return tmp_path


@pytest.mark.parametrize("form", adapters.FORMS)
def test_pipelines_map_as_the_transform_does(form):
    x = np.random.default_rng(0).standard_normal((20, 48)).astype(np.float32)
    one = adapters.adapter(form, 48, 3)
    expected = nf.transforms.Chain([one, nf.transforms.Normalize()])(x)
    assert not np.allclose(expected, datasets.unit_rows(x.copy()), atol=1e-3)
    np.testing.assert_allclose(adapters.in_numpy(one, x), expected, atol=1e-6)
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(adapters.in_torch(one, torch.from_numpy(x)), expected, atol=1e-6)


def test_ratios_are_those_within_a_round():
    spent = {"one": np.array([2.0, 30.0, 4.0]), "other": np.array([1.0, 10.0, 4.0])}
    row = adapters.compared(spent, "one", "other")
    assert (row["ratio"], row["seconds"], row["seconds_beside"]) == (2.0, 4.0, 4.0)
    assert row["quartiles"] == [1.5, 2.5]


def test_all_parts_are_measured_and_written(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(adapters, "REST", 0.0)
    parts = ["query", "corpus"]
    try:
        import faiss  # noqa: F401
    except ImportError:  # a peer: here only where it is installed
        pass
    else:
        parts.append("pipeline")
    words = ["--data", str(folder), "--batch", "64", "--repeats", "2", "--quiet", "0"]
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["adapters", *words, "--parts", *parts, "--out", str(out)])
    adapters.main()
    result = json.loads((out / "adapters.json").read_text())
    assert list(result["parts"]) == parts
    assert len(result["parts"]["query"]) == 3 * len(adapters.FORMS)
    assert [row["beside"] for row in result["parts"]["corpus"]] == [
        "flat, plain",
        "ivf, plain",
        "hnsw, plain",
    ]
    assert all(row["recall"] > 0.999 for row in result["parts"].get("pipeline", []))
    assert (out / "adapters.md").read_text() == capsys.readouterr().out


def test_fused_answers_are_those_of_the_pipeline(folder):
    data = datasets.load(datasets.Source(str(folder), pool=64))
    index = nf.FlatIndex(data.dim, "ip")
    index.add(data.base)
    one = adapters.adapter("affine", data.dim, 0)
    found = index.search(data.pool, 10, transform=one).ids
    mapped = adapters.in_numpy(one, data.pool)
    kth = judge.exact_neighbours(data.base, mapped, 10, "ip")[1][:, -1]
    assert judge.hits(found, data.base, mapped, kth, "ip", 1.0) == found.size
