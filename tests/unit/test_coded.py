"""Rows found by small codes, as a user meets them: training, what is stored, re-ranking."""

from __future__ import annotations

import warnings
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from property.work import Plan, typed
from unit.clumps import METRICS, STORAGES, assert_same, rows_of

DIM = 16
QUANTIZERS = ("sq8", "sq4", "pq4x4", "pq8x5", "pq4x8", "opq4x4", "rabitq1", "rabitq4")


def gaussian(n: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def quantizer_of(name: str, x: np.ndarray) -> nf.quant.Quantizer:
    """Return a trained quantizer object by the name that indexes know it by."""
    bits = int(name.rpartition("x")[2]) if "pq" in name else int(name[-1])
    if "pq" in name:
        kind = nf.quant.OPQ if name.startswith("o") else nf.quant.ProductQuantizer
        made: nf.quant.Quantizer = kind(int(name.partition("pq")[2].partition("x")[0]), bits)
    else:
        kinds = {"s": nf.quant.ScalarQuantizer, "r": nf.quant.RabitQuantizer}
        made = kinds[name[0]](bits)
    return made.train(x)


def filled(plan: Plan, x: Any, ids: Any = None, quantizer: Any = None) -> Any:
    index = plan.made(x.shape[1], quantizer)
    index.train(x)
    index.add(x, ids)
    return index


@pytest.mark.parametrize("name", QUANTIZERS)
def test_what_is_stored_is_what_the_quantizer_says(name: str) -> None:
    x = gaussian(500)
    quantizer = quantizer_of(name, x)
    decoded = quantizer.decode(quantizer.encode(x))
    for plan in (Plan(name, "l2"), Plan(name, "ip"), Plan(name, "l2", 6)):
        index = filled(plan, x, quantizer=quantizer)
        assert index.reconstruct(np.arange(500)).tobytes() == decoded.tobytes()
        assert (index.quantizer, index.refine, len(index)) == (name, None, 500)
    by_name = filled(Plan(name, "l2"), x)
    assert by_name.reconstruct(np.arange(500)).tobytes() == decoded.tobytes()


def test_unit_vectors_are_coded_under_cosine() -> None:
    x = gaussian(500) * np.float32(10.0) ** np.arange(-10, 15)[np.arange(500) % 25, None]
    unit = (x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
    index = filled(Plan("sq8", "cosine"), x)
    np.testing.assert_allclose(index.reconstruct(index.ids), unit, atol=0.005)
    np.testing.assert_array_equal(index.search(x[::25], 1).ids[:, 0], np.arange(0, 500, 25))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", QUANTIZERS)
def test_all_lists_are_a_flat_index(name: str, metric: Any) -> None:
    """The same quantizer, codes of whole rows: the same answers, one by one or many at once."""
    x, q = gaussian(600), gaussian(60, seed=1)
    quantizer = quantizer_of(name, x)
    flat = filled(Plan(name, metric), x, quantizer=quantizer)
    index = filled(Plan(name, metric, 7), x, quantizer=quantizer)
    for n_queries, k in ((1, 1), (2, 10), (60, 10), (60, 200), (60, 700)):
        found = index.search(q[:n_queries], k, nprobe=7)
        assert_same(found, flat.search(q[:n_queries], k))
    limit = float(np.median(flat.search(q[:5], 40).scores))
    assert_same(index.range_search(q, limit, nprobe=7), flat.range_search(q, limit))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", ["sq4", "pq4x4", "rabitq1"])
def test_some_lists_do_not_depend_on_the_batch(name: str, residual: bool) -> None:
    x, q = gaussian(3000), gaussian(200, seed=1)
    for refine in (None, "float16"):
        index = filled(Plan(name, "l2", 20, residual, refine), x)
        for nprobe in (1, 4, 19):
            together = index.search(q, 10, nprobe=nprobe, threads=2)
            for size in (1, 3, 50):
                for first in range(0, 150, 50):
                    part = slice(first, first + size)
                    alone = index.search(q[part], 10, nprobe=nprobe, threads=1)
                    assert_same(alone, nf.SearchResult(*(whole[part] for whole in together)))


def test_residual_codes_are_nearer_to_the_rows() -> None:
    x = np.asarray(rows_of("float32", 3000, DIM))
    errors = []
    for residual in (False, True):
        index = filled(Plan("pq4x4", "l2", 12, residual), x)
        errors.append(float(((index.reconstruct(index.ids) - x) ** 2).sum()))
    assert errors[1] < 0.8 * errors[0]


def test_a_quantizer_object_is_shared_and_stays_as_it_is() -> None:
    x = gaussian(300)
    untrained = nf.quant.ScalarQuantizer(8)
    index = nf.FlatIndex(DIM, quantizer=untrained)
    assert not index.is_trained
    index.train(x)
    assert index.is_trained
    assert not untrained.is_trained
    trained = nf.quant.ProductQuantizer(4, 4).train(x)
    before = trained.codebooks.tobytes()
    for made in (nf.FlatIndex(DIM, quantizer=trained), nf.FlatIndex(DIM, "ip", quantizer=trained)):
        assert made.is_trained
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made.add(gaussian(20, seed=4))
            made.train(gaussian(100, seed=5))
    assert trained.codebooks.tobytes() == before


@pytest.mark.parametrize("layout", [(0, False), (6, False), (6, True)], ids=["flat", "ivf", "res"])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_refining_everything_is_exact_search(metric: Any, storage: str, layout: Any) -> None:
    x, q = rows_of(storage, 400, DIM), gaussian(30, seed=1) * 20
    index = filled(Plan("pq4x4", metric, *layout, refine=storage), x)
    assert (index.quantizer, index.refine) == ("pq4x4", storage)
    exact = nf.FlatIndex(DIM, metric, quantizer=storage)
    exact.add(x)
    params = {"nprobe": 6} if layout[0] else {}
    for size, k in ((1, 10), (30, 10), (30, 150), (2, 500)):
        for rerank in (400, 4000):
            found = index.search(q[:size], k, rerank=rerank, **params)
            assert_same(found, exact.search(q[:size], k))
    assert index.reconstruct(index.ids).tobytes() == exact.reconstruct(exact.ids).tobytes()
    limit = float(np.median(exact.search(q, 20).scores))
    assert_same(index.range_search(q, limit, **params), exact.range_search(q, limit))


@pytest.mark.parametrize("nlist", [0, 6])
@pytest.mark.parametrize("metric", METRICS)
def test_the_best_by_code_are_scored_once_more(metric: Any, nlist: int) -> None:
    """What refine means: the k best, by the rows kept, of the `rerank` best by code."""
    x, q = gaussian(900), gaussian(25, seed=1)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    quantizer = quantizer_of("pq4x5", unit if metric == "cosine" else x)
    params = {"nprobe": nlist} if nlist else {}
    by_code = filled(Plan("pq4x5", metric, nlist), x, quantizer=quantizer)
    refined = filled(Plan("pq4x5", metric, nlist, refine="float32"), x, quantizer=quantizer)
    exact = nf.FlatIndex(DIM, metric)
    exact.add(x)
    truth = exact.search(q, 10)
    recalls = []
    for rerank in (10, 20, 80, 300):
        proposed = by_code.search(q, rerank, **params).ids
        found = refined.search(q, 10, rerank=rerank, **params)
        for i in range(len(q)):
            expected = exact.search(q[i], 10, filter=proposed[i])
            assert found.ids[i].tolist() == expected.ids.tolist()
            assert found.scores[i].tobytes() == expected.scores.tobytes()
        hits = [np.intersect1d(*pair).size for pair in zip(found.ids, truth.ids, strict=True)]
        recalls.append(np.mean(hits) / 10)
        for size in (1, 3, 20):
            assert_same(
                refined.search(q[:size], 10, rerank=rerank, threads=1, **params),
                nf.SearchResult(*(part[:size] for part in found)),
            )
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.9 < recalls[-1]
    asked = refined.search(q, 10, rerank=10, **params)
    assert_same(refined.search(q, 10, rerank=1, **params), asked)
    assert_same(refined.search(q, 10, **params), refined.search(q, 10, rerank=80, **params))


def estimates_of(books: np.ndarray, decoded: np.ndarray, q: np.ndarray, metric: str) -> np.ndarray:
    """Return what 4-bit tables, rounded to bytes, say of every row; larger is better.

    books: m x 16 x width whole numbers, so that no sum before rounding is inexact.
    """
    m, _, width = books.shape
    parts, asked = decoded.reshape(-1, m, width), q.reshape(m, width)
    if metric == "l2":
        tables = -((books - asked[:, None]) ** 2).sum(axis=2)
        entries = -((parts - asked) ** 2).sum(axis=2)
    else:
        tables = (books * asked[:, None]).sum(axis=2)
        entries = (parts * asked).sum(axis=2)
    least = tables.min(axis=1)
    step = (tables.max(axis=1) - least).max() / 255
    sums = np.floor((entries - least) * (1 / step) + 0.5).sum(axis=1)
    return (least.sum() + step * sums).astype(np.float32)


@pytest.mark.parametrize("nlist", [0, 6])
@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_tables_of_bytes_choose_what_is_scored_once_more(metric: Any, nlist: int) -> None:
    """4-bit product codes with kept rows: the `rerank` best by byte tables, equal ones by label."""
    rng = np.random.default_rng(5)
    x, q = gaussian(900) * 8, np.rint(gaussian(25, seed=1) * 20).astype(np.float32)
    quantizer = nf.quant.ProductQuantizer(4, 4)
    books = rng.integers(-30, 30, (4, 16, DIM // 4)).astype(np.float32)
    quantizer._inner = nf._core.Quantizer("pq4x4", DIM)
    quantizer._inner.restore([("codebooks", books.reshape(64, DIM // 4))])
    params = {"nprobe": nlist} if nlist else {}
    by_code = filled(Plan("pq4x4", metric, nlist), x, quantizer=quantizer)
    refined = filled(Plan("pq4x4", metric, nlist, refine="float32"), x, quantizer=quantizer)
    exact = nf.FlatIndex(DIM, metric)
    exact.add(x)
    decoded = by_code.reconstruct(np.arange(900)).astype(np.float64)
    wide = books.astype(np.float64)
    for rerank in (10, 40, 200):
        found = refined.search(q, 10, rerank=rerank, **params)
        for i in range(len(q)):
            estimates = estimates_of(wide, decoded, q[i].astype(np.float64), metric)
            proposed = np.lexsort((np.arange(900), -estimates))[:rerank]
            expected = exact.search(q[i], 10, filter=proposed)
            assert found.ids[i].tolist() == expected.ids.tolist()
            assert found.scores[i].tobytes() == expected.scores.tobytes()
        for size in (1, 3, 20):
            assert_same(
                refined.search(q[:size], 10, rerank=rerank, threads=1, **params),
                nf.SearchResult(*(part[:size] for part in found)),
            )


def test_refine_and_rerank_where_they_mean_nothing() -> None:
    x = gaussian(100)
    for storage in STORAGES:
        with pytest.raises(ValueError, match="refine: got 'float16', expected None"):
            nf.FlatIndex(DIM, quantizer=storage, refine="float16")
    for make in (lambda **more: nf.FlatIndex(DIM, **more), lambda **m: nf.IVFIndex(DIM, 4, **m)):
        with pytest.raises(ValueError, match=r"refine: got 'sq8', expected one of 'float32'"):
            make(quantizer="sq8", refine="sq8")
        with pytest.raises(TypeError, match="refine: got a int"):
            make(quantizer="sq8", refine=16)
    for index in (nf.FlatIndex(DIM), filled(Plan("sq8", "l2"), x), filled(Plan("sq8", "l2", 4), x)):
        with pytest.raises(TypeError, match="unknown parameters 'rerank'"):
            index.search(x[:1], 3, rerank=10)
    index = filled(Plan("sq8", "l2", refine="float16"), x)
    for bad in (0, -1):
        with pytest.raises(ValueError, match=rf"rerank: got {bad}, expected an integer >= 1"):
            index.search(x[:1], 3, rerank=bad)
    with pytest.raises(TypeError, match="rerank"):
        index.search(x[:1], 3, rerank=2.5)
    with pytest.raises(TypeError, match="unknown parameters 'rerank'"):
        index.range_search(x[:1], 3.0, rerank=10)
    assert index.search(x[:1], 3, rerank=2**62).counts.tolist() == [3]


def test_integer_rows_are_coded_and_kept() -> None:
    x = rows_of("uint8", 300, DIM)
    index = nf.FlatIndex(DIM, quantizer="sq8", refine="uint8")
    index.train(x)
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct(index.ids), x)
    with pytest.raises(TypeError, match="uint8"):
        index.add(x.astype(np.float32))
    plain = nf.FlatIndex(DIM, quantizer="sq8")
    plain.train(x)
    plain.add(x)
    assert np.abs(plain.reconstruct(plain.ids) - x).max() <= 0.2
    same = nf.FlatIndex(DIM, quantizer="sq8")
    same.train(x.astype(np.float32))
    same.add(x.astype(np.float32))
    assert same.reconstruct(same.ids).tobytes() == plain.reconstruct(plain.ids).tobytes()


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_kept_rows_are_coded_as_they_are_kept(storage: str) -> None:
    x = typed(np.asarray(rows_of(storage, 300, DIM)), storage)
    index = filled(Plan("sq8", "ip", refine=storage), x)
    assert index.reconstruct(index.ids).tobytes() == np.asarray(x, np.float32).tobytes()
