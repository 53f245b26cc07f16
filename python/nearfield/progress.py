"""Progress bars: the single place that decides whether one is drawn and how.

A bar appears only when standard error is a terminal and ``NEARFIELD_PROGRESS`` is not ``0``. tqdm
draws it where it is installed, otherwise a one-line text counter does. Callers use ``with
bar(total, "Encoding", "text") as advance: advance(n)`` and never look at the terminal themselves.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "bar", "enabled"]

#: What an entry point takes as ``progress``: None decides by the terminal, a bool forces the
#: answer, a callable receives ``(done, total)`` and draws whatever it likes.
Progress = bool | Callable[[int, int], None] | None

_REDRAW_SECONDS = 0.1


def enabled(wanted: bool | None = None) -> bool:
    """Tell whether a bar should be drawn.

    Parameters
    ----------
    wanted : bool, optional
        The caller's explicit choice; None asks the environment and the terminal.

    Returns
    -------
    bool
        True when a bar should be drawn on standard error.
    """
    if wanted is not None:
        return wanted
    if os.environ.get("NEARFIELD_PROGRESS", "") == "0":
        return False
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def bar(
    total: int, label: str, unit: str = "row", progress: Progress = None
) -> Iterator[Callable[[int], None]]:
    """Open a progress bar and yield the function that advances it.

    Parameters
    ----------
    total : int
        Number of units of work.
    label : str
        Words in front of the bar.
    unit : str
        Name of one unit, in the singular.
    progress : bool, callable or None
        See `Progress`.

    Yields
    ------
    callable
        ``advance(n)`` reports `n` more finished units.
    """
    if callable(progress):
        yield _counting(total, progress)
    elif not enabled(progress):
        yield lambda n: None
    else:
        with _drawn(total, label, unit) as advance:
            yield advance


def _counting(total: int, report: Callable[[int, int], None]) -> Callable[[int], None]:
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        report(done, total)

    return advance


@contextmanager
def _drawn(total: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    try:
        from tqdm import tqdm
    except ImportError:
        with _text_line(total, label, unit) as advance:
            yield advance
        return
    with tqdm(total=total, desc=label, unit=unit, file=sys.stderr, dynamic_ncols=True) as drawn:
        yield lambda n: _advance_tqdm(drawn, n)


def _advance_tqdm(drawn: object, n: int) -> None:
    drawn.update(n)  # type: ignore[attr-defined]


@contextmanager
def _text_line(total: int, label: str, unit: str) -> Iterator[Callable[[int], None]]:
    done, last_drawn = 0, 0.0

    def advance(n: int) -> None:
        nonlocal done, last_drawn
        done += n
        now = time.monotonic()
        if done >= total or now - last_drawn >= _REDRAW_SECONDS:
            last_drawn = now
            sys.stderr.write(f"\r{label}: {done}/{total} {unit}s")
            sys.stderr.flush()

    try:
        yield advance
    finally:
        if done:
            sys.stderr.write("\n")
