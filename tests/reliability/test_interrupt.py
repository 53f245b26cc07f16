"""Ctrl-C in long calls: KeyboardInterrupt soon, nothing changed, everything still works.

NEARFIELD_INTERRUPTS sets the signals per call (6 by default). The aim is 0.25 s for 99 of 100; a
busy machine gets a second.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reliability.child import call

INTERRUPTS = int(os.environ.get("NEARFIELD_INTERRUPTS", "6"))
ALLOWED = float(os.environ.get("NEARFIELD_INTERRUPT_SECONDS", "1.0"))
CALLS = {
    "searching": ["search", "search, one thread", "search, k = n", "search, one query at a time"],
    "other searches": ["range_search", "topk"],
    "changing": ["add", "add of float64", "add with ids"],
    "files": ["save and load"],
    "quantizers": ["train pq", "train opq", "encode opq"],
    "lists": ["search lists", "search lists, one thread", "search lists, few may answer"],
    "codes": ["search codes", "search codes, k = n", "search codes in lists"],
    "more of codes": ["range_search of codes", "train codes", "add codes"],
    "graphs": ["search graph", "add to graph", "insert into graph"],
    "more of lists": ["search long lists", "range_search in lists", "train", "add to lists"],
}


@pytest.mark.parametrize("names", CALLS.values(), ids=list(CALLS))
def test_interrupts_come_soon_and_change_nothing(tmp_path: Path, names: list[str]) -> None:
    found = call("reliability.interrupting:latencies", str(tmp_path), INTERRUPTS, names)
    for name, times in found.items():
        late = sorted(times["late"])
        assert late, f"{name}: no signal came during the call"
        p50, p99 = late[len(late) // 2], late[min(len(late) - 1, int(len(late) * 0.99))]
        print(f"{name}: {len(late)} interrupts, {times['missed']} too late", end=", ")
        print(f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, max {1000 * late[-1]:.0f} ms")
        assert p99 < ALLOWED, name


def test_handlers_of_others_run() -> None:
    found = call("reliability.interrupting:other_handlers")
    assert found["same"]
    assert found["raised"]
    assert found["again"]
    # Every 20 ms a signal; the engine looks every 50 ms.
    assert found["handled"] >= found["took"] / 0.15, found
