"""Coded rows come, go and are kept in files: nothing that stays changes, nothing fails half."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import dense
from property.work import Plan
from unit.clumps import assert_same
from unit.test_coded import DIM, filled, gaussian

PLANS = {
    "flat sq8": Plan("sq8", "l2"),
    "flat rabitq2": Plan("rabitq2", "cosine"),
    "flat pq, refined": Plan("pq4x4", "ip", refine="float16"),
    "flat sq4, refined": Plan("sq4", "cosine", refine="bfloat16"),
    "ivf rabitq4": Plan("rabitq4", "cosine", 6, True),
    "ivf opq": Plan("opq4x4", "ip", 6),
    "ivf pq, refined": Plan("pq4x5", "l2", 6, True, "float32"),
    "flat rabitq, refined": Plan("rabitq1", "ip", refine="float32"),
    "ivf rabitq, refined": Plan("rabitq2", "cosine", 6, True, "bfloat16"),
}
each_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
NAN = np.float32("nan")


def all_lists(index: Any) -> dict[str, Any]:
    return {"nprobe": index.nlist} if isinstance(index, nf.IVFIndex) else {}


def exactly(index: Any) -> dict[str, Any]:
    """Return what makes an index that keeps rows score all that may be among the best."""
    if index.refine is None:
        return {}
    return {"epsilon": np.inf} if "rabitq" in index.quantizer else {"rerank": 10**6}


def trained(plan: Plan, x: np.ndarray) -> Any:
    index = plan.made(x.shape[1])
    index.train(x)
    return index


def state(index: Any) -> tuple[Any, ...]:
    """Return everything that a failed call must leave as it was."""
    q = gaussian(30, index.dim, seed=8)
    found = [index.search(q[:n], 12, **all_lists(index)) for n in (1, 30)]
    rows = index.reconstruct(index.ids).tobytes()
    return len(index), index.ids.tolist(), rows, *(p.tobytes() for f in found for p in f)


def check(index: Any, held: dict[int, np.ndarray]) -> None:
    """Raise unless the index holds these rows by label, and finds them."""
    assert len(index) == len(held)
    assert sorted(index.ids.tolist()) == sorted(held)
    labels = np.array(sorted(held), np.int64)
    x = np.array([held[label] for label in labels.tolist()]).reshape(-1, index.dim)
    assert index.reconstruct(labels).tobytes() == x.tobytes()
    q = gaussian(12, index.dim, seed=3)
    found = index.search(q, 15, **all_lists(index), **exactly(index))
    assert (found.counts == min(15, len(held))).all()
    if not held:
        return
    metric = index.metric
    if metric == "cosine" and index.refine is None:
        metric, q = "ip", q / np.linalg.norm(q.astype(np.longdouble), axis=1, keepdims=True)
    rows = np.where(found.ids == nf.MISSING, nf.MISSING, np.searchsorted(labels, found.ids))
    rotated = 0.0
    if index.quantizer.startswith("opq") and index.refine is None:
        rotated = 2 * float(np.linalg.norm(x, axis=1).max())
    dense.Judge(q, x, metric, rotated=rotated).check(rows, found.scores, found.counts, 15)


@each_plan
def test_rows_come_and_go(plan: Plan, tmp_path: Path) -> None:
    """What a row is stored as does not change while others are added, removed and replaced."""
    x = gaussian(5000)
    index = trained(plan, x[:1000])
    held: dict[int, np.ndarray] = {}

    def add(labels: Any, rows: np.ndarray, **more: Any) -> None:
        index.add(rows, ids=labels, **more)
        held.update(zip(np.asarray(labels).tolist(), index.reconstruct(labels), strict=True))

    def remove(labels: Any) -> None:
        known = [label for label in labels if label in held]
        assert index.remove(labels) == len(known)
        for label in known:
            del held[label]

    check(index, held)
    add(np.arange(7), x[:7])
    check(index, held)
    for first, last in ((7, 8), (8, 700), (700, 3000)):
        add(np.arange(last - 1, first - 1, -1) * -3 - 50, x[first:last]) if first > 7 else add(
            [10**12], x[7:8]
        )
        check(index, held)
    remove(range(-1500, -50, 2))
    check(index, held)
    add(np.arange(100_000, 100_900), x[3000:3900])
    add([100_000, -49, 5, 10**15], x[3900:3904], on_duplicate="replace")
    check(index, held)
    remove([*sorted(held)[::3], 123456789])  # many dead rows: the store is made anew
    check(index, held)
    remove(sorted(held)[::2])
    check(index, held)
    path = tmp_path / "index.nf"
    for mmap in (False, True):
        index.save(path, durable=False)
        index = nf.load(path, mmap=mmap)
        assert (index.quantizer, index.refine) == (plan.quantizer, plan.refine)
        check(index, held)
        add([777_777 + mmap], x[4000:4001])
    remove(list(held))
    check(index, held)
    assert index.is_trained
    add(np.arange(4100, 4200), x[4100:4200])
    check(index, held)


@each_plan
def test_pieces_make_no_difference(plan: Plan) -> None:
    x = gaussian(1200)
    whole = filled(plan, x)
    pieces = trained(plan, x)
    for part in np.split(x, [1, 2, 400, 401, 1199]):
        pieces.add(part)
    assert state(pieces) == state(whole)


@each_plan
def test_copies_and_pickles(plan: Plan) -> None:
    index = filled(plan, gaussian(600), np.arange(600) * 7 - 9)
    index.remove([5, 12])
    for again in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert state(again) == state(index)
        assert repr(again) == repr(index)
        assert again.stats()["scan"] == plan.quantizer
        again.add(gaussian(1), ids=[10**6])
        assert 10**6 not in index
    empty = pickle.loads(pickle.dumps(plan.made(DIM)))
    assert (empty.is_trained, len(empty)) == (False, 0)
    empty.train(gaussian(600))
    empty.add(gaussian(50))
    assert len(empty) == 50


@each_plan
def test_sizes(plan: Plan) -> None:
    x = gaussian(4000)
    index = filled(plan, x)
    said = index.stats()
    assert (said["count"], said["scan"], said["dtype"]) == (
        4000,
        plan.quantizer,
        plan.refine or "float32",
    )
    kept = {None: 0, "float32": 64, "float16": 32, "bfloat16": 64}[plan.refine]
    assert said["row_bytes"] == 4000 * kept
    assert 4000 * 2 <= said["code_bytes"] <= 4000 * (DIM + 12)
    assert said["bytes"] <= index.nbytes <= 4000 * (kept + DIM + 12 + 40)


@each_plan
def test_filters(plan: Plan) -> None:
    x, q = gaussian(900), gaussian(40, seed=2)
    labels = np.random.default_rng(0).permutation(900) * 5 - 1000
    index = filled(plan, x, labels)
    index.remove(labels[100:150])
    params = all_lists(index)
    rng = np.random.default_rng(5)
    for share in (0.0, 0.002, 0.01, 0.3, 0.9, 1.0):
        mask = rng.random(len(index)) < share
        may = index.ids[mask]
        for k in (1, 10, 500):
            found = index.search(q, k, filter=mask, **params)
            assert (found.counts == min(k, mask.sum())).all()
            assert np.isin(found.ids[found.ids != nf.MISSING], may).all()
            assert_same(index.search(q, k, filter=may, **params), found)
            alone = index.search(q[3], k, filter=may, **params)
            assert_same(alone, nf.SearchResult(*(part[3] for part in found)))
    few = np.random.default_rng(1).choice(index.ids, 60, replace=False)
    other = trained(plan, x)
    other.add(x[np.flatnonzero(np.isin(labels, few))], ids=labels[np.isin(labels, few)])
    surely = params | exactly(index)
    assert_same(index.search(q, 7, filter=few, **surely), other.search(q, 7, **surely))
    assert index.search(q, 3, filter=np.zeros(0, np.int64), **params).counts.tolist() == [0] * 40
    if params:
        assert (index.search(q, 5, filter=few, nprobe=1).counts == 5).all()


@each_plan
def test_range_search(plan: Plan) -> None:
    x, q = gaussian(700), gaussian(9, seed=2)
    index = filled(plan, x)
    rows = index.reconstruct(index.ids)
    metric = index.metric
    if metric == "cosine" and index.refine is None:
        metric, q = "ip", q / np.linalg.norm(q, axis=1, keepdims=True)
    every = dense.scores(q, rows, metric)
    mask = np.random.default_rng(1).random(700) < 0.5
    for at in (0.001, 0.02, 0.5, 1.0):
        limit = float(np.quantile(every, at if metric == "l2" else 1 - at))
        for chosen in (None, mask):
            expected = dense.range_search(q, rows, limit, metric, chosen)
            found = index.range_search(q, limit, filter=chosen, **all_lists(index))
            for i, mine in enumerate(expected):
                # A score within float32 rounding of the threshold may be on either side.
                got = found.ids[found.lims[i] : found.lims[i + 1]]
                near = np.flatnonzero(np.abs(every[i] - limit) < 1e-5)
                assert set(got.tolist()) ^ set(mine.tolist()) <= set(near.tolist())
                scores = found.scores[found.lims[i] : found.lims[i + 1]]
                np.testing.assert_allclose(scores, every[i, got], rtol=1e-5, atol=1e-5)


@each_plan
def test_failed_calls_change_nothing(plan: Plan) -> None:
    x = gaussian(900)
    index = filled(plan, x, np.arange(900) + 1_000_100)
    index.remove([1_000_103, 1_000_500])
    before = state(index)
    for row in (0, 7, 499):
        for value in (NAN, np.inf, -np.inf):
            bad = gaussian(500, seed=row)
            bad[row, row % DIM] = value
            bad[min(row + 3, 499)] = value
            with pytest.raises(ValueError, match=rf"^x: row {row}\b.*(finite|float16)"):
                index.add(bad)
            with pytest.raises(ValueError, match=rf"^q: query {row}\b.*finite"):
                index.search(bad)
            assert len(index) == before[0]
    many = gaussian(40_000, seed=9)  # more than are encoded at once
    many[39_000, 3] = NAN
    bad3 = many[38_998:39_001]
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: index.add(many), r"x: row 39000\b"),
        (lambda: index.add(x[:, :8]), r"expected \(n, 16\)"),
        (lambda: index.add(x[:2], ids=[1, 1]), "1 occurs twice"),
        (lambda: index.add(x[:2], ids=[1, 1_000_104]), "1000104 is already"),
        (lambda: index.add(x[:2], ids=[1]), "ids"),
        (lambda: index.add(bad3, ids=[1_000_104, 5, 6], on_duplicate="replace"), "x: row 2"),
        (lambda: index.search(x[:2], 0), "k: got 0"),
        (lambda: index.search(x[:, :3]), "q: got shape"),
    ]  # fmt: skip
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()
        assert state(index) == before, message
    with pytest.raises(KeyError, match="1000103"):
        index.reconstruct([1_000_103])
    index.add(x[:5], ids=[0, 1, 2, 3, 4])
    assert len(index) == before[0] + 5


@pytest.mark.parametrize("nlist", [0, 3])
def test_rows_that_a_quantizer_does_not_take_are_named(nlist: int) -> None:
    """By their number in the array that was handed over, whatever order they are encoded in."""
    index = trained(Plan("rabitq2", "l2", nlist, bool(nlist)), gaussian(300))
    before = state(index)
    for n, rows in (
        (300, [20, 37]),
        (300, [299]),
        (40_000, [39_000, 39_999]),
        (40_000, [17, 30_000]),
    ):
        x = gaussian(n, seed=n)
        x[rows] *= np.float32(1e37)
        with pytest.raises(ValueError, match=rf"^x: row {rows[0]} .*1e36"):
            index.add(x)
        assert state(index) == before
    index.add(gaussian(500))
    assert len(index) == 500


@pytest.mark.parametrize(
    ("plan", "fewest"),
    [
        (Plan("pq4x8", "l2"), 256),
        (Plan("opq4x4", "ip"), 16),
        (Plan("pq4x4", "l2", 6, True), 16),
        (Plan("sq8", "l2", 6), 6),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:the index is not trained")
def test_training(plan: Plan, fewest: int) -> None:
    x = gaussian(400)
    index = plan.made(DIM)
    for n in (0, 1, fewest - 1):
        for call in (index.train, *([index.add] if n else [])):
            with pytest.raises(ValueError, match=rf"^x: got {n} rows to train on, expected"):
                call(x[:n])
            assert not index.is_trained
            assert len(index) == 0
    bad = x.copy()
    bad[[123, 200], 5] = NAN
    for call in (index.train, index.add):
        with pytest.raises(ValueError, match=r"^x: row 123\b.*finite"):
            call(bad)
        assert not index.is_trained
    index.train(x)
    assert index.is_trained
    assert len(index) == 0
    index.add(x)
    if not plan.nlist:
        index.train(bad)  # trained already: nothing is read
    assert len(index) == 400


@each_plan
def test_an_add_trains_what_is_not_trained(plan: Plan) -> None:
    x = gaussian(600)
    index = plan.made(DIM)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(x[:0])
    assert not index.is_trained
    what = "6 lists" if plan.nlist else f"its {plan.quantizer} codes"
    with pytest.warns(UserWarning, match=rf"{what} .* 600 rows.*train\(\)") as caught:
        index.add(x)
    assert caught[0].filename == __file__
    assert state(index) == state(filled(plan, x))


def test_searches_before_training() -> None:
    q = gaussian(3)
    flat = nf.FlatIndex(DIM, quantizer="pq4x4")
    assert flat.search(q, 4).counts.tolist() == [0, 0, 0]
    assert flat.range_search(q, 1.0).lims.tolist() == [0, 0, 0, 0]
    index = nf.IVFIndex(DIM, 4, quantizer="pq4x4")
    with pytest.raises(nf.NotTrainedError, match=r"train\(\)"):
        index.search(q, 4)


def test_wrong_quantizers() -> None:
    x = gaussian(300)
    other = nf.quant.ScalarQuantizer(8).train(x[:, :8])
    for make in (
        lambda q: nf.FlatIndex(DIM, quantizer=q),
        lambda q: nf.IVFIndex(DIM, 4, quantizer=q),
    ):
        cases: list[tuple[Any, type[Exception], str]] = [
            ("pq5x4", ValueError, r"quantizer: .*5 .*16.*divisor"),
            ("pq4x3", ValueError, "quantizer: .*3"),
            ("sq9", ValueError, r"quantizer: got 'sq9', expected one of sq8.*rabitq.*float16"),
            ("", ValueError, "quantizer: got ''"),
            ("SQ8", ValueError, "quantizer: got 'SQ8'"),
            ("rabitq9", ValueError, "quantizer: "),
            (other, ValueError, "quantizer: got one that was trained on 8 columns, expected 16"),
            (nf.quant.ProductQuantizer(5), ValueError, "quantizer: "),
            (None, TypeError, "quantizer: got a NoneType"),
            (8, TypeError, "quantizer: got a int"),
            (nf.quant.ScalarQuantizer, TypeError, "quantizer: got a type"),
        ]
        for quantizer, kind, message in cases:
            with pytest.raises(kind, match="^" + message) as caught:
                make(quantizer)
            assert not re.search("quantizer: quantizer", str(caught.value))
