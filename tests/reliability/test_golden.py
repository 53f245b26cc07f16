"""Golden files: what was saved once opens for ever, answers the same and is saved the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import _core
from oracle import dense, quantizers
from reliability import container as c
from reliability.coding import parsed_coding
from reliability.golden import DIM, FOLDER, NAMES, QUERIES, ROWS, K, name_of
from reliability.samples import (
    ADAPTED,
    GRAPHS,
    LISTED,
    LOW_RANK,
    MATRIX,
    SHARES,
    STORAGES,
    Links,
    build,
    centroids_of,
    factors_of,
    labels_of,
    parts_of,
    queries_of,
    rows_of,
)

Golden = tuple[str, str, bool, int]
each_golden = pytest.mark.parametrize("golden", NAMES, ids=[name_of(*golden) for golden in NAMES])


def expected_of(golden: Golden, under: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Return the ids and scores kept beside a file; under: those of an adapter."""
    name = name_of(*golden) + under
    return tuple(np.load(FOLDER / f"{name}.{part}.npy") for part in ("ids", "scores"))


def test_every_golden_file_is_listed() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.nf")) == sorted(
        name_of(*golden) for golden in NAMES
    )


@each_golden
@pytest.mark.parametrize("verify", [True, False], ids=["verified", "trusted"])
@pytest.mark.parametrize("mmap", [False, True], ids=["read", "mapped"])
def test_golden_files_answer_as_ever(golden: Golden, mmap: bool, verify: bool) -> None:
    metric, storage, _, _ = golden
    index = nf.load(FOLDER / f"{name_of(*golden)}.nf", mmap=mmap, verify=verify)
    quantizer, refine = parts_of(storage)[:2]
    assert (index.dim, index.metric, len(index)) == (DIM, metric, ROWS)
    assert (index.quantizer, index.refine) == (quantizer, refine)
    ids, scores = expected_of(golden)
    for threads in (1, 2):
        found = index.search(queries_of(QUERIES, DIM), k=K, threads=threads)
        assert found.ids.tobytes() == ids.tobytes()
        assert found.scores.tobytes() == scores.tobytes()
        assert found.counts.tolist() == [ROWS] * QUERIES


@each_golden
def test_expected_answers_are_right(golden: Golden) -> None:
    """What is kept is what the definition says, not only what some release once answered."""
    metric, storage, labelled, _ = golden
    queries = queries_of(QUERIES, DIM)
    rows = rows_of(parts_of(storage).kept, ROWS + labelled, DIM).astype(np.float64)
    labels = labels_of(ROWS + 1) if labelled else np.arange(ROWS)
    if labelled:
        rows, labels = (np.delete(part, ROWS // 2, axis=0) for part in (rows, labels))
    if is_of_codes_alone(storage):
        rows = decoded_rows(golden, labels).astype(np.float64)
        if metric == "cosine":  # by unit vectors that were coded
            metric, queries = (
                "ip",
                queries / np.linalg.norm(queries.astype(np.float64), axis=1)[:, None],
            )
    order = np.argsort(labels, kind="stable")
    rows, labels = rows[order], labels[order]
    numbers, best, _ = dense.topk(queries, rows, ROWS, metric)
    ids, scores = expected_of(golden)
    assert ids[:, :ROWS].tolist() == labels[numbers].tolist()
    np.testing.assert_allclose(scores[:, :ROWS], best, rtol=2**-22, atol=2**-30)
    assert (ids[:, ROWS:] == nf.MISSING).all()
    assert np.isnan(scores[:, ROWS:]).all()


def is_of_codes_alone(storage: str) -> bool:
    """Return whether codes are all there is of a row."""
    quantizer, refine = parts_of(storage)[:2]
    return quantizer not in STORAGES and refine is None


def decoded_rows(golden: Golden, labels: np.ndarray) -> np.ndarray:
    """Return what codes in a file say by the definition of its quantizer, rows by label."""
    _, storage, _, nlist = golden
    file = c.parsed((FOLDER / f"{name_of(*golden)}.nf").read_bytes())
    coding = parsed_coding(file.find(c.QUANTIZER).data)
    codes = np.frombuffer(file.find(c.CODES).data, np.uint8).reshape(ROWS, -1)
    arrays = [np.frombuffer(a.data, "<f4").reshape(a.rows, a.cols) for a in coding.arrays]
    name = coding.name.decode()
    if name == "sq8":
        rows = quantizers.scalar_decode(codes.astype(np.int64), arrays[0][0], arrays[1][0], 8)
    elif name == "pq2x4":
        books = arrays[0].reshape(2, 16, DIM // 2)
        rows = quantizers.product_decode(quantizers.unpack(codes, 2, 4), books)
    else:
        own = _core.Quantizer(name, DIM)
        own.restore([(a.name.decode(), v) for a, v in zip(coding.arrays, arrays, strict=True)])
        rows = own.decode(codes, 1).astype(np.float64)
    if parts_of(storage).residual:
        sizes = np.frombuffer(file.find(c.LIST_SIZES).data, "<u4")
        rows = rows + np.repeat(centroids_of(storage, nlist, DIM).astype(np.float64), sizes, axis=0)
    came = np.arange(ROWS)
    if file.has(c.ARRIVAL):
        came = np.argsort(np.frombuffer(file.find(c.ARRIVAL).data, "<u4"))
    index = nf.load(FOLDER / f"{name_of(*golden)}.nf")
    held = index.reconstruct(labels)
    by_label = dict(zip(index.ids.tolist(), rows[came], strict=True))
    np.testing.assert_allclose(held, [by_label[label] for label in labels.tolist()], atol=1e-5)
    return held


def mapped(rows: np.ndarray, share: Any) -> np.ndarray:
    """Return rows as a share of the adapters has them."""
    u, v, w = (factor.astype(np.float64) for factor in factors_of(DIM))
    deltas = {LOW_RANK: u @ v.T, MATRIX: w - np.eye(DIM)}
    shares = {share: 1.0} if isinstance(share, str) else share
    return rows + rows @ sum(weight * deltas[name] for name, weight in shares.items()).T


@pytest.mark.parametrize("golden", ADAPTED, ids=[name_of(*golden) for golden in ADAPTED])
@pytest.mark.parametrize("number", range(len(SHARES)))
def test_adapters_answer_as_ever(golden: Golden, number: int) -> None:
    """The answers kept, which are those of the definition: rows mapped, then searched."""
    share = SHARES[number]
    index = nf.load(FOLDER / f"{name_of(*golden)}.nf")
    assert index.corpus_adapters == (LOW_RANK, MATRIX)
    queries, (ids, scores) = queries_of(QUERIES, DIM), expected_of(golden, f".{number}")
    for threads in (1, 2):
        found = index.search(queries, k=K, threads=threads, corpus_adapter=share)
        assert found.ids.tobytes() == ids.tobytes()
        assert found.scores.tobytes() == scores.tobytes()
    labels = np.sort(index.ids)
    rows = index.reconstruct(labels).astype(np.float64)
    metric, adapted = golden[0], mapped(rows, share)
    if is_of_codes_alone(golden[1]):  # unit vectors that were coded, longer by what the map does
        metric = "ip"
        adapted *= np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(adapted, axis=1)[:, None]
        queries = queries / np.linalg.norm(queries.astype(np.float64), axis=1)[:, None]
    numbers, best, _ = dense.topk(queries, adapted, ROWS, metric)
    assert ids[:, :ROWS].tolist() == labels[numbers].tolist()
    np.testing.assert_allclose(scores[:, :ROWS], best, rtol=2**-22, atol=2**-30)


def built(golden: Golden) -> nf.Index:
    """Build the index of a golden file."""
    metric, storage, labelled, nlist = golden
    return build(metric, storage, labelled, ROWS, DIM, nlist)


@pytest.mark.parametrize("golden", LISTED, ids=[name_of(*golden) for golden in LISTED])
def test_lists_are_looked_into_as_ever(golden: Golden) -> None:
    """The answers by the definition: nearest centroids, then the best rows of their lists."""
    index = nf.load(FOLDER / f"{name_of(*golden)}.nf")
    assert isinstance(index, nf.IVFIndex)
    metric, storage, _, nlist = golden
    centroids = centroids_of(storage, nlist, DIM)
    assert index.centroids.tobytes() == centroids.tobytes()
    labels = index.ids
    rows = index.reconstruct(labels).astype(np.float64)
    home, _, _ = dense.topk(rows, centroids, 1, metric)
    assert index.list_sizes.tolist() == np.bincount(home[:, 0], minlength=nlist).tolist()
    queries = queries_of(QUERIES, DIM)
    for nprobe in range(1, nlist + 1):
        near, _, _ = dense.topk(queries, centroids, nprobe, metric)
        found = index.search(queries, 3, nprobe=nprobe)
        for i in range(QUERIES):
            there = np.flatnonzero(np.isin(home[:, 0], near[i]))
            if len(there) >= 3:
                best, _, _ = dense.topk(queries[i : i + 1], rows[there], 3, metric)
                assert found.ids[i].tolist() == labels[there[best[0]]].tolist()


@each_golden
def test_saving_again_gives_the_same_bytes(golden: Golden, tmp_path: Path) -> None:
    kept = (FOLDER / f"{name_of(*golden)}.nf").read_bytes()
    indexes = [nf.load(FOLDER / f"{name_of(*golden)}.nf")]
    if not isinstance(golden[3], Links):  # what rows are linked to may change
        indexes.append(built(golden))
    for i, index in enumerate(indexes):
        for threads in (1, 2):
            nf.set_num_threads(threads)
            path = tmp_path / f"{i}-{threads}.nf"
            index.save(path, durable=False)
            assert path.read_bytes() == kept


@pytest.mark.parametrize("golden", GRAPHS, ids=[name_of(*golden) for golden in GRAPHS])
def test_graphs_are_walked(golden: Golden) -> None:
    """Every node is where the links lead, and a walk finds rows with the scores they have."""
    index = nf.load(FOLDER / f"{name_of(*golden)}.nf")
    assert isinstance(index, nf.HNSWIndex)
    assert (index.m, index.ef_construction, index.seed) == (golden[3], 20, 3)
    assert index.stats()["reachable"] == ROWS
    every = index.search(queries_of(QUERIES, DIM), ROWS)
    for breadth in (1, 5, 23):
        found = index.search(queries_of(QUERIES, DIM), 1, ef_search=breadth)
        for i in range(QUERIES):
            scores = dict(zip(every.ids[i].tolist(), every.scores[i].tolist(), strict=True))
            assert found.scores[i, 0] == scores[int(found.ids[i, 0])]


@each_golden
def test_golden_files_can_change(golden: Golden, tmp_path: Path) -> None:
    """A mapped file is the beginning of an index like any other; the file stays as it was."""
    source = FOLDER / f"{name_of(*golden)}.nf"
    kept = source.read_bytes()
    index = nf.load(source, mmap=True)
    label = int(index.ids[3])
    index.add(rows_of(parts_of(golden[1]).kept, 2, DIM, seed=9), ids=[900001, 900002])
    assert index.remove([label]) == 1
    assert len(index) == ROWS + 1
    assert label not in index
    index.save(tmp_path / "more.nf")
    assert nf.load(tmp_path / "more.nf").ids.tolist() == index.ids.tolist()
    assert source.read_bytes() == kept
