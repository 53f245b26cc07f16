"""The page and the record of a study of adapters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.quality.adapters import BASE, Result, Study
from bench.quality.report import HEADLINE, Comparison, heading, line, machine, signed
from bench.quality.scores import NAMES


def record(study: Study, results: Sequence[Result], header: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    return {
        "header": header,
        "task": study.task.summary(),
        "methods": summaries(study, results),
        "results": [_flat(study, result) for result in results],
    }


def summaries(study: Study, results: Iterable[Result]) -> list[dict[str, Any]]:
    """One row for each part, method and number of training queries, pooled over seeds."""
    pooled: dict[tuple[str, str, int], list[Result]] = defaultdict(list)
    for result in results:
        size = result.train if result.part == "size" else 0
        pooled[result.part, result.method, size].append(result)
    rows = []
    for (part, method, size), members in pooled.items():
        fits = [member.outcome for member in members if member.outcome]
        rows.append(
            {
                "part": part,
                "method": method,
                "train": size or max(member.train for member in members),
                "seeds": len(members),
                "identities": sum(fit.identity for fit in fits),
                "fits": len(fits),
                "seconds": float(np.mean([fit.seconds for fit in fits])) if fits else 0.0,
                "weights": [member.weight for member in members if member.weight is not None],
                "by_seed": [float(member.scores[HEADLINE].mean()) for member in members],
                **_compared(study, members).summary(),
            }
        )
    return rows


def _compared(study: Study, members: Sequence[Result]) -> Comparison:
    scores, base = (
        {name: np.concatenate([getattr(member, of)[name] for member in members]) for name in NAMES}
        for of in ("scores", "base")
    )
    query = np.concatenate([member.rows for member in members])
    # The queries of the saturated task are not those of the task: each stands for itself.
    own = members[0].part == "saturated"
    groups = [str(row) if own else study.task.groups[row] for row in query]
    return Comparison(scores, base, query, groups)


def _flat(study: Study, result: Result) -> dict[str, Any]:
    fit = result.outcome
    return {
        "part": result.part,
        "method": result.method,
        "seed": result.seed,
        "train": result.train,
        "test": len(result.rows),
        **{name: float(result.scores[name].mean()) for name in NAMES},
        **({"weight": result.weight} if result.weight is not None else {}),
        **({"identity": fit.identity, "seconds": fit.seconds, "fit": fit.about} if fit else {}),
    }


def page(result: dict[str, Any]) -> str:
    """Readable page of a record."""
    task, rows = result["task"], result["methods"]
    main = [row for row in rows if row["part"] == "main"]
    seeds = max(row["seeds"] for row in main)
    lines = [
        f"# Adapters on {task['task']}: {task['corpus']:,} texts, {task['queries']:,} queries, "
        f"{task['groups']:,} groups",
        "",
        f"{machine(result['header'])} {seeds} seeds: each has its own test part (a fifth of the "
        f"groups), {main[0]['queries']:,} queries tested in all, fitted to "
        f"{max(row['train'] for row in main):,} others. Intervals are paired bootstraps against "
        "the base.",
        "",
        *heading(),
    ]
    lines += [line(row["method"], row) for row in main]
    lines += _notes(main)
    lines += _sizes([row for row in rows if row["part"] == "size"], main)
    lines += _controls([row for row in rows if row["part"] in ("shuffled", "saturated")])
    return "\n".join(lines) + "\n"


def _notes(main: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["", "nDCG@10 by seed, and what a fit took:", ""]
    for row in main:
        by_seed = " ".join(f"{value:.4f}" for value in row["by_seed"])
        fits = f"; {row['seconds']:.1f} s a fit" if row["fits"] else ""
        same = f"; the identity in {row['identities']} of {row['fits']}" if row["fits"] else ""
        weights = f"; weights of the dense part {row['weights']}" if row["weights"] else ""
        lines.append(f"- {row['method']}: {by_seed}{fits}{same}{weights}")
    losses = [row["method"] for row in main if row["verdict"] == "LOSS"]
    equal = [
        row["method"] for row in main if row["verdict"] == "no difference" and row["method"] != BASE
    ]
    lines += ["", f"Below the base, interval clear of zero: {', '.join(losses) or 'none'}."]
    lines += [f"Neither above nor below: {', '.join(equal) or 'none'}."]
    return lines


def _sizes(rows: Sequence[dict[str, Any]], main: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    sizes = sorted({row["train"] for row in rows})
    lines = [
        "",
        "## Training queries",
        "",
        f"Change of nDCG@10 on the test parts of {rows[0]['seeds']} seeds; in the last column all "
        "seeds and all training queries.",
        "",
        "| method | " + " | ".join(f"{size:,}" for size in sizes) + " | all |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = {row["train"]: _change(row) for row in rows if row["method"] == method}
        everything = next((_change(row) for row in main if row["method"] == method), "-")
        shown = [*(cells.get(size, "-") for size in sizes), everything]
        lines.append(f"| {method} | " + " | ".join(shown) + " |")
    return lines


def _controls(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        "## Controls",
        "",
        "Shuffled: judgements of the training queries permuted, nothing to learn. Saturated: the "
        "corpus asked with its own vectors, nothing to gain.",
        "",
        "| control | method | identity chosen | change of nDCG@10, 95 % |",
        "|---|---|---|---|",
    ]
    for row in rows:
        chosen = f"{row['identities']} of {row['fits']}"
        lines.append(f"| {row['part']} | {row['method']} | {chosen} | {_change(row)} |")
    return lines


def _change(row: dict[str, Any]) -> str:
    return signed(row[f"change_{HEADLINE}"], row[f"interval_{HEADLINE}"])
