"""Wrong arguments that no other table holds: each error says what was got and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np
import pytest

X = np.float32([[0, 0], [3, 4], [1, 0], [1, 1], [-2, 5]])
NAN, INF = float("nan"), float("inf")
Call = Callable[[nf.FlatIndex], Any]

WRONG: list[tuple[Call, type[Exception], tuple[str, ...]]] = [
    # shapes
    (lambda i: i.add(np.zeros((2, 2, 2))), ValueError, ("x", "(2, 2, 2)")),
    (lambda i: i.add(np.zeros((3, 0))), ValueError, ("x", "(3, 0)", "2")),
    (lambda i: i.add(5.0), (TypeError, ValueError), ("x",)),
    (lambda i: i.search(np.zeros((1, 1, 2))), ValueError, ("q", "(1, 1, 2)")),
    (lambda i: i.search(7), (TypeError, ValueError), ("q",)),
    (lambda i: i.range_search(np.zeros((2, 5)), 1), ValueError, ("q", "(2, 5)", "(n, 2)")),
    (lambda i: nf.topk(X, X.ravel()), ValueError, ("corpus", "(10,)")),
    (lambda i: nf.topk(X, []), ValueError, ("corpus", "(0,)", "(n, dim)")),
    (
        lambda i: nf.topk(np.zeros((1, 65537)), np.zeros((1, 65537))),
        ValueError,
        ("corpus", "(1, 65537)", "65536 columns"),
    ),
    (lambda i: nf.topk(X, np.zeros((2, 0))), ValueError, ("corpus", "(2, 0)")),
    (lambda i: nf.topk(np.zeros((2, 2, 2)), X), ValueError, ("queries", "(2, 2, 2)")),
    (lambda i: i.add([[1, 2], [3]]), (TypeError, ValueError), ("x",)),
    # types
    (lambda i: i.add(None), (TypeError, ValueError), ("x",)),
    (lambda i: i.add("ab"), TypeError, ("x", "str")),
    (lambda i: i.add({1: 2}), TypeError, ("x", "dict")),
    (lambda i: i.add(X.astype(bool)), TypeError, ("x", "bool")),
    (lambda i: i.add(X.astype(object)), TypeError, ("x", "object")),
    (lambda i: i.add(X.astype("M8[s]")), TypeError, ("x", "datetime64")),
    (lambda i: i.add(X.astype("S4")), TypeError, ("x", "bytes32")),
    (lambda i: i.search(X.astype(np.uint32)), TypeError, ("q", "uint32")),
    (lambda i: i.search(np.zeros(2, [("a", "f4")])), TypeError, ("q",)),
    (lambda i: i.range_search(X.astype(complex), 1), TypeError, ("q", "complex128")),
    (lambda i: nf.topk(X, X.astype(complex)), TypeError, ("corpus", "complex128")),
    # values
    (lambda i: i.add([[1, 2], [NAN, 4]]), ValueError, ("x: row 1 ", "NaN", "finite")),
    (lambda i: i.search([[1, 2], [3, -INF]]), ValueError, ("q: query 1 ", "infinity", "finite")),
    (lambda i: i.search([NAN, 0]), ValueError, ("q: query 0 ", "NaN", "finite")),
    (lambda i: i.search([NAN, 0], filter=[1]), ValueError, ("q: query 0 ", "NaN", "finite")),
    (lambda i: nf.topk([[INF, 0]], X), ValueError, ("queries: query 0 ", "infinity", "finite")),
    (lambda i: nf.topk(X, [[0, 0], [0, INF]]), ValueError, ("corpus: row 1 ", "infinity")),
    (lambda i: i.range_search([[NAN, 0]], 1), ValueError, ("q: query 0 ", "NaN", "finite")),
    (lambda i: i.range_search(X, INF), ValueError, ("threshold: got inf", "finite")),
    (lambda i: i.range_search(X, 1e999), ValueError, ("threshold: got inf", "finite")),
    (lambda i: i.range_search(X, np.True_), TypeError, ("threshold", "bool")),
    (lambda i: i.search([[1e300, 0]]), ValueError, ("row 0", "1e+300", "float32")),
    # labels
    (lambda i: i.add(X[:2], ids=[9, 9]), ValueError, ("ids", "9", "twice", "unique")),
    (lambda i: i.add(X[:1], ids=[3]), ValueError, ("ids", "3", "already", "replace")),
    (lambda i: i.add(X[:1], ids=[2**63]), (ValueError, OverflowError, TypeError), ("ids",)),
    (lambda i: i.add(X[:1], ids=[[7]]), ValueError, ("ids", "(1, 1)")),
    (lambda i: i.add(X[:1], ids=[]), ValueError, ("ids", "(0,)", "(1,)")),
    (lambda i: i.add(X[:1], ids=["7"]), TypeError, ("ids", "integers")),
    (lambda i: i.add(X[:2], ids=[1.5, 2.5]), TypeError, ("ids", "float", "integers")),
    (lambda i: i.add(X[:2], ids={7, 8}), TypeError, ("ids", "set", "order")),
    (lambda i: i.remove([[1]]), ValueError, ("ids", "(1, 1)")),
    (lambda i: i.remove(None), TypeError, ("ids",)),
    (lambda i: i.remove([0.5]), TypeError, ("ids", "integers")),
    (lambda i: i.reconstruct([0, 99]), KeyError, ("ids", "99", "not in the index")),
    (lambda i: i.reconstruct(99), KeyError, ("'ids: 99 is not",)),
    (lambda i: i.reconstruct(2**63), ValueError, ("ids", str(2**63))),
    (lambda i: i.reconstruct([1, 2.5]), TypeError, ("ids", "2.5", "integers")),
    (lambda i: i.remove([True, 2]), TypeError, ("ids", "True", "integers")),
    (lambda i: i.remove(n for n in [1]), TypeError, ("ids", "generator", "list(x)")),
    (lambda i: i.reconstruct([1.0]), TypeError, ("ids", "integers")),
    # k, threads, filters, names
    (lambda i: i.range_search(X, 1, threads=0), ValueError, ("threads", "0", ">= 1")),
    (lambda i: nf.topk(X, X, k=2.5), TypeError, ("k", "2.5", "integer")),
    (lambda i: nf.topk(X, X, threads=-3), ValueError, ("threads", "-3")),
    (lambda i: i.search(X, filter=np.ones((5, 1), bool)), (TypeError, ValueError), ("filter",)),
    (lambda i: i.search(X, filter=np.ones(6, bool)), ValueError, ("filter", "6", "5")),
    (lambda i: i.search(X, filter=[True, 2]), TypeError, ("filter", "True", "integers")),
    (lambda i: i.search(X[:0], k=2**62), ValueError, ("k: got", "GiB", "k=5")),
    (lambda i: i.search(X, filter=5), TypeError, ("filter", "int")),
    (lambda i: i.search(X, filter=[0.5]), TypeError, ("filter",)),
    (lambda i: nf.topk(X, X, filter=np.ones(4, bool)), ValueError, ("filter", "4", "5")),
    (lambda i: nf.FlatIndex(-3), ValueError, ("dim", "-3", ">= 1")),
    (lambda i: nf.FlatIndex("3"), TypeError, ("dim", "'3'")),
    (lambda i: nf.FlatIndex(65537), ValueError, ("dim", "65537", "65536")),
    (lambda i: i.save(""), ValueError, ("path", "empty")),
    (lambda i: i.save("a\0b"), ValueError, ("path", "NUL")),
    (lambda i: i.save(None), TypeError, ("path", "NoneType")),
    (lambda i: nf.load(""), ValueError, ("path", "empty")),
    (lambda i: nf.load(b"a\0b"), ValueError, ("path", "NUL")),
    (lambda i: nf.load(3), TypeError, ("path", "int")),
    (lambda i: nf.FlatIndex(2, "euclidean"), ValueError, ("metric", "'euclidean'", "'cosine'")),
    (lambda i: nf.FlatIndex(2, b"l2"), TypeError, ("metric", "bytes")),
    (lambda i: nf.FlatIndex(2, quantizer="float8"), ValueError, ("quantizer", "'float8'", "int8")),
    (lambda i: nf.topk(X, X, metric="L2"), ValueError, ("metric", "'L2'", "'l2'")),
    (lambda i: i.search(X, K=3), TypeError, ("'K'", "filter")),
    (lambda i: i.add(X, labels=[1]), TypeError, ("labels",)),
]


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[" ".join(w) for _, _, w in WRONG])
def test_wrong_calls_say_what_they_got_and_change_nothing(number: int) -> None:
    call, error, words = WRONG[number]
    index = nf.FlatIndex(2)
    index.add(X)
    with pytest.raises(error) as caught:
        call(index)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert message.count("\n") == 0
    assert index.ids.tolist() == list(range(5))
    np.testing.assert_array_equal(index.reconstruct(index.ids), X)
    assert index.search(X, k=1).ids.ravel().tolist() == list(range(5))


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16", "int8", "uint8"])
def test_empty_indexes_travel_like_others(tmp_path: Any, metric: str, storage: str) -> None:
    empty = nf.FlatIndex(4, metric, quantizer=storage)
    empty.save(tmp_path / "empty.nf")
    emptied = nf.FlatIndex(4, metric, quantizer=storage)
    rows: Any = np.ones((3, 4), storage if storage != "bfloat16" else np.float32)
    emptied.add(rows, ids=[5, 6, 7])
    emptied.remove([5, 6, 7])
    emptied.save(tmp_path / "emptied.nf")
    for name in ("empty", "emptied"):
        for mmap in (False, True):
            index = nf.load(tmp_path / f"{name}.nf", mmap=mmap)
            assert len(index) == 0
            assert index.search(np.ones((2, 4)), k=3).counts.tolist() == [0, 0]
            index.add(rows, ids=[5, 8, 9])
            assert index.search(np.ones(4), k=5).ids[:3].tolist() == [5, 8, 9]
