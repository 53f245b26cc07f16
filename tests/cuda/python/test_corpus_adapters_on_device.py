"""Corpus adapters of an index on a device: what the CPU engine finds, rows as they are."""

from __future__ import annotations

from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin, contents

T = nf.transforms
DIM = 20
METRICS = ("l2", "ip", "cosine")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def adapted(metric: str, quantizer: str = "float32", n: int = 90) -> nf.FlatIndex:
    """Return an index with a gap, labels of its own and adapters of every form."""
    index = nf.FlatIndex(DIM, metric, quantizer=quantizer)
    rows = random(n, DIM)
    rows[7] = 0
    rows[20:25] = rows[30:35]
    as_stored = (30 * rows).clip(-100, 100).astype(np.int8) if quantizer == "int8" else rows
    index.add(as_stored, ids=np.arange(n) + 100)
    index.remove([103, 140])
    index.add_corpus_adapter("legal", random(DIM, 3, seed=1) / 3, random(DIM, 3, seed=2))
    index.add_corpus_adapter("medical", random(DIM, 2, seed=3) / 3, random(DIM, 2, seed=4))
    index.add_corpus_adapter("turn", random(DIM, DIM, seed=5))
    flattening = np.zeros((DIM, DIM), np.float32)
    flattening[0, 0] = 1
    index.add_corpus_adapter("flat", flattening)
    index.add_corpus_adapter("same", np.zeros((DIM, 1), np.float32), random(DIM, 1))
    return index


ASKED = (
    "legal",
    "turn",
    "flat",
    "same",
    {"legal": 0.5, "medical": -1.5},
    {"legal": 0.5, "turn": 0.25},
    {"legal": 0.0},
)


def same(there: nf.SearchResult, here: nf.SearchResult, standin: Standin) -> None:
    ids, scores, counts = (
        part if isinstance(part, (np.ndarray, np.generic)) else contents(part, standin)
        for part in there
    )
    np.testing.assert_array_equal(ids, here.ids)
    np.testing.assert_array_equal(counts, here.counts)
    np.testing.assert_array_equal(scores, here.scores)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", ["float32", "float16", "bfloat16", "int8"])
def test_they_answer_as_on_the_cpu(standin: Standin, metric: str, quantizer: str) -> None:
    index = adapted(metric, quantizer)
    there, q = index.to("cuda"), random(5, DIM, seed=9)
    for asked in ASKED:
        here = index.search(q, k=7, corpus_adapter=asked)
        same(there.search(q, k=7, corpus_adapter=asked), here, standin)
        found = there.search(DlpackArray(standin, q), k=7, corpus_adapter=asked)
        if asked == "same" or asked == {"legal": 0.0}:
            np.testing.assert_array_equal(contents(found.ids, standin), here.ids)
        else:
            same(found, here, standin)


def test_with_a_filter_a_transform_and_other_types(standin: Standin) -> None:
    index = adapted("cosine")
    there, q = index.to("cuda"), random(5, DIM, seed=9).astype(np.float16)
    how: dict[str, Any] = {"corpus_adapter": "legal", "filter": range(110, 150), "k": 60}
    same(there.search(q, **how), index.search(q, **how), standin)
    same(there.search(DlpackArray(standin, q), **how), index.search(q, **how), standin)
    apart = random(10, DIM + 3)[::2, 3:]
    same(there.search(DlpackArray(standin, apart), **how), index.search(apart, **how), standin)
    how["transform"] = T.LowRank(random(2, DIM), random(DIM, 2))
    same(there.search(DlpackArray(standin, q), **how), index.search(q, **how), standin)
    same(there.search(q[0], **how), index.search(q[0], **how), standin)


def test_changes_are_there(standin: Standin) -> None:
    index = adapted("l2")
    there, q = index.to("cuda"), random(3, DIM, seed=9)
    how = {"k": 4, "corpus_adapter": "legal"}
    copied = standin.calls("cuMemcpyHtoDAsync")
    there.search(q, **how)
    first = standin.calls("cuMemcpyHtoDAsync") - copied
    there.search(q, **how)
    assert standin.calls("cuMemcpyHtoDAsync") - copied - first < first  # it is kept
    index.add(3 * q, ids=[1, 2, 3])
    same(there.search(q, **how), index.search(q, **how), standin)
    index.remove([2, 110])
    same(there.search(q, **how), index.search(q, **how), standin)
    index.remove_corpus_adapter("legal")
    with pytest.raises(ValueError, match='corpus_adapter: got "legal", which the index does not'):
        there.search(q, **how)
    index.add_corpus_adapter("legal", random(DIM, 1, seed=7), random(DIM, 1, seed=8))
    same(there.search(q, **how), index.search(q, **how), standin)


def test_nothing_waits(standin: Standin) -> None:
    index = adapted("l2")
    there, q = index.to("cuda"), DlpackArray(standin, random(3, DIM))
    there.search(q, corpus_adapter="legal")
    standin.finish()
    names = ("cuStreamSynchronize", "cuEventSynchronize", "cuMemFree", "cuMemAlloc")
    before, ran = [standin.calls(name) for name in names], standin.launches
    found = there.search(q, corpus_adapter="legal")
    assert [standin.calls(name) for name in names] == before
    assert standin.launches == ran
    del found


SCANNED = (("l2", "float32", 2300), ("cosine", "float16", 2300), ("ip", "int8", 4300))


@pytest.mark.parametrize(("metric", "quantizer", "n"), SCANNED)
def test_many_rows_are_scanned_by_groups(
    standin: Standin, metric: str, quantizer: str, n: int
) -> None:
    """Where the scan's bound holds, and where it is none, as for a map that flattens."""
    index = adapted(metric, quantizer, n)
    there, q = index.to("cuda"), random(3, DIM, seed=9)
    q[1] *= 1e-25
    q[2] = 0
    for asked, chosen in (("legal", None), ({"legal": 0.5, "turn": -1.5}, range(200, 2300))):
        how: dict[str, Any] = {"k": 1, "corpus_adapter": asked, "filter": chosen}
        cleared = standin.calls("cuMemsetD8Async")
        same(there.search(q, **how), index.search(q, **how), standin)
        assert standin.calls("cuMemsetD8Async") > cleared, "no scan by groups"
    if metric == "cosine":
        how = {"k": 1, "corpus_adapter": "flat"}
        same(there.search(q, **how), index.search(q, **how), standin)
