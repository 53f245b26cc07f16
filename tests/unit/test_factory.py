"""index_factory: what FAISS's descriptions make, and what is refused."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("description", "kind", "quantizer"),
    [
        ("Flat", nf.FlatIndex, "float32"),
        ("SQfp16", nf.FlatIndex, "float16"),
        ("SQbf16", nf.FlatIndex, "bfloat16"),
        ("IVF4,Flat", nf.IVFIndex, "float32"),
        ("IVF4, SQfp16", nf.IVFIndex, "float16"),
        ("IVF4,SQbf16", nf.IVFIndex, "bfloat16"),
    ],
)
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_descriptions(description: str, kind: type, quantizer: str, metric: Any) -> None:
    index = nf.index_factory(description, 6, metric)
    assert type(index) is kind
    assert (index.dim, index.metric, index.quantizer) == (6, metric, quantizer)
    rows = np.random.default_rng(0).standard_normal((60, 6), dtype=np.float32)
    index.train(rows)
    index.add(rows)
    params = {"nprobe": 4} if isinstance(index, nf.IVFIndex) else {}
    found = index.search(rows[:5], 3, **params)
    exact = nf.FlatIndex(6, metric, quantizer=quantizer)
    exact.add(rows)
    assert (found.ids == exact.search(rows[:5], 3).ids).all()


@pytest.mark.parametrize(
    "description",
    ["", "flat", "IVF", "IVF0,Flat", "IVF4", "IVF4,", "IVF-4,Flat", "IVF4,PQ8x8", "PQ8", "HNSW32",
     "IVF4,Flat,RFlat", "IVF999999999,Flat", "OPQ8,IVF4,PQ8"],
)  # fmt: skip
def test_unknown_descriptions_are_refused(description: str) -> None:
    with pytest.raises(ValueError, match=r"(expected one of Flat|nlist)"):
        nf.index_factory(description, 8)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="description"):
        nf.index_factory(8, "Flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metric"):
        nf.index_factory("Flat", 8, "l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dim"):
        nf.index_factory("Flat", 0)
