"""Does a map save re-embedding a corpus? A new model's queries in the index of the old one.

The index holds the old model's vectors. Maps are fitted, in closed form, to corpus texts that both
models embedded; the queries of the task take no part, so all of them test. Beside the maps stand
the new queries as they are (the base of every interval) and the old model's own queries, which are
what a map can hope for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

from bench.quality.report import Comparison, heading, line, machine
from bench.quality.scores import DEPTH, Floats, by_query
from bench.quality.task import SEED, Task, Vectors

FORMS: dict[str, dict[str, Any]] = {
    "Procrustes": {"form": "procrustes"},
    "ridge": {"form": "ridge"},
    "low-rank 64": {"form": "low_rank", "rank": 64},
    "low-rank 256": {"form": "low_rank", "rank": 256},
}
PAIRS = (500, 2_000, 5_000)
BASE = "new queries, no map"
OWN = "the old model's own queries"


@dataclass(frozen=True)
class Material:
    """A task, the old model's vectors of it, and the new model's of its queries and some rows."""

    task: Task
    old_queries: Vectors
    corpus: Vectors
    new_queries: Vectors
    rows: NDArray[np.intp]
    new_rows: Vectors


@dataclass(frozen=True)
class Measured:
    """One way to search, and the fit behind it if there is one."""

    method: str
    comparison: Comparison
    report: nf.UpgradeReport | None = None


def drawn(count: int, n: int) -> NDArray[np.intp]:
    """Rows that both models embed, in the order in which a smaller sample takes them."""
    return np.random.default_rng(SEED).permutation(n)[:count]


def measure(
    of: Material, sizes: Sequence[int] = PAIRS, say: Callable[[str], None] = print
) -> list[Measured]:
    """Search without a map, as the old model does, and with every map on every number of pairs."""
    base = _scores(of, of.new_queries, None)
    found = [_measured(of, BASE, base, base)]
    found.append(_measured(of, OWN, _scores(of, of.old_queries, None), base))
    for size in sizes:
        new, old = of.new_rows[:size], of.corpus[of.rows[:size]]
        for name, options in FORMS.items():
            fit = nf.fit_upgrade(new, old, **options)
            scores = _scores(of, of.new_queries, fit.transform)
            found.append(_measured(of, f"{name}, {size:,} pairs", scores, base, fit.report))
            say(f"{found[-1].method}: nDCG@10 {scores['ndcg@10'].mean():.4f}")
    return found


def _scores(of: Material, queries: Vectors, transform: Any) -> dict[str, Floats]:
    ids = nf.topk(queries, of.corpus, DEPTH, metric="cosine", transform=transform).ids
    return by_query(ids, of.task.relevant)


def _measured(
    of: Material,
    method: str,
    scores: dict[str, Floats],
    base: dict[str, Floats],
    report: nf.UpgradeReport | None = None,
) -> Measured:
    query = np.arange(len(of.task.queries))
    return Measured(method, Comparison(scores, base, query, of.task.groups), report)


def record(
    of: Material, found: Sequence[Measured], model: str, header: dict[str, Any]
) -> dict[str, Any]:
    """Everything that was measured, ready for JSON; `model` says what the new one is."""
    return {
        "header": header,
        "task": of.task.summary(),
        "model": model,
        "methods": [
            {
                "method": one.method,
                "fit": one.report.to_dict() if one.report else None,
                **one.comparison.summary(),
            }
            for one in found
        ],
    }


def page(result: dict[str, Any]) -> str:
    """Readable page of a record."""
    task, rows = result["task"], result["methods"]
    lines = [
        f"# Upgrades on {task['task']}: {task['corpus']:,} texts, {task['queries']:,} queries",
        "",
        f"{machine(result['header'])} The new model is {result['model']}; the index holds the old "
        "model's vectors. Maps are fitted to corpus texts that both embedded; no query takes part. "
        "Intervals are paired bootstraps against the new queries without a map.",
        "",
        *heading(),
        *(line(row["method"], row) for row in rows),
        "",
        "| map | ridge | mean cosine, held out | recall@10 of the old neighbours | seconds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row["fit"]:
            fit = row["fit"]
            ridge = "-" if fit["ridge"] is None else f"{fit['ridge']:g}"
            cells = [row["method"], ridge, f"{fit['cosine']:.3f}", f"{fit['recall']:.3f}"]
            lines.append("| " + " | ".join(cells) + f" | {fit['seconds']:.1f} |")
    lost = [row["method"] for row in rows if row["verdict"] == "LOSS"]
    lines += ["", f"Below the base, interval clear of zero: {', '.join(lost) or 'none'}."]
    return "\n".join(lines) + "\n"
