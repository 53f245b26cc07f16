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
    ("description", "nlist", "quantizer", "refine"),
    [
        ("SQ8", 0, "sq8", None),
        ("SQ4", 0, "sq4", None),
        ("PQ4", 0, "pq4x8", None),
        ("PQ4x6", 0, "pq4x6", None),
        ("PQ4x4fs", 0, "pq4x4", None),
        ("PQ04x04", 0, "pq4x4", None),
        ("OPQ4,PQ4x4", 0, "opq4x4", None),
        ("RaBitQ", 0, "rabitq1", None),
        ("RaBitQ4", 0, "rabitq4", None),
        ("IVF4,SQ8", 4, "sq8", None),
        ("IVF4,PQ2", 4, "pq2x8", None),
        ("IVF4,PQ2x4fs", 4, "pq2x4", None),
        ("IVF4,PQ2x4fsr", 4, "pq2x4", None),
        ("OPQ2,IVF4,PQ2x4fs,RFlat", 4, "opq2x4", "float32"),
        ("IVF4, RaBitQ, RFlat", 4, "rabitq1", "float32"),
        ("IVF4,RaBitQ8,Refine(SQfp16)", 4, "rabitq8", "float16"),
        ("PQ2x4,Refine(SQbf16)", 0, "pq2x4", "bfloat16"),
        ("SQ4,Refine(Flat)", 0, "sq4", "float32"),
        ("pq2x4", 0, "pq2x4", None),
        ("IVF4,opq2x4,Refine(float16)", 4, "opq2x4", "float16"),
        ("IVF4,float16", 4, "float16", None),
        ("bfloat16", 0, "bfloat16", None),
    ],
)
def test_codes(description: str, nlist: int, quantizer: str, refine: str | None) -> None:
    index = nf.index_factory(description, 8, "ip")
    assert isinstance(index, nf.IVFIndex if nlist else nf.FlatIndex)
    assert (index.quantizer, index.refine) == (quantizer, refine)
    rows = np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32)
    index.train(rows)
    index.add(rows)
    params = {"nprobe": nlist} if nlist else {}
    assert nlist == (index.nlist if isinstance(index, nf.IVFIndex) else 0)
    direct: Any = nf.FlatIndex(8, "ip", quantizer=quantizer, refine=refine)
    if nlist:
        direct = nf.IVFIndex(8, nlist, "ip", quantizer=quantizer, refine=refine, residual=True)
    direct.train(rows)
    direct.add(rows)
    assert (index.search(rows, 9, **params).ids == direct.search(rows, 9, **params).ids).all()


@pytest.mark.parametrize(
    "description",
    ["", "flat", "IVF", "IVF0,Flat", "IVF4", "IVF4,", "IVF-4,Flat", "IVF999999999,Flat",
     "HNSW32,", "HNSW32_", "HNSW-4", "HNSW999999999", "HNSWFlat", "HNSW32Flat", "HNSW32;SQ8",
     "hnsw", "HNSW32,IVF4,Flat", "IVF4,HNSW32", "HNSW8,HNSW8", "Flat,HNSW8", "OPQ4,HNSW8",
     "OPQ8,HNSW8,PQ4", "HNSW8,OPQ4,PQ4", "HNSW8_SQ6", "HNSW8,SQ8,Refine(SQ4)",
     "OPQ8,IVF4,PQ4", "OPQ8,IVF4", "OPQ8,Flat", "OPQ4,SQ8", "OPQ8_16,IVF4,PQ8", "IVF4,OPQ8,PQ8",
     "PQ", "PQ8x", "PQ8x5fs", "PQ8fs", "PQx4", "pq", "pq8", "SQ6", "sq8x4", "RaBitQ0", "RaBitQ9",
     "RaBitQ12", "rabitq", "SQ8,", "SQ8,Flat", "SQ8,Refine", "SQ8,Refine()", "SQ8,Refine(SQ4)",
     "SQ8,RFlat,RFlat", "IVF4_HNSW32,Flat", "PCA4,Flat", "LSH", "IVF4,IVF4,Flat", "SQ8;RFlat"],
)  # fmt: skip
def test_unknown_descriptions_are_refused(description: str) -> None:
    with pytest.raises(ValueError, match=r"(expected one of Flat|nlist|expected one of sq8)"):
        nf.index_factory(description, 8)


@pytest.mark.parametrize(
    ("description", "m", "quantizer", "refine"),
    [
        ("HNSW", 32, "float32", None),
        ("HNSW32", 32, "float32", None),
        ("HNSW16,Flat", 16, "float32", None),
        ("HNSW8_Flat", 8, "float32", None),
        ("HNSW, SQfp16", 32, "float16", None),
        ("HNSW32_SQbf16", 32, "bfloat16", None),
        ("HNSW32,int8", 32, "int8", None),
        ("HNSW32_SQ8", 32, "sq8", None),
        ("HNSW32,SQ8", 32, "sq8", None),
        ("HNSW32_SQ4", 32, "sq4", None),
        ("HNSW_SQ4", 32, "sq4", None),
        ("HNSW32_PQ4x4", 32, "pq4x4", None),
        ("HNSW32,PQ2", 32, "pq2x8", None),
        ("HNSW32,PQ4x4fs", 32, "pq4x4", None),
        ("OPQ4,HNSW32,PQ4x4", 32, "opq4x4", None),
        ("HNSW16,RaBitQ4", 16, "rabitq4", None),
        ("HNSW16_SQ8,RFlat", 16, "sq8", "float32"),
        ("HNSW16,PQ4x4,Refine(SQfp16)", 16, "pq4x4", "float16"),
        ("HNSW,SQ8,Refine(Flat)", 32, "sq8", "float32"),
    ],
)
def test_graphs(description: str, m: int, quantizer: str, refine: str | None) -> None:
    index = nf.index_factory(description, 8, "ip")
    assert isinstance(index, nf.HNSWIndex)
    assert (index.m, index.quantizer, index.refine) == (m, quantizer, refine)
    assert (index.dim, index.metric, index.ef_construction) == (8, "ip", 200)
    rows = (
        np.random.default_rng(0)
        .integers(0, 99, (300, 8))
        .astype("int8" if quantizer == "int8" else np.float32)
    )
    direct = nf.HNSWIndex(8, m, "ip", quantizer=quantizer, refine=refine)
    for one in (index, direct):
        one.train(rows)
        one.add(rows)
    assert (index.search(rows, 9).ids == direct.search(rows, 9).ids).all()


def test_descriptions_that_do_not_fit_are_refused() -> None:
    for description, message in (
        ("HNSW1", "m: got 1, expected an integer >= 2 and <= 512"),
        ("HNSW0,SQ8", "m: got 0"),
        ("HNSW513", "m: got 513"),
        ("HNSW32,PQ3", r"quantizer: m: got 3 for dim 8"),
        ("HNSW32,RFlat", "refine: got 'float32', expected None"),
        ("HNSW32,Flat,RFlat", "refine: got 'float32', expected None"),
        ("PQ3", r"quantizer: m: got 3 for dim 8.*divisor"),
        ("IVF4,PQ4x3", "quantizer: .*3"),
        ("PQ4x13", "quantizer: .*13"),
        ("Flat,RFlat", "refine: got 'float32', expected None"),
        ("IVF4,SQfp16,RFlat", "refine: got 'float32', expected None"),
        ("PQ99999999999999999999", "quantizer: "),
    ):
        with pytest.raises(ValueError, match=message):
            nf.index_factory(description, 8)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="description"):
        nf.index_factory(8, "Flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metric"):
        nf.index_factory("Flat", 8, "l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dim"):
        nf.index_factory("Flat", 0)
