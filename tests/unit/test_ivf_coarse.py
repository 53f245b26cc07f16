"""IVFIndex with coarse="hierarchical": lists are found through groups of centroids."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from reliability import container as c
from unit.clumps import METRICS, assert_same, flat_of, homes, ivf, rows_of

NLIST = 1000
"""So many that searches of up to 49 of them leave groups out."""


def deep(x: Any, metric: Any = "l2", nlist: int = NLIST, **kwargs: Any) -> nf.IVFIndex:
    return ivf(x, nlist, metric, coarse="hierarchical", **kwargs)


def spread(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Return rows without clumps, for which groups are as bad a guide as they get."""
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_same_answers_as_flat_where_every_list_is_looked_into(metric: str) -> None:
    x, queries = spread(3000), spread(30, seed=1)
    index = deep(x, metric)
    flat = flat_of(index, x)
    for k in (1, 10, 3000):
        for nprobe in (NLIST, 2**40):
            assert_same(index.search(queries, k, nprobe=nprobe), flat.search(queries, k))
    threshold = float(np.median(flat.search(queries, 60).scores))
    assert_same(
        index.range_search(queries, threshold, nprobe=NLIST), flat.range_search(queries, threshold)
    )


@pytest.mark.parametrize("metric", METRICS)
def test_answers_do_not_depend_on_batches_threads_or_pieces(metric: Any) -> None:
    x, queries = spread(3000), spread(250, seed=1)
    index = deep(x, metric)
    pieces = nf.IVFIndex(16, NLIST, metric, coarse="hierarchical")
    pieces.train(x, threads=1)
    assert pieces.centroids.tobytes() == index.centroids.tobytes()
    start = 0
    for size in (1, 2, 900, 3, 150, 1, 1943):
        pieces.add(x[start : start + size], threads=1 + size % 2)
        start += size
    assert pieces.list_sizes.tolist() == index.list_sizes.tolist()
    for nprobe in (1, 20, 49, 400, 999):
        whole = index.search(queries, 10, nprobe=nprobe, threads=1)
        for other in (index, pieces):
            for batch, threads in ((250, 2), (100, 3), (40, 1), (3, 2), (1, 1)):
                parts = [
                    other.search(queries[i : i + batch], 10, nprobe=nprobe, threads=threads)
                    for i in range(0, 250, batch)
                ]
                assert_same(whole, [np.concatenate(part) for part in zip(*parts, strict=True)])
    limit = float(np.median(whole.scores))
    lims, ids, _ = index.range_search(queries, limit, nprobe=20)
    for i in (0, 100, 249):
        alone = index.range_search(queries[i], limit, nprobe=20)
        assert alone.ids.tolist() == ids[lims[i] : lims[i + 1]].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_most_of_the_nearest_lists_are_found(metric: Any) -> None:
    x, queries = spread(4000), spread(500, seed=1)
    index = deep(x, metric)
    agree = float((homes(index) == _lists_of_rows(index)).mean())
    assert 0.9 < agree < 1, "a search of groups that finds every list is none"
    truth = flat_of(index, x).search(queries, 10).ids
    exact = homes(index)
    for nprobe in (20, 49):
        near = nf.topk(queries, index.centroids, nprobe, metric).ids
        best = np.mean([np.isin(exact[t], n).mean() for t, n in zip(truth, near, strict=True)])
        found = index.search(queries, 10, nprobe=nprobe).ids
        got = np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)])
        assert got > best - 0.05


def _lists_of_rows(index: nf.IVFIndex) -> np.ndarray:
    """Return the list that each row of an index is in, by its file."""
    file = c.parsed(index.__reduce__()[1][0])
    came = np.frombuffer(file.find(c.ARRIVAL).data, "<u4")
    sizes = np.frombuffer(file.find(c.LIST_SIZES).data, "<u4")
    lists = np.empty(len(came), np.int64)
    lists[came] = np.repeat(np.arange(len(sizes)), sizes)
    return lists


@pytest.mark.parametrize("quantizer", ["float16", "sq8", "pq4x4"])
@pytest.mark.parametrize("metric", METRICS)
def test_files_restore_it_without_training(metric: Any, quantizer: str, tmp_path: Path) -> None:
    x, queries = spread(2500), spread(100, seed=1)
    index = deep(x[:2000], metric, quantizer=quantizer)
    index.save(tmp_path / "a.nf")
    others = [nf.load(tmp_path / "a.nf", mmap=mmap) for mmap in (False, True)]
    others += [pickle.loads(pickle.dumps(index)), copy.deepcopy(index)]
    index.add(x[2000:])
    for other in others:
        assert isinstance(other, nf.IVFIndex)
        assert other.coarse == "hierarchical"
        other.add(x[2000:])
        assert other.list_sizes.tolist() == index.list_sizes.tolist()
        for nprobe in (1, 20, 300):
            assert_same(
                other.search(queries, 5, nprobe=nprobe), index.search(queries, 5, nprobe=nprobe)
            )
    index.save(tmp_path / "b.nf")
    others[0].save(tmp_path / "c.nf")
    assert (tmp_path / "b.nf").read_bytes() == (tmp_path / "c.nf").read_bytes()


def test_what_is_not_trained_yet_remembers_it(tmp_path: Path) -> None:
    x = spread(1200)
    index = nf.IVFIndex(16, NLIST, coarse="hierarchical", seed=7)
    index.save(tmp_path / "empty.nf")
    again = nf.load(tmp_path / "empty.nf")
    assert isinstance(again, nf.IVFIndex)
    assert (again.coarse, again.is_trained) == ("hierarchical", False)
    for one in (index, again):
        one.train(x)
        one.add(x)
        one.save(tmp_path / f"{one is index}.nf")
    assert (tmp_path / "True.nf").read_bytes() == (tmp_path / "False.nf").read_bytes()
    assert c.parsed((tmp_path / "True.nf").read_bytes()).has(c.GROUP_SIZES)


def test_flat_is_the_default_and_its_files_know_of_no_groups(tmp_path: Path) -> None:
    index = ivf(rows_of("float32", 300, 4), 12)
    assert index.coarse == "flat"
    index.save(tmp_path / "flat.nf")
    assert not c.parsed((tmp_path / "flat.nf").read_bytes()).has(c.GROUP_SIZES)


def test_groups_before_training_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.nf"
    nf.IVFIndex(4, 6, coarse="hierarchical").save(path)
    true = c.parsed(path.read_bytes())
    assert true.find(c.GROUP_SIZES).rows == 0
    path.write_bytes(c.sealed(true.with_section(c.GROUP_SIZES, rows=1, data=b"\6\0\0\0")))
    with pytest.raises(nf.CorruptFileError, match="group_sizes: groups of 6 centroids, but 0"):
        nf.load(path)


@pytest.mark.parametrize("nlist", [1, 2, 3, 15, 16, 40])
def test_few_lists_are_all_looked_at(nlist: int) -> None:
    x = rows_of("float32", 400, 6)
    index = deep(x, nlist=nlist)
    assert index.list_sizes.tolist() == np.bincount(homes(index), minlength=nlist).tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows(metric: Any) -> None:
    for value in (0, 3):
        x = np.full((1500, 8), value, np.float32)
        index = deep(x, metric)
        for nprobe in (1, NLIST):
            assert_same(index.search(x[:3], 20, nprobe=nprobe), flat_of(index, x).search(x[:3], 20))
