"""Phases 4 and 6: times. A case is ours, by kernel, beside others'; every one of them is a row.

A package, a method or an argument that is not there gives a row that says so. Ours show their
recall, and how many queries their scans left to exact scores of all rows. Rates are shares of what
this device itself did in phase 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.gpu.check import NOT_THERE, Check, reason
from bench.gpu.predictions import missed, predicted
from bench.gpu.records import Box

Run = Callable[[int], Any]
"""One run, by its number: queries change from run to run."""

Family = Callable[[Check, Box], Iterator["Case"]]
"""Cases one after another; what takes long to make looks at the box."""


@dataclass
class Case:
    """What is timed.

    Attributes
    ----------
    name : str
    ours, others : dict
        By name what prepares a run; others first, so that ours can show their times.
    operations, nbytes : float
        Multiplications and additions, and bytes that must be read and written at least.
    moved : dict
        Those bytes of kernels whose results are wider.
    kind : str
        Of the products: which ceiling counts.
    wanted : callable, optional
        The right ids of run 0, for what may miss some. Results of ours have `ids` then.
    waits : set of str
        Those that are timed by the clock: they run on streams of their own and wait.
    seconds : float
        Left in the box at least, for another of them to begin.
    """

    name: str
    ours: dict[str, Callable[[], Run]]
    others: dict[str, Callable[[], Run]] = field(default_factory=dict)
    operations: float = 0.0
    nbytes: float = 0.0
    moved: dict[str, float] = field(default_factory=dict)
    kind: str = "bf16"
    wanted: Callable[[], np.ndarray] | None = None
    waits: frozenset[str] = frozenset({"jax top_k", "jax approx_max_k"})
    seconds: float = 5.0


def first(check: Check, box: Box) -> None:
    """Time what was promised, the most telling first."""
    from bench.gpu.adapting import adapters
    from bench.gpu.indexes import graphs
    from bench.gpu.large_lists import large_lists
    from bench.gpu.searches import promised
    from bench.gpu.training import clustering

    _time_all(check, box, (promised, adapters, clustering, large_lists, graphs))


def rest(check: Check, box: Box) -> None:
    """Time the rest."""
    from bench.gpu.indexes import indexes
    from bench.gpu.searches import others
    from bench.gpu.training import encoding

    _time_all(check, box, (others, encoding, indexes))


def _time_all(check: Check, box: Box, families: tuple[Family, ...]) -> None:
    for family in families:
        if not box.left(5):
            check.add(box.name, f"all of {family.__name__}", note="cut: no time left")
            continue
        for case in family(check, box):
            time_case(check, box, case)
            check.there.free()


def time_case(check: Check, box: Box, case: Case) -> None:
    """Add a row for everyone that does what the case says."""
    times: dict[str, float | None] = {}
    for name, prepare in {**case.others, **case.ours}.items():
        if check.records.has(box.name, case.name, name):
            continue
        if not box.left(case.seconds):
            check.add(box.name, case.name, kernel=name, ms=None, note="cut: no time left")
            continue
        row = _row(check, case, name, prepare)
        times[name] = row["ms"]
        if name in case.ours and row["ms"] is not None:
            row |= {
                f"against {other}": ms and round(ms / row["ms"], 2)
                for other, ms in times.items()
                if other in case.others
            }
        check.add(box.name, case.name, **row)


def _row(check: Check, case: Case, name: str, prepare: Callable[[], Run]) -> dict[str, Any]:
    row: dict[str, Any] = {"kernel": name, "ms": None}
    row["predicted_ms"] = predicted(case.name, name)
    try:
        once = prepare()
        clock = check.there.waited_milliseconds if name in case.waits else check.there.milliseconds
        ms = clock(once)
        if name in case.ours:
            row |= _quality(check, case, once, counts=name.startswith("cuda"))
    except NOT_THERE as error:
        return {**row, "note": f"not there: {reason(error)}"}
    except Exception as error:  # out of memory, say: the next row still runs
        check.wrong.append(f"{case.name}, {name}: {reason(error)}")
        return {**row, "note": f"FAILED: {reason(error)}"}
    if ms is None:
        return {**row, "note": "ran; a dry run has no times"}
    row |= {"ms": ms, "miss": missed(ms, row["predicted_ms"])}
    if case.operations:
        rate = 1e-9 * case.operations / ms
        row |= {"TFLOP_s": rate, "of products": check.share(rate, case.kind)}
    if case.nbytes:
        rate = 1e-6 * case.moved.get(name, case.nbytes) / ms
        row |= {"GB_s": rate, "of copies": check.share(rate, "GB/s")}
    return row


def _quality(check: Check, case: Case, once: Run, *, counts: bool) -> dict[str, Any]:
    if case.wanted is None:
        return {}
    how_many: dict[str, Any] = {}
    with _counting(check, how_many) if counts and check.there.counts else contextlib.nullcontext():
        found = check.there.get(once(0).ids)
    return {"recall": overlap(found, case.wanted()), **how_many}


@contextlib.contextmanager
def _counting(check: Check, how_many: dict[str, Any]) -> Iterator[None]:
    """Count the queries that are left to exact scores of all rows."""
    from nearfield.cuda.fallbacks import counted_fallbacks

    with counted_fallbacks(check.there.device) as counter:
        before = counter.after(1)
        yield
        how_many["fallback queries"] = counter.after(1) - before


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the share of the wanted ids that were found, for as many queries as are wanted."""
    pairs = list(zip(found, wanted, strict=False))
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]))
