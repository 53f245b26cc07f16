"""Measuring: choose how often to call, take the blocks in turn, judge the answers.

A point is (k, batch, threads) on one data set. All entries of a point, that is, contestants with
one search setting each, are timed round-robin. Approximate methods are screened first: settings
that are plainly worse in speed and recall than another of the same method are not timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.pareto.contestant import Ask, Block, Contestant
from bench.pareto.methods import Params
from bench.pareto.timing import Plan, Rates, Window, plan, rates, round_robin, wait_until_quiet

Report = Callable[[str], None]

# Worker threads of OpenMP spin for some milliseconds after a call: let them fall asleep before
# another library is timed.
SETTLE_S = 0.01
SCREEN_QUERIES = 1000
SCREEN_SINGLES = 1000
JUDGED_QUERIES = 1000
USEFUL_RECALL = 0.85
CLEARLY_SLOWER = 1.15


@dataclass(frozen=True)
class Settings:
    """How much time a point may cost.

    Attributes
    ----------
    seconds : float
        Aim for one entry at one point.
    repeats, fewest : int
        Blocks per entry, and how many at least when a call is slow.
    slow_call : float
        A method that works through a batch in chunks of its own is timed on part of the batch when
        the whole would take longer than this; the record says so.
    enough_recall : float
        A series of settings is left when it has reached this.
    quiet : float
        Seconds to wait, at most, for other processes to become idle before each point.
    """

    seconds: float = 1.5
    repeats: int = 5
    fewest: int = 2
    slow_call: float = 4.0
    enough_recall: float = 0.995
    quiet: float = 0.0


@dataclass
class Entry:
    """One contestant with one setting at one point, and what was seen of it."""

    contestant: Contestant
    params: Params
    ask: Ask = field(default_factory=lambda: Ask({}, 1, 1, 1))
    plan: Plan = field(default_factory=lambda: Plan(1, 1))
    windows: list[Window] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    judged: int = 0
    right: int = 0
    failed: bool = False

    def take(self, block: Block) -> None:
        """Add a block."""
        self.windows.append(block.window)
        self.queries.append(block.queries)
        self.judged += block.judged
        self.right += block.right

    @property
    def rates(self) -> Rates:
        """Queries per second over the blocks."""
        return rates(self.windows, self.queries)

    @property
    def recall(self) -> float | None:
        """Share of right answers, None when no judged query was answered."""
        return self.right / self.judged if self.judged else None


def _cost(contestant: Contestant, ask: Ask) -> float:
    """Seconds of one call, after a first one that warms up."""
    cost = contestant.block(replace(ask, calls=1)).window.wall
    if cost < 0.02:
        calls = max(2, int(0.04 / max(cost, 1e-6)))
        cost = contestant.block(replace(ask, calls=calls)).window.wall / calls
    return cost


def _affordable_batch(contestant: Contestant, ask: Ask, slow_call: float) -> int:
    """Batch to time: all of it, or some whole chunks where a chunked method would take too long."""
    chunk = contestant.chunk
    if not chunk or ask.batch <= 2 * chunk:
        return ask.batch
    per_query = _cost(contestant, replace(ask, batch=chunk)) / chunk
    if per_query * ask.batch <= slow_call:
        return ask.batch
    return min(ask.batch, max(1, int(slow_call / per_query / chunk)) * chunk)


def prepare(entry: Entry, k: int, batch: int, threads: int, settings: Settings) -> None:
    """Warm up and plan. One query at a time, everybody gets the better of one and all threads."""
    ask = Ask(entry.params, k, batch, threads)
    contestant = entry.contestant
    ask = replace(ask, batch=_affordable_batch(contestant, ask, settings.slow_call))
    cost = _cost(contestant, ask)
    if batch == 1 and threads > 1:
        alone = replace(ask, threads=1)
        cost_alone = _cost(contestant, alone)
        if cost_alone < cost:
            ask, cost = alone, cost_alone
    entry.ask = ask
    entry.plan = plan(cost, settings.seconds, settings.repeats, settings.fewest)


def measure(
    entries: list[Entry], k: int, batch: int, threads: int, settings: Settings, report: Report
) -> list[Entry]:
    """Time the entries in turn.

    Returns
    -------
    list of Entry
        Those that worked; the others were reported in one line each.
    """

    def guarded(entry: Entry, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            entry.failed = True
            report(f"{entry.contestant.name}: left out at k={k} batch={batch}: {one_line(error)}")

    wait_until_quiet(settings.quiet)
    for entry in entries:
        guarded(entry, lambda entry=entry: prepare(entry, k, batch, threads, settings))  # type: ignore[misc]
    running = [entry for entry in entries if not entry.failed]
    for number, turn in round_robin([entry.plan.repeats for entry in running]):
        entry = running[number]
        if entry.failed:
            continue
        time.sleep(SETTLE_S)
        calls = entry.plan.calls
        # Every entry meets the same queries in the same order; enough of its answers are judged.
        enough = entry.judged >= JUDGED_QUERIES * k
        ask = replace(entry.ask, calls=calls, start=turn * calls, judge=not enough)
        guarded(entry, lambda entry=entry, ask=ask: entry.take(entry.contestant.block(ask)))  # type: ignore[misc]
    return [entry for entry in running if not entry.failed]


def screen(
    contestant: Contestant,
    k: int,
    threads: int,
    settings: Settings,
    queries: int,
    single: bool = False,
) -> list[Params]:
    """Settings worth timing: each series up to enough recall, without those plainly dominated.

    With ``single``, queries are asked one at a time, else as one batch.
    """
    series = contestant.sweep(k)
    if len(series) == 1 and len(series[0]) == 1:
        return list(series[0])
    seen: list[tuple[float, float, Params]] = []
    for line in series:
        last = 0.0
        for params in line:
            ask = Ask(params, k, min(SCREEN_QUERIES, queries), threads, judge=True)
            if single:
                ask = replace(ask, batch=1, calls=min(SCREEN_SINGLES, queries))
            contestant.block(replace(ask, batch=1, calls=1, judge=False))
            block = contestant.block(ask)
            recall = block.right / max(1, block.judged)
            seen.append((recall, block.queries / block.window.wall, params))
            saturated = recall > 0.5 and recall - last < 0.0007
            if recall >= settings.enough_recall or saturated:
                break
            last = recall
    # A screening is one short run: only what is clearly slower at no better recall is dropped.
    floor = min(USEFUL_RECALL, max(recall for recall, *_ in seen))
    return [
        params
        for recall, speed, params in seen
        if recall >= floor
        and not any(other >= recall and rate > CLEARLY_SLOWER * speed for other, rate, _ in seen)
    ]


def one_line(error: BaseException, limit: int = 160) -> str:
    """First line of an error, shortened."""
    words = (
        f"{type(error).__name__}: {error}" if not isinstance(error, RuntimeError) else str(error)
    )
    lines = [line.strip() for line in words.splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:limit]
