"""Indexes that keep rows beside codes: a device reads the rows, the codes stay on the CPU."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_index_on_device import METRICS, same
from cuda.standin import DlpackArray, Standin, contents

DIM = 12
CODED = {"sq8": "float16", "pq4x4": "float32", "opq4x4": "bfloat16", "rabitq2": "float16"}


def whole(quantizer: str) -> dict[str, Any]:
    """Return what lets the CPU's codes leave no row out."""
    return {"epsilon": np.inf} if quantizer.startswith("rabitq") else {"rerank": 10_000}


def fill(index: nf.Index, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((300, DIM)).astype(np.float32)
    rows[150:160] = rows[:10]
    labels = rng.permutation(np.arange(1000, 1300))
    index.train(rows)
    index.add(rows, ids=labels)
    index.remove(labels[3:6])
    return rng.standard_normal((4, DIM)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", CODED)
def test_flat(standin: Standin, rng: np.random.Generator, quantizer: str, metric: Any) -> None:
    index = nf.FlatIndex(DIM, metric, quantizer=quantizer, refine=CODED[quantizer])
    q = fill(index, rng)
    there = index.to("cuda")
    assert (there.device, there.quantizer, there.refine) == ("cuda:0", quantizer, CODED[quantizer])
    here = index.search(q, k=9, **whole(quantizer))
    same(there.search(q, k=9), here)
    found = there.search(DlpackArray(standin, q), k=9)
    same(nf.SearchResult(*(contents(part, standin) for part in found)), here)
    how = {"filter": range(1010, 1100), **whole(quantizer)}
    same(there.search(q, k=5, **how), index.search(q, k=5, **how))  # said, and moot


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", CODED)
def test_lists(standin: Standin, rng: np.random.Generator, quantizer: str, metric: Any) -> None:
    index = nf.IVFIndex(DIM, 6, metric, quantizer=quantizer, refine=CODED[quantizer], residual=True)
    q = fill(index, rng)
    there = index.to("cuda")
    how = {"nprobe": 2, **whole(quantizer)}
    same(there.search(q, k=9, nprobe=2), index.search(q, k=9, **how))
    same(there.search(q, k=9, **how), index.search(q, k=9, **how))
    index.add(q, ids=range(4))
    assert there.search(q, k=1, nprobe=1).ids[:, 0].tolist() == [0, 1, 2, 3]


def test_graph(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.HNSWIndex(DIM, 8, quantizer="sq8", refine="float16")
    q = fill(index, rng)
    there = index.to("cuda")
    every = index.search(q, k=297)
    found = there.search(q, k=5, ef_search=60)
    for i in range(len(q)):
        scores = dict(zip(every.ids[i].tolist(), every.scores[i], strict=True))
        assert [scores[label] for label in found.ids[i].tolist()] == found.scores[i].tolist()
    near = found.scores <= every.scores[:, 4, None]
    assert near.mean() >= 0.9
    made = nf.HNSWIndex(DIM, 8, quantizer="sq8", refine="float16").to("cuda")
    fill(made, rng)
    assert made.stats()["reachable"] == 300


def test_two_devices(standin: Standin, rng: np.random.Generator) -> None:
    index = nf.FlatIndex(DIM, quantizer="sq8", refine="float16")
    q = fill(index, rng)
    there = index.to(["cuda:0", "cuda:1"])
    same(there.search(q, k=9), index.search(q, k=9, rerank=300))
