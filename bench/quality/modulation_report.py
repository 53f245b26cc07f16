"""The page and the record of the modulation tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.quality.modulation import Learned, Measured
from bench.quality.report import heading, line, machine
from bench.quality.task import Task


def record(
    tasks: Sequence[Task],
    training: Sequence[Task],
    learned: dict[str, list[Learned]],
    found: Sequence[Measured],
    header: dict[str, Any],
) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    return {
        "header": header,
        "tasks": [task.summary() for task in tasks],
        "training": [task.summary() for task in training],
        "fits": [
            {"mode": mode, "seed": seed, "seconds": one.seconds, **one.about}
            for mode, several in learned.items()
            for seed, one in enumerate(several)
        ],
        "methods": [
            {
                "task": one.task,
                "method": one.method,
                "seeds": one.seeds,
                "weight": one.weight,
                "identities": one.identities,
                "cosine": one.cosine,
                **one.comparison.summary(),
            }
            for one in found
        ],
    }


def page(result: dict[str, Any]) -> str:
    """Readable page of a record."""
    first, rows = result["tasks"][0], result["methods"]
    seeds = max(row["seeds"] for row in rows)
    taught = sum(task["queries"] for task in result["training"])
    lines = [
        "# Lexical modulation on fine-grained tasks",
        "",
        f"{machine(result['header'])} {first['corpus']:,} passages "
        f"({first['from_packages']:,} of package descriptions, {first['from_manual_pages']:,} of "
        f"manual pages); fitted to {taught:,} queries on {result['training'][0]['corpus']:,} other "
        f"passages, the encoder frozen; {seeds} seeds, scores are means over them. Intervals are "
        "paired bootstraps against the base. Definitions: docs/quality.md.",
    ]
    for name in dict.fromkeys(row["task"] for row in rows):
        here = [row for row in rows if row["task"] == name]
        lines += ["", f"## {name}: {here[0]['queries']:,} queries", "", *heading()]
        lines += [line(_named(row), row) for row in here]
    lines += ["", "## Fits", "", "| mode | seed | chosen | learning rate | epoch | seconds |"]
    lines.append("|---|---|---|---|---|---|")
    for one in result["fits"]:
        cells = (one["mode"], one["seed"], one.get("chosen"), one.get("lr"), one.get("epoch"))
        lines.append("| " + " | ".join(map(str, cells)) + f" | {one['seconds']:.1f} |")
    lost = [f"{row['method']} on {row['task']}" for row in rows if row["verdict"] == "LOSS"]
    lines += ["", f"Below the base, interval clear of zero: {', '.join(lost) or 'nothing'}."]
    return "\n".join(lines) + "\n"


def _named(row: dict[str, Any]) -> str:
    if row["weight"] is not None:
        return f"{row['method']} ({row['weight']} dense)"
    if row["cosine"] != 1.0:
        return f"{row['method']} (mean cosine to the base's query {row['cosine']:.3f})"
    return str(row["method"])
