"""Where commands print: JSON for machines, tables for people, with rich when it is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["Output", "size", "spell_seconds"]


class Output:
    """Standard output of one command.

    Parameters
    ----------
    as_json : bool
        True prints the one object given to `result` and nothing else.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = None if as_json else _rich_console()

    def heading(self, text: str) -> None:
        """Print a line that opens a section."""
        if self.as_json:
            return
        if self._console is not None:
            self._console.print(f"\n{_escape(text)}", style="bold", highlight=False)
        else:
            print(f"\n{text}", flush=True)

    def line(self, text: str) -> None:
        """Print a line of text."""
        if not self.as_json:
            print(text, flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; a column whose values are all numbers is aligned to the right."""
        if self.as_json:
            return
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        right = [
            bool(cells) and all(_is_number(row[at]) for row in cells) for at in range(len(columns))
        ]
        if self._console is not None:
            self._rich_table(columns, cells, right)
            return
        widths = [
            max(len(column), *(len(row[at]) for row in cells)) if cells else len(column)
            for at, column in enumerate(columns)
        ]
        for row in [list(columns), *cells]:
            padded = (
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            )
            print("  ".join(padded).rstrip())
        sys.stdout.flush()

    def result(self, value: Any) -> None:
        """Print the command's result as JSON, when that is what was asked for."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def _rich_table(
        self, columns: Sequence[str], cells: list[list[str]], right: list[bool]
    ) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column, flush in zip(columns, right, strict=True):
            table.add_column(_escape(column), justify="right" if flush else "left", overflow="fold")
        for row in cells:
            table.add_row(*map(_escape, row))
        assert self._console is not None
        self._console.print(table)


def size(n_bytes: float) -> str:
    """Spell a number of bytes: "12.3 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def spell_seconds(seconds: float) -> str:
    """Spell a duration with a fitting unit: "1.25 ms"."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def _rich_console() -> Any:
    if not sys.stdout.isatty():
        return None  # a file or a pipe gets plain, unwrapped text
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console()


def _escape(text: str) -> str:
    from rich.markup import escape

    return str(escape(text))


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "", 1).replace("-", "", 1).replace("%", "").isdigit()
