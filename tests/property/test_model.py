"""An index behaves like a dict of vectors: histories of calls, compared after each call."""

from __future__ import annotations

import os
import tempfile

import nearfield as nf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from oracle import dense
from property.adversarial import stored
from property.work import typed
from reliability.samples import empty_lists

METRICS = st.sampled_from(["l2", "ip", "cosine"])
STORAGES = st.sampled_from(["float32", "float16", "bfloat16", "int8", "uint8"])
LABELS = st.lists(st.integers(-3, 12), max_size=6)
SEEDS = st.integers(0, 2**32 - 1)


class IndexModel(RuleBasedStateMachine):
    """Adds, replaces, removes, saves and searches; the model is a dict label -> vector."""

    @initialize(
        metric=METRICS,
        storage=STORAGES,
        dim=st.sampled_from([1, 2, 17, 64]),
        kind=st.sampled_from(["flat", "1 list", "5 lists", "graph"]),
        seed=SEEDS,
    )
    def start(self, metric: str, storage: str, dim: int, kind: str, seed: int) -> None:
        self.storage, self.metric, self.dim = storage, metric, dim
        self.index: nf.Index = nf.FlatIndex(dim, metric, quantizer=storage)
        self.params: dict[str, int] = {}  # with which it looks at every row
        if "list" in kind:
            self.params = {"nprobe": int(kind[0])}
            centroids = np.random.default_rng(seed).integers(1, 9, (int(kind[0]), dim))
            self.index = empty_lists(metric, storage, centroids.astype(np.float32))
        elif kind == "graph":
            self.params = {"ef_search": 10**6}
            self.index = nf.HNSWIndex(dim, 4, metric, ef_construction=9, quantizer=storage)
        self.vectors: dict[int, np.ndarray] = {}
        self.next_label = 0

    def drawn(self, n: int, seed: int) -> np.ndarray:
        """Return small integers, so that ties abound and float64 sums are exact."""
        rng = np.random.default_rng(seed)
        return stored(rng.integers(-2, 3, (n, self.dim)).astype(float), self.storage)

    def remember(self, labels: list[int], rows: np.ndarray) -> None:
        self.next_label += len(labels)
        self.vectors |= dict(zip(labels, dense.widen(rows, self.storage), strict=True))

    @rule(labels=LABELS, seed=SEEDS)
    def add(self, labels: list[int], seed: int) -> None:
        rows = self.drawn(len(labels), seed)
        if len(set(labels)) < len(labels) or set(labels) & self.vectors.keys():
            with pytest.raises(ValueError, match=r"[0-9]"):
                self.index.add(typed(rows, self.storage), ids=labels)
        else:
            self.index.add(typed(rows, self.storage), ids=labels)
            self.remember(labels, rows)

    @rule(n=st.integers(0, 40), seed=SEEDS)
    def add_numbered(self, n: int, seed: int) -> None:
        rows = self.drawn(n, seed)
        labels = list(range(self.next_label, self.next_label + n))
        if set(labels) & self.vectors.keys():
            with pytest.raises(ValueError, match=r"[0-9]"):
                self.index.add(typed(rows, self.storage))
        else:
            self.index.add(typed(rows, self.storage))
            self.remember(labels, rows)

    @rule(labels=LABELS.map(lambda labels: list(dict.fromkeys(labels))), seed=SEEDS)
    def replace(self, labels: list[int], seed: int) -> None:
        rows = self.drawn(len(labels), seed)
        self.index.add(typed(rows, self.storage), ids=labels, on_duplicate="replace")
        self.remember(labels, rows)

    @rule(labels=LABELS)
    def remove(self, labels: list[int]) -> None:
        live = set(labels) & self.vectors.keys()
        assert self.index.remove(labels) == len(live)
        for label in live:
            del self.vectors[label]

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "index.nf")
            self.index.save(path, durable=False)
            self.index = nf.load(path, mmap=mmap)

    @rule(k=st.integers(1, 60), seed=SEEDS, share=st.sampled_from([None, 0.0, 0.2, 0.9]))
    def search(self, k: int, seed: int, share: float | None) -> None:
        labels = self.index.ids
        # Ties go to the smaller label: the oracle, which prefers smaller rows, sees rows by label.
        by_label = np.argsort(labels)
        ordered = labels[by_label].tolist()
        x = np.array([self.vectors[label] for label in ordered]).reshape(-1, self.dim)
        rng = np.random.default_rng(seed)
        queries = rng.integers(-2, 3, (5, self.dim)).astype(np.float32)
        mask = None if share is None else rng.random(len(x)) < share
        ids, scores, counts = self.index.search(queries, k, filter=mask, **self.params)
        rows = np.full(ids.shape, dense.MISSING)
        for i, count in enumerate(counts):
            rows[i, :count] = [ordered.index(label) for label in ids[i, :count].tolist()]
        if len(x):
            dense.Judge(queries.astype(float), x, self.metric, exact=True).check(
                rows, scores, counts, k, None if mask is None else mask[by_label]
            )
        else:
            assert not counts.any()
        # However little is looked at, as many rows answer.
        least = dict.fromkeys(self.params, 1)
        few = self.index.search(queries, k, filter=mask, **least)
        assert few.counts.tolist() == counts.tolist()
        may = set(labels.tolist() if mask is None else labels[mask].tolist())
        for row, count in zip(few.ids.tolist(), counts.tolist(), strict=True):
            assert len(may.intersection(row)) == count

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "index"):
            return
        labels = self.index.ids
        assert len(self.index) == len(labels) == len(self.vectors)
        assert set(labels.tolist()) == self.vectors.keys()
        expected = [self.vectors[label] for label in labels.tolist()]
        np.testing.assert_array_equal(
            self.index.reconstruct(labels), np.reshape(expected, (-1, self.dim))
        )


TestIndexModel = IndexModel.TestCase
TestIndexModel.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@st.composite
def finite_matrix(draw: st.DrawFn, columns: int, most: int) -> np.ndarray:
    """Draw float32 rows of any magnitude, with repeats."""
    numbers = st.floats(
        width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**80), max_value=2.0**80
    )
    count = draw(st.integers(1, most))
    rows = draw(hnp.arrays(np.float32, (count, columns), elements=numbers, fill=st.just(0.0)))
    picked = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2 * count))
    return rows[picked]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), metric=METRICS, dim=st.integers(1, 40), k=st.integers(1, 50))
def test_any_finite_matrix(data: st.DataObject, metric: str, dim: int, k: int) -> None:
    x = data.draw(finite_matrix(dim, 24))
    q = data.draw(finite_matrix(dim, 4))
    judge = dense.Judge(q.astype(float), x.astype(float), metric)
    judge.check(*nf.topk(q, x, k, metric), k)
    one_by_one = [nf.topk(query, x, k, metric, threads=1) for query in q]
    for part, single in zip(nf.topk(q, x, k, metric), zip(*one_by_one, strict=True), strict=True):
        assert part.tobytes() == np.array(single).tobytes()
