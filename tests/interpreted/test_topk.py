"""Exact top-k by Triton kernels, in the interpreter: the definition's answers on every data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import dense
from property import adversarial

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy, of what overflows

import nearfield.triton as nt
from interpreted.tensors import assert_caught, tensor
from nearfield.triton import bounds, search

METRICS = ("l2", "ip", "cosine")
SCANS = ("rows", "int8", "float16", "bfloat16")
CASES = [
    (storage, kind, METRICS[i % 3], SCANS[(i // 3) % 4])
    for storage in ("float32", "float16", "bfloat16")
    for i, kind in enumerate(adversarial.kinds_for(storage))
]


@pytest.fixture(autouse=True)
def _few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at few groups first, so that small data already depends on bounds and proofs."""
    monkeypatch.setattr(search, "first_look", lambda k, scan: k + 2)


def check(case: Any, storage: str, metric: str, rows: Any, k: int, **options: Any) -> None:
    found = nt.topk(tensor(case.queries), rows, k, **options)
    judge = dense.Judge(case.queries.astype(float), case.widened(storage), metric, exact=case.exact)
    judge.check(*(part.numpy() for part in found), k=k)


def check_bounds(case: Any, storage: str, rows: Any, precision: str = "ieee") -> np.ndarray:
    """Raise if a bound is below the best score of its group; return how far above they are."""
    prepared = bounds.prepare(tensor(case.queries), rows, precision)
    upper = bounds.bounds(prepared, rows, precision).numpy().astype(np.longdouble)
    x = case.widened(storage)
    score = dense.goodness(dense.scores(case.queries, x, rows.metric, np.longdouble), rows.metric)
    padded = np.full((len(score), rows.n_groups * 32), -np.inf, np.longdouble)
    padded[:, : len(x)] = score
    best = padded.reshape(len(score), -1, 32).max(axis=2)
    best = np.longdouble(
        bounds.scaled(torch.from_numpy(best.T.astype(np.float64)), prepared, rows.metric).T
    )
    live = (case.queries != 0).any(axis=1) | (rows.metric == "l2")
    low = np.flatnonzero((upper < best)[live])
    assert not low.size, f"bounds below the best score: {low}"
    return np.asarray((upper - best)[live], np.float64)


@pytest.mark.parametrize(("storage", "kind", "metric", "scan"), CASES)
def test_every_kind_of_data(storage: str, kind: str, metric: str, scan: str) -> None:
    case = adversarial.case(kind, storage, 230, 21, 3, 11)
    rows = nt.Rows(tensor(case.rows, storage), metric, scan=scan)
    check(case, storage, metric, rows, k=1)
    check_bounds(case, storage, rows)


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("metric", METRICS)
def test_bounds_hold_and_are_near(storage: str, metric: str) -> None:
    case = adversarial.case("gaussian", storage, 131, 40, 17, 5)
    for scan in SCANS:
        rows = nt.Rows(tensor(case.rows, storage), metric, scan=scan)
        above = check_bounds(case, storage, rows)
        # Rows are about 6 long, queries times their factors about 4, or 300 as int8.
        allowed = {"rows": 0.01, "int8": 20, "float16": 0.02, "bfloat16": 0.1}[scan]
        assert np.median(above) < allowed * (1 if metric == "cosine" else 8), scan


def test_tf32_is_bounded_as_a_device_computes_it() -> None:
    case = adversarial.case("gaussian", "float32", 203, 40, 3, 5)
    for metric in METRICS:
        rows = nt.Rows(tensor(case.rows), metric)
        check_bounds(case, "float32", rows, precision="tf32")
        check(case, "float32", metric, rows, k=3, precision="tf32")
    rows = nt.Rows(tensor(case.rows), "ip")
    exact = bounds.bounds(bounds.prepare(tensor(case.queries), rows, "ieee"), rows, "ieee")
    short = bounds.bounds(bounds.prepare(tensor(case.queries), rows, "ieee"), rows, "tf32")
    assert (exact - short).abs().max() > 1e-4, "the simulated product drops bits"


@pytest.mark.parametrize("n", [1, 32, 33, 257])
def test_tails_of_rows_and_columns(n: int) -> None:
    for dim, metric in ((1, "l2"), (33, "ip"), (64, "cosine")):
        case = adversarial.case("gaussian", "float32", n, dim, 2, n)
        check(case, "float32", metric, nt.Rows(tensor(case.rows), metric), k=1)


@pytest.mark.parametrize("k", [1, 40, 200, 230])
def test_any_k(k: int) -> None:
    case = adversarial.case("twins", "float32", 200, 16, 3, 2)
    check(case, "float32", "l2", tensor(case.rows), k=k)


def test_copies_of_rows_in_many_groups_come_by_id() -> None:
    rng = np.random.default_rng(3)
    few = rng.integers(-2, 3, (40, 16)).astype(np.float32)
    rows = np.repeat(few, 8, axis=0)[rng.permutation(320)]
    q = rng.integers(-2, 3, (3, 16)).astype(np.float32)
    for metric in ("ip", "l2"):
        ids, _, _ = nt.topk(tensor(q), tensor(rows), 5, metric)
        expected, _, _ = dense.topk(q, rows, 5, metric)
        np.testing.assert_array_equal(ids.numpy(), expected)


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("metric", METRICS)
def test_ids_are_those_of_the_cpu(storage: str, metric: str) -> None:
    case = adversarial.case("gaussian", storage, 300, 48, 3, 8)
    for scan in ("rows", "int8"):
        rows = nt.Rows(tensor(case.rows, storage), metric, scan=scan)
        found = nt.topk(tensor(case.queries), rows, 3)
        expected = nf.topk(case.queries, case.rows, 3, metric)
        np.testing.assert_array_equal(found.ids.numpy(), expected.ids)
        np.testing.assert_allclose(found.scores.numpy(), expected.scores, rtol=3e-7, atol=1e-12)


def test_one_query_many_queries_and_chunks_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    case = adversarial.case("gaussian", "bfloat16", 250, 64, 17, 4)
    rows = nt.Rows(tensor(case.rows, "bfloat16"), "cosine")
    together = nt.topk(tensor(case.queries), rows, 2)
    alone = [nt.topk(tensor(q), rows, 2) for q in case.queries[:2]]
    assert alone[0].ids.shape == (2,)
    assert alone[0].counts.ndim == 0
    for i, found in enumerate(alone):
        assert torch.equal(found.ids, together.ids[i])
        assert torch.equal(found.scores, together.scores[i])
    monkeypatch.setattr(search, "SCRATCH", 9 * (8 * 4 + 4 * 768))
    chunked = nt.topk(tensor(case.queries), rows, 2)
    assert all(torch.equal(a, b) for a, b in zip(chunked, together, strict=True))


def test_answers_without_a_proof_are_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one group to begin with, nearly every query must widen its search."""
    case = adversarial.case("near_ties", "float32", 427, 21, 3, 6)
    rows = nt.Rows(tensor(case.rows), "l2", scan="int8")
    seen = []
    rescan = search._Search._rescan

    def spy(self: Any, q: Any, groups: Any, n: int) -> Any:
        seen.append(tuple(groups.shape))
        return rescan(self, q, groups, n)

    monkeypatch.setattr(search, "first_look", lambda k, scan: 1)
    monkeypatch.setattr(search._Search, "_rescan", spy)
    check(case, "float32", "l2", rows, k=4)
    assert [shape[1] for shape in seen] == [1, 4, 14]


def test_queries_are_transformed_first() -> None:
    case = adversarial.case("gaussian", "float32", 150, 24, 4, 9)
    many = []
    rng = np.random.default_rng(0)
    for _ in range(2):
        a, b = rng.standard_normal((3, 24)), rng.standard_normal((24, 3))
        many.append(nf.transforms.LowRank(a, b))
    ids = np.array([0, 1, -1, 0])
    found = nt.topk(
        tensor(case.queries), tensor(case.rows), 2, transform=many, transform_ids=tensor(ids)
    )
    expected = nf.topk(case.queries, case.rows, 2, transform=many, transform_ids=ids)
    np.testing.assert_array_equal(found.ids.numpy(), expected.ids)
    np.testing.assert_allclose(found.scores.numpy(), expected.scores, rtol=1e-4)


def test_without_the_cast_bfloat16_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter multiplies the bit patterns: whoever drops the cast is to notice."""
    case = adversarial.case("gaussian", "bfloat16", 97, 24, 3, 2)
    rows = nt.Rows(tensor(case.rows, "bfloat16"), "ip")
    prepared = bounds.prepare(tensor(case.queries), rows, "ieee")
    right = bounds.bounds(prepared, rows, "ieee")
    monkeypatch.setattr(bounds, "is_interpreted", lambda: False)
    wrong = bounds.bounds(prepared, rows, "ieee")
    assert (wrong - right).abs().max() > 1e6


def test_nothing_to_search() -> None:
    rows, none = torch.zeros(5, 3), torch.zeros(0, 3)
    ids, scores, counts = nt.topk(rows, none, k=2)
    assert (ids == nf.MISSING).all()
    assert scores.isnan().all()
    assert (counts == 0).all()
    assert nt.topk(none, rows, k=2).ids.shape == (0, 2)


FAULTS = {
    "a row off the end": ("kernels.maxima", "expand_dims(row < n_rows, axis)",
                          "expand_dims(row < n_rows - 1, axis)"),
    "columns off the end": ("kernels.maxima", "range(0, dim, BD)", "range(BD, dim, BD)"),
    "no margin": ("kernels.maxima", "best + (a * length + b", "best + 0 * (a * length + b"),
    "a group of the neighbour": ("kernels.maxima", "group = r0 // GROUP +",
                                 "group = r0 // GROUP + 1 +"),
    "a tail row re-scored": ("kernels.rescan", 'tl.where(row < n_rows, score, float("-inf"))',
                             "score"),
    "a dropped tie": ("search", "groups.sort(dim=1).values", "groups.flip(1)"),
    "no proof": ("search", "if len(left) == 0:", "if True:"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def ready(planted: Any) -> None:
        if hasattr(planted, "first_look"):
            monkeypatch.setattr(planted, "first_look", search.first_look)

    assert_caught(monkeypatch, tmp_path, FAULTS[fault], answers_and_bounds, ready)


def answers_and_bounds() -> None:
    """Search data on which each of the faults shows."""
    for n, kind in ((97, "gaussian"), (427, "near_ties"), (300, "twins"), (300, "gaussian")):
        case = adversarial.case(kind, "float32", n, 21, 3, 11)
        rows = nt.Rows(tensor(case.rows), "l2", scan="int8" if n == 427 else "rows")
        check_bounds(case, "float32", rows)
        check(case, "float32", "l2", rows, k=2 if n > 97 else 97)


def test_without_faults_they_agree() -> None:
    answers_and_bounds()
