"""Tables of quality: pooled over seeds, with intervals, and with losses beside wins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality.scores import NAMES, interval

Floats = NDArray[np.float64]
HEADLINE = "ndcg@10"
_SHOWN = {"ndcg@1": "nDCG@1", "ndcg@3": "@3", "ndcg@5": "@5", "ndcg@10": "@10", "hit@1": "hit@1"}


@dataclass(frozen=True)
class Comparison:
    """A method beside the base, query by query, all seeds in a row.

    Attributes
    ----------
    scores, base : dict of str to ndarray
        By measure; one number per query and seed.
    query : ndarray
        Which query each number belongs to.
    groups : list of str
        Group of each.
    """

    scores: dict[str, Floats]
    base: dict[str, Floats]
    query: NDArray[np.intp]
    groups: Sequence[str]

    def change(self, name: str = HEADLINE) -> tuple[Floats, list[str]]:
        """Mean change of every distinct query over the seeds that tested it, and its group."""
        different, inverse = np.unique(self.query, return_inverse=True)
        total = np.bincount(inverse, weights=self.scores[name] - self.base[name])
        first = np.unique(inverse, return_index=True)[1]
        return total / np.bincount(inverse), [self.groups[at] for at in first[: len(different)]]

    def summary(self) -> dict[str, Any]:
        """Means, change with its intervals, and how many queries it helped and harmed."""
        found: dict[str, Any] = {name: float(self.scores[name].mean()) for name in NAMES}
        for name in NAMES:
            change, groups = self.change(name)
            found[f"change_{name}"] = float(change.mean())
            found[f"interval_{name}"] = interval(change)
            if name == HEADLINE:
                found["interval_groups"] = interval(change, groups)
                found["better"], found["worse"] = int((change > 0).sum()), int((change < 0).sum())
                found["queries"] = len(change)
        found["verdict"] = verdict(found[f"interval_{HEADLINE}"])
        return found


def verdict(bounds: Sequence[float]) -> str:
    """What an interval of a change says."""
    low, high = bounds
    return "gain" if low > 0 else "LOSS" if high < 0 else "no difference"


def signed(value: float, bounds: Sequence[float]) -> str:
    """A change with its interval."""
    return f"{value:+.4f} [{bounds[0]:+.4f}, {bounds[1]:+.4f}]"


def heading() -> list[str]:
    """First two lines of a table of `line`s."""
    shown = [*_SHOWN.values(), "change of nDCG@10, 95 %", "by groups, 95 %", "better / worse", "is"]
    return ["| method | " + " | ".join(shown) + " |", "|---|" + "---|" * len(shown)]


def line(method: str, row: dict[str, Any], notes: str = "") -> str:
    """One method in a table."""
    cells = [f"{row[name]:.4f}" for name in _SHOWN]
    if row["better"] or row["worse"]:
        low, high = row["interval_groups"]
        cells += [
            signed(row[f"change_{HEADLINE}"], row[f"interval_{HEADLINE}"]),
            f"[{low:+.4f}, {high:+.4f}]",
            f"{row['better']} / {row['worse']}",
            row["verdict"],
        ]
    else:
        cells += ["0", "", "0 / 0", "as the base"]
    return f"| {method} | " + " | ".join(cells) + " |" + notes


def machine(header: dict[str, Any]) -> str:
    """Where and when, in a sentence."""
    return (
        f"{header['date']}; {header['cpu']}, {header['cores']} cores, {header['isa']}; "
        f"commit {header['commit']}."
    )


def write(folder: Path, name: str, result: dict[str, Any], page: str) -> None:
    """Write NAME.json and NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, default=_plain)
    (folder / f"{name}.json").write_text(text + "\n")
    (folder / f"{name}.md").write_text(page)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
