"""Small codes are searched exactly: the best by the float64 score of decoded rows, in every way.

Few queries are scored by tables, many against decoded blocks of bytes, and what bounds leave open
is scored once more: every way, batch, thread count and level must give the same bits, and the
oracle judges one of them.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle import dense
from plugins.isa import Level
from property.adversarial import KINDS, case
from property.test_exactness import METRICS, beginning, same_bits, seed_of
from property.work import Answer, Plan, Run

DIM, NLIST = 24, 5
QUANTIZERS = ("sq8", "sq4", "pq6x4", "pq6x8", "pq8x5", "opq6x4", "rabitq1", "rabitq4", "rabitq8")
LAYOUTS = {"flat": (0, False), "ivf": (NLIST, False), "residual": (NLIST, True)}
BATCHES = (1, 3, 20, 300)
"""One to seven queries a list go one by one, more share decoded blocks."""


def judge_of(queries: np.ndarray, decoded: np.ndarray, plan: Plan) -> dense.Judge:
    """Return the judge of searches for decoded rows; under cosine those count as unit vectors."""
    wide, opq = queries.astype(np.longdouble), plan.quantizer.startswith("opq")
    if plan.metric != "cosine":
        longest = dense.norms(decoded.astype(np.longdouble)).max()
        return dense.Judge(wide, decoded, plan.metric, rotated=opq * (2 * longest + 2.0**-125))
    lengths = dense.norms(wide)[:, None]
    unit = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    # A row that is nearly zero may be what is left of a centroid and a code; a subnormal query
    # loses more than a share of itself.
    lost = np.divide(2.0**-125, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return dense.Judge(unit, decoded, "ip", rotated=opq * (2 + lost))


def runs_of(plan: Plan, n: int, n_queries: int) -> list[Run]:
    """Return ways to ask that must agree: the answers to fewer results begin the longer ones."""
    batches = [b for b in BATCHES if b < n_queries] + [n_queries]
    ways = [
        *((batch, 1 + i % 2, 10) for i, batch in enumerate(batches)),
        (n_queries, 1, 10),
        *((7, 2, k) for k in (1, n // 8)),
        *((n_queries, 2, k) for k in (n // 8, n + 3)),
    ]
    return [Run(k, batch, threads, nprobe=plan.nlist) for batch, threads, k in ways]


def judged(
    levels: list[Level], plan: Plan, rows: np.ndarray, queries: np.ndarray, label: str
) -> tuple[np.ndarray, list[Answer]]:
    """Return decoded rows and answers; raise where a way, a level or the oracle disagrees."""
    runs = runs_of(plan, len(rows), len(queries))
    held, first = levels[0].call("property.work:coded", plan, rows, queries, runs)
    longest, reference = max(zip(runs, first, strict=True), key=lambda pair: pair[0].k)
    try:
        judge_of(queries, held, plan).check(*reference, k=longest.k)
    except AssertionError as error:
        raise AssertionError(f"{label}, {plan}") from error
    for run, answer in zip(runs, first, strict=True):
        same_bits(answer, beginning(reference, run.k), f"{label}: {plan}, {run} and {longest}")
    for level in levels[1:]:
        again, answers = level.call("property.work:coded", plan, rows, queries, runs)
        assert again.tobytes() == held.tobytes(), f"{label}: {plan}: {level.name} decodes otherwise"
        for run, answer, same in zip(runs, answers, first, strict=True):
            same_bits(answer, same, f"{label}: {plan}, {level.name}, {run}")
    return held, first


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_batches_of_every_size(
    levels: list[Level], quantizer: str, metric: str, layout: str
) -> None:
    problem = case("gaussian", "float32", 400, DIM, 300, seed_of(quantizer))
    plan = Plan(quantizer, metric, *LAYOUTS[layout])
    judged(levels, plan, problem.rows, problem.queries, "gaussian")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_norms_beyond_float32_of_scores_within(
    levels: list[Level], quantizer: str, layout: str
) -> None:
    """The nearest row has a squared norm that overflows, its inner product with the query not."""
    rng = np.random.default_rng(5)
    rows = (rng.standard_normal((400, DIM)) * 1e16).astype(np.float32)
    rows[:, 0] = -5e18 * (1 + 0.3 * rng.random(400))
    rows[350, 0] = 2.7e19
    queries = np.zeros((21, DIM), np.float32)
    queries[:, 0] = np.linspace(1.1e19, 1.3e19, 21)
    plan = Plan(quantizer, "l2", *LAYOUTS[layout])
    _, answers = judged(levels, plan, rows, queries, "norms that overflow")
    assert all((ids[:, 0] == 350).all() for ids, _, _ in answers)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gaussian"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_adversarial_data(levels: list[Level], quantizer: str, kind: str) -> None:
    """Every layout, each under another metric; which one goes round with the kind of data."""
    problem = case(kind, "float32", 330, DIM, 21, seed_of(kind, quantizer))
    turn = [*KINDS].index(kind) + QUANTIZERS.index(quantizer)
    for i, layout in enumerate(LAYOUTS.values()):
        plan = Plan(quantizer, METRICS[(turn + i) % 3], *layout)
        judged(levels, plan, problem.rows, problem.queries, kind)
