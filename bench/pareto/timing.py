"""Clocks and statistics: blocks of calls, in turn, with a watch on what else the machine does.

Methods are timed A, B, C, A, B, C ...: a machine that slows down for a while slows all of them.
Each block runs a fixed list of calls; the statistic is the median over blocks, with the extremes
beside it.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# /proc/stat counts in ticks of 10 ms: windows shorter than this say nothing about other processes.
_SHORTEST_WATCH = 0.05


def machine_cpu_seconds() -> float | None:
    """CPU seconds that all processes of the machine have used, or None where it is not told."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            fields = [int(value) for value in stat.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / _TICKS


@dataclass(frozen=True)
class Window:
    """One timed window: wall seconds, and CPU seconds that other processes used meanwhile."""

    wall: float
    foreign: float


class Watch:
    """Context manager that times its body and counts the CPU time of other processes."""

    window: Window

    def __enter__(self) -> Watch:
        self._machine = machine_cpu_seconds()
        self._own = sum(os.times()[:4])
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._start
        machine, own = machine_cpu_seconds(), sum(os.times()[:4])
        foreign = 0.0
        if machine is not None and self._machine is not None and wall >= _SHORTEST_WATCH:
            foreign = max(0.0, (machine - self._machine) - (own - self._own))
        self.window = Window(wall, foreign)


def wait_until_quiet(limit: float, busy_cores: float = 0.12) -> bool:
    """Wait until other processes use less than ``busy_cores``, at most ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with Watch() as watch:
            time.sleep(0.25)
        if watch.window.foreign / watch.window.wall < busy_cores:
            return True
    return limit <= 0


def timed_calls(call: Callable[[Any], T], arguments: Sequence[Any]) -> tuple[list[T], Window]:
    """Call once per argument and time the lot; the results are kept, not looked at."""
    results: list[T] = []
    keep = results.append
    with Watch() as watch:
        for argument in arguments:
            keep(call(argument))
    return results, watch.window


@dataclass(frozen=True)
class Rates:
    """Queries per second over the blocks of one point."""

    median: float
    low: float
    high: float
    repeats: int
    foreign_cores: float


def rates(windows: Sequence[Window], queries: Sequence[int]) -> Rates:
    """Summarise blocks: median, slowest and fastest rate, and the foreign load during them.

    Parameters
    ----------
    windows : sequence of Window
        One per block, not empty.
    queries : sequence of int
        How many queries each block answered.
    """
    if not windows or len(windows) != len(queries):
        raise ValueError(
            f"rates: got {len(windows)} windows and {len(queries)} counts, expected equal numbers"
        )
    each = [count / max(window.wall, 1e-9) for window, count in zip(windows, queries, strict=True)]
    wall = sum(window.wall for window in windows)
    foreign = sum(window.foreign for window in windows)
    return Rates(
        statistics.median(each), min(each), max(each), len(each), foreign / max(wall, 1e-9)
    )


@dataclass(frozen=True)
class Plan:
    """How one method is timed at one point: calls per block, and blocks."""

    calls: int
    repeats: int


def plan(seconds_per_call: float, budget: float, repeats: int, fewest: int) -> Plan:
    """Choose calls per block and blocks so that a point costs about ``budget`` seconds.

    A fast call is repeated within the block; a slow one gets fewer blocks, but never less than
    ``fewest``, whatever that costs.
    """
    cost = max(seconds_per_call, 1e-7)
    calls = max(1, round(budget / repeats / cost))
    affordable = int(budget / (calls * cost) + 0.5)
    return Plan(calls, max(min(fewest, repeats), min(repeats, affordable)))


def round_robin(repeats: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Order of the blocks: every contestant once, then again, until each has had its number.

    Yields
    ------
    (contestant, round)
    """
    for turn in range(max(repeats, default=0)):
        for contestant, wanted in enumerate(repeats):
            if turn < wanted:
                yield contestant, turn
