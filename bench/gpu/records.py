"""Results of a GPU check, on disk row by row, and phases that end in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Records:
    """Rows as they come: ``results.jsonl``, and ``table.md`` written anew after each.

    A run that is killed has left everything it measured; one that goes on from there (`resume`)
    measures the rest.
    """

    def __init__(self, folder: Path, limit_s: float, *, resume: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.start = time.monotonic()
        self.limit_s = limit_s
        lines = folder / "results.jsonl"
        self.rows: list[dict[str, Any]] = []
        if resume and lines.exists():
            self.rows = _whole_rows(lines.read_text(encoding="utf-8"))
        self._measured = {_name(row) for row in self.rows if _is_measured(row)}
        self.rows = [row for row in self.rows if _name(row) in self._measured]
        self._lines = lines.open("w", encoding="utf-8")
        for row in self.rows:
            self._lines.write(json.dumps(row) + "\n")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def add(self, phase: str, case: str, **figures: Any) -> None:
        """Keep a row: written, and shown."""
        row = {"phase": phase, "case": case, "at_s": round(self.seconds, 1), **figures}
        self.rows.append(row)
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        (self.folder / "table.md").write_text(self.table(), encoding="utf-8")
        print(f"{row['at_s']:7.1f} s  {phase:12}  {case}  {_spelled(figures)}", flush=True)

    def has(self, phase: str, case: str, kernel: str | None = None) -> bool:
        """Tell whether an earlier run has measured a row."""
        return (phase, case, kernel) in self._measured

    def table(self) -> str:
        """Return all rows as Markdown, a table for each phase."""
        parts = []
        for phase in dict.fromkeys(row["phase"] for row in self.rows):
            rows = [row for row in self.rows if row["phase"] == phase]
            names = list(dict.fromkeys(name for row in rows for name in row if name != "phase"))
            lines = [f"## {phase}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
            lines += [f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows]
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"

    def close(self) -> None:
        """Close the file of rows."""
        self._lines.close()


class Box:
    """A phase's share of the time: `left` says whether another case may begin."""

    def __init__(self, records: Records, seconds: float, name: str = "timing") -> None:
        self.name = name
        self._records = records
        self._end = min(records.seconds + seconds, records.limit_s)

    def left(self, seconds: float = 0.0) -> bool:
        """Tell whether a case of so many seconds still fits."""
        return self._records.seconds + seconds < self._end

    @property
    def seconds_left(self) -> float:
        """What is left of it."""
        return max(self._end - self._records.seconds, 0.0)


def run_phase(
    records: Records, name: str, seconds: float, phase: Callable[[Records, Box], None]
) -> bool:
    """Run a phase in its box; what it raises is a row, and the next phase still runs."""
    box = Box(records, seconds, name)
    if not box.left():
        records.add(name, "left out", reason="no time left")
        return False
    try:
        phase(records, box)
    except Exception as error:
        records.add(name, "FAILED", error=f"{type(error).__name__}: {error}"[:600])
        return False
    return True


def _whole_rows(text: str) -> list[dict[str, Any]]:
    """Return the rows of a file whose last line may have been cut off."""
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _name(row: dict[str, Any]) -> tuple[str, str, str | None]:
    return row["phase"], row["case"], row.get("kernel")


def _is_measured(row: dict[str, Any]) -> bool:
    if row["phase"] == "device":
        return False  # of the device that is there now
    return row.get("ms") is not None or row.get("verdict") == "right"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")


def _spelled(figures: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_cell(value)}" for name, value in figures.items())
