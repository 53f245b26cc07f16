"""Corpus adapters of an index: what they take, how they live with its rows, and in files."""

from __future__ import annotations

import pickle
import struct
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import adapted
from reliability import container as c

DIM = 12
METRICS = ("l2", "ip", "cosine")
T = nf.transforms


def noise(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


U, V = noise(2, 1).T.copy() * np.float32(0.4), noise(2, 2).T.copy() * np.float32(0.4)


def make(kind: str, metric: str = "cosine", **options: Any) -> nf.Index:
    if kind == "flat":
        return nf.FlatIndex(DIM, metric, **options)
    if kind == "ivf":
        index = nf.IVFIndex(DIM, 4, metric, **options)
        index.train(noise(200, 9))
        return index
    return nf.HNSWIndex(DIM, 6, metric, **options)


def everything(kind: str) -> dict[str, int]:
    return {"flat": {}, "ivf": {"nprobe": 4}, "hnsw": {"ef_search": 65536}}[kind]


def fresh(index: nf.Index, kind: str, metric: str, **options: Any) -> nf.Index:
    """Return an index of the same rows that has only ever seen them, with the same adapters."""
    other = make(kind, metric, **options)
    ids = index.ids
    other.add(index.reconstruct(ids), ids=ids)
    other.add_corpus_adapter("a", U, V, sample=0)
    return other


def same(a: nf.Index, b: nf.Index, kind: str) -> None:
    q = noise(20, 5)
    for asked in ("a", {"a": 0.5}):
        params = {"corpus_adapter": asked, **everything(kind)}
        for one, two in zip(a.search(q, 9, **params), b.search(q, 9, **params), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@pytest.mark.parametrize("codes", ["float32", "sq8", "sq8 float32"])
def test_adapters_follow_the_rows(kind: str, metric: str, codes: str) -> None:
    quantizer, _, refine = codes.partition(" ")
    options: dict[str, Any] = {"quantizer": quantizer, "refine": refine or None}
    index = make(kind, metric, **options)
    if not index.is_trained:
        index.train(noise(300, 8))
    index.add_corpus_adapter("a", U, V, sample=0)
    rng = np.random.default_rng(4)
    for step in range(6):
        index.add(noise((2, 300, 1, 40, 2000, 1)[step], seed=20 + step))
        if step % 2:
            ids = index.ids
            index.remove(rng.choice(ids, len(ids) // 2, replace=False))
        some = index.ids[:3]
        index.add(noise(len(some), 90 + step), ids=some, on_duplicate="replace")
        if quantizer == "float32" or step == 5:
            again = pickle.loads(pickle.dumps(index))
            same(index, again, kind)
    if quantizer == "float32":
        same(index, fresh(index, kind, metric, **options), kind)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_files_keep_adapters(kind: str, tmp_path: Path) -> None:
    index = make(kind)
    index.add(noise(500))
    index.remove(np.arange(0, 500, 9))
    index.add_corpus_adapter("a", U, V, sample=0)
    index.add_corpus_adapter("grün", np.eye(DIM, dtype="f4") + noise(DIM, 3) / 9, sample=0)
    index.save(tmp_path / "x.nf")
    for mmap in (False, True):
        again = nf.load(tmp_path / "x.nf", mmap=mmap)
        assert again.corpus_adapters == ("a", "grün")
        same(index, again, kind)
    again.remove_corpus_adapter("a")
    again.remove_corpus_adapter("grün")
    again.save(tmp_path / "y.nf")
    assert nf.load(tmp_path / "y.nf").corpus_adapters == ()


def lies(section: bytes) -> dict[str, bytes]:
    """Return sections that say something wrong: one adapter "a" of rank 2 is right."""
    head, name, form = section[:8], section[8:13], section[13:21]
    values = section[21:]
    nan = struct.pack("<f", float("nan"))
    return {
        "empty": b"",
        "no count": section[:4],
        "version": struct.pack("<I", 2) + section[4:],
        "one more": struct.pack("<II", 1, 2) + section[8:],
        "many more": struct.pack("<II", 1, 2**32 - 1) + section[8:],
        "cut": section[:-1],
        "longer": section + b"\0",
        "no name": head + struct.pack("<I", 0) + form + values,
        "long name": head + struct.pack("<I", 257) + b"n" * 257 + form + values,
        "endless name": head + struct.pack("<I", 2**32 - 1) + section[12:],
        "NUL": head + struct.pack("<I", 1) + b"\0" + form + values,
        "no text": head + struct.pack("<I", 1) + b"\xff" + form + values,
        "half a letter": head + struct.pack("<I", 1) + b"\xc3" + form + values,
        "overlong": head + struct.pack("<I", 2) + b"\xc1\x81" + form + values,
        "surrogate": head + struct.pack("<I", 3) + b"\xed\xa0\x80" + form + values,
        "twice": struct.pack("<II", 1, 2) + 2 * section[8:],
        "form": head + name + struct.pack("<II", 2, 2) + values,
        "matrix": head + name + struct.pack("<II", 1, 2) + values,
        "rank 0": head + name + struct.pack("<II", 0, 0),
        "rank": head + name + struct.pack("<II", 0, DIM + 1) + values,
        "huge rank": head + name + struct.pack("<II", 0, 2**32 - 1) + values,
        "nan": section[:-4] + nan,
        "huge": section[:-4] + struct.pack("<f", 3e38),
    }


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    index = make("flat")
    index.add(noise(30))
    index.add_corpus_adapter("a", U, V, sample=0)
    path = tmp_path / "true.nf"
    index.save(path)
    true = c.parsed(path.read_bytes())
    kind = 22
    for name, data in lies(true.find(kind).data).items():
        path.write_bytes(c.sealed(true.with_section(kind, data=data, cols=len(data))))
        with pytest.raises(nf.CorruptFileError, match=r"corpus_adapters"):
            print(name, nf.load(path).corpus_adapters)
    other = replace(true.find(kind), element=c.U8)
    path.write_bytes(c.sealed(true.with_section(kind, element=other.element)))
    with pytest.raises(nf.CorruptFileError):
        nf.load(path)


def test_wrong_calls_change_nothing() -> None:
    index = make("flat")
    index.add(noise(300))
    index.add_corpus_adapter("a", U, V)
    bad = U.copy()
    bad[3, 1] = np.nan
    for error, message, args in (
        (ValueError, "name: .*already", ("a", U, V)),
        (ValueError, "name: got ''", ("", U, V)),
        (ValueError, "name: ", ("x\0", U, V)),
        (ValueError, "name: ", ("x" * 257, U, V)),
        (ValueError, "name: ", ("\ud800", U, V)),
        (TypeError, "name: ", (3, U, V)),
        (ValueError, "v: got shape", ("b", U, V[:, :1])),
        (ValueError, "u: got shape", ("b", U.T, V.T)),
        (ValueError, "u: got", ("b", U)),
        (ValueError, "u: .*NaN|u: row 3", ("b", bad, V)),
        (ValueError, "v: .*NaN|v: row 3", ("b", U, bad)),
        (ValueError, "2\\^40", ("b", U * np.float32(1e30), V)),
        (ValueError, "2\\^-40", ("b", np.eye(DIM) * 1e-20)),
        (TypeError, "u: ", ("b", np.array([["x"] * 2] * DIM), V)),
        (ValueError, "u: got shape", ("b", np.zeros((DIM, 0), "f4"), np.zeros((DIM, 0), "f4"))),
    ):
        with pytest.raises(error, match=message):
            index.add_corpus_adapter(*args)
    assert index.corpus_adapters == ("a",)
    q = noise(3)
    for error, message, asked in (
        (ValueError, 'got "b".*it has "a"', "b"),
        (ValueError, 'got "b"', {"a": 1, "b": 0}),
        (ValueError, "corpus_adapter\\['a'\\]", {"a": float("nan")}),
        (TypeError, "corpus_adapter\\['a'\\]", {"a": "much"}),
        (TypeError, "corpus_adapter: got the key 1", {1: 1.0}),
        (TypeError, "corpus_adapter: got a list", ["a"]),
    ):
        for call in (
            lambda asked=asked: index.search(q, corpus_adapter=asked),
            lambda asked=asked: index.range_search(q, 0.5, corpus_adapter=asked),
            lambda asked=asked: index.reconstruct([1], corpus_adapter=asked),
        ):
            with pytest.raises(error, match=message):
                call()
    with pytest.raises(ValueError, match="float32"):
        index.search(np.full((1, DIM), 3e38, np.float32), corpus_adapter="a")
    with pytest.raises(ValueError, match='got "b"'):
        index.remove_corpus_adapter("b")
    index.remove_corpus_adapter("a")
    assert index.corpus_adapters == ()


def test_a_failing_measurement_leaves_no_adapter() -> None:
    broken = noise(5)
    broken[2, 3] = np.inf
    for kind in ("flat", "ivf"):
        index = make(kind)
        index.add(noise(300))
        with pytest.raises(ValueError, match="queries: row 2 holds NaN or infinity"):
            index.add_corpus_adapter("a", U, V, queries=broken)
        with pytest.raises(ValueError, match="queries: got shape"):
            index.add_corpus_adapter("a", U, V, queries=broken[:, :3])
        assert index.corpus_adapters == ()
    with pytest.raises(ValueError, match="float32"):
        index.add_corpus_adapter("a", U, V, queries=np.full((1, DIM), 3e38, np.float32))
    assert index.corpus_adapters == ()
    index.add_corpus_adapter("a", U, V)


def test_transforms_and_reconstruction() -> None:
    index = make("flat")
    index.add(noise(50))
    w = np.eye(DIM, dtype="f4") + noise(DIM, 3) / 9
    d = np.linspace(0.5, 2, DIM).astype("f4")
    wide = noise(50).astype(float)
    many = noise(DIM + 3, 6)
    for name, transform, mapped in (
        (
            "more than columns",
            T.LowRank(many, many.T, scale=0.02),
            adapted.matrix(wide, np.eye(DIM) + np.float32(0.02) * many.T.astype(float) @ many),
        ),
        (
            "low",
            T.LowRank(V.T, U, scale=0.5),
            adapted.low_rank(wide, U, V, 0.5),
        ),
        ("affine", T.Affine(w), adapted.matrix(wide, w)),
        ("zero", T.Affine(w, np.zeros(DIM)), adapted.matrix(wide, w)),
        ("diagonal", T.Diagonal(d), wide * d),
    ):
        index.add_corpus_adapter(name, transform)
        back = index.reconstruct(np.arange(50), corpus_adapter=name)
        np.testing.assert_allclose(back, np.float64(mapped), rtol=1e-6, atol=1e-6)
    for error, transform in (
        (TypeError, T.KeyValue(w, w)),
        (ValueError, T.Affine(w, np.ones(DIM))),
    ):
        with pytest.raises(error, match="u: got a transform"):
            index.add_corpus_adapter("x", transform)


def test_reports() -> None:
    flat = make("flat")
    report = flat.add_corpus_adapter("empty", U, V)
    assert (report.rows, report.sample) == (0, 0)
    flat.add(noise(400))
    report = flat.add_corpus_adapter("a", U, V)
    assert (report.rows, report.sample, report.recall, report.warning) == (400, 400, 1.0, None)
    low, middle, high = report.lengths
    mapped = adapted.low_rank(noise(400).astype(float), U, V)
    ratio = np.linalg.norm(np.float64(mapped), axis=1) / np.linalg.norm(noise(400), axis=1)
    np.testing.assert_allclose([low, middle, high], np.quantile(ratio, [0, 0.5, 1]), rtol=1e-3)
    ivf = nf.IVFIndex(DIM, 40, "cosine")
    ivf.train(noise(2000))
    ivf.add(noise(2000))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        report = ivf.add_corpus_adapter("a", U, V, queries=noise(100, 7))
    assert [str(one.message) for one in told] == [report.warning] * (report.warning is not None)
    assert report.sample == 100
    assert 0.2 < report.recall <= 1
    assert 0.2 < report.base_recall <= 1
    assert (report.warning is None) == (report.recall >= report.base_recall - 0.01)
    assert ivf.add_corpus_adapter("b", U, V, sample=0).sample == 0


def test_searches_beside_changes() -> None:
    index = make("hnsw", "l2")
    index.add(noise(800))
    index.add_corpus_adapter("a", U, V, sample=0)
    done = threading.Event()
    errors: list[BaseException] = []

    def search() -> None:
        try:
            while not done.is_set():
                for asked in ("a", {"a": 0.5}):
                    found = index.search(noise(4, 3), 5, corpus_adapter=asked)
                    assert (found.counts == 5).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(15):
        index.add(noise(7, 100 + step))
        index.remove(index.ids[:11])
        index.add_corpus_adapter(f"b{step}", V, U, sample=0)
        index.remove_corpus_adapter(f"b{step}")
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    same(index, fresh(index, "hnsw", "l2"), "hnsw")


@pytest.mark.parametrize("metric", METRICS)
def test_margins_and_filters(metric: str) -> None:
    rows, q = noise(3000, 11), noise(30, 12)
    mapped = np.float64(adapted.low_rank(rows.astype(float), U, V))
    judge = adapted.Judge(q, rows, mapped, metric, 4.0)
    best = np.argsort(-judge.key, axis=1)[:, :5]
    for kind, params in (
        ("ivf", {"nprobe": 4, "margin": 3.0}),
        ("hnsw", {"margin": 0.4}),
        ("hnsw", {"ef_search": 200}),
    ):
        index = make(kind, metric)
        index.add(rows)
        index.add_corpus_adapter("a", U, V, sample=0)
        ids = index.search(q, 5, corpus_adapter="a", **params).ids
        found = np.mean([len(set(a) & set(b)) for a, b in zip(ids, best, strict=True)]) / 5
        assert found > 0.9, (kind, params, found)
